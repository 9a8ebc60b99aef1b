"""A linear model of texts: log-probabilities of a few classes from the runs of characters in a row. No torch here."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from taesan.errors import StorageError, escape
from taesan.text.ngrams import LONGEST, Ngrams, runs
from taesan.text.sparse import Floats, Sparse, side_by_side

FILES = ("ngrams.json", "linear.safetensors")
Texts = tuple[str, ...]  # of a row: one or two


@dataclass(frozen=True)
class Linear:
    """Softmax of features times `weight` (K, features) plus `bias` (K,).

    Of two classes K may be 1, and the first one's is 0. Without `ngrams` nothing is looked at: the answer is the bias.
    """

    ngrams: tuple[Ngrams, ...]  # a text's; of two, the first's, the second's, and those that only the second has
    weight: NDArray[np.float32]
    bias: Floats

    def log_probabilities(self, rows: Sequence[Texts]) -> Floats:
        """Of every class, (rows, classes); the same bits whatever other rows there are."""
        return self.of_features(self.features(rows))

    def of_features(self, features: Sparse) -> Floats:
        return log_softmax(features.times(self.weight) + self.bias)

    def features(self, rows: Sequence[Texts]) -> Sparse:
        """(rows, features)"""
        if not self.ngrams:
            return Sparse(np.zeros(len(rows) + 1, np.int64), np.zeros(0, np.int32), np.zeros(0), 0)
        parts = [known.weights(_part(row, place) for row in rows) for place, known in enumerate(self.ngrams)]
        return _features(parts, rows)

    def ngrams_json(self) -> bytes:
        """In how many texts each run was, in the order of the weights."""
        known = [{"texts": one.texts, "frequencies": one.frequencies} for one in self.ngrams]
        return (json.dumps(known, ensure_ascii=False, indent=0) + "\n").encode(errors="backslashreplace")


def read_linear(contents: Mapping[str, bytes], name: str) -> Linear:
    """What `FILES` of a folder hold. Raises: StorageError."""
    try:
        ngrams = tuple(Ngrams(one["frequencies"], one["texts"]) for one in json.loads(contents[FILES[0]]))
        linear = Linear(ngrams, **load_tensors(contents[FILES[1]]))
        if linear.weight.shape != (len(linear.bias), sum(map(len, ngrams)) + (2 * LONGEST if len(ngrams) > 1 else 0)):
            raise ValueError(f"its weights are of shape {linear.weight.shape}")
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise StorageError(f"{name} holds no linear model: {escape(error)}. Make it again.") from None
    return linear


def learn_features(rows: Sequence[Texts]) -> tuple[tuple[Ngrams, ...], Sparse]:
    """The runs to know, from training rows, and the features of these rows."""
    count = 1 if len(rows[0]) == 1 else 3
    learnt = [Ngrams.learn(_part(row, place) for row in rows) for place in range(count)]
    return tuple(ngrams for ngrams, _ in learnt), _features([weights for _, weights in learnt], rows)


def log_softmax(logits: Floats) -> Floats:
    """Log-probabilities (N, classes) of logits (N, K); of one column, of two classes the first of which has 0."""
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _part(row: Texts, place: int) -> list[str]:
    """The runs of a row's first or second text, or (2) those of the second that the first does not have."""
    if place < 2:
        return runs(row[place])
    first = set(runs(row[0]))
    return [run for run in runs(row[1]) if run not in first]


def _features(parts: Sequence[Sparse], rows: Sequence[Texts]) -> Sparse:
    """The weights of all parts side by side; of two texts, also how much of each the other has."""
    if len(parts) == 1:
        return parts[0]
    values = np.array([_shared(*row) for row in rows])
    count, width = values.shape
    columns = np.tile(np.arange(width, dtype=np.int32), count)
    return side_by_side([*parts, Sparse(np.arange(count + 1) * width, columns, values.ravel(), width)])


def _shared(first: str, second: str) -> list[float]:
    """By the length of a run: what share of the second text's runs the first has, and of the first's the second."""
    own, others = set(runs(first)), set(runs(second))
    shares: list[float] = []
    for size in range(1, LONGEST + 1):
        left, right = ({run for run in one if len(run) == size} for one in (own, others))
        shares += [len(left & right) / max(1, len(one)) for one in (right, left)]
    return shares
