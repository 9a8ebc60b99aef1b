"""What pretraining buys: dev scores from few labelled rows, from the backbone and from scratch.

    python benchmarks/transfer.py classification DIR/classification/nsmc_train.tsv DIR/classification/nsmc_dev.tsv \
           --work runs/transfer --output benchmarks/results/transfer-nsmc.json
    python benchmarks/transfer.py classification TRAIN DEV --work runs/transfer --sizes 100 1000 \
           --learning-rates 3e-4 7e-4 1.5e-3 --epochs 5 10 20

A cell is one `fit` on a stratified sample (of n rows a tenth is held out to choose the checkpoint; n counts both), in
a process of its own on one thread, scored on DEV as the test file. Both arms get the same samples, epochs and settings.
A cell that --work already has is not run again.

With several learning rates or epochs this is the search that the defaults come from: it never sees DEV, but scores
on rows of TRAIN that are in no sample, and names the best setting of each arm and size, with equal effort for both.
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
from measure import run_cell, spread, table, write_json
from samples import short_hash, write_rows
from taesan.config import FitConfig, resolve
from taesan.data import Report
from taesan.data.split import stratified_sample
from taesan.models.locate import DEFAULT, locate
from taesan.tasks import TASKS
from taesan.verbs.reading import Source, read_examples

ARMS = ("backbone", "scratch")
SEARCH_ROWS = 2000
DEFAULTS = Path(taesan.__file__).parent / "methods" / "defaults.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", choices=sorted(TASKS))
    parser.add_argument("train", nargs="?")
    parser.add_argument("dev", nargs="?")
    parser.add_argument("--work", help="folder of samples and finished cells")
    parser.add_argument("--backbone", default=DEFAULT, help="default: %(default)s")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[0.0], help="0: taesan's default")
    parser.add_argument("--epochs", type=float, nargs="+", default=[0.0], help="0: taesan's default")
    parser.add_argument("--batch-tokens", type=int, nargs="+", default=[0], help="0: taesan's default")
    parser.add_argument("--metric", default="accuracy", help="what the search goes by; default: %(default)s")
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
    work = Path(arguments.work)
    settings = list(itertools.product(arguments.learning_rates, arguments.epochs, arguments.batch_tokens))
    searching = len(settings) > 1
    samples = _samples(arguments, work / "samples", searching)
    weights = short_hash(locate(arguments.backbone) / "model.safetensors")
    cells = [
        {
            "task": arguments.task,
            "train": str(samples[size, seed]),
            "test": str(samples["search"] if searching else Path(arguments.dev)),
            "data": [Path(arguments.train).name, "search" if searching else Path(arguments.dev).name],
            "backbone": arguments.backbone,
            "weights": weights,
            "arm": arm,
            "size": size,
            "seed": seed,
            "learning_rate": rate,
            "epochs": epochs,
            "batch_tokens": budget or FitConfig().batch_tokens,
            "defaults": "" if rate and epochs else short_hash(DEFAULTS),  # other defaults make another cell
        }
        for size, seed, arm, (rate, epochs, budget) in itertools.product(
            arguments.sizes, arguments.seeds, arguments.arms, settings
        )
    ]
    begun, done = time.monotonic(), 0

    def finish(cell: dict[str, Any]) -> dict[str, Any]:
        nonlocal done
        path = work / "cells" / f"{_key(cell)}.json"
        if not path.exists():
            result = run_cell(__file__, cell | {"work": str(work)})
            kept = {name: value for name, value in cell.items() if name not in ("train", "test", "backbone")}
            write_json(path, kept | result)
        done += 1
        print(f"{done}/{len(cells)}  {time.monotonic() - begun:.0f} s  {_name(cell)}", flush=True)
        return json.loads(path.read_text())

    with ThreadPoolExecutor(arguments.jobs) as pool:
        results = list(pool.map(finish, cells))
    shown = _search_table(results, arguments.metric) if searching else _table(results, arguments.arms)
    print("\n" + shown)
    write_json(arguments.output, {"table": shown.splitlines(), "cells": results})


def _table(results: list[dict[str, Any]], arms: list[str]) -> str:
    head = ["rows", *(f"{arm}, {score}" for score in ("accuracy", "macro-F1") for arm in arms)]
    head += ["gain in accuracy"] * (len(arms) == 2)
    rows: list[list[str]] = []
    for size in sorted({cell["size"] for cell in results}):
        row, means = [f"{size:,}"], list[float]()
        for score, arm in itertools.product(("accuracy", "macro_f1"), arms):
            values = [cell["scores"][score] for cell in results if cell["size"] == size and cell["arm"] == arm]
            row.append(spread([100 * value for value in values], ".1f"))
            means.append(100 * statistics.mean(values))
        rows.append(row + [f"{means[0] - means[1]:+.1f}"] * (len(arms) == 2))
    return table(head, rows)


def _search_table(results: list[dict[str, Any]], metric: str) -> str:
    rows: list[list[str]] = []
    for size, arm in itertools.product(sorted({cell["size"] for cell in results}), ARMS):
        own = [cell for cell in results if cell["size"] == size and cell["arm"] == arm]
        scores: dict[tuple[float, float, int], list[float]] = {}
        for cell in own:
            setting = cell["used"]["learning_rate"], cell["used"]["epochs"], cell["used"]["batch_tokens"]
            scores.setdefault(setting, []).append(100 * cell["scores"][metric])
        best = max(scores, key=lambda setting: statistics.mean(scores[setting]), default=None)
        for setting, values in scores.items():
            rate, epochs, budget = setting
            shown = spread(values, ".1f")
            bold = f"**{shown}**" if setting == best else shown
            rows.append([f"{size:,} rows, {arm}", f"{rate:g}", f"{epochs:g}", str(budget), bold])
    return table(["", "learning rate", "epochs", "batch tokens", metric], rows)


def _samples(arguments: argparse.Namespace, folder: Path, searching: bool) -> dict[Any, Path]:
    """The sample of every size and seed as JSONL; of a search, also rows that are in none of them."""
    name = Path(arguments.train).name.split(".")[0]
    paths: dict[Any, Path] = {
        (size, seed): folder / f"{name}-{size}-seed{seed}.jsonl"
        for size, seed in itertools.product(arguments.sizes, arguments.seeds)
    }
    if searching:
        used = "-".join(str(number) for number in (max(arguments.sizes), *arguments.seeds))
        paths["search"] = folder / f"{name}-search-{used}.jsonl"
    if all(path.exists() for path in paths.values()):
        return paths
    task, report = TASKS[arguments.task], Report()
    rows = list(read_examples(arguments.train, task, Source(), report))
    report.raise_for_errors()
    labels = [str(row.label) for row in rows]
    chosen = {key: stratified_sample(labels, key[0], key[1]) for key in paths if key != "search"}
    if searching:
        taken = {i for positions in chosen.values() for i in positions}
        free = [i for i in range(len(rows)) if i not in taken]
        chosen["search"] = [free[i] for i in stratified_sample([labels[i] for i in free], SEARCH_ROWS, seed=0)]
    folder.mkdir(parents=True, exist_ok=True)
    for key, positions in chosen.items():
        write_rows(paths[key], task, [rows[i] for i in positions])
    return paths


def _name(cell: dict[str, Any]) -> str:
    units = {"learning_rate": "", "epochs": "epochs", "batch_tokens": "tokens"}
    setting = "".join(f" {cell[name]:g} {unit}" for name, unit in units.items() if cell[name])
    return f"{cell['arm']} {cell['size']} rows seed {cell['seed']}{setting}"


def _key(cell: dict[str, Any]) -> str:
    kept = {name: value for name, value in cell.items() if name not in ("train", "test", "backbone")}
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:10]
    return f"{cell['data'][0].split('.')[0]}-{cell['arm']}-{cell['size']}-seed{cell['seed']}-{digest}"


def run(cell: dict[str, Any]) -> dict[str, Any]:
    """One fit, its folder removed again."""
    given = {name: cell[name] for name in ("learning_rate", "epochs", "batch_tokens") if cell[name]}
    fixed = {"seed": cell["seed"], "threads": 1, "device": "cpu", "checkpoint_seconds": 0.0}
    folder = Path(tempfile.mkdtemp(dir=cell["work"]))
    try:
        begun = time.process_time()
        fitted = taesan.fit(
            cell["task"],
            cell["train"],
            test=cell["test"],
            output=folder / "model",
            backbone=cell["backbone"],
            from_scratch=cell["arm"] == "scratch",
            config=resolve(FitConfig, values=given | fixed),
            quiet=True,
        )
        seconds = time.process_time() - begun
        manifest = json.loads((folder / "model" / "taesan.json").read_bytes())
    finally:
        shutil.rmtree(folder)
    assert fitted.test is not None
    return {
        "scores": {name: score.value for name, score in fitted.test.scores.items()},
        "validation": {name: score.value for name, score in fitted.validation.scores.items()},
        "used": {name: manifest["config"][name] for name in ("learning_rate", "epochs", "batch_tokens")},
        "steps": manifest["steps"],
        "best_step": manifest["best_step"],
        "cpu_seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    main()
