"""How soon a backbone reaches the best score that the same shape ever reaches from random weights.

    python benchmarks/time_to_score.py classification TRAIN DEV --sizes 1000 10000 --output FILE.json

Both arms are fitted on the same stratified sample with the defaults, one thread, and looked at ten times an epoch on
the same rows of DEV, which choose nothing here. Seconds are CPU seconds of training alone.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import Clock, run_cell, table, write_json

LOOKS_PER_EPOCH = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", choices=("classification", "pair"))
    parser.add_argument("train", nargs="?")
    parser.add_argument("dev", nargs="?")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--dev-rows", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", help="JSON of all measurements")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        print(json.dumps(run(json.loads(arguments.cell))))
        return
    if not arguments.dev:
        parser.error("a task, TRAIN and DEV are needed")
    cells: list[dict[str, Any]] = []
    rows: list[list[str]] = []
    for size in arguments.sizes:
        common = {"task": arguments.task, "train": arguments.train, "dev": arguments.dev, "seed": arguments.seed}
        common |= {"size": size, "dev_rows": arguments.dev_rows}
        arms = {name: run_cell(__file__, {**common, "scratch": name == "scratch"}) for name in ("scratch", "backbone")}
        best = max(arms["scratch"]["curve"], key=lambda point: point[1])
        reached = next((point for point in arms["backbone"]["curve"] if point[1] >= best[1]), None)
        cells.append({"size": size, **arms})
        shown = f"{reached[0]:.1f}" if reached else "never"
        share = f"{reached[0] / best[0]:.2f}" if reached else ""
        rows.append([f"{size:,}", f"{100 * best[1]:.1f}", f"{best[0]:.1f}", shown, share])
        print(rows[-1], flush=True)
    head = ["rows", "best from scratch", "after CPU s", "bert-mini there after CPU s", "part of the time"]
    shown = table(head, rows)
    print(shown)
    write_json(arguments.output, {"cells": cells, "table": shown.splitlines()})


def run(cell: dict[str, Any]) -> dict[str, Any]:
    """(seconds, accuracy) again and again while one arm is trained."""
    from dataclasses import replace

    import taesan
    from taesan.config import FitConfig
    from taesan.data import Report, stratified_sample
    from taesan.tasks import TASKS
    from taesan.verbs import training as verb
    from taesan.verbs.reading import Source, read_examples

    report = Report()
    parts = {name: list(read_examples(cell[name], TASKS[cell["task"]], Source(), report)) for name in ("train", "dev")}
    report.raise_for_errors()
    sizes = {"train": cell["size"], "dev": cell["dev_rows"]}
    clock, curve, loop = Clock(), list[tuple[float, float]](), verb.train_loop

    def timed_loop(*positional: Any, validation: Any, **named: Any) -> Any:
        begun = time.process_time()

        def untimed() -> dict[str, float]:
            seconds = time.process_time() - begun + clock.seconds  # what the looks took is below zero there
            with clock.without():
                scores = validation.scores()
            curve.append((seconds, scores["accuracy"]))
            return scores

        return loop(*positional, validation=replace(validation, scores=untimed), **named)

    verb.train_loop = timed_loop
    with tempfile.TemporaryDirectory() as folder:
        for name, examples in parts.items():
            chosen = stratified_sample([str(example.label) for example in examples], sizes[name], cell["seed"])
            names = [field.name for field in TASKS[cell["task"]].fields if field.kind == "text"]
            lines = [
                json.dumps(dict(zip(names, examples[i].texts, strict=True)) | {"label": examples[i].label})
                for i in chosen
            ]
            Path(folder, f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        taesan.fit(
            cell["task"],
            Path(folder, "train.jsonl"),
            validation=Path(folder, "dev.jsonl"),
            output=Path(folder, "model"),
            from_scratch=cell["scratch"],
            config=FitConfig(seed=cell["seed"], device="cpu", threads=1, validations=LOOKS_PER_EPOCH),
            quiet=True,
        )
    return {"curve": curve}


if __name__ == "__main__":
    main()
