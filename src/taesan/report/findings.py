"""The numbers of a report: scores with intervals, comparisons, curves and costs, out of the records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from taesan.report.curves import BEYOND, Crossover, Curve, crossover, fit_curve
from taesan.report.records import Cell, Records
from taesan.report.statistics import (
    Calibration,
    Comparison,
    Estimate,
    Noise,
    calibration,
    compare_paired,
    drawn,
    estimate,
    holm,
    moderate,
)
from taesan.tasks.base import Items
from taesan.tasks.bootstrap import resampled_sums

Floats = NDArray[np.float64]
SEED = 42
BINS = 10
MORE_ROWS = 1000
PLACES = 120  # of a curve that is drawn
CURVE_DRAWS = 500  # of a point, that are fitted as well


@dataclass(frozen=True, slots=True)
class Scale:
    """A metric as an error that falls: 1 - metric, or its logarithm where the metric itself falls (perplexity)."""

    sign: int

    def error(self, metric: Floats) -> Floats:
        return 1 - metric if self.sign > 0 else np.log(np.maximum(metric, 1e-12))

    def metric(self, error: Floats) -> Floats:
        return np.clip(1 - error, 0, 1) if self.sign > 0 else np.exp(error)

    def show(self, value: float) -> str:
        """A score in 0..1 in points of a hundred."""
        return f"{100 * value:.1f}" if self.sign > 0 else f"{value:.2f}" if value < 100 else f"{value:.0f}"

    def show_difference(self, value: float) -> str:
        """Points, or percent of a perplexity."""
        return f"{100 * value:.1f}"


@dataclass(frozen=True, slots=True, order=True)
class Technique:
    """A method on a backbone; `name` tells it from the others of the comparison."""

    name: str
    method: str
    backbone: str


@dataclass(frozen=True)
class Point:
    """A technique at so many rows: its cells, one a seed, with their errors (S,), also in bootstrap samples (S, R).

    `draws` (R,) are the mean error as other seeds and other test items might give it; the items' samples are the same
    for all points. `score` is the metric of the mean error.
    """

    technique: Technique
    rows: int
    cells: Sequence[Cell]
    items: Sequence[Items]
    errors: Floats
    samples: Floats
    draws: Floats
    score: Estimate

    @property
    def error(self) -> float:
        return float(self.errors.mean())

    def mean(self, name: str) -> float | None:
        """The mean of a cost over the cells in which it was measured."""
        found = [value for cell in self.cells if (value := getattr(cell, name)) is not None]
        return float(np.mean(found)) if found else None


@dataclass(frozen=True)
class Fitted:
    """A technique's curve at `rows` (G,): the metric with its band, and what labels beyond `measured` would buy."""

    technique: Technique
    rows: Floats
    value: Floats
    low: Floats
    high: Floats
    measured: int
    more: Estimate | None  # of MORE_ROWS more labels, in error
    curve: Curve


@dataclass(frozen=True)
class Findings:
    """Everything that is said; `best` is each technique's best point, best first."""

    records: Records
    scale: Scale
    techniques: Sequence[Technique]
    points: Mapping[tuple[Technique, int], Point]
    best: Sequence[Point]
    at_equal_rows: Mapping[int, Sequence[Comparison]]
    between_best: Mapping[tuple[str, str], Comparison]
    fitted: Mapping[Technique, Fitted]
    crossovers: Sequence[Crossover]
    calibrations: Mapping[Technique, Calibration]

    def of(self, technique: Technique) -> list[Point]:
        """Its points, fewest rows first."""
        return sorted((point for (own, _), point in self.points.items() if own == technique), key=lambda one: one.rows)

    def largest(self, technique: Technique) -> Point:
        return self.of(technique)[-1]

    def cost(self, point: Point, name: str) -> float | None:
        """A mean cost of a point; of a latency, that of the technique wherever it was measured."""
        if (value := point.mean(name)) is not None:
            return value
        found = [one for other in self.of(point.technique) if (one := other.mean(name)) is not None]
        return found[-1] if found else None

    def latency(self, technique: Technique, which: str) -> float | None:
        """Seconds, p50 or p99, of the point with the most rows that was timed."""
        timed = [cell.latency_seconds for point in self.of(technique) for cell in point.cells if cell.latency_seconds]
        return float(timed[-1][which]) if timed else None


