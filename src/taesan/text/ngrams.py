"""Texts as weighted runs of characters: TF-IDF within eojeols, which needs no words and forgives josa. NumPy alone."""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, compress, islice

import numpy as np

from taesan.text.sparse import Sparse

LONGEST = 4  # characters of a run; what else was tried stands in docs/lab.md
LEAST_TEXTS = 2  # that a run is in, to be known
_CHUNK_TEXTS = 2048


def runs(text: str) -> list[str]:
    """Every run of 1 to `LONGEST` characters in each eojeol with a space on either side, in NFC and lower case.

    Those of scikit-learn's analyzer `char_wb`: an eojeol that is shorter than a run is one run, once.
    """
    found: list[str] = []
    for word in unicodedata.normalize("NFC", text).lower().split():
        padded = f" {word} "
        for size in range(1, min(LONGEST, len(padded)) + 1):
            found += [padded[start : start + size] for start in range(len(padded) - size + 1)]
    return found


class Ngrams:
    """The runs that were counted in some texts, and what each of them weighs in any text.

    That is (1 + ln times) (1 + ln((1 + texts) / (1 + texts that have it))), over the Euclidean norm of all in the text:
    `TfidfVectorizer(sublinear_tf=True)` of scikit-learn.
    """

    def __init__(self, frequencies: Mapping[str, int], texts: int):
        """`frequencies`: in how many of the `texts` a run is."""
        self.frequencies, self.texts = frequencies, texts
        self._numbers = {run: number for number, run in enumerate(frequencies)}
        counts = np.fromiter(frequencies.values(), dtype=np.float64, count=len(frequencies))
        self._rarity = (np.log((1 + texts) / (1 + counts)) + 1).astype(np.float32)

    def __len__(self) -> int:
        return len(self.frequencies)

    @classmethod
    def learn(cls, texts: Iterable[Sequence[str]]) -> tuple["Ngrams", Sparse]:
        """What to know from texts, each as its runs; and the weights in these same texts."""
        numbers = defaultdict[str, int]()
        numbers.default_factory = numbers.__len__
        counts = _counts(texts, numbers.__getitem__)
        # NumPy counts a copy of twice the size: of a part at a time it is small.
        parts = (np.bincount(part, minlength=len(numbers)) for part in np.array_split(counts.columns, 16))
        frequencies = sum(parts, start=np.zeros(len(numbers), np.int64))
        kept = frequencies >= LEAST_TEXTS
        ngrams = cls(dict(zip(compress(numbers, kept), frequencies[kept].tolist(), strict=True)), len(counts))
        del numbers  # three times as many runs as are kept
        inside = kept[counts.columns]
        starts = np.cumsum([0, *counts.with_values(inside).sums()]).astype(np.int64)
        columns = (np.cumsum(kept) - 1).astype(np.int32)[counts.columns[inside]]
        counts = Sparse(starts, columns, counts.values[inside], len(ngrams))
        return ngrams, ngrams._weighted(counts)

    def weights(self, texts: Iterable[Sequence[str]]) -> Sparse:
        """Those of the runs in texts, each as its runs, (N, runs). One that is not known does not count."""
        counts = _counts(texts, self._numbers.get)
        return self._weighted(Sparse(counts.starts, counts.columns, counts.values, len(self)))

    def _weighted(self, counts: Sparse) -> Sparse:
        """What the counts weigh, in their place."""
        for first in range(0, len(counts), _CHUNK_TEXTS):
            part = counts.rows(first, min(first + _CHUNK_TEXTS, len(counts)))
            values = np.log(part.values, out=part.values)
            values += 1
            values *= self._rarity[part.columns]
            norms = np.sqrt(part.with_values(values * values).sums())
            values /= part.spread(norms.astype(np.float32))
        return counts


def _counts(texts: Iterable[Sequence[str]], number: Callable[[str], int | None]) -> Sparse:
    """How often each text has each run, in the order of their numbers."""
    lengths, columns, values = [np.zeros(1, np.int64)], [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
    iterator = iter(texts)
    while chunk := [_known(text, number) for text in islice(iterator, _CHUNK_TEXTS)]:
        rows = np.repeat(np.arange(len(chunk)), [len(numbers) for numbers in chunk])
        numbers = np.fromiter(chain.from_iterable(chunk), dtype=np.int64, count=len(rows))
        found, times = np.unique(rows << 32 | numbers, return_counts=True)
        lengths.append(np.bincount(found >> 32, minlength=len(chunk)))
        columns.append((found & 0xFFFFFFFF).astype(np.int32))
        values.append(times.astype(np.float32))
    starts, columns = np.cumsum(np.concatenate(lengths)), np.concatenate(columns)
    return Sparse(starts, columns, np.concatenate(values), 0)


def _known(text: Sequence[str], number: Callable[[str], int | None]) -> list[int]:
    return [found for run in text if (found := number(run)) is not None]
