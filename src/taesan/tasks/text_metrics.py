"""Metrics of generated texts against one reference each, with bootstrap intervals over texts.

All in 0..1. White space splits Korean into eojeols, words with their particles; punctuation stays with its eojeol. What
happens below the eojeol, in particles and endings, is for chrF to say, which no other metric here need repeat.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from taesan.tasks.base import Score
from taesan.tasks.bootstrap import Floats, interval_score, mean_scores, resampled_sums

CHARACTER_ORDER = 6
BETA = 2.0
REPEATED_ORDER = 4
DISTINCT_ORDERS = (1, 2, 3)


def evaluate_texts(references: Sequence[str], generated: Sequence[str], *, seed: int) -> dict[str, Score]:
    """`chrf`, `sentence_chrf`, `rouge_l`, `distinct_1` to `distinct_3` and `repetition`, each with a 95% interval.

    The first three are better higher; diversity and repetition are of the generated texts alone, and mean something
    next to the references' own.
    """
    counts = _chrf_counts(references, generated)
    scores = {"chrf": interval_score(_chrf(counts.sum(axis=0)), _chrf(resampled_sums(counts, seed)))}
    pairs = list(zip(references, generated, strict=True))
    means = {
        "sentence_chrf": _chrf(counts),
        "rouge_l": np.array([rouge_l(*pair) for pair in pairs], dtype=np.float64),
        "repetition": np.array([repetition(text) for text in generated], dtype=np.float64),
    }
    scores |= mean_scores(means, seed)
    scores |= {f"distinct_{order}": _distinct_score(generated, order, seed) for order in DISTINCT_ORDERS}
    return scores


def chrf(references: Sequence[str], generated: Sequence[str]) -> float:
    """chrF2 of a corpus: F2 of the mean precision and mean recall of character n-grams to 6, spaces removed.

    Popović 2015, with β = 2 (Popović 2016) and counts summed over texts as in sacrebleu, whose number is 100 times
    this. As there, an order that generated or references are too short for is left out of the means. Of one pair it is
    the sentence's chrF, whose mean over texts is `sentence_chrf`.
    """
    return float(_chrf(_chrf_counts(references, generated).sum(axis=0)))


def rouge_l(reference: str, generated: str) -> float:
    """ROUGE-L of one pair: F1 of the longest common subsequence of eojeols (Lin 2004, section 3.1, β = 1).

    Over eojeols, and not characters: a common subsequence of Korean characters is long for any two texts, as a few
    particles and endings make up most of them. The `rouge_score` package knows ASCII letters alone and gives
    Korean 0; its stemming and its tokenisation are left out here. 0 where either text is empty.
    """
    true, own = reference.split(), generated.split()
    return 2 * common_subsequence(true, own) / max(1, len(true) + len(own))


def common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence, by the bit-parallel recursion of Hyyrö (2004).

    A bit of `row` is 0 where the classic table steps up by one; whole rows are then additions of long integers.
    """
    places: dict[str, int] = {}
    for place, item in enumerate(one):
        places[item] = places.get(item, 0) | 1 << place
    full = (1 << len(one)) - 1
    row = full
    for item in other:
        matched = row & places.get(item, 0)
        row = ((row + matched) | (row - matched)) & full
    return len(one) - row.bit_count()


def distinct(texts: Iterable[str], order: int) -> float:
    """Different n-grams of eojeols as a share of all, over all the texts together (Li et al. 2016).

    It falls as there is more text: compare only as many texts of about the same length.
    """
    counts = Counter(gram for text in texts for gram in _grams(text.split(), order))
    return len(counts) / max(1, counts.total())


def repetition(text: str) -> float:
    """The share of 4-grams of eojeols that were there before: 1 - different / all.

    Seq-rep-4 of Welleck et al. (2020), there over tokens. 0 where there are fewer than four eojeols.
    """
    grams = _grams(text.split(), REPEATED_ORDER)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _grams(items: list[str], order: int) -> list[tuple[str, ...]]:
    return list(zip(*(items[start:] for start in range(order)), strict=False))


def _chrf_counts(references: Sequence[str], generated: Sequence[str]) -> Floats:
    """N-grams of each order that match, that were generated and that are in the reference, a text. (N, 3 × 6)"""
    counts = np.zeros((len(references), 3, CHARACTER_ORDER))
    for row, pair in enumerate(zip(references, generated, strict=True)):
        true, own = ("".join(text.split()) for text in pair)
        # As in sacrebleu, what a short reference has no n-gram to match is not held against the generated text.
        for order in range(1, min(CHARACTER_ORDER, len(true)) + 1):
            there, made = (Counter(text[i : i + order] for i in range(len(text) - order + 1)) for text in (true, own))
            matched = sum(min(count, there[gram]) for gram, count in made.items() if gram in there)
            counts[row, :, order - 1] = matched, made.total(), there.total()
    return counts.reshape(len(references), 3 * CHARACTER_ORDER)


def _chrf(counts: Floats) -> Floats:
    """(…, 3 × 6) to (…)."""
    matched, made, there = np.moveaxis(counts.reshape(*counts.shape[:-1], 3, CHARACTER_ORDER), -2, 0)
    orders = np.maximum(((made > 0) & (there > 0)).sum(axis=-1), 1)
    precision = (matched / np.maximum(made, 1)).sum(axis=-1) / orders
    recall = (matched / np.maximum(there, 1)).sum(axis=-1) / orders
    weighted = BETA**2 * precision + recall
    return (1 + BETA**2) * precision * recall / np.where(weighted > 0, weighted, 1.0)


def _distinct_score(texts: Sequence[str], order: int, seed: int) -> Score:
    """Distinct-n with the interval of its linear part: the bootstrap of its jackknife pseudo-values, put around it.

    Resampled texts come twice, and a repeated text has no n-gram of its own: the plain bootstrap's whole interval lies
    under the value. What a text alone contributes (Efron and Tibshirani 1993, chapter 11) has no such bias.
    """
    grams = [_grams(text.split(), order) for text in texts]
    holders = Counter(gram for own in grams for gram in set(own))
    sizes = np.array([len(own) for own in grams], dtype=np.float64)
    alone = np.array([sum(holders[gram] == 1 for gram in set(own)) for own in grams], dtype=np.float64)
    total, different = sizes.sum(), float(len(holders))
    value = different / max(1.0, total)
    without = (different - alone) / np.maximum(total - sizes, 1)
    influence = (len(texts) - 1) * (without.mean() - without) if len(texts) else without
    means = resampled_sums(influence[:, None], seed)[:, 0] / max(1, len(texts))
    return interval_score(value, np.clip(value + means, 0.0, 1.0))