def find(records: Records) -> Findings:
    """The findings of what has been done so far; nothing may have been."""
    scale = Scale(records.task.sign)
    points = _points(records, scale)
    of: dict[Technique, list[Point]] = {}
    for point in points:
        of.setdefault(point.technique, []).append(point)
    # The fewer rows where two are level.
    best = sorted((min(own, key=lambda one: (one.error, one.rows)) for own in of.values()), key=lambda one: one.error)
    ranked = [point.technique for point in best]
    fitted = {technique: _fit(of[technique], scale) for technique in ranked}
    claims = {one: np.concatenate([items.claims for items in of[one][-1].items]) for one in ranked}
    sizes = sorted({point.rows for point in points})
    *pairs, between = _compare([[point for point in points if point.rows == rows] for rows in sizes] + [best])
    return Findings(
        records,
        scale,
        ranked,
        {(point.technique, point.rows): point for point in points},
        best,
        dict(zip(sizes, pairs, strict=True)),
        {(one.first, one.second): one for one in between},
        fitted,
        _crossovers(fitted, of),
        {one: found for one in ranked if (found := calibration(claims[one], BINS))},
    )


def name_techniques(cells: Sequence[Cell]) -> dict[tuple[str, str], Technique]:
    """By method and backbone. The backbone is in the name where there are several, by its last part."""
    met = list(dict.fromkeys((cell.method, cell.backbone) for cell in cells))
    several = len({backbone for _, backbone in met if backbone}) > 1
    names: dict[tuple[str, str], Technique] = {}
    taken: dict[str, int] = {}
    for method, backbone in met:
        short = Path(backbone.split(":")[-1]).name
        name = f"{method} · {short}" if several and short else method
        taken[name] = taken.get(name, 0) + 1
        names[method, backbone] = Technique(f"{name} ({taken[name]})" if taken[name] > 1 else name, method, backbone)
    return names


def _points(records: Records, scale: Scale) -> list[Point]:
    """Of each technique, those with fewest rows first."""
    cells = sorted(records.done, key=lambda cell: (cell.method, cell.backbone, cell.rows, cell.seed))
    if not cells or not records.test:
        return []
    techniques = name_techniques(records.done)
    items = {cell.name: _items(records, cell) for cell in cells}
    columns = np.cumsum([one.counts.shape[1] for one in items.values()])[:-1]
    sums = resampled_sums(np.concatenate([one.counts for one in items.values()], axis=1), SEED)
    samples = {
        name: scale.error(one.metric(part))
        for (name, one), part in zip(items.items(), np.split(sums, columns, axis=1), strict=True)
    }
    groups = [list(own) for _, own in groupby(cells, key=lambda cell: (cell.method, cell.backbone, cell.rows))]
    errors = [
        np.array([float(scale.error(items[cell.name].metric(items[cell.name].counts.sum(axis=0)))) for cell in own])
        for own in groups
    ]
    noise, random = _between_seeds(errors, [own[0].rows for own in groups]), np.random.default_rng((SEED, 0))
    points: list[Point] = []
    for own, error, variance, freedom in zip(groups, errors, noise.variance, noise.freedom, strict=True):
        cell, each = own[0], np.stack([samples[cell.name] for cell in own])
        draws = drawn(each, float(variance), float(freedom), random)
        technique, found = techniques[cell.method, cell.backbone], [items[cell.name] for cell in own]
        score = estimate(float(scale.metric(error.mean())), scale.metric(draws))
        points.append(Point(technique, cell.rows, own, found, error, each, draws, score))
    return points


def _items(records: Records, cell: Cell) -> Items:
    answers = records.answers[cell.name]
    return records.task.items(records.test, [answers[row] for row in range(1, len(records.test) + 1)])


def _between_seeds(errors: Sequence[Floats], rows: Sequence[int]) -> Noise:
    """Without labelled rows nothing is drawn: one seed is then all that there is to know."""
    variances = [float(one.var(ddof=1)) if len(one) > 1 else 0.0 for one in errors]
    return moderate(variances, [len(one) - 1 if size else 1 for one, size in zip(errors, rows, strict=True)], rows)


