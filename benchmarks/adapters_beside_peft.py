"""Adapters beside PEFT under the Hugging Face Trainer: the same rows, passes and number of rates tried.

    python benchmarks/adapters_beside_peft.py --data DIR --work runs/adapters --output FILE.json

NSMC, 1,000 rows of which a tenth chooses the checkpoint and, in the end, the rate: every method has the same rates
around its own default on both sides, the best by validation counts, measured once on 1,000 development rows.
The Trainer groups by length, validates after every pass and keeps the best. PEFT's prompt has a head and begins as
random embeddings, its default for a classifier; ours fills a blank with label words. A process a cell, one thread.
"""

import argparse
import json
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from measure import Clock, peak_bytes, run_cell, spread, table, write_json

METHODS = ("lora", "prefix", "prompt")
FACTORS = (0.3, 1.0, 3.0)
WORDS = {"0": "별로", "1": "최고"}
ROWS, TEST_ROWS, BATCH = 1000, 1000, 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with classification/nsmc_train.tsv and nsmc_dev.tsv")
    parser.add_argument("--work", help="folder of finished cells")
    parser.add_argument("--backbone", default="taesan:bert-mini")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--output", help="JSON of all measurements")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        cell = json.loads(arguments.cell)
        print(json.dumps(ours(cell) if cell["who"] == "taesan" else theirs(cell)))
        return
    if not (arguments.data and arguments.work):
        parser.error("--data and --work are needed")
    cells = [
        {"who": who, "method": method, "seed": seed, "factor": factor, "backbone": arguments.backbone}
        for method in arguments.methods
        for seed in arguments.seeds
        for factor in FACTORS
        for who in ("peft", "taesan")
    ]

    def finish(cell: dict[str, Any]) -> dict[str, Any]:
        path = Path(arguments.work) / ("-".join(str(value).replace("/", "_") for value in cell.values()) + ".json")
        if not path.exists():
            write_json(path, cell | run_cell(__file__, cell | {"data": arguments.data}))
        result = json.loads(path.read_text())
        print(f"{path.stem}: validation {result['validation']:.3f}, test {result['test']:.3f}", flush=True)
        return result

    with ThreadPoolExecutor(arguments.jobs) as pool:
        results = list(pool.map(finish, cells))
    rows: list[list[str]] = []
    for method in arguments.methods:
        best: dict[str, list[dict[str, Any]]] = {"peft": [], "taesan": []}
        for who, found in best.items():
            for seed in arguments.seeds:
                own = [c for c in results if (c["who"], c["method"], c["seed"]) == (who, method, seed)]
                found.append(max(own, key=lambda cell: cell["validation"]))
        gaps = [100 * (a["test"] - b["test"]) for a, b in zip(best["taesan"], best["peft"], strict=True)]
        rows.append(
            [
                method,
                *(spread([100 * cell["test"] for cell in best[who]], ".1f") for who in ("peft", "taesan")),
                spread(gaps, "+.1f"),
                *(f"{statistics.mean(cell['seconds'] for cell in best[who]):.0f}" for who in ("peft", "taesan")),
                *(
                    f"{statistics.mean(cell['peak_bytes'] for cell in best[who]) / 1e6:,.0f}"
                    for who in ("peft", "taesan")
                ),
            ]
        )
    head = ["", "PEFT", "taesan", "difference", "PEFT, CPU s", "taesan, CPU s", "PEFT, peak MB", "taesan, peak MB"]
    shown = table(head, rows)
    print("\n" + shown)
    write_json(arguments.output, {"table": shown.splitlines(), "cells": results})


def ours(cell: dict[str, Any]) -> dict[str, Any]:
    import taesan

    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        train, validation, test = _files(cell, Path(folder))
        with clock.running():
            fitted = taesan.fit(
                "classification",
                train,
                validation=validation,
                test=test,
                output=f"{folder}/model",
                backbone=cell["backbone"],
                method=cell["method"],
                label_words=WORDS if cell["method"] == "prompt" else None,
                config=_config(cell),
                quiet=True,
            )
    assert fitted.validation is not None
    assert fitted.test is not None
    return {
        "validation": fitted.validation.scores["accuracy"].value,
        "test": fitted.test.scores["accuracy"].value,
        "seconds": clock.seconds,
        "peak_bytes": peak_bytes(),
    }


