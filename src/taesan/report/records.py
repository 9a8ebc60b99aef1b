"""What a `compare` has left on disk, and all that its report is made of.

    OUT/plan.json                      what was planned, and what was pruned and why
        test.jsonl                     the rows measured on, in order; a row's number is its place, from 1
        train.jsonl                    the rows learnt from, where there are folds
        cells/NAME/cell.json           what one cell scored and cost, or why it failed
                   predictions.jsonl   what it answered to the test rows: {"row": 1, ...} as `predict` prints it
        folds/K/predictions.jsonl      the same to training rows by a model that had not seen them; may be missing

Keys that are not named here are not looked at.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from taesan.data import Report, read_rows
from taesan.errors import InputMissing, StorageError
from taesan.tasks import TASKS
from taesan.tasks.base import Example, Task

T = TypeVar("T")
Answers = Mapping[int, Mapping[str, Any]]  # by row, from 1


@dataclass(frozen=True, kw_only=True)
class PlannedCell:
    """One model to make and to measure; `reason` says why it was pruned."""

    name: str
    backbone: str
    method: str
    size: int  # labelled rows at hand
    seed: int
    estimated_seconds: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`train` and `test` are {name, bytes, sha256, rows}; `cells` in the order in which they run."""

    task: str
    metric: str
    train: Mapping[str, Any]
    test: Mapping[str, Any]
    backbones: Sequence[str]
    methods: Sequence[str]
    sizes: Sequence[int]
    seeds: Sequence[int]
    cells: Sequence[PlannedCell]
    pruned: Sequence[PlannedCell] = ()
    constraints: Mapping[str, float] = field(default_factory=dict[str, float])
    budget_seconds: float | None = None
    command: str = ""  # that made all this


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What became of a cell. `scores` are {metric: {value, low, high}}; a cost is None where it was not measured."""

    name: str
    backbone: str
    method: str
    rows: int  # labelled rows seen: train_rows + validation_rows, or shots
    seed: int
    status: str  # done | failed
    error: str = ""
    train_rows: int = 0
    validation_rows: int = 0
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])
    started_at: float | None = None  # seconds since 1970
    seconds: float | None = None  # of fit and evaluate, by the clock
    cpu_seconds: float | None = None
    peak_bytes: int | None = None
    trained_parameters: int | None = None
    folder_bytes: int | None = None
    prompt_tokens: float | None = None  # mean a prediction
    latency_seconds: Mapping[str, float] | None = None  # {p50, p99} of one text after another
    throughput_rows_per_second: float | None = None
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    command: str = ""  # makes the same model of all rows


@dataclass(frozen=True)
class Records:
    """`answers` and `folds` by row number; a cell without answers did not finish."""

    folder: Path
    plan: Plan
    task: Task
    cells: Sequence[Cell]
    test: Sequence[Example]
    answers: Mapping[str, Answers]
    train: Sequence[Example] = ()
    folds: Answers = field(default_factory=dict[int, Mapping[str, Any]])

    @property
    def done(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.status == "done"]


def read(folder: Path) -> Records:
    """All of it. Raises: InputMissing where nothing was planned, StorageError where a file is not what is written."""
    if not (folder / "plan.json").exists():
        raise InputMissing(f"{folder} has no plan.json; expected a folder that `taesan compare` wrote")
    content = _read_json(folder / "plan.json")
    content |= {name: [_known(PlannedCell, one) for one in content.get(name, ())] for name in ("cells", "pruned")}
    plan = _known(Plan, content)
    task = TASKS[plan.task]
    paths = [folder / "cells" / one.name / "cell.json" for one in plan.cells]
    cells = [_known(Cell, _read_json(path)) for path in paths if path.exists()]
    test = _read_examples(folder / "test.jsonl", task)
    answers = {
        cell.name: _read_answers(folder / "cells" / cell.name / "predictions.jsonl", len(test))
        for cell in cells
        if cell.status == "done"
    }
    folds: dict[int, Mapping[str, Any]] = {}
    train = _read_examples(folder / "train.jsonl", task) if (folder / "train.jsonl").exists() else []
    for path in sorted((folder / "folds").glob("[!.]*/predictions.jsonl")):
        folds |= _read_lines(path)
    return Records(folder, plan, task, cells, test, answers, train, folds if train else {})


def _read_examples(path: Path, task: Task) -> list[Example]:
    report = Report()
    examples = [task.example(row) for row in read_rows(path, task.fields, report=report)]
    report.raise_for_errors()
    return examples


def _read_answers(path: Path, rows: int) -> Answers:
    answers = _read_lines(path)
    if answers.keys() != set(range(1, rows + 1)):
        raise StorageError(f"{path} answers {len(answers):,} rows; expected one answer to each of {rows:,}")
    return answers


def _read_lines(path: Path) -> dict[int, Mapping[str, Any]]:
    try:
        found = [json.loads(line) for line in path.read_bytes().splitlines()]
        return {one["row"]: one for one in found}
    except (OSError, ValueError, KeyError) as error:
        raise StorageError(f"{path} is not the answers that were written there: {error}") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} is not the JSON that was written there: {error}") from None


def _known(kind: type[T], content: Mapping[str, Any]) -> T:
    """A record of the keys that it has; others come from another version. Raises: StorageError for one that lacks."""
    names = {one.name for one in fields(kind)}  # pyright: ignore[reportArgumentType]
    try:
        return kind(**{name: value for name, value in content.items() if name in names})
    except TypeError as error:
        raise StorageError(f"a record of the comparison is not whole: {error}") from None