def _compare(groups: Sequence[Sequence[Point]]) -> list[list[Comparison]]:
    """All pairs within each group, the better one first, corrected for their number in it.

    What seeds add to a difference is known better for all pairs of the comparison together than for each alone.
    """
    ranked = [sorted(group, key=lambda point: point.error) for group in groups]
    pairs = [[(one, other, *_paired(one, other)) for one, other in combinations(group, 2)] for group in ranked]
    together = [pair for own in pairs for pair in own]
    noise = _between_seeds(
        [other - one for _, _, one, other, _ in together], [_fewer(better, worse) for better, worse, *_ in together]
    )
    spreads = zip(noise.variance.tolist(), noise.freedom.tolist(), strict=True)
    random = np.random.default_rng((SEED, 1))
    found: list[list[Comparison]] = []
    for own in pairs:
        compared: list[Comparison] = []
        for better, worse, one, other, samples in own:
            difference, p = compare_paired(other, one, samples, next(spreads), random)
            compared.append(Comparison(better.technique.name, worse.technique.name, difference, p))
        corrected = holm([one.p for one in compared])
        found.append([replace(one, corrected=p) for one, p in zip(compared, corrected, strict=True)])
    return found


def _fewer(one: Point, other: Point) -> int:
    """The rows of the one that seeds move most; without rows none is moved."""
    return min((point.rows for point in (one, other) if point.rows), default=0)


def _paired(one: Point, other: Point) -> tuple[Floats, Floats, Floats]:
    """Errors of the same seeds (S,) and (S,), and the samples of how much larger the second is (S, R).

    Seeds that only one of them has are left out, but where one has no labelled rows, and so a single answer for all.
    """
    seeds, others = ([cell.seed for cell in point.cells] for point in (one, other))
    if one.rows == 0 or other.rows == 0:
        count = max(len(seeds), len(others))
        first = [number % len(seeds) for number in range(count)]
        second = [number % len(others) for number in range(count)]
    else:
        common = sorted(set(seeds) & set(others)) or None
        first = [seeds.index(seed) for seed in common] if common else [0]
        second = [others.index(seed) for seed in common] if common else [0]
    return one.errors[first], other.errors[second], other.samples[second] - one.samples[first]


def _fit(points: Sequence[Point], scale: Scale) -> Fitted:
    """The first fit is to the means, the others to their draws."""
    sizes = [point.rows for point in points]
    errors = np.stack([np.concatenate([[point.error], point.draws[:CURVE_DRAWS]]) for point in points], axis=1)
    curve = fit_curve(sizes, errors, errors[1:].var(axis=0))
    first, last = max(1, sizes[0]), max(1, sizes[-1])
    rows = np.geomspace(first, max(BEYOND * last, first + 1), PLACES)
    values = scale.metric(curve.errors(rows))
    low, high = np.percentile(values[1:], [2.5, 97.5], axis=0)
    more = None
    if len(sizes) > 1:
        ends = curve.errors(np.array([last, last + MORE_ROWS], dtype=np.float64))
        gains = ends[:, 0] - ends[:, 1]
        more = estimate(float(gains[0]), gains[1:])
    return Fitted(points[0].technique, rows, values[0], low, high, sizes[-1], more, curve)


def _crossovers(fitted: Mapping[Technique, Fitted], of: Mapping[Technique, Sequence[Point]]) -> list[Crossover]:
    """Of every pair, from where on the one that is better at the end of what was measured beats the other."""
    found: list[Crossover] = []
    for one, other in combinations(fitted, 2):
        measured = float(fitted[one].measured), float(fitted[other].measured)
        at_end = [float(fitted[each].curve.errors(np.array([max(measured)]))[0, 0]) for each in (one, other)]
        better, worse = (one, other) if at_end[0] <= at_end[1] else (other, one)
        smallest = min(of[one][0].rows, of[other][0].rows)
        found.append(crossover(better.name, worse.name, fitted[better].curve, fitted[worse].curve, smallest, measured))
    return found
