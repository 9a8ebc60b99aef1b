"""Text from a causal language model: greedy, drawn, or searched with beams; our own loop over keys and values.

Prompts of any length are decoded side by side, and a text's tokens do not depend on its neighbours: a decoder's `Rows`
see to that. The tokens are those of `generate` of transformers with the same options. No torch here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from taesan.config import GenerationOptions
from taesan.engine.beams import Candidates, likeliest, search
from taesan.engine.choices import Rules, check_possible, sample
from taesan.engine.decoding import Chosen, Generated, chances, log_sum_exp
from taesan.engine.rows import Decoder, Rows
from taesan.errors import UsageError
from taesan.text.tokenizer import Ids

BATCH_ROWS = 64
BATCH_TOKENS = 1 << 15  # places for keys and values held at once
OnToken = Callable[[int, int, Chosen], object]  # is told number of the prompt, number of its text, and the new token


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
    """A causal model that writes."""

    def __init__(self, decoder: Decoder, *, end_id: int | None, max_length: int, banned: tuple[int, ...] = ()):
        """`end_id` ends a text; `max_length` is the longest, prompt included; `banned` ids are never generated."""
        self._decoder, self._end_id, self._max_length, self._banned = decoder, end_id, max_length, banned

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
        for batch in self._batches(prompts, options):
            some = [prompts[number] for number in batch]
            texts = self._search(some, options) if options.beams > 1 else self._write(some, options, on_token, batch)
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
            scores = rules.apply(logits, step)
            check_possible(scores.max(axis=1), step)
            if options.sample:
                tokens = sample(scores, options, np.array([text.chances[step] for text in texts]))
            else:
                tokens = scores.argmax(axis=1)
            sums = log_sum_exp(logits)
            own = (logits[np.arange(len(tokens)), tokens] - sums[:, 0]).tolist()
            reports = likeliest(logits, sums, options.candidates)
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
                index = np.array(left)
                rules.keep(index)
                rows.keep(index)
                texts, tokens = [texts[row] for row in left], tokens[index]
            logits, step = rows.step(tokens), step + 1

    def _search(self, prompts: list[Ids], options: GenerationOptions) -> list[list[Generated]]:
        rows, rules = self._open(prompts, options.beams, options)
        lengths, limits = list(map(len, prompts)), self._limits(prompts, options)
        return search(rows, rules, lengths, limits, options, self._end_id)

    def _open(self, prompts: list[Ids], copies: int, options: GenerationOptions) -> tuple[Rows, Rules]:
        texts = [prompt for prompt in prompts for _ in range(copies)]
        rules = Rules(texts, options, end_id=self._end_id, banned=self._banned)
        return self._decoder.read(prompts, copies), rules

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
            if batch and (not self._decoder.side_by_side or rows > BATCH_ROWS or rows * longest > BATCH_TOKENS):
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
        most = self._decoder.vocabulary_size - 1
        if int(prompt.min()) < 0 or int(prompt.max()) > most:
            raise UsageError(f"prompt {number + 1:,} has an id that the model does not know; expected 0 to {most:,}")


def _close_up(over: list[bool]) -> list[int]:
    """The rows that go on, the last ones in the places of those that do not: few have to move."""
    count = over.count(False)
    movers = iter([row for row in range(count, len(over)) if not over[row]])
    return [next(movers) if over[row] else row for row in range(count)]
