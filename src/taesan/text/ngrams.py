"""Texts as weighted runs of characters: TF-IDF within eojeols, which needs no words and forgives josa. NumPy alone."""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, islice

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
        counts = _counts(texts, lambda text: [numbers[run] for run in text])
        frequencies = np.bincount(counts.columns, minlength=len(numbers))
        kept = frequencies >= LEAST_TEXTS
        pairs = zip(numbers, frequencies.tolist(), strict=True)
        ngrams = cls({run: count for run, count in pairs if count >= LEAST_TEXTS}, len(counts))
        inside = kept[counts.columns]
        starts = np.cumsum([0, *counts.with_values(inside).sums()]).astype(np.int64)
        columns = (np.cumsum(kept) - 1).astype(np.int32)[counts.columns[inside]]
        return ngrams, ngrams._weighted(Sparse(starts, columns, counts.values[inside], len(ngrams)))

    def weights(self, texts: Iterable[Sequence[str]]) -> Sparse:
        """Those of the runs in texts, each as its runs, (N, runs). One that is not known does not count."""
        get = self._numbers.get
        counts = _counts(texts, lambda text: [number for run in text if (number := get(run)) is not None])
        return self._weighted(Sparse(counts.starts, counts.columns, counts.values, len(self)))

    def _weighted(self, counts: Sparse) -> Sparse:
        values = np.log(counts.values)
        values += 1
        values *= self._rarity[counts.columns]
        norms = np.sqrt(counts.with_values(values * values).sums())
        values /= counts.spread(norms.astype(np.float32))
        return counts.with_values(values)


def _counts(texts: Iterable[Sequence[str]], numbered: Callable[[Sequence[str]], list[int]]) -> Sparse:
    """How often each text has each run, in the order of their numbers."""
    lengths, columns, values = [np.zeros(1, np.int64)], [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
    iterator = iter(texts)
    while chunk := [numbered(text) for text in islice(iterator, _CHUNK_TEXTS)]:
        rows = np.repeat(np.arange(len(chunk)), [len(numbers) for numbers in chunk])
        numbers = np.fromiter(chain.from_iterable(chunk), dtype=np.int64, count=len(rows))
        found, times = np.unique(rows << 32 | numbers, return_counts=True)
        lengths.append(np.bincount(found >> 32, minlength=len(chunk)))
        columns.append((found & 0xFFFFFFFF).astype(np.int32))
        values.append(times.astype(np.float32))
    return Sparse(np.cumsum(np.concatenate(lengths)), np.concatenate(columns), np.concatenate(values), 0)
