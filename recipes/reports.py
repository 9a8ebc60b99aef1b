"""Makes the reports in docs/reports: `taesan compare` on public Korean data, twelve minutes each on two cores.

    python recipes/reports.py DIR --work runs/reports [--only nsmc ynat …]

DIR is the folder of data with the paths below. Rows are the first ones of each file, so that everybody gets the same;
of texts the pages show row numbers alone. Interrupted, the same call goes on.
"""

import argparse
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import taesan
from taesan.data import Report, Row, read_rows, row_lines
from taesan.report import write
from taesan.tasks import TASKS

ROOT = Path(__file__).parent.parent / "docs/reports"
BUDGET_SECONDS = 720.0
KEPT = ("report.html", "report.md", "results.csv")


@dataclass(frozen=True)
class Data:
    """Files in DIR, the rows to learn from and to measure on, and what `compare` is told."""

    task: str
    train: str
    test: str
    rows: int
    test_rows: int
    sizes: tuple[int | str, ...]
    label_words: Mapping[str, str] = field(default_factory=dict[str, str])


DATA = {
    "nsmc": Data(
        "classification",
        "classification/nsmc_train.tsv",
        "classification/nsmc_dev.tsv",
        4000,
        500,
        (0, 8, 32, 128, 512, "all"),
        {"0": "별로", "1": "최고"},
    ),
    "ynat": Data(
        "classification",
        "classification/ynat_train.csv",
        "classification/ynat_dev.csv",
        4000,
        500,
        (0, 8, 32, 128, 512, "all"),
    ),
    "klue-nli": Data(
        "pair",
        "pair/klue_nli_train.jsonl",
        "pair/klue_nli_dev.jsonl",
        4000,
        500,
        (0, 32, 128, 512, "all"),
        {"entailment": "맞다", "neutral": "모른다", "contradiction": "아니다"},
    ),
    "klue-ner": Data("ner", "ner/klue_ner_train.tsv", "ner/klue_ner_dev.tsv", 2000, 200, (0, 32, 128, 512, "all")),
    "korquad": Data("qa", "qa/KorQuAD_v1.0_dev.json", "qa/KorQuAD_v1.0_dev.json", 1000, 100, (0, 32, 128, 512, "all")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="DIR")
    parser.add_argument("--work", type=Path, required=True, help="folder of the comparisons")
    parser.add_argument("--only", nargs="+", choices=DATA, default=list(DATA))
    arguments = parser.parse_args()
    for name in arguments.only:
        make(name, DATA[name], arguments.data, arguments.work / name)


def make(name: str, data: Data, folder: Path, work: Path) -> None:
    work.mkdir(parents=True, exist_ok=True)
    train, test = first_rows(data.task, folder / data.train, data.rows), last_rows(data, folder)
    files = {f"{name}-train.jsonl": train, f"{name}-test.jsonl": test}
    for file, rows in files.items():
        (work / file).write_bytes(b"".join(row_lines(rows)))
    given: dict[str, Any] = {"sizes": data.sizes, "budget_seconds": BUDGET_SECONDS, "label_words": data.label_words}
    learnt, measured = files
    with contextlib.chdir(work):  # the page shows the command, with these names
        compared = taesan.compare(data.task, learnt, test=measured, output=name, **given)
    out = work / name
    write(out, texts=False)
    shown = ROOT / name
    shown.mkdir(parents=True, exist_ok=True)
    for file in KEPT:
        (shown / file).write_bytes((out / file).read_bytes())
    print(compared.report.text)
    print(json.dumps({"name": name, "failed": dict(compared.failed)}))


def first_rows(task: str, path: Path, count: int) -> list[Row]:
    return all_rows(task, path)[:count]


def last_rows(data: Data, folder: Path) -> list[Row]:
    """The first ones of another file; of the same file the last ones, which are other articles."""
    if data.train == data.test:
        return all_rows(data.task, folder / data.test)[-data.test_rows :]
    return first_rows(data.task, folder / data.test, data.test_rows)


def all_rows(task: str, path: Path) -> list[Row]:
    report = Report()
    rows = list(read_rows(path, TASKS[task].fields, report=report))
    report.raise_for_errors()
    return rows


if __name__ == "__main__":
    main()
