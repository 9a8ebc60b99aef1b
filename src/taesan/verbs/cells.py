"""What `compare` has done, a job at a time: a cell is a model folder made by `fit` and measured as `evaluate` does.

Each job is alone in its process. What it leaves on disk appears whole, by a rename.
"""

import contextlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from taesan import store
from taesan.config import FitConfig
from taesan.data import Report
from taesan.engine.infer import Writes
from taesan.engine.load import open_predictor
from taesan.errors import StorageError
from taesan.methods import METHODS
from taesan.methods.base import Additions, adapt
from taesan.methods.baseline import Baseline
from taesan.models.backbone import find
from taesan.tasks.base import Example
from taesan.verbs.evaluate import measure
from taesan.verbs.fit import asks_in_words, fit
from taesan.verbs.reading import Source, find_task, read_all, read_examples
from taesan.verbs.techniques import TECHNIQUES
from taesan.verbs.training import peak_memory_bytes

BOOTSTRAP_SEED = 42  # that of `evaluate`
MOST_SHOTS = 16
TOKEN_ROWS = 200  # of the test rows, that the mean of tokens is taken over
TIMED_ROWS = 300
TIMED_SECONDS = 5.0  # one row at a time, and as many again in bulk
SPEED_TOKENS = (8, 64)  # rows and length of the batch that a backbone's speed is measured by
SPEED_REPEATS = 15  # the fastest counts: a plan should not be made of a moment in which something else ran


def cell_config(seed: int, shots: int) -> FitConfig:
    """What every cell is fitted with: the defaults, one thread, and no checkpoint, as a cell is short."""
    more: dict[str, Any] = {"shots": shots, "long_shots": "fewer"} if shots else {}
    return FitConfig(seed=seed, threads=1, checkpoint_seconds=0.0, **more)


def shots_of(technique: str, rows: int) -> int:
    """How many of so many labelled rows are shown; of the others in-context learning reads the texts alone."""
    return 0 if TECHNIQUES[technique].method.trains else min(MOST_SHOTS, rows)


