"""How sure a score is, when both the training rows and the test rows were drawn: seeds by chance, items by chance.

A score of S seeds on N items has two kinds of noise that cross: what another seed (another subset, another start) would
have given, and what other test items would have. Resampling both at once (a hierarchical bootstrap of percentiles)
counts their interaction twice and, with three seeds, yet finds intervals that are too short: three values cannot show
their tails. Here items are resampled, and what seeds add is drawn from Student's t.

    variance of the mean = V(mean of seeds) - I / S  +  max(s², I) / S       V: over bootstrap samples of the items
    I, the interaction   = (mean over seeds of V(seed) - V(mean of seeds)) · S / (S - 1)      it is in s² and in V alike

as in a two-way random-effects model (Owen 2007, The pigeonhole bootstrap, section 3). With S = 3 the variance s² is
itself hardly known; all cells of a comparison lend each other theirs by empirical Bayes (Smyth 2004, sections 3, 6.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MOST_FREEDOM = 1000.0
MOST_BORROWED = 2.0  # times a cell's own degrees of freedom
FALL, FALL_SPREAD = -0.5, 0.2  # of the log variance between seeds with the log of rows: measured (docs/lab.md)
SEED_DRAWS = 20  # for each bootstrap sample of the items, where a p-value is wanted


@dataclass(frozen=True)
class Noise:
    """Variances between seeds, with `freedom` degrees, of many cells, as the cells together make them likely."""

    variance: Floats  # (G,) of one seed
    freedom: Floats  # (G,)


def moderate(variances: Sequence[float], freedom: Sequence[int], rows: Sequence[int]) -> Noise:
    """Sample variances with their degrees of freedom, drawn together (Smyth 2004, equations 3 and 4).

    What cells have in common falls by a power of their labelled `rows` (as the prior of Sartor et al. 2006 follows a
    gene's intensity), from the middle of those that have seeds on, and the further, the less is known. A variance of
    zero stays: nothing was drawn. One without degrees of freedom takes what the others have in common, or nothing where
    they are fewer than three.
    """
    own, degrees = np.array(variances, dtype=np.float64), np.array(freedom, dtype=np.float64)
    size = np.log(np.maximum(np.array(rows, dtype=np.float64), 1))
    known = (own > 0) & (degrees > 0)
    prior, strength = np.zeros(len(own)), np.zeros(len(own))
    if known.sum() >= 3:
        prior, strength = _in_common(own[known], degrees[known], size[known], size)
        # A few cells hardly show whether they are alike: what is its own, if there is any, keeps a third of the weight.
        strength = np.where(degrees > 0, np.minimum(strength, MOST_BORROWED * float(degrees[known].mean())), strength)
    total = degrees + strength
    mixed = (degrees * own + strength * prior) / np.maximum(total, 1e-12)
    still = (own == 0) & (degrees > 0)
    return Noise(np.where(still, 0.0, mixed), np.where(still, MOST_FREEDOM, np.minimum(np.maximum(total, 1), 1000)))


def _in_common(own: Floats, degrees: Floats, size: Floats, asked: Floats) -> tuple[Floats, Floats]:
    """The prior variance at log numbers of rows `asked`, and the degrees of freedom that it is worth."""
    half = degrees / 2
    logs, noise = np.log(own) - digamma(half) + np.log(half), trigamma(half)
    level, middle, slope = _line(logs, size, 1 / noise)
    spread = max(0.0, float(np.var(logs - level - slope * (size - middle), ddof=1) - noise.mean()))
    weight = 1 / (noise + spread)
    level, middle, slope = _line(logs, size, weight)
    more = np.maximum(asked - middle, 0)  # at fewer rows the items' share would be blown up as well
    apart = spread + 1 / weight.sum() + more**2 / (weight @ (size - middle) ** 2 + FALL_SPREAD**-2)
    strength = np.minimum([2 * inverse_trigamma(one) for one in apart.tolist()], MOST_FREEDOM)
    return np.exp(level + slope * more + digamma(strength / 2) - np.log(strength / 2)), strength


def _line(logs: Floats, size: Floats, weight: Floats) -> tuple[float, float, float]:
    """Level and place of the middle, and the slope, which is held near FALL."""
    middle = float(weight @ size / weight.sum())
    moved = size - middle
    slope = (weight @ (moved * logs) + FALL * FALL_SPREAD**-2) / (weight @ moved**2 + FALL_SPREAD**-2)
    return float(weight @ logs / weight.sum()), middle, float(slope)


def interaction(samples: Floats) -> float:
    """The variance that items give to each seed apart, out of bootstrap samples of the items for each seed (S, R)."""
    seeds = len(samples)
    if seeds == 1:
        return 0.0
    return max(0.0, float(samples.var(axis=1).mean() - samples.mean(axis=0).var()) * seeds / (seeds - 1))


def drawn(samples: Floats, variance: float, freedom: float, random: np.random.Generator, times: int = 1) -> Floats:
    """Draws (R · times,) of the mean of the seeds (S, R) as other items and other seeds might give it."""
    mean, apart, seeds = samples.mean(axis=0), interaction(samples), len(samples)
    whole, middle = float(mean.var()), float(mean.mean())
    kept = np.sqrt(max(0.0, whole - apart / seeds) / whole) if whole > 0 else 0.0
    items = np.tile(middle + kept * (mean - middle), times)
    between = max(variance, apart)
    return items + np.sqrt(between / seeds) * random.standard_t(freedom, items.shape) if between > 0 else items


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval."""

    value: float
    low: float
    high: float


def estimate(value: float, samples: Floats) -> Estimate:
    """The value, and what holds the middle 95% of its samples."""
    low, high = np.percentile(samples, [2.5, 97.5])
    return Estimate(float(value), float(min(low, value)), float(max(high, value)))


@dataclass(frozen=True)
class Comparison:
    """How much better the first of two is than the second. `p` is two-sided; `corrected` for all that were asked."""

    first: str
    second: str
    difference: Estimate
    p: float
    corrected: float = 1.0


def compare_paired(
    first: Floats, second: Floats, samples: Floats, noise: tuple[float, float], random: np.random.Generator
) -> tuple[Estimate, float]:
    """The mean difference with its interval, and the p-value of there being none.

    `first` and `second` (S,) are the scores of the same seeds, `samples` (S, R) their differences in the same bootstrap
    samples of the items, `noise` the variance between seeds of the difference and its degrees of freedom.
    """
    difference = float((first - second).mean())
    values = drawn(samples, *noise, random, SEED_DRAWS)
    beyond = min(int((values <= 0).sum()), int((values >= 0).sum()))
    return estimate(difference, values), min(1.0, 2 * (beyond + 1) / (len(values) + 1))


def holm(p: Sequence[float]) -> list[float]:
    """P-values corrected for their number: the chance of any false alarm stays below each (Holm 1979)."""
    order = np.argsort(np.array(p), kind="stable")
    corrected, highest = [0.0] * len(p), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, p[place] * (len(p) - rank)))
        corrected[place] = highest
    return corrected


