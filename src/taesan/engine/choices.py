"""What an option does to the scores of the next token: the rules, and what sampling draws from. No torch here."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from taesan.config import GenerationOptions
from taesan.engine.decoding import draw, top
from taesan.engine.rows import Indices, Scores
from taesan.errors import StorageError, UsageError
from taesan.text.tokenizer import Ids

_FORBIDDEN = -np.inf


class Rules:
    """What texts in progress may not say, or should not say again; in the order in which transformers applies it."""

    def __init__(self, prompts: list[Ids], options: GenerationOptions, *, end_id: int | None, banned: tuple[int, ...]):
        """`prompts`: one a row, R of them."""
        self._options, self._end_id, self._banned = options, end_id, list(banned)
        self._text: Indices | None = None  # (R, W), -1 where nothing stands yet
        self._lengths = np.array([len(prompt) for prompt in prompts])
        if options.repetition_penalty != 1 or options.no_repeat_ngram:
            width = int(self._lengths.max()) + options.max_tokens
            self._text = np.full((len(prompts), width), -1, dtype=np.int64)
            for row, prompt in enumerate(prompts):
                self._text[row, : len(prompt)] = prompt

    def apply(self, scores: Scores, step: int) -> Scores:
        """`scores` (R, V) after `step` new tokens, changed; what came in is left as it was."""
        early = self._end_id is not None and step < self._options.min_tokens
        forbidden = [self._end_id, *self._banned] if early else self._banned
        if self._text is None and not forbidden:
            return scores
        scores = scores.copy()
        if self._text is not None:
            text = self._text[:, : self._lengths.max()]
            if self._options.repetition_penalty != 1:
                self._discourage(scores, text)
            if 0 < self._options.no_repeat_ngram <= text.shape[1]:
                self._forbid_repeats(scores, text)
        scores[:, forbidden] = _FORBIDDEN
        return scores

    def append(self, tokens: Indices) -> None:
        """Each row goes on with its token (R,)."""
        if self._text is not None:
            self._text[np.arange(len(tokens)), self._lengths] = tokens
            self._lengths = self._lengths + 1

    def keep(self, index: Indices) -> None:
        """Row i goes on from what was row index[i]."""
        if self._text is not None:
            self._text, self._lengths = self._text[index], self._lengths[index]

    def _discourage(self, scores: Scores, text: Indices) -> None:
        ids = np.where(text < 0, text[:, :1], text)  # twice the same token is no harm
        found, penalty = np.take_along_axis(scores, ids, axis=1), self._options.repetition_penalty
        np.put_along_axis(scores, ids, np.where(found < 0, found * penalty, found / penalty), axis=1)

    def _forbid_repeats(self, scores: Scores, text: Indices) -> None:
        """Tokens that would complete a run of n which the row holds already."""
        size = self._options.no_repeat_ngram
        runs = sliding_window_view(text, size, axis=1)  # (R, W - n + 1, n)
        places = self._lengths[:, None] + np.arange(1 - size, 0)
        ending = np.take_along_axis(text, places.clip(min=0), axis=1)  # (R, n - 1); a shorter row has no run to match
        last = runs[..., -1]
        rows, matches = np.nonzero((runs[..., :-1] == ending[:, None]).all(axis=-1) & (last >= 0))
        scores[rows, last[rows, matches]] = _FORBIDDEN


def check_possible(best: Scores, step: int) -> None:
    """Raises: UsageError where the best score (R,) is that of a forbidden token, StorageError where it is no number."""
    if np.isfinite(best).all():
        return
    if np.isnan(best).any():
        raise StorageError("the model's scores are not numbers: its weights are damaged. Copy the model again.")
    raise UsageError(
        f"after {step:,} new tokens every token is forbidden; expected a larger no_repeat_ngram, or fewer banned tokens"
    )


def narrow(scores: Scores, options: GenerationOptions) -> Scores:
    """`scores` (R, V) at the temperature, and -inf outside the top k and the nucleus, as transformers warps them.

    Tokens that tie with the k-th all stay; of those that tie at the nucleus's edge as many as it takes, the last ones.
    """
    if options.temperature != 1:
        scores = scores / np.float32(options.temperature)
    if 0 < options.top_k < scores.shape[1]:
        least = top(scores, options.top_k)[0][:, -1:]
        scores = np.where(scores < least, np.float32(_FORBIDDEN), scores)
    if options.top_p == 1:
        return scores
    ordered = np.sort(scores, axis=1)
    weights = np.exp(ordered - ordered[:, -1:])
    weights /= weights.sum(axis=1, keepdims=True)
    sums = weights.cumsum(axis=1, dtype=np.float64).astype(np.float32)
    outside = (sums <= np.float32(1 - options.top_p))[:, :-1].sum(axis=1, keepdims=True)
    kept = scores >= np.take_along_axis(ordered, outside, axis=1)
    tied = np.flatnonzero(kept.sum(axis=1) != scores.shape[1] - outside[:, 0])
    for row in tied:  # some of those that tie at the edge stay out
        order = scores[row].argsort(kind="stable")
        kept[row, order[: outside[row, 0]]] = False
    return np.where(kept, scores, np.float32(_FORBIDDEN))


def sample(scores: Scores, options: GenerationOptions, chance: NDArray[np.float64]) -> Indices:
    """A token drawn for each row of `scores` (R, V), by its number in [0, 1) (R,)."""
    scores = narrow(scores, options)
    possible = scores > _FORBIDDEN
    counts = possible.sum(axis=1)
    if (width := counts.max()) > scores.shape[1] // 8:
        return draw(scores, chance)
    row, column = np.nonzero(possible)
    places = np.arange(len(row)) - np.repeat(counts.cumsum() - counts, counts)
    few = np.full((len(scores), width), _FORBIDDEN, dtype=np.float32)
    ids = np.zeros(few.shape, dtype=np.int64)
    few[row, places], ids[row, places] = scores[row, column], column
    return ids[np.arange(len(ids)), draw(few, chance)]
