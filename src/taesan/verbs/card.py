"""Model cards: README.md of a model folder and of a backbone."""

import json
from typing import Any

from taesan.tasks import TASKS

# The hub's names for what a head does.
_TAGS = {
    "sequence": "text-classification",
    "token": "token-classification",
    "span": "question-answering",
    "language_model": "text-generation",
}

_ADDS = dict.fromkeys(("lora", "prefix", "prompt"), "peft")


def model_card(manifest: dict[str, Any]) -> str:
    """Markdown for people and for the hub."""
    backbone, rows = manifest["backbone"], manifest["rows"]
    scores = "\n".join(
        f"| {part} | {rows[part]:,} | {name} | {score['value']:.4f} | {score['low']:.4f} to {score['high']:.4f} |"
        for part, named in manifest["scores"].items()
        for name, score in named.items()
    )
    files = "\n".join(
        f"- {part}: {record['name']}, SHA-256 {record['sha256']}" for part, record in manifest["data"].items()
    )
    labels = f"Labels: {', '.join(manifest['labels'])}\n\n" if manifest["labels"] else ""
    if backbone is None:
        made = "Made by taesan without a language model"
    else:
        origin = "random weights of the shape of" if backbone["from_scratch"] else "the backbone"
        made = f"Made by taesan from {origin} {backbone['name']} (SHA-256 {backbone['sha256']})"
    if "asking" in manifest:
        asking = manifest["asking"]
        made += (
            f" in context: no weight was trained. {asking['similar'] or asking['shots']:,} of {asking['shots']:,} "
            f"labelled rows{', the most similar,' if asking['similar'] else ''} are shown before every question; "
            f"the template {asking['template']} was chosen by: {asking['template_chosen_by']}; calibration: "
            f"{asking['calibration']}. Test rows chose nothing."
        )
    else:
        made += (
            f"{' and' if backbone else ', from'} {rows['train']:,} rows, with {rows['validation']:,} more to choose "
            f"{'the checkpoint' if backbone else 'its settings'} by. "
            f"{manifest['trained_parameters']:,} of {manifest['parameters']:,} parameters were trained.\n\nThe "
            "validation rows chose, so their scores flatter it a little; test rows chose nothing."
        )
    if _ADDS.get(manifest["method"]):
        made += (
            "\n\nThe folder holds what was added to the backbone, not the backbone, and opens on that one alone. "
            "`taesan export --format peft` lays both side by side for PEFT."
        )
    return f"""---
library_name: {_ADDS.get(manifest["method"], "transformers" if backbone else "taesan")}
pipeline_tag: {_TAGS[TASKS[manifest["task"]].head]}
---
# {manifest["task"].capitalize()} by {manifest["method"]}

{made}

| rows of | how many | score | value | 95% interval |
|---|---|---|---|---|
{scores}

{labels}Data

{files}

```
{example(manifest["task"], "THIS_FOLDER")}
```

Settings

```json
{json.dumps(manifest["config"], indent=1)}
```
"""


def example(task: str, folder: str) -> str:
    """A command that asks a model of that task."""
    return f"taesan {TASKS[task].usage.replace('DIR', folder)}"


def backbone_card(manifest: dict[str, Any]) -> str:
    """The same for a backbone that was pretrained here."""
    config, scores = manifest["config"], manifest["scores"]
    masked = manifest["objective"] == "masked"
    guessed = "masked token" if masked else "token"
    origin = f", from {manifest['backbone']['name']}" if "backbone" in manifest else ""
    files = "\n".join(f"- {source['name']} (SHA-256 {source['sha256'][:16]}…)" for source in manifest["data"])
    return f"""---
library_name: transformers
pipeline_tag: {"fill-mask" if masked else "text-generation"}
---
# A {manifest["objective"]} language model made by taesan

{manifest["parameters"]:,} parameters, at most {config["max_length"]:,} tokens, stored in half precision.

It saw {config["train_tokens"]:,} tokens in {manifest["steps"]:,} steps ({manifest["seconds"]:,.0f} seconds on \
{config["threads"]} CPU threads){origin}. On held-out lines: {scores["held_out_loss"]:.3f} nats a {guessed}, \
{scores["bits_per_byte"]:.3f} bits a byte.

Trained on

{files}

```json
{json.dumps(config, indent=1)}
```
"""
