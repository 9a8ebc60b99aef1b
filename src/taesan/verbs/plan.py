"""What `compare` will do, fixed before anything runs: cells, their order, and what is left out with the reason.

Nothing that happens later changes a plan, so a comparison that was interrupted ends as one that was not.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from taesan import __version__
from taesan.data import Report, Row, row_lines, stratified_sample
from taesan.errors import UsageError
from taesan.methods import refuse_settings
from taesan.report.records import PlannedCell
from taesan.tasks.base import Example, Task
from taesan.verbs.asking import Wishes
from taesan.verbs.cells import MOST_SHOTS, cell_config, shots_of
from taesan.verbs.costs import Cost, baseline_seconds
from taesan.verbs.fit import adapted_task, asks_in_words
from taesan.verbs.techniques import TECHNIQUES
from taesan.verbs.training import Say

ALL = "all"
RESERVE = 0.2  # of the budget, for what estimates miss: a machine's speed changes by as much within the hour
CELL_SHARE = 1 / 3  # of the budget, that one cell may take: what it is to be compared with has to fit as well
FOLDS = 5
FOLD_SHARE = 0.2  # of the budget, that out-of-fold predictions may take
FOLD_TECHNIQUES = ("tfidf", "finetune", "lora", "prefix", "prompt")  # the first that is compared makes them
TIMING_SECONDS = 8.0  # of a model that is timed, alone


@dataclass(frozen=True)
class Request:
    """What was asked for. A size is a number of rows, or `all`; the budget is of wall clock."""

    methods: tuple[str, ...]
    backbones: tuple[str, ...]
    sizes: tuple[int | str, ...]
    seeds: int
    budget_seconds: float
    label_words: Mapping[str, str]
    at_once: int

    def numbers(self, everything: int) -> list[int]:
        """The sizes, each once, the smallest first."""
        return sorted({everything if size == ALL else int(size) for size in self.sizes})


@dataclass(frozen=True)
class Data:
    """The rows to learn from and those to measure on."""

    task: Task
    rows: list[Row]
    test: list[Row]
    labels: tuple[str, ...]

    @cached_property
    def examples(self) -> list[Example]:
        return [self.task.example(row) for row in self.rows]

    @cached_property
    def test_examples(self) -> list[Example]:
        return [self.task.example(row) for row in self.test]

    @cached_property
    def strata(self) -> list[str]:
        """Each row's class, or whether there is something to be found in it."""
        labels = [example.label for example in self.examples]
        return [label if isinstance(label, str) else str(bool(label)) for label in labels]

    @property
    def has_classes(self) -> bool:
        """Whether the answer to a row is one label."""
        return isinstance(self.examples[0].label, str)

    def sample(self, rows: int, seed: int) -> list[int]:
        """Places of so many rows; the samples of a seed are nested, and every stratum has its share."""
        return stratified_sample(self.strata, rows, seed)

    def lines(self, places: Iterable[int]) -> bytes:
        """Rows to learn from, as a file holds them."""
        return b"".join(row_lines(self.rows[place] for place in places))


