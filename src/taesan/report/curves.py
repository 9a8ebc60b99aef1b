"""Learning curves: the error that a technique will make after n labelled rows, and from where on one beats another.

    error(n) = a + b · (n + d)^-c,    a, b ≥ 0

A power law (Cortes et al. 1994; Hestness et al. 2017) with a shift d, `pow4` of Viering and Loog (2021), which Mohr et
al. (2022) find among the best in extrapolating. With d a curve may begin flat, as one that has not yet left chance,
and is defined at n = 0. For given c and d the best a and b are exact, so the fit tries a grid of c and d (variable
projection: Golub and Pereyra 1973): it has no start and no local minimum, and all bootstrap samples are fitted at once.
Few sizes do not determine four numbers; a weak prior holds c near 1/2, the rate of a statistical estimate.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
EXPONENTS = np.geomspace(0.05, 4.0, 45)
SHIFTS = 40
PRIOR_EXPONENT, PRIOR_SPREAD = 0.5, 1.0  # log-normal
BLOCK = 256  # samples fitted at once
GRID = 400  # places at which two curves are compared
BEYOND = 10.0  # times the largest size, up to which a curve is followed


@dataclass(frozen=True)
class Curve:
    """Parameters of fits, each (R,); those of `value` come first where there are samples as well."""

    a: Floats
    b: Floats
    c: Floats
    d: Floats

    def errors(self, rows: Floats) -> Floats:
        """At `rows` (G,): (R, G)."""
        base = np.maximum(rows[None, :] + self.d[:, None], 1e-9)
        return self.a[:, None] + self.b[:, None] * base ** -self.c[:, None]


def fit_curve(rows: Sequence[float], errors: Floats, variance: Floats) -> Curve:
    """A curve for each row of `errors` (R, sizes) at sizes `rows`, weighted by the `variance` (sizes,) of its noise.

    A single size gives a level line.
    """
    sizes = np.array(rows, dtype=np.float64)
    if len(sizes) == 1:
        level, nothing = errors[:, 0], np.zeros(len(errors))
        return Curve(level, nothing, nothing + 1, nothing + 1)
    c, d = _grid(sizes)
    basis = (sizes[None, :] + d[:, None]) ** -c[:, None]  # (G, sizes)
    scale = basis.max(axis=1, keepdims=True)
    basis = basis / scale
    weight = 1 / np.maximum(variance, 1e-8)
    prior = (np.log(c / PRIOR_EXPONENT) / PRIOR_SPREAD) ** 2
    parts = [_best(errors[start : start + BLOCK], basis, weight, prior) for start in range(0, len(errors), BLOCK)]
    a, b = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    place = np.concatenate([part[2] for part in parts])
    return Curve(a, b / scale[place, 0], c[place], d[place])


def _grid(sizes: Floats) -> tuple[Floats, Floats]:
    shifts = np.geomspace(1, max(2.0, sizes.max()), SHIFTS)
    if sizes.min() > 0:
        shifts = np.concatenate([[0.0], shifts])
    c, d = np.meshgrid(EXPONENTS, shifts, indexing="ij")
    return c.ravel(), d.ravel()


def _best(errors: Floats, basis: Floats, weight: Floats, prior: Floats) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """a, b and the place in the grid (R,) of the least weighted square error and prior; a and b not below 0."""
    total = weight.sum()
    s_f, s_ff = basis @ weight, basis**2 @ weight  # (G,)
    s_y, s_fy = (errors @ weight)[:, None], (errors * weight) @ basis.T  # (R, 1), (R, G)
    s_yy = (errors**2 @ weight)[:, None]
    b = (total * s_fy - s_f * s_y) / np.maximum(total * s_ff - s_f**2, 1e-12 * total * s_ff)
    b = np.maximum(b, 0.0)
    a = (s_y - b * s_f) / total
    below = a < 0
    b = np.where(below, np.maximum(s_fy / s_ff, 0.0), b)
    a = np.where(below, 0.0, a)
    loss = s_yy - 2 * a * s_y - 2 * b * s_fy + a * a * total + 2 * a * b * s_f + b * b * s_ff
    place = (loss + prior).argmin(axis=1)
    row = np.arange(len(errors))
    return a[row, place], b[row, place], place


@dataclass(frozen=True)
class Crossover:
    """From how many labelled rows on `first` beats `second`, with a 95% interval.

    0: wherever it was looked. Infinity: nowhere, up to `BEYOND` times the largest size. Both were measured up to
    `measured`.
    """

    first: str
    second: str
    rows: float
    low: float
    high: float
    measured: float

    @property
    def extrapolated(self) -> bool:
        return self.measured < self.rows < np.inf


def crossover(
    first: str, second: str, better: Curve, worse: Curve, smallest: float, measured: tuple[float, float]
) -> Crossover:
    """`better` and `worse` are fits to the same samples, the first of each the fit to the values themselves.

    `measured` are the largest sizes of both. What needs no label, with a largest size of 0, is known at every size.
    """
    places = np.geomspace(max(smallest, 1.0), BEYOND * max(*measured, 1.0), GRID)
    wins = better.errors(places) < worse.errors(places)  # (R, GRID)
    # The first place after the last at which it did not win.
    lost = GRID - np.argmax(~wins[:, ::-1], axis=1)
    lost = np.where(wins.all(axis=1), 0, lost)
    found = np.concatenate([[0.0], places[1:], [np.inf]])[lost]
    low, high = np.percentile(found[1:], [2.5, 97.5], method="inverted_cdf") if len(found) > 1 else found[[0, 0]]
    known = min((size for size in measured if size > 0), default=0.0)
    return Crossover(first, second, float(found[0]), float(min(low, found[0])), float(max(high, found[0])), known)
