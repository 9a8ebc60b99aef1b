"""A matrix of mostly zeros, and the two products that a linear model needs. NumPy alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sparse:
    """A matrix (N, width): row i has `values` at `columns`, both from starts[i] to starts[i + 1]."""

    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[np.floating[Any]]
    width: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    def rows(self, first: int, last: int) -> "Sparse":
        """Those from `first` to before `last`, in the same memory."""
        part = slice(self.starts[first], self.starts[last])
        starts = self.starts[first : last + 1] - self.starts[first]
        return Sparse(starts, self.columns[part], self.values[part], self.width)

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """A value a row (N,) as a value an entry."""
        return np.repeat(values, np.diff(self.starts))

    def with_values(self, values: NDArray[Any]) -> "Sparse":
        """Others at the same places."""
        return Sparse(self.starts, self.columns, values, self.width)

    def sums(self) -> Floats:
        """Of every row, (N,): the same bits whatever other rows there are."""
        sums, filled = np.zeros(len(self)), np.diff(self.starts) > 0
        if len(self.values):
            sums[filled] = np.add.reduceat(self.values, self.starts[:-1][filled], dtype=np.float64)
        return sums

    def times(self, weight: NDArray[Any]) -> Floats:
        """Each row by each of weight (K, width): (N, K)."""
        columns = self.columns.astype(np.intp)
        return np.stack([self.with_values(self.values * one.take(columns)).sums() for one in weight], axis=1)

    def summed(self, factors: Floats) -> Floats:
        """All rows added up, each times its factors (N, K): (K, width)."""
        columns = self.columns.astype(np.intp)
        sums = [np.bincount(columns, self.values * self.spread(one), minlength=self.width) for one in factors.T]
        return np.array(sums, dtype=np.float64)


def side_by_side(parts: Sequence[Sparse]) -> Sparse:
    """One matrix of several of as many rows, their columns one after another."""
    widths = np.cumsum([0, *(part.width for part in parts)])
    rows = np.concatenate([part.spread(np.arange(len(part))) for part in parts])
    columns = np.concatenate([part.columns + first for part, first in zip(parts, widths, strict=False)])
    order = np.argsort(rows, kind="stable")
    return Sparse(
        np.sum([part.starts for part in parts], axis=0),
        columns[order].astype(np.int32),
        np.concatenate([part.values for part in parts])[order],
        int(widths[-1]),
    )