def theirs(cell: dict[str, Any]) -> dict[str, Any]:
    import peft
    import torch
    import transformers

    from taesan.methods.base import Additions
    from taesan.methods.lora import Lora
    from taesan.models.locate import locate

    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    transformers.set_seed(cell["seed"])
    config, folder = _config(cell), str(locate(cell["backbone"]))
    clock = Clock()
    with tempfile.TemporaryDirectory() as output:
        files = _files(cell, Path(output))
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        sets = [_encoded(path, tokenizer) for path in files]
        with clock.running():
            model = transformers.AutoModelForSequenceClassification.from_pretrained(
                folder, dtype=torch.float32, num_labels=2
            )
            model.accepts_loss_kwargs = False  # transformers issue 47688
            if cell["method"] == "lora":
                own: dict[str, Any] = Lora().peft_config(_Bare(model.base_model), Additions(rank=4, alpha=16.0))
                given = peft.LoraConfig(
                    task_type="SEQ_CLS",
                    r=4,
                    lora_alpha=16,
                    target_modules=own["target_modules"],
                    fan_in_fan_out=own["fan_in_fan_out"],
                )
            elif cell["method"] == "prefix":
                given = peft.PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=16)
            else:
                given = peft.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=16)
            model = peft.get_peft_model(model, given)
            arguments = transformers.TrainingArguments(
                output_dir=output,
                per_device_train_batch_size=BATCH,
                per_device_eval_batch_size=BATCH,
                learning_rate=config.learning_rate,
                num_train_epochs=config.epochs,
                lr_scheduler_type="linear",
                warmup_steps=0.1,
                weight_decay=0.01,
                seed=cell["seed"],
                use_cpu=True,
                eval_strategy="epoch",
                save_strategy="epoch",
                save_total_limit=1,
                load_best_model_at_end=True,
                metric_for_best_model="accuracy",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
                length_column_name="length",
                train_sampling_strategy="group_by_length",
                label_names=["labels"],
            )
            pad = transformers.DataCollatorWithPadding(tokenizer)
            trainer = transformers.Trainer(
                model=model,
                args=arguments,
                train_dataset=sets[0],  # type: ignore[arg-type]
                eval_dataset=sets[1],  # type: ignore[arg-type]
                data_collator=lambda rows: pad([{k: v for k, v in row.items() if k != "length"} for row in rows]),
                compute_metrics=lambda given: {"accuracy": float(np.mean(given[0].argmax(-1) == given[1]))},
            )
            trainer.train()
            validation, test = (trainer.evaluate(part)["eval_accuracy"] for part in sets[1:])  # type: ignore[arg-type]
    return {"validation": validation, "test": test, "seconds": clock.seconds, "peak_bytes": peak_bytes()}


class _Bare:
    def __init__(self, backbone: Any):
        self.backbone = backbone


def _config(cell: dict[str, Any]) -> Any:
    """The default rate for so many rows times the factor; both sides take it from here."""
    from dataclasses import replace

    from taesan.config import FitConfig
    from taesan.methods.defaults import with_defaults

    config = FitConfig(seed=cell["seed"], threads=1, device="cpu", checkpoint_seconds=0.0, notice=0.0)
    head = "choice" if cell["method"] == "prompt" else "sequence"
    config = with_defaults(config, head=head, method=cell["method"], width=256, rows=ROWS, from_scratch=False)
    return replace(config, learning_rate=config.learning_rate * cell["factor"])


def _files(cell: dict[str, Any], folder: Path) -> tuple[Path, Path, Path]:
    """The rows to train on, to choose by and to measure on, as taesan itself would split the sample."""
    from taesan.data import Report
    from taesan.data.split import stratified_sample
    from taesan.verbs.reading import Source, find_task, read_examples

    task, root = find_task("classification"), Path(cell["data"]) / "classification"
    train, dev = (
        list(read_examples(root / name, task, Source(), Report())) for name in ("nsmc_train.tsv", "nsmc_dev.tsv")
    )
    sample = [train[i] for i in stratified_sample([str(row.label) for row in train], ROWS, cell["seed"])]
    kept, held = task.split(sample, 0.1, cell["seed"])
    test = [dev[i] for i in stratified_sample([str(row.label) for row in dev], TEST_ROWS, 0)]
    parts = {"train": [sample[i] for i in kept], "validation": [sample[i] for i in held], "test": test}
    paths: list[Path] = []
    for name, rows in parts.items():
        paths.append(folder / f"{name}.jsonl")
        lines = [json.dumps({"text": row.texts[0], "label": row.label}, ensure_ascii=False) for row in rows]
        paths[-1].write_text("\n".join(lines) + "\n", "utf-8")
    return paths[0], paths[1], paths[2]


def _encoded(path: Path, tokenizer: Any) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    encoded = tokenizer([row["text"] for row in rows], truncation=True, max_length=tokenizer.model_max_length - 16)
    return [
        {
            **{name: values[i] for name, values in encoded.items()},
            "labels": int(row["label"]),
            "length": len(encoded.input_ids[i]),
        }
        for i, row in enumerate(rows)
    ]


if __name__ == "__main__":
    main()