class Planner:
    """The cells of a request, what each would cost, and what it depends on."""

    def __init__(self, request: Request, data: Data, costs: Mapping[str, Cost], say: Say):
        self._request, self._data, self._costs, self._say = request, data, costs, say
        self._test_digest = hashlib.sha256(b"".join(row_lines(data.test))).hexdigest()
        self._file_digest = cache(lambda rows, seed: hashlib.sha256(data.lines(data.sample(rows, seed))).hexdigest())
        self._sample_refusal = cache(self._refuse_sample)
        self._technique_refusal = cache(self._refuse_technique)

    def cells(self, is_done: Callable[[PlannedCell], bool]) -> tuple[list[PlannedCell], list[PlannedCell]]:
        """The cells in their order, and those that are left out, each with its `reason`.

        A curve from one seed says more than half a curve from three: the first seed comes first. Then comes what shows
        most rows for its cost (`_worth`): the end of a curve is where there is to be decided, and a cheap technique has
        a whole one. What `is_done` costs nothing. What does not fit into what is left of the budget is left out, also
        where something cheaper after it still fits.
        """
        planned: list[PlannedCell] = []
        pruned: list[PlannedCell] = []
        candidates = sorted(self._candidates(), key=_worth)
        reasons = [self._refusal(cell) for cell in candidates]
        timed = {(cell.method, cell.backbone) for cell, why in zip(candidates, reasons, strict=True) if why is None}
        budget = self._request.budget_seconds * (1 - RESERVE)
        left = (budget - TIMING_SECONDS * len(timed)) * self._request.at_once
        left -= self.folds().get("estimated_seconds", 0.0)
        for cell, reason in zip(candidates, reasons, strict=True):
            cost = 0.0 if reason or is_done(cell) else _seconds(cell)
            if cost > CELL_SHARE * self._request.budget_seconds * self._request.at_once:
                reason = f"it alone would take about {cost:.0f} s, more than a third of the budget"
            elif cost > left:
                reason = "it would take more than is left of the budget"
            if reason:
                pruned.append(replace(cell, reason=reason))
            else:
                left -= cost
                planned.append(cell)
        return sorted(planned, key=_turn), sorted(pruned, key=_turn)

    def inputs(self, cell: PlannedCell) -> str:
        """A digest of all that the result depends on."""
        return self._digest(cell, self._file_digest(cell.size, cell.seed) if cell.size else None, self._test_digest)

    def fold_inputs(self, cell: PlannedCell, train: bytes, test: bytes) -> str:
        """The same of rows of its own."""
        return self._digest(cell, hashlib.sha256(train).hexdigest(), hashlib.sha256(test).hexdigest())

    def _digest(self, cell: PlannedCell, train: str | None, test: str) -> str:
        record = self._costs[cell.backbone].base.record if cell.backbone else {}
        asked = asks_in_words(self._data.task, TECHNIQUES[cell.method].method)
        given = {
            "version": __version__,
            "task": self._data.task.name,
            "method": cell.method,
            "backbone": {name: value for name, value in record.items() if name.endswith("sha256")},
            "config": asdict(cell_config(cell.seed, shots_of(cell.method, cell.size))),
            "train": train,
            "test": test,
            "labels": self._data.labels,
            "label_words": dict(self._request.label_words) if asked else {},
        }
        return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()

    def folds(self) -> dict[str, Any]:
        """What predicts every training row by a model that has not seen it; or the `reason` why nothing does."""
        data, request = self._data, self._request
        if not data.has_classes:
            return {"reason": f"{data.task.name} has no classes that a row could wrongly be in"}
        if min(map(data.strata.count, data.labels)) < FOLDS:
            return {"reason": f"a class has fewer rows than there are folds, {FOLDS}"}
        able = [
            (method, backbone)
            for method in FOLD_TECHNIQUES
            for backbone in self._backbones(method)
            if method in request.methods and self._technique_refusal(method, backbone) is None
        ]
        if not able:
            return {"reason": f"none of {', '.join(FOLD_TECHNIQUES)} is compared"}
        (method, backbone), rows = able[0], len(data.rows)
        seconds = FOLDS * self._estimate(method, backbone, rows - rows // FOLDS, rows // FOLDS)
        if seconds > FOLD_SHARE * request.budget_seconds * request.at_once:
            return {"reason": f"by {method} it would take about {seconds:.0f} s, more than a fifth of the budget"}
        return {"method": method, "backbone": backbone, "count": FOLDS, "estimated_seconds": round(seconds, 1)}

    def _candidates(self) -> Iterator[PlannedCell]:
        request, everything = self._request, len(self._data.rows)
        sizes = request.numbers(everything)
        short = _short_names(request.backbones)
        pairs = [(method, backbone) for method in request.methods for backbone in self._backbones(method)]
        for seed, rows, (method, backbone) in itertools.product(range(1, request.seeds + 1), sizes, pairs):
            if rows == 0 and seed > 1:
                continue  # nothing is drawn
            cost = self._estimate(method, backbone, min(rows, everything), len(self._data.test))
            name = "-".join(filter(None, (method, short.get(backbone), str(rows), f"seed{seed}")))
            yield PlannedCell(
                name=name, backbone=backbone, method=method, size=rows, seed=seed, estimated_seconds=round(cost, 1)
            )

    def _backbones(self, method: str) -> tuple[str, ...]:
        """What a technique is tried on; a baseline once, on none."""
        return self._request.backbones if TECHNIQUES[method].needs_backbone else ("",)

    def _estimate(self, method: str, backbone: str, rows: int, test_rows: int) -> float:
        if not backbone:
            return baseline_seconds(method, self._data.task, rows, test_rows)
        return self._costs[backbone].seconds(TECHNIQUES[method], rows, test_rows)

    def _refusal(self, cell: PlannedCell) -> str | None:
        reason = self._technique_refusal(cell.method, cell.backbone)
        if reason is None and cell.size > len(self._data.rows):
            reason = f"there are {len(self._data.rows):,} rows to learn from"
        if reason is None and TECHNIQUES[cell.method].method.trains:
            reason = self._sample_refusal(cell.size, cell.seed)
        elif reason is None:
            enough = [size for size in self._request.numbers(len(self._data.rows)) if MOST_SHOTS <= size < cell.size]
            reason = f"it reads {MOST_SHOTS} shots at most, which {enough[0]:,} rows have" if enough else None
        return reason

    def _refuse_technique(self, name: str, backbone: str) -> str | None:
        """Why a technique does not go with the task and a backbone: what `fit` would say."""
        technique, base = TECHNIQUES[name], self._costs[backbone].base if backbone else None
        wishes, config = Wishes(self._request.label_words, None), cell_config(1, 0)
        try:
            refuse_settings(technique.method, config, from_scratch=technique.from_scratch)
            task, labels = self._data.task, self._data.labels
            adapted_task(task, technique.method, base, labels, wishes, config, self._say)
        except UsageError as error:
            return str(error)
        return None

    def _refuse_sample(self, rows: int, seed: int) -> str | None:
        """Why so many rows are too few to learn from and to choose by."""
        task, examples = self._data.task, [self._data.examples[place] for place in self._data.sample(rows, seed)]
        if rows == 0:
            return "it learns from labelled rows, and there are none"
        if self._data.has_classes:
            counts = [sum(example.label == label for example in examples) for label in self._data.labels]
            if min(counts) < 2:
                return f"of {rows:,} rows a class has {min(counts)}; it needs 2, one to learn from and one to choose by"
        report = Report()
        task.check(examples, "the sample", report)
        if report.error_count:
            return f"{rows:,} rows are too few: found {report.errors[0].found}, expected {report.errors[0].expected}"
        if not task.split(examples, cell_config(seed, 0).validation_fraction, seed)[1]:
            return f"{rows:,} rows are too few to hold some out"
        return None


def kept_models(cells: list[PlannedCell]) -> set[str]:
    """Of every technique and backbone the cell that has seen most, with the first seed: it is timed, and kept.

    No test score chooses it.
    """
    best: dict[tuple[str, str], PlannedCell] = {}
    for cell in cells:
        key = cell.method, cell.backbone
        if key not in best or (-cell.size, cell.seed) < (-best[key].size, best[key].seed):
            best[key] = cell
    return {cell.name for cell in best.values()}


def _worth(cell: PlannedCell) -> tuple[bool, float, int]:
    """What is planned first: what costs little for the square root of its rows, as noise falls with that.

    Without labels a cell counts as `MOST_SHOTS` rows. All further seeds of a cell come together.
    """
    return cell.seed > 1, _seconds(cell) / (MOST_SHOTS + cell.size) ** 0.5, cell.seed


def _turn(cell: PlannedCell) -> tuple[int, int, float]:
    """What runs first: few rows, which take little time."""
    return cell.seed, cell.size, _seconds(cell)


def _seconds(cell: PlannedCell) -> float:
    return cell.estimated_seconds or 0.0


def _short_names(backbones: tuple[str, ...]) -> dict[str, str]:
    """What a backbone is called in the name of a cell: its last part, numbered where two share it."""
    names: dict[str, str] = {}
    for backbone in backbones:
        short = Path(backbone.split(":")[-1]).name or "backbone"
        number = sum(name.rsplit("~", 1)[0] == short for name in names.values())
        names[backbone] = f"{short}~{number + 1}" if number else short
    return names
