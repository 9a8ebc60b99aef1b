"""How alike texts are: BM25 over pairs of characters, which needs no words and forgives josa."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SATURATION, _LENGTH = 1.5, 0.75


class Similarity:
    """A pool of texts to find the nearest in (Robertson and Zaragoza 2009, section 3.5; idf as Lucene has it)."""

    def __init__(self, pool: Sequence[str]):
        counts = [Counter(_pairs(text)) for text in pool]
        lengths = np.array([max(1, count.total()) for count in counts], dtype=np.float64)
        damping: NDArray[np.float64] = _SATURATION * (
            1 - _LENGTH + _LENGTH * lengths / max(1.0, lengths.sum() / max(1, len(pool)))
        )
        holders: dict[str, list[tuple[int, int]]] = {}
        for number, count in enumerate(counts):
            for pair, times in count.items():
                holders.setdefault(pair, []).append((number, times))
        self._size = len(pool)
        self._weights: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
        for pair, found in holders.items():
            places, times = np.array(found, dtype=np.int64).T
            rarity = np.log1p((self._size - len(found) + 0.5) / (len(found) + 0.5))
            self._weights[pair] = places, rarity * times * (_SATURATION + 1) / (times + damping[places])

    def scores(self, text: str) -> NDArray[np.float64]:
        """Of every text of the pool, (N,)."""
        total = np.zeros(self._size)
        for pair, times in Counter(_pairs(text)).items():
            if pair in self._weights:
                places, weights = self._weights[pair]
                total[places] += times * weights
        return total

    def nearest(self, text: str, count: int) -> list[int]:
        """Places of the texts most like it, the most like first; of equal ones the earlier."""
        return np.argsort(-self.scores(text), kind="stable")[:count].tolist()


def _pairs(text: str) -> list[str]:
    """Runs of two characters within words, a word of one character as it is."""
    return [word[i : i + 2] for word in text.split() for i in range(max(1, len(word) - 1))]
