"""`taesan show DIR`: what a model folder is, from what, with which score. No torch here."""

from pathlib import Path
from typing import Any

from taesan import store
from taesan.models.locate import EMBEDDED_PREFIX, locate
from taesan.progress import duration


def show(folder: str | Path) -> dict[str, Any]:
    """The manifest of a folder or of an embedded backbone, every file verified. Raises: InputMissing, StorageError."""
    embedded = str(folder).startswith(EMBEDDED_PREFIX)
    opened = store.open_model(locate(str(folder)) if embedded else folder)
    opened.read_all()
    return opened.manifest


def describe(folder: str | Path, manifest: dict[str, Any]) -> str:
    """The manifest for a person."""
    size = sum(record["bytes"] for record in manifest["files"].values())
    if manifest["kind"] == "backbone":
        lines = [f"{folder}: a backbone, {manifest['objective']}, {manifest['parameters']:,} parameters"]
        if "backbone" in manifest:
            lines.append(
                f"  from           {manifest['backbone']['name']}, SHA-256 {manifest['backbone']['sha256'][:16]}…"
            )
        config = manifest["config"]
        lines.append(
            f"  trained        {config['train_tokens']:,} tokens in {manifest['steps']:,} steps, "
            f"{duration(manifest['seconds'])}, learning rate {config['learning_rate']:g}, seed {config['seed']}"
        )
        read = f"{manifest['lines']['kept']:,} of {manifest['lines']['lines']:,} lines, " if "lines" in manifest else ""
        lines.append(f"  text           {read}{manifest['corpus_tokens']:,} tokens")
        lines += [f"  {name:<15}{value:.4f}" for name, value in manifest["scores"].items()]
    else:
        lines = [
            f"{folder}: {manifest['task']} by {manifest['method']}",
            f"  backbone     {_backbone(manifest['backbone'])}",
            *([f"  labels       {', '.join(manifest['labels'])}"] if manifest["labels"] else []),
            "  rows         "
            + (", ".join(f"{count:,} {part}" for part, count in manifest["rows"].items() if count) or "none"),
        ]
        for part, scores in manifest["scores"].items():
            for name, score in scores.items():
                lines.append(
                    f"  {part + ' ' + name:<30} {score['value']:.4f}   {score['low']:.4f} to {score['high']:.4f}"
                )
        asking = manifest.get("asking")
        if asking:
            shots = (
                f"{asking['similar']} of {asking['shots']:,}, the most similar"
                if asking["similar"]
                else asking["shots"]
            )
            lines.append(f"  shots        {shots}; calibration: {asking['calibration']}")
            lines.append(f"  template     {asking['template']}, chosen by: {asking['template_chosen_by']}")
        if chosen := manifest.get("regularization"):
            tried = ", ".join(f"{one['C']:g}" for one in chosen)
            best = min(chosen, key=lambda one: one["validation_loss"])
            lines.append(f"  C            {best['C']:g}, of {tried}, chosen by the loss on the validation rows")
        lines.append(
            f"  trained      {manifest['trained_parameters']:,} of {manifest['parameters']:,} parameters, "
            f"{manifest['steps']:,} steps (kept: {manifest['best_step']:,}), {duration(manifest['seconds'])}"
        )
        if "peak_memory_bytes" in manifest:  # older folders do not know
            lines.append(f"  memory       {manifest['peak_memory_bytes'] / 1e6:,.0f} MB at the peak")
        for number, attempt in enumerate(manifest.get("attempts", ())[:-1], 1):
            how = f"{attempt['learning_rate']:g} {attempt['initialization']}".rstrip()
            lines.append(f"  attempt {number}    learnt nothing in {attempt['steps']:,} steps ({how})")
    records = manifest["data"].items() if isinstance(manifest["data"], dict) else enumerate(manifest["data"], 1)
    lines += [f"  data {key}: {record['name']}, SHA-256 {record['sha256'][:16]}…" for key, record in records]
    lines.append(f"  {len(manifest['files'])} files, {size / 1e6:.1f} MB, all verified")
    return "\n".join(lines)


def _backbone(record: dict[str, Any] | None) -> str:
    if record is None:
        return "none"
    scratch = " (its shape alone, from random weights)" if record["from_scratch"] else ""
    return f"{record['name']}{scratch}, SHA-256 {record['sha256'][:16]}…"
