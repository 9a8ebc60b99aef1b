"""What an option does to the scores of the next token: the rules, and what sampling draws from."""

import numpy as np
import torch
from torch import Tensor

from taesan.engine.decoding import GenerationOptions, draw
from taesan.errors import UsageError
from taesan.text.tokenizer import Ids

_FORBIDDEN = float("-inf")
_LEADING = 256  # a nucleus is sought in so many of the likeliest tokens before all are sorted


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
        self._seen: Tensor | None = None  # (R, V)
        self._text: Tensor | None = None  # (R, W), -1 where nothing stands yet
        self._lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        if options.repetition_penalty != 1:
            self._seen = torch.zeros(len(prompts), vocabulary, dtype=torch.bool, device=device)
            for row, prompt in enumerate(prompts):
                self._seen[row, torch.from_numpy(prompt.astype(np.int64)).to(device)] = True
        if options.no_repeat_ngram:
            width = int(self._lengths.max()) + options.max_tokens
            text = np.full((len(prompts), width), -1, dtype=np.int64)
            for row, prompt in enumerate(prompts):
                text[row, : len(prompt)] = prompt
            self._text = torch.from_numpy(text).to(device)

    def apply(self, scores: Tensor, step: int) -> Tensor:
        """`scores` (R, V) after `step` new tokens, changed; what came in is left as it was.

        Raises: UsageError where nothing is left that may be said.
        """
        given = scores
        if self._seen is not None:
            penalty = self._options.repetition_penalty
            changed = torch.where(scores < 0, scores * penalty, scores / penalty)
            scores = torch.where(self._seen, changed, scores)
        if self._text is not None:
            scores = scores.masked_fill(self._completes(self._text, scores.shape[1]), _FORBIDDEN)
        forbidden = self._banned
        if self._end_id is not None and step < self._options.min_tokens:
            forbidden = [self._end_id, *forbidden]
        if forbidden:
            scores = scores.clone() if scores is given else scores
            scores[:, forbidden] = _FORBIDDEN
        if scores is not given and not bool(torch.isfinite(scores.amax(dim=1)).all()):
            raise UsageError(
                f"after {step:,} new tokens every token is forbidden; expected a larger no_repeat_ngram, or fewer banned"
            )
        return scores

    def append(self, tokens: Tensor) -> None:
        """Each row goes on with its token (R,)."""
        rows = torch.arange(len(tokens), device=tokens.device)
        if self._seen is not None:
            self._seen[rows, tokens] = True
        if self._text is not None:
            self._text[rows, self._lengths] = tokens
            self._lengths = self._lengths + 1

    def keep(self, index: Tensor) -> None:
        """Row i goes on from what was row index[i]."""
        self._seen = None if self._seen is None else self._seen[index]
        self._text = None if self._text is None else self._text[index]
        self._lengths = self._lengths[index]

    def _completes(self, text: Tensor, vocabulary: int) -> Tensor:
        """Tokens that would complete a run of n which the row holds already (R, V)."""
        size = self._options.no_repeat_ngram
        longest = int(self._lengths.max())
        if longest < size:
            return torch.zeros(len(text), vocabulary, dtype=torch.bool, device=text.device)
        runs = text[:, :longest].unfold(1, size, 1)  # (R, W - n + 1, n)
        places = self._lengths[:, None] + torch.arange(1 - size, 0, device=text.device)
        ending = text.gather(1, places.clamp(min=0))  # (R, n - 1); too short a row has no whole run to match
        last = runs[..., -1]
        matches = (runs[..., :-1] == ending[:, None]).all(dim=-1) & (last >= 0)
        found = torch.zeros(len(text), vocabulary + 1, dtype=torch.bool, device=text.device)
        return found.scatter_(1, torch.where(matches, last, vocabulary), True)[:, :vocabulary]


def narrow(scores: Tensor, options: GenerationOptions) -> Tensor:
    """`scores` (R, V) at the temperature, and -inf outside the top k and the nucleus, as transformers warps them.

    Tokens that tie with the k-th all stay; of those that tie at the nucleus's edge the ones with higher ids do.
    """
    if options.temperature != 1:
        scores = scores / options.temperature
    if 0 < options.top_k < scores.shape[1]:
        least = scores.topk(options.top_k).values[:, -1:]
        scores = scores.masked_fill(scores < least, _FORBIDDEN)
    if options.top_p == 1:
        return scores
    kept = torch.zeros_like(scores, dtype=torch.bool)
    leading = min(_LEADING, scores.shape[1])
    values, ids = scores.topk(leading)
    log_sums = scores.logsumexp(dim=1, keepdim=True)
    # Each row decides for itself, so that it does not matter which rows stand beside it.
    mass = (values - log_sums).exp().sum(dim=1)
    inside = (mass > options.top_p + 1e-3) if leading < scores.shape[1] else torch.zeros_like(mass, dtype=torch.bool)
    if bool(inside.any()):
        some = ids[inside].sort(dim=1).values  # by id, as ties are told apart by it
        chosen = _nucleus(scores[inside].gather(1, some), log_sums[inside], options.top_p)
        kept[inside] = torch.zeros_like(kept[inside]).scatter_(1, some, chosen)
    if not bool(inside.all()):
        kept[~inside] = _nucleus(scores[~inside], log_sums[~inside], options.top_p)
    return scores.masked_fill(~kept, _FORBIDDEN)


def _nucleus(scores: Tensor, log_sums: Tensor, top_p: float) -> Tensor:
    """Which columns the nucleus holds (R, M). What is not among the columns has less probability than any of them."""
    ordered, order = scores.sort(dim=1, stable=True)
    probabilities = (ordered - log_sums).exp()
    below = (1 - probabilities.sum(dim=1, keepdim=True)).clamp(min=0)
    removed = probabilities.cumsum(dim=1) + below <= 1 - top_p
    removed[:, -1] = False
    return torch.ones_like(removed).scatter_(1, order, ~removed)


def sample(scores: Tensor, options: GenerationOptions, chance: np.ndarray) -> Tensor:
    """A token drawn for each row of `scores` (R, V), by its number in [0, 1) (R,)."""
    scores = narrow(scores, options)
    width = int((scores > _FORBIDDEN).sum(dim=1).max())
    if width > scores.shape[1] // 8:
        return torch.from_numpy(draw(scores.cpu().numpy(), chance)).to(scores.device)
    ids = scores.topk(width).indices.sort(dim=1).values
    columns = torch.from_numpy(draw(scores.gather(1, ids).cpu().numpy(), chance)).to(scores.device)
    return ids.gather(1, columns[:, None])[:, 0]
