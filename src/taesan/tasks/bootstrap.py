"""95% percentile bootstrap intervals of scores that depend on the rows through sums alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from taesan.tasks.base import Score

RESAMPLES = 2000
BLOCK_CELLS = 1 << 21
Floats = NDArray[np.float64]


def resampled_sums(counts: NDArray[Any], seed: int) -> Floats:
    """The column sums of `counts` (N, K) in bootstrap samples of its rows. (RESAMPLES, K)

    A sample is how often each row was drawn, so that its sums are a matrix product (Efron and Tibshirani 1993, chapter
    13); a score of the sums is then one vectorised call, whatever its formula.
    """
    rows, random = len(counts), np.random.default_rng((seed, 0))
    sums = np.zeros((RESAMPLES, counts.shape[1]))
    block = max(1, BLOCK_CELLS // max(1, rows))
    for start in range(0, RESAMPLES if rows else 0, block):
        size = min(block, RESAMPLES - start)
        drawn = random.integers(0, rows, (size, rows)) + np.arange(size)[:, None] * rows
        times = np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows)
        sums[start : start + size] = times.astype(np.float64) @ counts
    return sums


def mean_scores(values: dict[str, Floats], seed: int) -> dict[str, Score]:
    """The means of columns of one value a row (N,), each with its interval; the samples are the same for all."""
    columns = np.stack(list(values.values()), axis=1)
    rows = max(1, len(columns))
    resampled = resampled_sums(columns, seed) / rows
    return {name: interval_score(one.sum() / rows, resampled[:, i]) for i, (name, one) in enumerate(values.items())}


def interval_score(value: float | Floats, resampled: Floats) -> Score:
    """A score with the 2.5th and 97.5th percentile of its values (RESAMPLES,) in the samples."""
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Score(float(value), float(low), float(high))


def score_lines(scores: dict[str, Score]) -> list[str]:
    """The scores for a person, one a line."""
    return [f"{name:<20} {one.value:7.4f}   {one.low:.4f} to {one.high:.4f}" for name, one in scores.items()]


def mean_of(sums: Floats) -> Floats:
    """Of sums of values and of how many there are (…, 2), the means (…)."""
    return sums[..., 0] / np.maximum(sums[..., 1], 1)


def with_ones(values: Floats) -> Floats:
    """Values (N,) and a one beside each, whose sums `mean_of` takes. (N, 2)"""
    return np.stack([values, np.ones_like(values)], axis=1)
