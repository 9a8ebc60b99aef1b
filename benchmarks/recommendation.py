"""Is a recommendation worth something? Made from few rows, it is held against what many rows show later.

    python benchmarks/recommendation.py classification DIR/classification/nsmc_train.tsv \\
           DIR/classification/nsmc_dev.tsv --label-words 0=별로,1=최고 --work runs/recommendation \\
           --output benchmarks/results/recommendation-nsmc.json

Subsets of 512 rows are drawn at random. A subset is a user's file: `taesan compare` at 8, 32, 128 and 512 of its rows,
one seed, scored on 500 rows of DEV. From the cells of up to n rows the report recommends; what it would have said is
asked at each n. Later there are 10,000 rows, scored on other rows of DEV, and every technique is fitted to them.

- now: the technique recommended from n rows, at n rows. How good a technique really is there, its mean over the other
  subsets says.
- later: the same technique, had it been given the 10,000 rows.
- curve: the technique that the learning curves, followed to 10,000 rows, put first.

Right: at most one point below the best technique. Beside it the rule "always fine-tune", which asks in context where
there are too few rows to learn from.
"""

import argparse
import json
import statistics
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import taesan
from measure import table, write_json
from samples import write_rows
from taesan.data import Report, stratified_sample
from taesan.report.findings import find
from taesan.report.recommendation import INDIFFERENCE, recommend
from taesan.report.records import Records
from taesan.report.records import read as read_records
from taesan.tasks import TASKS
from taesan.tasks.base import Example, Task
from taesan.verbs.reading import Source, read_examples

METHODS = ("tfidf", "finetune", "lora", "prefix", "prompt", "in-context")
SIZES = (8, 32, 128, 512)
MANY, MADE_ON, SHOWN_ON = 10_000, 500, 2_000
RULE, SHOWN = "finetune", "in-context"
Scores = Mapping[str, float]  # by method


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("classification", "pair"))
    parser.add_argument("train")
    parser.add_argument("dev")
    parser.add_argument("--label-words", default="")
    parser.add_argument("--work", required=True, help="folder of comparisons; what is in it is not run again")
    parser.add_argument("--subsets", type=int, nargs="*", default=list(range(1, 11)), help="seeds of their draws")
    parser.add_argument("--no-later", action="store_true", help="the subsets alone: what they say is kept for later")
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--output", required=True, help="JSON; a subset that is in it is not run again")
    arguments = parser.parse_args()
    task, work, output = TASKS[arguments.task], Path(arguments.work), Path(arguments.output)
    work.mkdir(parents=True, exist_ok=True)
    files = write_files(task, arguments, work)
    words = dict(pair.split("=") for pair in arguments.label_words.split(",") if pair)
    given: dict[str, Any] = {"methods": METHODS, "seeds": 1, "budget_seconds": 1e9}
    given |= {"label_words": words, "jobs": arguments.jobs}

    def compared(name: str, test: str, sizes: tuple[int, ...]) -> Records:
        taesan.compare(arguments.task, files[name], test=files[test], sizes=sizes, output=work / name, **given)
        return read_records(work / name)

    found = json.loads(output.read_bytes()) if output.exists() else {"task": arguments.task, "subsets": {}, "later": {}}
    for seed in arguments.subsets:
        name = f"subset-{seed}"
        if name not in found["subsets"]:
            records = compared(name, "made-on", SIZES)
            found["subsets"][name] = {str(size): said(records, size) for size in SIZES}
            write_json(arguments.output, found)
    if not (found["later"] or arguments.no_later):
        found["later"] = scores(compared("many", "shown-on", (MANY,)), MANY)
        write_json(arguments.output, found)
    if found["later"]:
        ranked = sorted(found["later"].items(), key=lambda one: -one[1])
        shown = summary(held_against(found["subsets"], found["later"]))
        print(f"\nwith {MANY:,} rows: {', '.join(f'{name} {100 * value:.1f}' for name, value in ranked)}\n{shown}")
        write_json(arguments.output, found | {"table": shown.splitlines()})