def run_cell(job: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a cell, which stands in its folder with its predictions and its model."""
    cell = job["cell"]
    with _place(Path(job["out"]), "cells", cell["name"]) as folder:
        model = folder / "model"
        started_at, begun, cpu_begun = time.time(), time.monotonic(), time.process_time()
        _fit(job, job["train"], model)
        cpu_seconds, peak = time.process_time() - cpu_begun, peak_memory_bytes()  # of learning alone
        predictor, manifest = open_predictor(model)
        examples = read_all(job["test"], job["task"])
        predictions, evaluation = measure(predictor, examples, seed=BOOTSTRAP_SEED)
        method = TECHNIQUES[cell["method"]].method
        tokens = 0.0
        if not isinstance(method, Baseline) and isinstance(predictor, Writes):
            virtual = method.room_tokens(Additions.of(FitConfig(**manifest["config"])))
            tokens = float(np.mean(predictor.read_tokens(examples[:TOKEN_ROWS]))) + virtual
        rows = manifest["rows"]
        record = {
            **{name: cell[name] for name in ("name", "backbone", "method", "seed")},
            "rows": cell["size"],
            "train_rows": rows.get("train", rows.get("shots", 0)),
            "validation_rows": rows["validation"],
            "status": "done",
            "error": "",
            "scores": evaluation.as_dict()["scores"],
            "started_at": round(started_at, 3),
            "seconds": round(time.monotonic() - begun, 3),
            "whole_cpu_seconds": round(time.process_time() - cpu_begun, 3),  # with the answers: what the plan estimates
            "cpu_seconds": round(cpu_seconds, 3),
            "peak_bytes": peak,
            "trained_parameters": manifest["trained_parameters"],
            "folder_bytes": sum(file["bytes"] for name, file in manifest["files"].items() if name != "log.jsonl"),
            "prompt_tokens": tokens,
            "latency_seconds": None,
            "throughput_rows_per_second": None,
            "config": manifest["config"],
            "inputs": job["inputs"],
            "command": job["command"],
        }
        _write_predictions(folder / "predictions.jsonl", [one.as_dict() for one in predictions])
        if not job["keep"]:
            shutil.rmtree(model)
        store.replace_file(folder / "cell.json", _json(record))
    return record


def run_fold(job: Mapping[str, Any]) -> None:
    """Predictions of the rows of a fold, by a model that has seen all the others."""
    with _place(Path(job["out"]), "folds", job["name"]) as folder:
        _fit(job, job["train"], folder / "model")
        predictor, _ = open_predictor(folder / "model")
        predictions, _ = measure(predictor, read_all(job["test"], job["task"]), seed=BOOTSTRAP_SEED)
        shutil.rmtree(folder / "model")
        _write_predictions(folder / "predictions.jsonl", [one.as_dict() for one in predictions], job["places"])
        store.replace_file(folder / "fold.json", _json({"inputs": job["inputs"]}))


def time_model(job: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds a prediction, one row at a time, and rows a second in bulk. Nothing else should run meanwhile."""
    torch.set_num_threads(1)
    predictor, _ = open_predictor(Path(job["out"]) / "cells" / job["name"] / "model")
    report = Report()
    rows = list(read_examples(job["test"], predictor.task, Source(), report, labelled=False))[:TIMED_ROWS]
    report.raise_for_errors()
    list(predictor.predict(rows[:1]))  # the first one pays for what is loaded late
    times: list[float] = []
    while len(times) < len(rows) and (not times or sum(times) < TIMED_SECONDS):
        times.append(_seconds(predictor, rows[len(times) : len(times) + 1]))
    bulk = rows[: len(times)]
    p50, p99 = (float(value) for value in np.percentile(times, (50, 99)))
    return {
        "latency_seconds": {"p50": p50, "p99": p99},
        "throughput_rows_per_second": len(bulk) / _seconds(predictor, bulk),
    }


def measure_speed(job: Mapping[str, Any]) -> dict[str, float]:
    """CPU seconds a token of a backbone, to answer and to learn: what the plan's estimates are made of."""
    torch.set_num_threads(1)
    task, base = find_task(job["task"]), find(job["backbone"])
    model = adapt(METHODS["finetune"], base.load(task.head, labels=("a", "b")))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
    rows, length = SPEED_TOKENS
    length = min(length, base.max_length - 1)
    ids = torch.randint(0, base.tokenizer.vocabulary_size, (rows, length), generator=torch.Generator().manual_seed(1))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    answer, learn = [], []
    for _ in range(SPEED_REPEATS):
        begun = time.process_time()
        with torch.no_grad():
            model.encoder(batch)
        answered = time.process_time()
        model.encoder(batch).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        answer.append(answered - begun)
        learn.append(time.process_time() - answered)
    return {"answer": min(answer) / (rows * length), "learn": min(learn) / (rows * length)}


def _fit(job: Mapping[str, Any], train: str | None, output: Path) -> None:
    cell, task = job["cell"], find_task(job["task"])
    technique = TECHNIQUES[cell["method"]]
    fit(
        job["task"],
        train,
        output=output,
        backbone=cell["backbone"] or None,
        method=technique.method.name,
        from_scratch=technique.from_scratch,
        labels=() if technique.method.trains else job["labels"],
        label_words=job["label_words"] if asks_in_words(task, technique.method) else None,
        config=cell_config(cell["seed"], shots_of(cell["method"], cell["size"])),
        quiet=True,
    )


@contextlib.contextmanager
def _place(out: Path, part: str, name: str) -> Iterator[Path]:
    """A folder that takes its place when the block ends well. Whoever comes second with the same leaves it as it is."""
    if not (out / "plan.json").exists():
        raise StorageError(f"{out} is not there on {socket.gethostname()}: --output has to be on a path that all share")
    staging = out / part / f".{name}.{socket.gethostname()}-{os.getpid()}"
    with store.storage_errors(staging):
        staging.mkdir(parents=True)
    try:
        yield staging
        with contextlib.suppress(OSError):
            os.rename(staging, out / part / name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_predictions(path: Path, predictions: list[dict[str, Any]], places: list[int] | None = None) -> None:
    """A line a row, with the number of that row, from 1."""
    rows = (place + 1 for place in places) if places is not None else range(1, len(predictions) + 1)
    lines = (_json({"row": row, **one}) for row, one in zip(rows, predictions, strict=True))
    store.replace_file(path, (line for line in lines))


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"


def _seconds(predictor: Any, rows: list[Example]) -> float:
    begun = time.monotonic()
    list(predictor.predict(rows))
    return time.monotonic() - begun
