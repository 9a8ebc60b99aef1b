"""The best spans of a sequence of start and end scores, with exact probabilities over all that are possible."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SpanChoice:
    """`spans` are (first, last, probability), likeliest first; `nothing` the probability of none of them, if possible.

    `starts` and `ends` (T,) are the probabilities that a span starts and ends there. With `nothing` each sums to 1.
    """

    spans: list[tuple[int, int, float]]
    nothing: float | None
    starts: Floats
    ends: Floats


def choose_spans(scores: Floats, *, longest: int, nothing: bool, best: int) -> SpanChoice:
    """Of all spans of at most `longest` tokens. `scores` (T, 2): log-odds of a start and an end at each token.

    A span's chance is proportional to exp(start + end), that of nothing, where it is possible, to 1.
    """
    size = len(scores)
    if not size:
        return SpanChoice([], 1.0 if nothing else None, np.zeros(0), np.zeros(0))
    width = min(longest, size)
    ends = np.concatenate([scores[:, 1], np.full(width, -np.inf)])
    # (T, width): a row for each start, a column for each further length
    banded = scores[:, :1] + np.lib.stride_tricks.sliding_window_view(ends, width)[:size]
    top = max(float(banded.max()), 0.0) if nothing else float(banded.max())
    chances = np.exp(banded - top)
    none = float(np.exp(-top)) if nothing else 0.0
    total = float(chances.sum()) + none
    chances /= total
    flat = chances.ravel()
    count = min(best, flat.size)
    places = np.argpartition(-flat, count - 1)[:count]
    order = places[np.lexsort((places, -flat[places]))]
    spans = [(int(p // width), int(p // width + p % width), float(flat[p])) for p in order if flat[p] > 0]
    by_end = np.zeros(size + width)
    for further in range(width):
        by_end[further : further + size] += chances[:, further]
    return SpanChoice(spans, none / total if nothing else None, chances.sum(axis=1), by_end[:size])