def write_files(task: Task, arguments: argparse.Namespace, work: Path) -> dict[str, Path]:
    """What the comparisons read, by name."""
    train, dev = (read_rows(arguments.task, path) for path in (arguments.train, arguments.dev))
    pool = drawn(train, MANY, 0)
    held = drawn(dev, MADE_ON + SHOWN_ON, 0)
    rows = {"many": pool, "made-on": held[:MADE_ON], "shown-on": held[MADE_ON:]}
    rows |= {f"subset-{seed}": drawn(pool, max(SIZES), seed) for seed in arguments.subsets}
    files = {name: work / f"{name}.jsonl" for name in rows}
    for name, examples in rows.items():
        write_rows(files[name], task, examples)
    return files


def drawn(examples: list[Example], rows: int, seed: int) -> list[Example]:
    return [examples[place] for place in stratified_sample([str(one.label) for one in examples], rows, seed)]


def scores(records: Records, size: int) -> dict[str, float]:
    """Accuracy of every technique that could learn from so many rows; in context, of as many as it can show."""
    metric = records.plan.metric
    known = [cell for cell in records.done if cell.rows == size or (cell.method == SHOWN and cell.rows < size)]
    return {cell.method: cell.scores[metric]["value"] for cell in sorted(known, key=lambda cell: cell.rows)}


def said(records: Records, size: int) -> dict[str, Any]:
    """What the report says of the first `size` rows of a subset."""
    findings = find(replace(records, cells=[one for one in records.cells if one.rows <= size]))
    recommended = recommend(findings)
    assert recommended.point is not None
    end = {one.name: fitted.curve.errors(np.array([float(MANY)]))[0, 0] for one, fitted in findings.fitted.items()}
    return {
        "scores": scores(records, size),
        "recommended": recommended.point.technique.method,
        "at_rows": recommended.point.rows,
        "curve": min(end, key=end.__getitem__),
        "sentences": [one.en for one in recommended.sentences],
    }


def held_against(subsets: Mapping[str, Any], later: Scores) -> list[dict[str, Any]]:
    """How far below the best each of them was."""
    cells: list[dict[str, Any]] = []
    for name, own in subsets.items():
        for size, one in own.items():
            others = [other[size]["scores"] for key, other in subsets.items() if key != name]
            common = set(one["scores"]).intersection(*others) if others else ()
            now = {method: statistics.fmean(scored[method] for scored in others) for method in common}
            method = one["recommended"]
            far = {"now": below(now, method), "later": below(later, method), "curve": below(later, one["curve"])}
            far |= {"rule now": below(now, RULE if RULE in now else SHOWN), "rule later": below(later, RULE)}
            cells.append({"rows": int(size), "recommended": method, "below_best": far})
    return cells


def below(truth: Scores, method: str) -> float | None:
    return max(truth.values()) - truth[method] if method in truth else None


def summary(cells: list[dict[str, Any]]) -> str:
    """How often right, and how many points below the best on the average."""
    kinds = ("now", "rule now", "later", "curve", "rule later")
    rows: list[list[str]] = []
    for size in SIZES:
        own = [one for one in cells if one["rows"] == size]
        shown = [str(size)]
        for kind in kinds:
            values = [one["below_best"][kind] for one in own if one["below_best"][kind] is not None]
            right = sum(value <= INDIFFERENCE for value in values)
            shown.append(f"{right} of {len(values)}, {100 * statistics.fmean(values or [0.0]):.1f}")
        chosen = [one["recommended"] for one in own]
        shown.append(", ".join(f"{name} {chosen.count(name)}" for name in dict.fromkeys(chosen)))
        rows.append(shown)
    return table(["rows", *(f"{kind}: right, below" for kind in kinds), "recommended"], rows)


def read_rows(task: str, path: str) -> list[Example]:
    report = Report()
    examples = list(read_examples(path, TASKS[task], Source(), report))
    report.raise_for_errors()
    return examples


if __name__ == "__main__":
    main()
