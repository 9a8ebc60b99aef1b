"""Fine-tuning beside the Hugging Face Trainer: same model, rows, epochs, learning rate, about the same steps.

    python benchmarks/finetune_speed.py --data DIR --output FILE.json

DIR holds classification/nsmc_train.tsv and nsmc_dev.tsv. Every measurement is a process of its own on one thread;
variants take turns. Compared is training with training, in CPU time of the process: `trainer.train()` against our
loop from its first line to its last. Both end with the last weights: our one validation, at the end, is taken out of
the time (the Trainer does none), and nothing is saved inside. The Trainer, not ours, takes a step beforehand, so that
what it loads late is not counted. Reading, tokenizing, loading and saving are in the column `all`, from the training
file to a saved model. Accuracy is that of the saved folder, opened by AutoModelForSequenceClassification, on the dev
file, for both in the same way.
"""

import argparse
import copy
import json
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from measure import Clock, peak_bytes, run_cell, spread, table, write_json
from taesan.data import Report
from taesan.data.split import stratified_sample
from taesan.engine.batches import plan
from taesan.models.locate import DEFAULT, locate
from taesan.tasks import TASKS
from taesan.text.tokenizer import Tokenizer
from taesan.verbs.reading import Source, read_examples

MAX_LENGTH = 128
VALIDATION_ROWS = 64
PEERS = {
    "padded": "HF Trainer, padded to 128",
    "batch": "HF Trainer, padded per batch",
    "grouped": "HF Trainer, grouped by length",
}
OURS = "taesan"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with classification/nsmc_train.tsv and nsmc_dev.tsv")
    parser.add_argument("--backbone", default=DEFAULT, help="default: %(default)s")
    parser.add_argument("--random", action="store_true", help="a backbone of the default shape with random weights")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--dev-rows", type=int, default=5000, help="0: measure no accuracy")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--learning-rate", type=float, default=4e-4)
    parser.add_argument("--batch", type=int, default=32, help="rows of the Trainer's batches")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="a repeat each")
    parser.add_argument("--variants", nargs="+", choices=[*PEERS, OURS], default=[*PEERS, OURS])
    parser.add_argument("--output", help="JSON of all measurements")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        print(json.dumps(run(json.loads(arguments.cell))))
        return
    if not arguments.data:
        parser.error("--data is needed")
    with tempfile.TemporaryDirectory() as folder:
        compare(arguments, Path(folder))


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    texts = _sample(arguments, folder)
    if arguments.random:
        made = {"variant": "random", "texts": str(folder / "texts.txt"), "folder": str(folder / "random")}
        run_cell(__file__, made)
    backbone = str(folder / "random") if arguments.random else str(locate(arguments.backbone))
    lengths = _lengths(texts, backbone)
    cells: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        for variant in arguments.variants:
            cell = {
                "variant": variant,
                "seed": seed,
                "folder": str(folder),
                "backbone": backbone,
                "epochs": arguments.epochs,
                "learning_rate": arguments.learning_rate,
                "batch": arguments.batch,
                "batch_tokens": _budget(lengths, arguments.batch, seed),
                "dev": bool(arguments.dev_rows),
            }
            result = run_cell(__file__, cell)
            cells.append({"variant": variant, "seed": seed, **result})
            print(f"seed {seed}  {variant:8}  {result['train_seconds']:.1f} CPU s", flush=True)
    settings = {key: value for key, value in vars(arguments).items() if key not in ("data", "output", "cell")}
    settings |= {"backbone": "random" if arguments.random else Path(arguments.backbone).name}
    settings |= {"mean_tokens": round(float(lengths.mean()), 2)}
    shown = _table(cells, arguments)
    print(
        f"\n{arguments.rows:,} rows of {lengths.mean():.1f} tokens, {arguments.epochs:g} epochs, one thread, CPU time\n"
    )
    print(shown)
    write_json(arguments.output, {"settings": settings, "cells": cells, "table": shown.splitlines()})


def _table(cells: list[dict[str, Any]], arguments: argparse.Namespace) -> str:
    rows: list[list[str]] = []
    seen = arguments.rows * arguments.epochs
    ours = {cell["seed"]: cell for cell in cells if cell["variant"] == OURS}
    for variant in arguments.variants:
        own = [cell for cell in cells if cell["variant"] == variant]
        ratios = [cell["train_seconds"] / ours[cell["seed"]]["train_seconds"] for cell in own if ours]
        accuracies = [cell["accuracy"] for cell in own if cell["accuracy"] is not None]
        rows.append(
            [
                PEERS.get(variant, OURS),
                str(round(statistics.mean(cell["steps"] for cell in own))),
                spread([seen / cell["train_seconds"] for cell in own], ".1f"),
                spread(ratios) if ratios and variant != OURS else "",
                spread([seen / cell["all_seconds"] for cell in own], ".1f"),
                f"{statistics.mean(accuracies):.4f} ({', '.join(f'{a:.4f}' for a in accuracies)})"
                if accuracies
                else "",
                f"{max(cell['peak_bytes'] for cell in own) / 1e6:.0f}",
            ]
        )
    head = ["", "steps", "training, examples/s", "taesan is faster by", "all, examples/s", "dev accuracy", "peak MB"]
    return table(head, rows)