@dataclass(frozen=True)
class Calibration:
    """Answers by confidence: mean confidence, share that is right and count of each bin that is not empty. (B,) each"""

    confidence: Floats
    right: Floats
    count: Floats
    error: float


def calibration(claims: Floats, bins: int) -> Calibration | None:
    """Of (row, confidence, right) (M, 3); the error is the expected one of Guo et al. 2017, equation 3."""
    if not len(claims):
        return None
    place = np.clip(np.ceil(claims[:, 1] * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins).astype(np.float64)
    sums = [np.bincount(place, weights=claims[:, column], minlength=bins) for column in (1, 2)]
    met = count > 0
    confidence, right = (one[met] / count[met] for one in sums)
    return Calibration(
        confidence, right, count[met], float((count[met] * np.abs(confidence - right)).sum() / len(claims))
    )


# Of the gamma function, by recurrence up to where the asymptotic series has converged (Abramowitz and Stegun, 6.3.18).


def digamma(x: Floats) -> Floats:
    x, moved = _far(np.asarray(x, dtype=np.float64), lambda one: -1 / one)
    square = 1 / x**2
    return moved + np.log(x) - 0.5 / x - square * (1 / 12 - square * (1 / 120 - square / 252))


def trigamma(x: Floats) -> Floats:
    x, moved = _far(np.asarray(x, dtype=np.float64), lambda one: 1 / one**2)
    square = 1 / x**2
    return moved + 1 / x + square / 2 + square / x * (1 / 6 - square * (1 / 30 - square / 42))


def _far(x: Floats, step) -> tuple[Floats, Floats]:
    moved = np.zeros_like(x)
    for _ in range(12):
        near = x < 12
        moved = moved + np.where(near, step(x), 0.0)
        x = np.where(near, x + 1, x)
    return x, moved


def inverse_trigamma(value: float) -> float:
    """Trigamma falls: by bisection of its argument's logarithm."""
    low, high = np.log(1e-6), np.log(1e6)
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if float(trigamma(np.exp(middle))) > value else (low, middle)
    return float(np.exp((low + high) / 2))
