"""Every technique on the same rows: score and cost, from the same samples, beside each other.

    python benchmarks/techniques.py classification DIR/classification/nsmc_train.tsv DIR/classification/nsmc_dev.tsv \
           --label-words 0=부정,1=긍정 --work runs/techniques --output benchmarks/results/techniques-nsmc.json
    python benchmarks/techniques.py classification TRAIN DEV --work runs/techniques --methods prompt --sizes 1000 \
           --grid learning_rate=0.01,0.03 --grid virtual_tokens=8,16

A cell is one `fit` in a process of its own on one thread: on a stratified sample of n rows (a tenth is held out to
choose the checkpoint; n counts both), or in context with 0, 1 or 16 shots of it; scored on 1,000 rows of DEV, the same
for all, as the test file. The baselines `majority` and `tfidf` run where --methods names them, without a backbone.
Latency is that of one text after another, the median, in a process that does nothing else.
A cell that --work already has is not run again.

With --grid this is a search: it never sees DEV, but scores on rows of TRAIN that are in no sample.
"""

import argparse
import hashlib
import itertools
import json
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import taesan
from measure import peak_bytes, run_cell, spread, table, write_json
from samples import short_hash, write_rows
from taesan.config import FitConfig, resolve
from taesan.data import Report
from taesan.data.split import stratified_sample
from taesan.models.locate import locate
from taesan.tasks import TASKS
from taesan.tasks.base import Example
from taesan.verbs.reading import Source, read_examples

TRAINED = ("finetune", "lora", "prefix", "prompt")
BASELINES = ("majority", "tfidf")  # without a backbone
SHOTS = (0, 1, 16)
TEST_ROWS = 1000
TIMED_TEXTS = 50
DEFAULTS = Path(taesan.__file__).parent / "methods" / "defaults.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", choices=("classification", "pair"))
    parser.add_argument("train", nargs="?")
    parser.add_argument("dev", nargs="?")
    parser.add_argument("--work", help="folder of samples and finished cells")
    parser.add_argument("--label-words", default="")
    parser.add_argument("--backbones", nargs="+", default=["taesan:bert-mini", "taesan:gpt-mini"])
    parser.add_argument("--methods", nargs="*", choices=(*TRAINED, *BASELINES), default=list(TRAINED))
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--shots", type=int, nargs="*", default=list(SHOTS), help="in context; none: leave it out")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--grid", action="append", default=[], help="key=value,value: a search")
    parser.add_argument("--set", action="append", default=[], help="key=value for all cells")
    parser.add_argument("--jobs", type=int, default=2, help="cells at a time, a thread each")
    parser.add_argument("--output", help="JSON of all cells")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        print(json.dumps(run(json.loads(arguments.cell))))
        return
    if not (arguments.task and arguments.train and arguments.dev and arguments.work):
        parser.error("TASK, TRAIN, DEV and --work are needed")
    compare(arguments)


def compare(arguments: argparse.Namespace) -> None:
    work, searching = Path(arguments.work), bool(arguments.grid)
    samples = _samples(arguments, work / "samples")
    axes = [[(key, value) for value in values.split(",")] for key, values in (one.split("=") for one in arguments.grid)]
    fixed = dict(one.split("=", 1) for one in arguments.set)
    trained = list(itertools.product(arguments.methods, arguments.sizes))
    asked = [] if searching else [("in-context", shots) for shots in arguments.shots]
    cells = [
        {
            "task": arguments.task,
            "train": str(samples[size if method != "in-context" else max(arguments.sizes), seed]),
            "test": str(samples["search" if searching else "test"]),
            "data": [Path(arguments.train).name, "search" if searching else Path(arguments.dev).name],
            "label_words": arguments.label_words,
            "backbone": backbone,
            "weights": short_hash(locate(backbone) / "model.safetensors") if backbone != "none" else "",
            "method": method,
            "size": size,
            "seed": seed,
            "settings": fixed | dict(settings),
            "defaults": short_hash(DEFAULTS) if method in TRAINED else "",  # other defaults make another cell
        }
        for backbone, (method, size), seed, settings in itertools.product(
            [*arguments.backbones, "none"], [*trained, *asked], arguments.seeds, itertools.product(*axes)
        )
        if (backbone == "none") == (method in BASELINES)
        and not (method == "in-context" and size == 0 and seed != arguments.seeds[0])  # nothing is drawn
    ]
    begun, done = time.monotonic(), 0

    def finish(cell: dict[str, Any]) -> dict[str, Any]:
        nonlocal done
        path = work / "cells" / f"{_key(cell)}.json"
        if not path.exists():
            kept = {name: value for name, value in cell.items() if name not in ("train", "test")}
            write_json(path, kept | run_cell(__file__, cell | {"work": str(work)}))
        done += 1
        result = json.loads(path.read_text())
        shown = f"{_name(cell)}  {100 * result['scores']['accuracy']:.1f}"
        print(f"{done}/{len(cells)}  {time.monotonic() - begun:.0f} s  {shown}", flush=True)
        return result

    with ThreadPoolExecutor(arguments.jobs) as pool:
        results = list(pool.map(finish, cells))
    shown = _table(results)
    print("\n" + shown)
    write_json(arguments.output, {"table": shown.splitlines(), "cells": results})