def _sample(arguments: argparse.Namespace, folder: Path) -> list[str]:
    """Writes train.tsv, validation.tsv and dev.tsv; the texts to train on come back."""
    report = Report()
    source = Path(arguments.data) / "classification"
    rows = list(read_examples(source / "nsmc_train.tsv", TASKS["classification"], Source(), report))
    dev = list(read_examples(source / "nsmc_dev.tsv", TASKS["classification"], Source(), report))
    report.raise_for_errors()
    labels = [str(row.label) for row in rows]
    chosen = stratified_sample(labels, arguments.rows, seed=0)
    more = stratified_sample(labels, arguments.rows + VALIDATION_ROWS, seed=0)  # nested: these hold the others
    parts = {
        "train": [rows[i] for i in chosen],
        "validation": [rows[i] for i in sorted(set(more) - set(chosen))],
        "dev": [dev[i] for i in stratified_sample([str(row.label) for row in dev], arguments.dev_rows, seed=0)],
    }
    for name, part in parts.items():
        lines = ["text\tlabel", *(f"{row.texts[0]}\t{row.label}" for row in part)]
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if arguments.random:
        (folder / "texts.txt").write_text("\n".join(row.texts[0] for row in rows) + "\n", encoding="utf-8")
    return [row.texts[0] for row in parts["train"]]


def _lengths(texts: list[str], backbone: str) -> np.ndarray:
    tokenizer = Tokenizer.load(backbone)
    control = tokenizer.layout.single_tokens
    return np.array([min(MAX_LENGTH, len(ids) + control) for ids in tokenizer.ids(texts)], dtype=np.int32)


