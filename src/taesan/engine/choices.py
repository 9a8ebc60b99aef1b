"""What an option does to the scores of the next token: the rules, and what sampling draws from."""

import numpy as np
import torch
from torch import Tensor

from taesan.config import GenerationOptions
from taesan.engine.decoding import draw
from taesan.errors import StorageError, UsageError
from taesan.text.tokenizer import Ids

_FORBIDDEN = float("-inf")


class Rules:
    """What texts in progress may not say, or should not say again; in the order in which transformers applies it."""

    def __init__(
        self,
        prompts: list[Ids],
        options: GenerationOptions,
        *,
        end_id: int | None,
        banned: tuple[int, ...],
        vocabulary: int,
        device: torch.device,
    ):
        """`prompts`: one a row, R of them."""
        self._options, self._end_id, self._banned = options, end_id, list(banned)
        self._text: Tensor | None = None  # (R, W), -1 where nothing stands yet
        self._lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        if options.repetition_penalty != 1 or options.no_repeat_ngram:
            width = int(self._lengths.max()) + options.max_tokens
            text = np.full((len(prompts), width), -1, dtype=np.int64)
            for row, prompt in enumerate(prompts):
                text[row, : len(prompt)] = prompt
            self._text = torch.from_numpy(text).to(device)

    def apply(self, scores: Tensor, step: int) -> Tensor:
        """`scores` (R, V) after `step` new tokens, changed; what came in is left as it was."""
        early = self._end_id is not None and step < self._options.min_tokens
        forbidden = [self._end_id, *self._banned] if early else self._banned
        if self._text is None and not forbidden:
            return scores
        scores = scores.clone()
        if self._text is not None:
            text = self._text[:, : int(self._lengths.max())]
            if self._options.repetition_penalty != 1:
                self._discourage(scores, text)
            if 0 < self._options.no_repeat_ngram <= text.shape[1]:
                self._forbid_repeats(scores, text)
        scores[:, forbidden] = _FORBIDDEN
        return scores

    def append(self, tokens: Tensor) -> None:
        """Each row goes on with its token (R,)."""
        if self._text is not None:
            self._text[torch.arange(len(tokens), device=tokens.device), self._lengths] = tokens
            self._lengths = self._lengths + 1

    def keep(self, index: Tensor) -> None:
        """Row i goes on from what was row index[i]."""
        if self._text is not None:
            self._text, self._lengths = self._text[index], self._lengths[index]

    def _discourage(self, scores: Tensor, text: Tensor) -> None:
        ids = torch.where(text < 0, text[:, :1], text)  # twice the same token is no harm
        found, penalty = scores.gather(1, ids), self._options.repetition_penalty
        scores.scatter_(1, ids, torch.where(found < 0, found * penalty, found / penalty))

    def _forbid_repeats(self, scores: Tensor, text: Tensor) -> None:
        """Tokens that would complete a run of n which the row holds already."""
        size = self._options.no_repeat_ngram
        runs = text.unfold(1, size, 1)  # (R, W - n + 1, n)
        places = self._lengths[:, None] + torch.arange(1 - size, 0, device=text.device)
        ending = text.gather(1, places.clamp(min=0))  # (R, n - 1); too short a row has no whole run to match
        last = runs[..., -1]
        matches = (runs[..., :-1] == ending[:, None]).all(dim=-1) & (last >= 0)
        ids = torch.where(matches, last, text[:, :1])
        found = torch.where(matches, _FORBIDDEN, scores.gather(1, ids))
        scores.scatter_reduce_(1, ids, found, "amin")


def check_possible(best: Tensor, step: int) -> None:
    """Raises: UsageError where the best score (R,) is that of a forbidden token, StorageError where it is no number."""
    if bool(torch.isfinite(best).all()):
        return
    if bool(best.isnan().any()):
        raise StorageError("the model's scores are not numbers: its weights are damaged. Copy the model again.")
    raise UsageError(
        f"after {step:,} new tokens every token is forbidden; expected a larger no_repeat_ngram, or fewer banned tokens"
    )


def narrow(scores: Tensor, options: GenerationOptions) -> Tensor:
    """`scores` (R, V) at the temperature, and -inf outside the top k and the nucleus, as transformers warps them.

    Tokens that tie with the k-th all stay; of those that tie at the nucleus's edge as many as it takes.
    """
    if options.temperature != 1:
        scores = scores / options.temperature
    if 0 < options.top_k < scores.shape[1]:
        least = scores.topk(options.top_k).values[:, -1:]
        scores = scores.masked_fill(scores < least, _FORBIDDEN)
    if options.top_p == 1:
        return scores
    ordered = torch.from_numpy(np.sort(scores.cpu().numpy(), axis=1)).to(scores.device)  # four times torch's speed
    outside = (ordered.softmax(dim=1).cumsum(dim=1) <= 1 - options.top_p)[:, :-1].sum(dim=1, keepdim=True)
    edge = ordered.gather(1, outside)
    kept = scores >= edge
    tied = (kept.sum(dim=1) != scores.shape[1] - outside[:, 0]).nonzero()[:, 0]
    if len(tied):  # some of those that tie at the edge stay out: the ones that torch's sort happens to put first
        order = scores[tied].sort(dim=1).indices
        inside = torch.arange(scores.shape[1], device=scores.device) >= outside[tied]
        kept[tied] = torch.empty_like(inside).scatter_(1, order, inside)
    return scores.masked_fill(~kept, _FORBIDDEN)


def sample(scores: Tensor, options: GenerationOptions, chance: np.ndarray) -> Tensor:
    """A token drawn for each row of `scores` (R, V), by its number in [0, 1) (R,)."""
    scores = narrow(scores, options)
    width = int((scores > _FORBIDDEN).sum(dim=1).max())
    if width > scores.shape[1] // 8:
        return torch.from_numpy(draw(scores.cpu().numpy(), chance)).to(scores.device)
    ids = scores.topk(width).indices.sort(dim=1).values
    columns = torch.from_numpy(draw(scores.gather(1, ids).cpu().numpy(), chance)).to(scores.device)
    return ids.gather(1, columns[:, None])[:, 0]
