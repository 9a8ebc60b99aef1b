"""Batches of like length within a budget of tokens. Any step can be asked for at any time, so a run can resume."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Batch = dict[str, NDArray[np.int64]]
# Batches sorted together: enough for little padding, few enough for varied batches. Of a small set a quarter of the
# rows, and four batches or more: sorted as one, its short rows would always meet short rows (docs/lab.md).
NEIGHBOURHOOD, LEAST_NEIGHBOURHOOD = 64, 4


class Batches(Protocol):
    """What the loop asks of its data."""

    steps: int

    def step(self, number: int) -> list[Batch]:
        """The micro-batches of a step, from 0. Every array's first dimension is rows."""
        ...


def plan(lengths: NDArray[np.int32], *, budget_tokens: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Row numbers of every batch of an epoch, shuffled, padded size at most `budget_tokens` (or one row).

    Rows are shuffled, cut into neighbourhoods (a quarter of the rows, or about 64 batches where that is less), sorted
    by length inside each, and cut into batches; the batches are shuffled.
    """
    random = np.random.default_rng((seed, epoch, 0))
    order = random.permutation(len(lengths))
    mean = max(1.0, float(lengths.mean())) if len(lengths) else 1.0
    rows_a_batch = budget_tokens / mean
    quarter = max(LEAST_NEIGHBOURHOOD * rows_a_batch, len(order) / 4)
    span = max(1, int(min(NEIGHBOURHOOD * rows_a_batch, quarter)))
    # A few rows left over go to the last neighbourhood: alone, one row would have a step, and its weight, to itself.
    starts = np.arange(1, round(len(order) / span)) * span
    batches: list[NDArray[np.int64]] = []
    for part in np.split(order, starts):
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += _cut(part, lengths[part], budget_tokens)
    return [batches[index] for index in random.permutation(len(batches))]


def _cut(rows: NDArray[np.int64], lengths: NDArray[np.int32], budget_tokens: int) -> list[NDArray[np.int64]]:
    """`rows`, shortest first, into runs whose size times longest is within the budget."""
    batches: list[NDArray[np.int64]] = []
    end = len(rows)
    while end > 0:  # from the longest down, so that the last, smaller batch is of short rows
        size = max(1, budget_tokens // max(1, int(lengths[end - 1])))
        batches.append(rows[max(0, end - size) : end])
        end -= size
    return batches


def pad(arrays: Sequence[NDArray[Any]], value: int, length: int | None = None) -> NDArray[np.int64]:
    """Rows of one length, filled up on the right with `value`. (B, T, …)"""
    width = max(len(array) for array in arrays) if length is None else length
    out = np.full((len(arrays), width, *arrays[0].shape[1:]), value, dtype=np.int64)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return out


def pack(lengths: NDArray[np.int32], room: int, seed: int) -> list[NDArray[np.int64]]:
    """Rows in a random order, put together while they fit into `room`; a longer one stands alone."""
    order = np.random.default_rng((seed, 4)).permutation(len(lengths))
    groups: list[list[int]] = []
    left = 0
    for row in order.tolist():
        if not groups or lengths[row] > left:
            groups.append([])
            left = room
        groups[-1].append(row)
        left -= int(lengths[row])
    return [np.array(group) for group in groups]


class EpochBatches:
    """Passes over a fixed set of rows, planned anew each time.

    `collate` makes a batch of row numbers and a generator that depends on seed and step alone.
    """

    def __init__(
        self,
        lengths: NDArray[np.int32],
        collate: Callable[[NDArray[np.int64], np.random.Generator], Batch],
        *,
        budget_tokens: int,
        accumulation: int,
        seed: int,
        epochs: float = 1.0,
    ):
        self._lengths, self._collate, self._seed = lengths, collate, seed
        self._budget, self._accumulation = budget_tokens, accumulation
        self._epoch, self._plan = -1, list[NDArray[np.int64]]()
        self.tokens = int(lengths.sum(dtype=np.int64))
        self.steps_per_epoch = 0
        self.steps_per_epoch = max(1, -(-self._count(0) // accumulation))
        self.steps = max(1, round(epochs * self.steps_per_epoch))

    def step(self, number: int) -> list[Batch]:
        return self.part(*divmod(number, self.steps_per_epoch), number)

    def part(self, epoch: int, place: int, number: int) -> list[Batch]:
        """The micro-batches at a place of a pass; `number`, the step's in the whole run, seeds what is random."""
        count = self._count(epoch)
        random = np.random.default_rng((self._seed, number, 1))
        # The number of batches differs a little between epochs; the step's share of them does not.
        first = (place * count) // self.steps_per_epoch
        last = ((place + 1) * count) // self.steps_per_epoch
        return [self._collate(rows, random) for rows in self._plan[first:last]]

    def _count(self, epoch: int) -> int:
        if epoch != self._epoch:
            self._plan = plan(self._lengths, budget_tokens=self._budget, seed=self._seed, epoch=epoch)
            self._epoch = epoch
            while len(self._plan) < self.steps_per_epoch:  # a few less than the first epoch had: none comes twice
                largest = max(range(len(self._plan)), key=lambda index: len(self._plan[index]))
                rows = self._plan[largest]
                self._plan[largest : largest + 1] = [rows[: len(rows) // 2], rows[len(rows) // 2 :]]
        return len(self._plan)


class GroupBatches:
    """Passes over more rows than are planned at once: group by group, in another order each time.

    `groups` open one group each; only one is open at a time, so memory does not grow with their number.
    """

    def __init__(self, groups: Sequence[Callable[[], EpochBatches]], *, tokens: int, seed: int):
        """`tokens` to see in all, repeats included."""
        self._groups, self._seed = groups, seed
        self._number, self._open = 0, groups[0]()
        self._steps = list[int]()
        total = 0
        for number in range(len(groups)):
            group = self._group(number)
            self._steps.append(group.steps_per_epoch)
            total += group.tokens
        self.steps = max(1, round(tokens / max(1, total) * sum(self._steps)))

    def step(self, number: int) -> list[Batch]:
        epoch, place = divmod(number, sum(self._steps))
        for group in np.random.default_rng((self._seed, epoch, 3)).permutation(len(self._groups)):
            if place < self._steps[group]:
                return self._group(int(group)).part(epoch, place, number)
            place -= self._steps[group]
        raise IndexError(number)

    def _group(self, number: int) -> EpochBatches:
        if number != self._number:
            self._number, self._open = number, self._groups[number]()
        return self._open