def _budget(lengths: np.ndarray, batch: int, seed: int) -> int:
    """The tokens of a batch with which our loop takes about as many steps as batches of `batch` rows do."""
    budget, steps = int(lengths.mean() * batch), -(-len(lengths) // batch)
    while len(plan(lengths, budget_tokens=budget, seed=seed, epoch=0)) > steps:
        budget += 4
    return budget


# In a process of its own --------------------------------------------------------------------------------------------


def run(cell: dict[str, Any]) -> dict[str, Any]:
    if cell["variant"] == "random":
        return make_random(Path(cell["texts"]), Path(cell["folder"]))
    measure = run_taesan if cell["variant"] == OURS else run_trainer
    output = Path(tempfile.mkdtemp(dir=cell["folder"]))
    try:
        result = measure(cell, output / "model")
        result["peak_bytes"] = peak_bytes()
        result["accuracy"] = accuracy(output / "model", Path(cell["folder"]) / "dev.tsv") if cell["dev"] else None
    finally:
        shutil.rmtree(output)
    return result


def run_taesan(cell: dict[str, Any], output: Path) -> dict[str, Any]:
    from dataclasses import replace

    import taesan
    from taesan.config import FitConfig
    from taesan.verbs import training as verb

    training, everything = Clock(), Clock()
    loop = verb.train_loop

    def timed_loop(*positional: Any, validation: Any, **named: Any) -> Any:
        scores = validation.scores

        def untimed_scores() -> dict[str, float]:
            with training.without():
                return scores()

        with training.running():
            last = replace(validation, scores=untimed_scores, every_steps=1 << 30)  # the last weights, as the Trainer's
            result = loop(*positional, validation=last, **named)
        steps.append(result.state.step)
        return result

    steps: list[int] = []
    verb.train_loop = timed_loop
    folder = Path(cell["folder"])
    config = FitConfig(
        seed=cell["seed"],
        learning_rate=cell["learning_rate"],
        epochs=float(cell["epochs"]),
        batch_tokens=cell["batch_tokens"],
        max_length=MAX_LENGTH,
        device="cpu",
        threads=1,
        checkpoint_seconds=0.0,
    )
    with everything.running():
        taesan.fit(
            "classification",
            folder / "train.tsv",
            validation=folder / "validation.tsv",
            output=output,
            backbone=cell["backbone"],
            config=config,
            quiet=True,
        )
    return {"train_seconds": training.seconds, "all_seconds": everything.seconds, "steps": steps[0]}


def run_trainer(cell: dict[str, Any], output: Path) -> dict[str, Any]:
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    transformers.set_seed(cell["seed"])
    training, everything = Clock(), Clock()
    with everything.running():
        texts, labels = _read(Path(cell["folder"]) / "train.tsv")
        tokenizer = transformers.AutoTokenizer.from_pretrained(cell["backbone"])
        to_maximum = cell["variant"] == "padded"
        encoded = tokenizer(
            texts, truncation=True, max_length=MAX_LENGTH, padding="max_length" if to_maximum else False
        )
        rows = [
            {
                **{name: values[i] for name, values in encoded.items()},
                "labels": labels[i],
                "length": len(encoded.input_ids[i]),
            }
            for i in range(len(texts))
        ]
        model = transformers.AutoModelForSequenceClassification.from_pretrained(cell["backbone"], dtype=torch.float32)
        model.accepts_loss_kwargs = False  # transformers issue 47688
        arguments: dict[str, Any] = {
            "output_dir": str(output.with_name("trainer")),
            "per_device_train_batch_size": cell["batch"],
            "learning_rate": cell["learning_rate"],
            "num_train_epochs": cell["epochs"],
            "lr_scheduler_type": "linear",
            "warmup_steps": 0.1,
            "weight_decay": 0.01,
            "max_grad_norm": 1.0,
            "seed": cell["seed"],
            "use_cpu": True,
            "save_strategy": "no",
            "eval_strategy": "no",
            "logging_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "length_column_name": "length",
        }
        if cell["variant"] == "grouped":
            arguments["train_sampling_strategy"] = "group_by_length"
        collator = _collator(tokenizer, to_maximum)
        # The first step loads what it needs, a second of CPU: a step on a copy takes it out. Ours goes without.
        first = transformers.TrainingArguments(**{**arguments, "max_steps": 1})
        transformers.Trainer(
            model=copy.deepcopy(model),
            args=first,
            train_dataset=rows[: cell["batch"]],  # type: ignore[arg-type]
            data_collator=collator,
        ).train()
        trainer = transformers.Trainer(
            model=model,
            args=transformers.TrainingArguments(**arguments),
            train_dataset=rows,  # type: ignore[arg-type]
            data_collator=collator,
        )
        with training.running():
            trainer.train()
        trainer.save_model(str(output))
    tokenizer.save_pretrained(output)
    steps = trainer.state.global_step
    return {"train_seconds": training.seconds, "all_seconds": everything.seconds, "steps": steps}


def _collator(tokenizer: Any, to_maximum: bool) -> Any:
    import transformers

    pad = transformers.default_data_collator if to_maximum else transformers.DataCollatorWithPadding(tokenizer)
    return lambda rows: pad([{name: value for name, value in row.items() if name != "length"} for row in rows])


def accuracy(model: Path, dev: Path) -> float:
    """Of a folder opened by transformers; rows sorted by length, 64 at a time."""
    import torch
    import transformers

    texts, labels = _read(dev)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    network = transformers.AutoModelForSequenceClassification.from_pretrained(model, dtype=torch.float32).eval()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    right = 0
    with torch.inference_mode():
        for start in range(0, len(order), 64):
            part = order[start : start + 64]
            batch = tokenizer(
                [texts[i] for i in part], truncation=True, max_length=MAX_LENGTH, padding=True, return_tensors="pt"
            )
            right += int((network(**batch).logits.argmax(-1) == torch.tensor([labels[i] for i in part])).sum())
    return right / len(texts)


def _read(path: Path) -> tuple[list[str], list[int]]:
    lines = path.read_text(encoding="utf-8").split("\n")[1:-1]
    pairs: list[Sequence[str]] = [line.split("\t") for line in lines]
    return [text for text, _ in pairs], [int(label) for _, label in pairs]


def make_random(texts: Path, folder: Path) -> dict[str, Any]:
    """Writes a backbone as `taesan pretrain` would shape it, untrained, with a tokenizer trained on the texts."""
    from taesan import store
    from taesan.config import PretrainConfig
    from taesan.models.backbone import config_bytes, model_arrays
    from taesan.models.shapes import FINE_TUNING_DROPOUT, new_backbone
    from taesan.text.train import train_wordpiece
    from taesan.verbs.pretrain import DEFAULTS

    config = PretrainConfig(**DEFAULTS["masked"], dropout=FINE_TUNING_DROPOUT)
    tokenizer = train_wordpiece(texts.read_text(encoding="utf-8").split("\n"), size=config.vocabulary_size)
    model = new_backbone("masked", config, tokenizer)
    model.config.architectures = [type(model).__name__]
    files: dict[str, store.Content] = {
        "config.json": config_bytes(model),
        "model.safetensors": store.tensor_chunks(model_arrays(model), {"format": "pt"}),
        **tokenizer.files(max_length=config.max_length, token_types=True),
    }
    store.save_folder(folder, files, {"kind": "backbone"})
    return {"parameters": sum(parameter.numel() for parameter in model.parameters())}


if __name__ == "__main__":
    main()
