"""Text from a causal language model: greedy, drawn, or searched with beams; our own loop over keys and values.

Prompts of any length are decoded side by side, and a text's tokens do not depend on its neighbours: `engine/rows.py`
says how. The tokens are those of `generate` of transformers with the same options.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from taesan.config import GenerationOptions
from taesan.engine import gpt2_step
from taesan.engine.beams import Candidates, likeliest, search
from taesan.engine.choices import Rules, check_possible, sample
from taesan.engine.decoding import Chosen, Generated, chances
from taesan.engine.packed import frozen, packed
from taesan.engine.rows import JointRows, LoneRows, Rows
from taesan.errors import UsageError
from taesan.models.cache import KeysValues, keeps_everything
from taesan.text.tokenizer import Ids

BATCH_ROWS = 64
BATCH_TOKENS = 1 << 15  # places for keys and values held at once
OnToken = Callable[[int, int, Chosen], object]  # is told number of the prompt, number of its text, and the new token


class Way(Enum):
    """How the texts of a batch are decoded."""

    DIRECT = "side by side, past the model's own forward"
    JOINT = "side by side"
    LONE = "the texts of one prompt at a time, by what every architecture can do"


@dataclass
class _Text:
    """A text in progress."""

    prompt: int
    sequence: int
    limit: int
    chances: NDArray[np.float64]
    ids: list[int] = field(default_factory=list)
    log_probabilities: list[float] = field(default_factory=list)
    candidates: list[Candidates] = field(default_factory=list)

    def end(self, finished: bool) -> Generated:
        return Generated(tuple(self.ids), finished, tuple(self.log_probabilities), self.candidates)


class Generator:
    """A causal model that writes. It keeps the weights as they are now, and never touches the model itself."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        end_id: int | None,
        max_length: int,
        banned: tuple[int, ...] = (),
        before: KeysValues | None = None,
    ):
        """`end_id` ends a text; `max_length` is the longest, prompt included; `banned` ids are never generated.

        `before`: each layer's keys and values (1, H, V, D/H) that stand before every text.
        """
        self._end_id, self._max_length, self._banned = end_id, max_length, banned
        self._before = [(keys.detach(), values.detach()) for keys, values in before or []]
        self._model, self._way = _fastest(model, self._before)

    def generate(
        self, prompts: Sequence[Ids], options: GenerationOptions, *, on_token: OnToken | None = None
    ) -> list[list[Generated]]:
        """Each prompt's `sequences` texts, in order; of beams the best first.

        Prompts are token ids (T,) with whatever control tokens they need. `on_token` is told of every token as it is
        chosen, the end token aside; of beams when all is done. A text that meets `max_length` stops unfinished.

        Raises: UsageError for a prompt that is empty or leaves no room, and where the options forbid every token;
        StorageError for a model whose scores are not numbers.
        """
        for number, prompt in enumerate(prompts):
            self._check(number, prompt)
        results: list[list[Generated]] = [[] for _ in prompts]
        with torch.inference_mode():
            for batch in self._batches(prompts, options):
                some = [prompts[number] for number in batch]
                if options.beams > 1:
                    texts = self._search(some, options)
                else:
                    texts = self._write(some, options, on_token, batch)
                for number, own in zip(batch, texts, strict=True):
                    results[number] = own
        if options.beams > 1 and on_token is not None:
            for number, texts in enumerate(results):
                for sequence, text in enumerate(texts):
                    for place, token in enumerate(text.ids):
                        report = text.candidates[place] if text.candidates else []
                        on_token(number, sequence, Chosen(token, text.token_log_probabilities[place], report))
        return results

    def _write(
        self, prompts: list[Ids], options: GenerationOptions, on_token: OnToken | None, numbers: list[int]
    ) -> list[list[Generated]]:
        """Greedy or drawn, a token a step for all texts; those that end leave."""
        copies = options.sequences
        rows, rules = self._open(prompts, copies, options)
        texts = [
            _Text(number, sequence, limit, chances(options.seed, prompt, sequence, limit * options.sample))
            for number, (prompt, limit) in enumerate(zip(prompts, self._limits(prompts, options), strict=True))
            for sequence in range(copies)
        ]
        results: list[list[Generated]] = [[Generated((), False, ())] * copies for _ in prompts]
        logits, step = rows.logits, 0
        while True:
            likely = logits.log_softmax(dim=1)
            scores = rules.apply(logits, step)
            check_possible(scores.amax(dim=1), step)
            if options.sample:
                tokens = sample(scores, options, np.array([text.chances[step] for text in texts]))
            else:
                tokens = torch.from_numpy(scores.cpu().numpy().argmax(axis=1)).to(
                    scores.device
                )  # 10 times torch's speed
            own = likely.gather(1, tokens[:, None])[:, 0].tolist()
            reports = likeliest(likely, options.candidates)
            over: list[bool] = []
            for text, token, log_probability, report in zip(texts, tokens.tolist(), own, reports, strict=True):
                text.log_probabilities.append(log_probability)
                if report:
                    text.candidates.append(report)
                if token != self._end_id:
                    text.ids.append(token)
                    if on_token is not None:
                        on_token(numbers[text.prompt], text.sequence, Chosen(token, log_probability, report))
                over.append(token == self._end_id or step + 1 == text.limit)
                if over[-1]:
                    results[text.prompt][text.sequence] = text.end(token == self._end_id)
            if all(over):
                return results
            rules.append(tokens)
            if any(over):
                left = _close_up(over)
                index = torch.tensor(left, device=tokens.device)
                rules.keep(index)
                rows.keep(index)
                texts, tokens = [texts[row] for row in left], tokens[index]
            logits, step = rows.step(tokens), step + 1

    def _search(self, prompts: list[Ids], options: GenerationOptions) -> list[list[Generated]]:
        rows, rules = self._open(prompts, options.beams, options)
        lengths, limits = list(map(len, prompts)), self._limits(prompts, options)
        return search(rows, rules, lengths, limits, options, self._end_id)

    def _open(self, prompts: list[Ids], copies: int, options: GenerationOptions) -> tuple[Rows, Rules]:
        rows = _rows(self._model, prompts, copies, self._way, self._before)
        rules = Rules(
            [prompt for prompt in prompts for _ in range(copies)],
            options,
            end_id=self._end_id,
            banned=self._banned,
            vocabulary=rows.logits.shape[1],
            device=rows.logits.device,
        )
        return rows, rules

    def _limits(self, prompts: Sequence[Ids], options: GenerationOptions) -> list[int]:
        """How many new tokens each text may have."""
        return [min(options.max_tokens, self._max_length - len(prompt)) for prompt in prompts]

    def _batches(self, prompts: Sequence[Ids], options: GenerationOptions) -> Iterator[list[int]]:
        """Numbers of prompts of like length, as many as are decoded side by side; one alone where that is all."""
        limits = self._limits(prompts, options)
        copies = max(options.beams, options.sequences)
        batch: list[int] = []
        longest = 0
        for number in sorted(range(len(prompts)), key=lambda number: len(prompts[number])):
            longest = max(longest, len(prompts[number]) + limits[number])
            rows = (len(batch) + 1) * copies
            if batch and (self._way is Way.LONE or rows > BATCH_ROWS or rows * longest > BATCH_TOKENS):
                yield batch
                batch, longest = [], len(prompts[number]) + limits[number]
            batch.append(number)
        if batch:
            yield batch

    def _check(self, number: int, prompt: Ids) -> None:
        if len(prompt) == 0:
            raise UsageError(f"prompt {number + 1:,} is empty; expected at least one token to go on from")
        if len(prompt) >= self._max_length:
            raise UsageError(
                f"prompt {number + 1:,} has {len(prompt):,} tokens, and the model reads at most {self._max_length:,}: "
                "there is no room for a new one. Shorten it; nothing is cut in silence."
            )
        most = _vocabulary(self._model) - 1
        if int(prompt.min()) < 0 or int(prompt.max()) > most:
            raise UsageError(f"prompt {number + 1:,} has an id that the model does not know; expected 0 to {most:,}")


