"""Tag paths over tokens that are legal (an `I-x` only after `B-x` or `I-x`): the best one, and exact probabilities.

A path's probability is the product of its tags' own, normalised over all legal paths; a linear chain, so that the
forward-backward and Viterbi recursions are exact (Rabiner 1989, sections III.A and III.B; Lafferty et al. 2001). As a
`B` or an `O` may follow anything, each step costs as much as there are tags, not their square.

Tags stand in the order O, B-x, I-x, B-y, I-y, …
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_SMALLEST = 1e-200  # a tag's chance at least, so that no path's underflows


def tag_names(labels: Sequence[str]) -> tuple[str, ...]:
    return ("O", *(f"{mark}-{label}" for label in labels for mark in "BI"))


@dataclass(frozen=True)
class Tagging:
    """`spans`: (first token, last token, label's number, probability). `marginals` (T, tags) sum to 1 at each token."""

    spans: list[tuple[int, int, int, float]]
    marginals: Floats


def decode_tags(chances: Sequence[Floats]) -> list[Tagging]:
    """One for each sequence of tag probabilities (T, tags); each comes out the same in whatever company."""
    order = sorted(range(len(chances)), key=lambda index: -len(chances[index]))
    order = [index for index in order if len(chances[index])]
    found = {index: Tagging([], np.zeros_like(chances[index])) for index in range(len(chances))}
    for start in range(0, len(order), _ROWS):
        part = order[start : start + _ROWS]
        for index, tagging in zip(part, _decode([chances[i] for i in part]), strict=True):
            found[index] = tagging
    return [found[index] for index in range(len(chances))]


_ROWS = 64  # sequences of like length that are worked on at once


def _decode(chances: list[Floats]) -> list[Tagging]:
    """The same for a few sequences, the longest first."""
    lengths = np.array([len(one) for one in chances])
    rows, steps, tags = len(chances), int(lengths[0]), chances[0].shape[1]
    emitted = np.ones((steps, rows, tags))
    for row, one in enumerate(chances):
        emitted[: len(one), row] = np.maximum(one, _SMALLEST)
    active = [int((lengths > step).sum()) for step in range(steps)]
    forward, scale = _forward(emitted, active)
    backward, fresh = _backward(emitted, scale, active)
    paths = _best_paths(np.log(emitted), active)
    return [
        Tagging(
            _spans(paths[:length, row], emitted[:, row], scale[:, row], fresh[:, row]),
            forward[:length, row] * backward[:length, row],
        )
        for row, length in enumerate(map(int, lengths))
    ]


def _forward(emitted: Floats, active: list[int]) -> tuple[Floats, Floats]:
    """Chances of a tag given the tokens up to it (T, N, K), and of each token given those before it (T, N)."""
    forward, scale = np.zeros_like(emitted), np.ones(emitted.shape[:2])
    for step, count in enumerate(active):
        now = emitted[step, :count].copy()
        if step:
            before = forward[step - 1, :count]
            now[:, 2::2] *= before[:, 1::2] + before[:, 2::2]
        else:
            now[:, 2::2] = 0
        scale[step, :count] = now.sum(axis=1)
        forward[step, :count] = now / scale[step, :count, None]
    return forward, scale


def _backward(emitted: Floats, scale: Floats, active: list[int]) -> tuple[Floats, Floats]:
    """How much likelier a tag gets by the tokens after it (T, N, K), and the part where no `I` follows (T, N)."""
    backward, fresh = np.ones_like(emitted), np.ones(emitted.shape[:2])
    for step in range(len(active) - 2, -1, -1):
        count = active[step + 1]
        after = emitted[step + 1, :count] * backward[step + 1, :count] / scale[step + 1, :count, None]
        fresh[step, :count] = after[:, 0] + after[:, 1::2].sum(axis=1)
        backward[step, :count, 0] = fresh[step, :count]
        backward[step, :count, 1::2] = backward[step, :count, 2::2] = fresh[step, :count, None] + after[:, 2::2]
    return backward, fresh


def _best_paths(logs: Floats, active: list[int]) -> NDArray[np.int64]:
    """(T, N)"""
    steps, rows, tags = logs.shape
    came = np.zeros((steps, rows, tags), dtype=np.int64)
    score = logs[0].copy()
    score[:, 2::2] = -np.inf
    for step in range(1, steps):
        count = active[step]
        before = score[:count]
        best = before.argmax(axis=1)
        came[step, :count] = best[:, None]
        now = logs[step, :count] + np.take_along_axis(before, best[:, None], axis=1)
        begun, inside = before[:, 1::2], before[:, 2::2]
        came[step, :count, 2::2] = np.arange(1, tags, 2) + (inside > begun)
        now[:, 2::2] = logs[step, :count, 2::2] + np.maximum(begun, inside)
        score[:count] = now
    paths = np.zeros((steps, rows), dtype=np.int64)
    # A row's score stays as it is after its last token, so that it can be followed back from there.
    for row in range(rows):
        last = sum(count > row for count in active) - 1
        paths[last, row] = score[row].argmax()
        for step in range(last, 0, -1):
            paths[step - 1, row] = came[step, row, paths[step, row]]
    return paths


def _spans(path: NDArray[np.int64], emitted: Floats, scale: Floats, fresh: Floats) -> list[tuple[int, int, int, float]]:
    """The entities of a path with the summed probability of all paths that hold exactly that entity."""
    spans: list[tuple[int, int, int, float]] = []
    for first in np.flatnonzero(path % 2).tolist():
        tag, last = int(path[first]), first
        chance = emitted[first, tag] / scale[first]
        while last + 1 < len(path) and path[last + 1] == tag + 1:
            last += 1
            chance *= emitted[last, tag + 1] / scale[last]
        spans.append((first, last, tag // 2, float(chance * fresh[last])))
    return spans
