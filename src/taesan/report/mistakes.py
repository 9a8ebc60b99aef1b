"""What the techniques get wrong: the hardest rows, where they disagree, labels to look at again, and slices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from taesan.report.findings import Findings, Point
from taesan.tasks.base import Example

Floats = NDArray[np.float64]
SHOWN_ROWS = 10
SHOWN_TECHNIQUES = 6
SHOWN_PARTS = 30
LENGTHS = 4  # slices of equally many rows, by characters
HARD = 0.5  # what is got right more often is not hard
SURE = 0.5  # what is claimed with less is no reason to doubt a label


@dataclass(frozen=True)
class Wrong:
    """A row, its label, and what was answered by each technique, or with what probability out of its fold."""

    row: int
    example: Example
    truth: str
    answers: Mapping[str, str]
    right: float  # in 0..1, over techniques and seeds
    probability: float = 0.0


@dataclass(frozen=True)
class Slice:
    """The metric of each technique on some of the rows; None where it has none there."""

    name: str
    rows: int
    scores: Mapping[str, float | None]


@dataclass(frozen=True)
class Mistakes:
    """`classes` name the rows and columns of `confusion` (C, C), truth down, of the technique `confused`, all seeds.

    `doubtful` are training rows; nothing is known of them where there were no folds.
    """

    techniques: Sequence[str]
    hardest: Sequence[Wrong] = ()
    disputed: Sequence[Wrong] = ()
    doubtful: Sequence[Wrong] | None = None
    by_part: Sequence[Slice] = ()
    by_length: Sequence[Slice] = ()
    classes: tuple[str, ...] = ()
    confused: str = ""
    confusion: Floats = field(default_factory=lambda: np.zeros((0, 0)))


def find_mistakes(findings: Findings, chosen: Point | None) -> Mistakes:
    """Of the best point of each of the best techniques; the confusion is that of the one chosen, or else the first."""
    points = findings.best[:SHOWN_TECHNIQUES]
    names = [point.technique.name for point in points]
    if not points:
        return Mistakes(())
    right = np.stack([np.mean([items.right for items in point.items], axis=0) for point in points])  # (T, N)
    mean, spread = right.mean(axis=0), right.var(axis=0)
    hardest = [place for place in np.lexsort((np.arange(len(mean)), mean)) if mean[place] < HARD]
    disputed = [place for place in np.lexsort((np.arange(len(mean)), -spread)) if spread[place] > 0]
    first = points[0].items[0]
    return Mistakes(
        names,
        [_wrong(findings, points, int(place), float(mean[place])) for place in hardest[:SHOWN_ROWS]],
        [_wrong(findings, points, int(place), float(mean[place])) for place in disputed[:SHOWN_ROWS]],
        _doubtful(findings),
        _by_part(points)[:SHOWN_PARTS],
        _by_length(findings, points),
        first.classes,
        (chosen or points[0]).technique.name,
        _confusion(chosen or points[0]),
    )


def _wrong(findings: Findings, points: Sequence[Point], place: int, right: float) -> Wrong:
    answers = {point.technique.name: point.items[0].answers[place] for point in points}
    return Wrong(place + 1, findings.records.test[place], points[0].items[0].truth[place], answers, right)


def _doubtful(findings: Findings) -> list[Wrong] | None:
    """Rows whose label a model that had not seen them denies with more confidence than it mostly has where it is right.

    Confident learning (Northcutt et al. 2021) compares with the mean confidence of the class; here one mean serves all,
    as entities and answers have no class of their own. Surest first.
    """
    records = findings.records
    rows = sorted(row for row in records.folds if row <= len(records.train))
    if not rows:
        return None
    examples = [records.train[row - 1] for row in rows]
    items = records.task.items(examples, [records.folds[row] for row in rows])
    claims = items.claims
    sure = claims[claims[:, 2] == 1, 1]
    least = max(SURE, float(sure.mean())) if len(sure) else SURE
    denied: dict[int, float] = {}
    for place, probability, is_right in claims:
        if not is_right and probability >= least:
            denied[int(place)] = max(denied.get(int(place), 0.0), float(probability))
    return [
        Wrong(rows[place], examples[place], items.truth[place], {"": items.answers[place]}, 0.0, denied[place])
        for place in sorted(denied, key=lambda place: (-denied[place], place))
    ]


def _by_part(points: Sequence[Point]) -> list[Slice]:
    """One class, type or kind of row at a time, the largest first."""
    names = list(dict.fromkeys(name for point in points for items in point.items for name in items.parts))
    slices: list[Slice] = []
    for name in names:
        scores: dict[str, float | None] = {}
        rows = 0
        for point in points:
            own = [items.parts[name] for items in point.items if name in items.parts]
            rows = max([rows, *(int((one != 0).any(axis=1).sum()) for one in own)])
            scores[point.technique.name] = _mean_metric(point, own)
        slices.append(Slice(name, rows, scores))
    return sorted(slices, key=lambda one: -one.rows)


def _by_length(findings: Findings, points: Sequence[Point]) -> list[Slice]:
    lengths = np.array([sum(map(len, example.texts)) for example in findings.records.test])
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, LENGTHS + 1)).round().astype(int))
    slices: list[Slice] = []
    for low, high in pairwise(edges):
        inside = (lengths >= low) & ((lengths < high) | (high == edges[-1]))
        last = high if high == edges[-1] else high - 1
        scores = {
            point.technique.name: _mean_metric(point, [items.counts[inside] for items in point.items])
            for point in points
        }
        if inside.any():
            slices.append(Slice(f"{low:,}–{last:,}" if last > low else f"{low:,}", int(inside.sum()), scores))
    return slices


def _mean_metric(point: Point, counts: Sequence[Floats]) -> float | None:
    values = [
        float(items.metric(one.sum(axis=0)))
        for items, one in zip(point.items, counts, strict=False)
        if (one != 0).any()
    ]
    return float(np.mean(values)) if values else None


def _confusion(point: Point) -> Floats:
    classes = point.items[0].classes
    place = {label: number for number, label in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)))
    for items in point.items if classes else ():
        for truth, answer in zip(items.truth, items.answers, strict=True):
            if truth in place:
                counts[place[truth], place[answer]] += 1
    return counts