def _vocabulary(model: PreTrainedModel) -> int:
    return model.get_input_embeddings().get_parameter("weight").shape[0]


def _close_up(over: list[bool]) -> list[int]:
    """The rows that go on, the last ones in the places of those that do not: few have to move."""
    count = over.count(False)
    movers = iter([row for row in range(count, len(over)) if not over[row]])
    return [next(movers) if over[row] else row for row in range(count)]


def _rows(model: PreTrainedModel, prompts: list[Ids], copies: int, way: Way, before: KeysValues) -> Rows:
    if way is Way.LONE:
        (prompt,) = prompts
        return LoneRows(model, prompt, copies, before)
    return JointRows(model, prompts, copies, before, direct=way is Way.DIRECT)


def _fastest(model: PreTrainedModel, before: KeysValues) -> tuple[PreTrainedModel, Way]:
    """The model as it decodes fastest, and how.

    Found by asking: whatever does not give the logits of the model itself, one text at a time, is not used.
    """
    plain = frozen(model)
    prompts = [np.arange(1, 1 + length, dtype=np.int32) % _vocabulary(plain) for length in (3, 6)]
    whole = keeps_everything(model)  # else texts cannot be put side by side, even if two short ones agree
    direct = (Way.DIRECT,) if whole and gpt2_step.applies(plain) else ()
    ways = (*direct, Way.JOINT, Way.LONE) if whole else (Way.LONE,)
    with torch.inference_mode():
        expected = torch.cat([_second(LoneRows(plain, prompt, 1, before)) for prompt in prompts])
        for candidate in (packed(model), plain):
            for way in ways if candidate is not None else ():
                if candidate is not None and _agrees(candidate, way, prompts, before, expected):
                    return candidate, way
    return plain, Way.LONE


def _agrees(model: PreTrainedModel, way: Way, prompts: list[Ids], before: KeysValues, expected: Tensor) -> bool:
    together = [[prompt] for prompt in prompts] if way is Way.LONE else [prompts]
    try:
        found = torch.cat([_second(_rows(model, some, 1, way, before)) for some in together])
    except Exception:  # whatever an architecture says that takes no such mask, positions or cache
        return False
    scale = 1e-3 * float(expected.abs().max())
    return found.shape == expected.shape and bool(torch.allclose(found, expected, rtol=0, atol=scale))


def _second(rows: Rows) -> Tensor:
    """The logits after the likeliest token (R, V)."""
    return rows.step(rows.logits.argmax(dim=1))