def _table(results: list[dict[str, Any]]) -> str:
    head = ["", "accuracy", "macro-F1", "calibration error", "trained", "seconds", "peak MB", "kB on disk", "ms a text"]
    groups: dict[str, list[dict[str, Any]]] = {}
    for cell in results:
        unit = "shots" if cell["method"] == "in-context" else "rows"
        settings = "".join(f" {key}={value}" for key, value in cell["settings"].items())
        backbone = "" if cell["backbone"] == "none" else cell["backbone"].removeprefix("taesan:") + " "
        name = f"{backbone}{cell['method']}, {cell['size']:,} {unit}{settings}"
        groups.setdefault(name, []).append(cell)
    rows = [
        [
            name,
            *(
                spread([100 * cell["scores"][score] for cell in own], ".1f")
                for score in ("accuracy", "macro_f1", "calibration_error")
            ),
            f"{own[0]['trained_parameters']:,}",
            f"{statistics.mean(cell['cpu_seconds'] for cell in own):.0f}",
            f"{statistics.mean(cell['peak_bytes'] for cell in own) / 1e6:,.0f}",
            f"{own[0]['folder_bytes'] / 1e3:,.0f}",
            f"{statistics.median(cell['milliseconds'] for cell in own):.1f}",
        ]
        for name, own in groups.items()
    ]
    return table(head, rows)


def _samples(arguments: argparse.Namespace, folder: Path) -> dict[Any, Path]:
    """The sample of every size and seed as JSONL; rows of TRAIN in none of them; rows of DEV."""
    name = Path(arguments.train).name.split(".")[0]
    keys = list(itertools.product(arguments.sizes, arguments.seeds))
    used = "-".join(str(number) for number in (max(arguments.sizes), *arguments.seeds))
    paths: dict[Any, Path] = {(size, seed): folder / f"{name}-{size}-seed{seed}.jsonl" for size, seed in keys}
    paths |= {"search": folder / f"{name}-search-{used}.jsonl", "test": folder / f"{name}-test.jsonl"}
    if all(path.exists() for path in paths.values()):
        return paths
    task, report = TASKS[arguments.task], Report()
    rows, dev = (list(read_examples(path, task, Source(), report)) for path in (arguments.train, arguments.dev))
    report.raise_for_errors()
    labels = [str(row.label) for row in rows]
    chosen = {key: [rows[i] for i in stratified_sample(labels, *key)] for key in keys}
    taken = {id(row) for part in chosen.values() for row in part}
    free = [row for row in rows if id(row) not in taken]
    folder.mkdir(parents=True, exist_ok=True)
    for key, part in {**chosen, "search": _some(free), "test": _some(dev)}.items():
        write_rows(paths[key], task, part)
    return paths


def _some(rows: list[Example]) -> list[Example]:
    labels = [str(row.label) for row in rows]
    return [rows[i] for i in stratified_sample(labels, min(TEST_ROWS, len(rows)), 0)]


def _name(cell: dict[str, Any]) -> str:
    settings = "".join(f" {key}={value}" for key, value in cell["settings"].items())
    return f"{cell['backbone']} {cell['method']} {cell['size']} seed {cell['seed']}{settings}"


def _key(cell: dict[str, Any]) -> str:
    kept = {name: value for name, value in cell.items() if name not in ("train", "test")}
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:10]
    backbone = cell["backbone"].split(":")[-1].split("/")[-1]
    name = cell["data"][0].split(".")[0]
    return f"{name}-{backbone}-{cell['method']}-{cell['size']}-seed{cell['seed']}-{digest}"


def run(cell: dict[str, Any]) -> dict[str, Any]:
    """One fit, its folder removed again."""
    in_context = cell["method"] == "in-context"
    fixed: dict[str, Any] = {"seed": cell["seed"], "threads": 1, "device": "cpu", "checkpoint_seconds": 0.0}
    fixed |= {"shots": cell["size"], "long_shots": "fewer"} if in_context else {}
    words = dict(pair.split("=") for pair in cell["label_words"].split(",") if pair)
    folder = Path(tempfile.mkdtemp(dir=cell["work"]))
    try:
        begun = time.process_time()
        fitted = taesan.fit(
            cell["task"],
            cell["train"],
            test=cell["test"],
            output=folder / "model",
            backbone=None if cell["backbone"] == "none" else cell["backbone"],
            method=cell["method"],
            label_words=words if cell["method"] in ("prompt", "in-context") else None,
            config=resolve(FitConfig, values=cell["settings"] | fixed),
            quiet=True,
        )
        seconds = time.process_time() - begun
        peak = peak_bytes()
        manifest = json.loads((folder / "model" / "taesan.json").read_bytes())
        size = sum(path.stat().st_size for path in (folder / "model").iterdir() if path.name != "log.jsonl")
        milliseconds = _latency(cell, folder / "model")
    finally:
        shutil.rmtree(folder)
    assert fitted.test is not None
    return {
        "scores": {name: score.value for name, score in fitted.test.scores.items()},
        "used": {name: manifest["config"][name] for name in ("learning_rate", "epochs")},
        "steps": manifest["steps"],
        "attempts": manifest.get("attempts", []),
        "asking": manifest.get("asking", {}),
        "trained_parameters": manifest["trained_parameters"],
        "parameters": manifest["parameters"],
        "cpu_seconds": round(seconds, 1),
        "fit_seconds": manifest["seconds"],
        "peak_bytes": peak,
        "folder_bytes": size,
        "milliseconds": milliseconds,
    }


def _latency(cell: dict[str, Any], folder: Path) -> float:
    from taesan.engine.load import open_predictor

    predictor, _ = open_predictor(folder)
    rows = [json.loads(line) for line in Path(cell["test"]).read_text().splitlines()[:TIMED_TEXTS]]
    names = [field.name for field in TASKS[cell["task"]].fields if field.kind == "text"]
    times: list[float] = []
    for row in rows:
        begun = time.process_time()
        list(predictor.predict([Example(tuple(row[name] for name in names))]))
        times.append(1000 * (time.process_time() - begun))
    return round(statistics.median(times), 2)


if __name__ == "__main__":
    main()
