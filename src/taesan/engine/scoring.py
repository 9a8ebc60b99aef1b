"""The text view: questions to a language model in text-level calls, and the predictor that asks them. No torch here.

A remote model is another `Scorer`; what prompts share, and how tokens come into it, is the local one's own business.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from taesan.config import GenerationOptions
from taesan.engine.decoding import Generated
from taesan.engine.infer import CHUNK_ROWS, Advance, OnToken, chunks
from taesan.errors import DataError, Problem
from taesan.tasks.base import Ask, EncodeOptions, Example, Found, Learnt, Prediction, Task
from taesan.tasks.fitting import fit_slots
from taesan.tasks.templates import Prompt, Template
from taesan.text.similarity import Similarity
from taesan.text.tokenizer import Tokenizer

PART_TOKENS = 16  # the longest part of a text that may be an answer


@dataclass(frozen=True, slots=True)
class Parts:
    """An answer can only be a part of `text`, or one of `others`. What comes after it begins with one of `ends`."""

    text: str
    others: tuple[str, ...] = ()
    ends: tuple[str, ...] = ("\n",)


@dataclass(frozen=True, slots=True)
class Free:
    """An answer may be anything, until one of `ends` or the model's own."""

    options: GenerationOptions
    ends: tuple[str, ...] = ("\n",)


class Scorer(Protocol):
    """A language model, asked in text. Nothing in a prompt is ever a control token."""

    def score(self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]]) -> list[Found]:
        """The log-probability of each of a prompt's choices, all of its tokens together."""
        ...

    def generate(self, prompts: Sequence[Prompt], constraints: Sequence[Parts]) -> list[Found]:
        """What answers each prompt within its constraint: every part of a text, with its log-probability."""
        ...

    def write(
        self, prompts: Sequence[Prompt], constraint: Free, *, on_token: OnToken | None = None
    ) -> list[list[Generated]]:
        """The same where an answer may be anything."""
        ...


@dataclass(frozen=True)
class Asking:
    """How a task is asked without a weight being learnt: what `in-context` chose and stored.

    With `similar` shots a question is asked after that many, those most like it; else after all. `normalized`: a
    choice's log-probability is divided by its characters. `offsets` are taken from the choices', in their order.
    """

    template: Template
    words: Mapping[str, str]
    shots: tuple[Example, ...] = ()
    similar: int = 0
    normalized: bool = False
    offsets: tuple[float, ...] = ()


class TextPredictor:
    """A task asked of a language model: examples in, predictions out, in order, in memory that does not grow."""

    def __init__(
        self,
        task: Task,
        scorer: Scorer,
        tokenizer: Tokenizer,
        learnt: Learnt,
        options: EncodeOptions,
        asking: Asking,
    ):
        self.task, self.tokenizer, self.learnt, self.options = task, tokenizer, learnt, options
        self._scorer, self.asking = scorer, asking
        self.cut = 0
        self.generation: GenerationOptions | None = None  # with it, a task for which texts are generated has them
        self._similarity: Similarity | None = None
        self._sizes: dict[str, int] = {}

    def predict(self, examples: Iterable[Example], *, advance: Advance | None = None) -> Iterator[Prediction]:
        for chunk in chunks(examples, CHUNK_ROWS):
            found = self._ask(chunk)
            if advance is not None:
                advance(len(chunk))
            for example, one in zip(chunk, found, strict=True):
                yield self.task.parse(example, one, self.learnt)

    def choices(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """Log-probabilities of the choices as they are, (examples, choices): what calibration is estimated from."""
        plain = replace(self.asking, offsets=())
        asked = TextPredictor(self.task, self._scorer, self.tokenizer, self.learnt, self.options, plain)
        found = asked._ask(examples)
        return np.array([one.choices for (one,) in found])

    def write(
        self, examples: Sequence[Example], options: GenerationOptions, *, on_token: OnToken | None = None
    ) -> list[list[Generated]]:
        asked = [prompt for example in examples for prompt in self.prompt(example)]
        return self._scorer.write(asked, Free(options, (self.asking.template.separator[:1],)), on_token=on_token)

    def read_tokens(self, examples: Sequence[Example]) -> list[int]:
        return [
            sum(self._size(prompt.before) + self._size(prompt.after) for prompt in self.prompt(example))
            for example in examples
        ]

    def used_tokens(self, example: Example) -> int:
        """What shots, template and the answer take of the model's length, an example without text given."""
        ask, prompt = self._prompts(example, fitted=False)[-1]
        return self._answer_tokens(ask) + sum(len(ids) for ids in self.tokenizer.ids([prompt.before, prompt.after]))

    def in_order(self, places: NDArray[np.int64]) -> "TextPredictor":
        """The same with its shots in another order."""
        other = replace(self.asking, shots=tuple(self.asking.shots[place] for place in places))
        return TextPredictor(self.task, self._scorer, self.tokenizer, self.learnt, self.options, other)

    def prompt(self, example: Example) -> list[Prompt]:
        """The questions about an example, as the model is asked them."""
        return [prompt for _, prompt in self._prompts(example)]

    def _ask(self, examples: Sequence[Example]) -> list[list[Found]]:
        asked = [(number, *one) for number, example in enumerate(examples) for one in self._prompts(example)]
        found: list[list[Found]] = [[] for _ in examples]
        scored = [(ask, prompt) for _, ask, prompt in asked if not ask.parts_of]
        choices = iter(self._scorer.score([prompt for _, prompt in scored], [ask.choices for ask, _ in scored]))
        parts = [(ask, prompt) for _, ask, prompt in asked if ask.parts_of]
        constraints = [Parts(ask.slots[ask.parts_of], ask.choices, self._ends()) for ask, _ in parts]
        spans = iter(self._scorer.generate([prompt for _, prompt in parts], constraints))
        for number, ask, _ in asked:
            found[number].append(next(spans) if ask.parts_of else self._judged(next(choices)))
        if self.generation is not None:
            texts = self.write(examples, self.generation)
            found = [
                [replace(one, text=self.tokenizer.text(text.ids).strip(), text_log_probability=text.log_probability)]
                for (one,), (text, *_) in zip(found, texts, strict=True)
            ]
        return found

    def _judged(self, found: Found) -> Found:
        if not self.asking.words:
            return found
        scores = found.choices
        if self.asking.normalized:
            scores = scores / np.array([len(word) for word in self.asking.words.values()])
        return replace(found, choices=scores - np.array(self.asking.offsets or 0.0))

    def _prompts(self, example: Example, *, fitted: bool = True) -> list[tuple[Ask, Prompt]]:
        """The questions about an example, each with its shots before it, no longer than the model reads."""
        template, words, shots = self.asking.template, self.asking.words, self._shots(example)
        told = [self.task.told(shot, words, template.nothing, template.between) for shot in shots]
        asked = [self.task.ask(shot, words, template.nothing) for shot in shots]
        prompts: list[tuple[Ask, Prompt]] = []
        shortened = False
        for number, ask in enumerate(self.task.ask(example, words, template.nothing)):
            before = "".join(
                template.shot(one[number].slots, answers[number]) for one, answers in zip(asked, told, strict=True)
            )
            if not fitted:
                prompts.append((ask, template.prompt(ask.slots, before)))
                continue
            room = self.options.max_length - self._size(before) - self._answer_tokens(ask)
            own = [name for name in self.task.slots if name in ask.slots and name != "label"]
            policy = "head" if ask.parts_of else self.options.long_text  # so that offsets stay what they are
            self._refuse_long(example, ask)
            slots, cut = fit_slots(ask.slots, self._count, room, self.tokenizer, policy=policy, names=own)
            shortened = shortened or cut
            prompts.append((replace(ask, slots=slots), template.prompt(slots, before)))
        self.cut += shortened
        return prompts

    def _shots(self, example: Example) -> Sequence[Example]:
        if not self.asking.similar:
            return self.asking.shots
        if self._similarity is None:
            self._similarity = Similarity([self._given(shot) for shot in self.asking.shots])
        nearest = self._similarity.nearest(self._given(example), self.asking.similar + 1)
        shots = [self.asking.shots[place] for place in nearest]
        # Within `fit` a row of the pool itself may be asked about: it is no shot of its own.
        others = [shot for shot in shots if not (example.line and shot.line == example.line)]
        return others[: self.asking.similar][::-1]  # the most similar one stands last

    def _given(self, example: Example) -> str:
        """What is known of an example before its answer is."""
        return " ".join(example.texts[: sum(name != "label" for name in self.task.slots)])

    def _answer_tokens(self, ask: Ask) -> int:
        """Room for what may answer, and for the control tokens around it all."""
        around = self.tokenizer.layout.single_tokens + 2
        if ask.parts_of:
            return around + PART_TOKENS
        if self.asking.words:
            return around + max((self._size(choice) for choice in ask.choices), default=0)
        # A text is written behind the same prompt whether a reference is known or not.
        return around + self.options.max_length // 4

    def _refuse_long(self, example: Example, ask: Ask) -> None:
        most = self.options.max_length // 4
        for choice in ask.choices if not self.asking.words and not ask.parts_of else ():
            if (size := self._size(choice)) > most:
                found, fix = f"{size:,} tokens", "Shorten it, or measure with fine-tuning, which reads windows."
                expected = f"at most {most:,} beside a prompt and its shots"
                raise DataError(
                    [Problem("completion-long", "input", example.line, 0, "completion", found, expected, fix)]
                )

    def _count(self, slots: Mapping[str, str]) -> int:
        prompt = self.asking.template.prompt(slots)
        return sum(len(ids) for ids in self.tokenizer.ids([prompt.before, prompt.after]))

    def _size(self, text: str) -> int:
        if len(self._sizes) > CHUNK_ROWS:
            self._sizes.clear()
        if text not in self._sizes:
            self._sizes[text] = len(self.tokenizer.ids([text])[0])
        return self._sizes[text]

    def _ends(self) -> tuple[str, ...]:
        template = self.asking.template
        several = template.between.strip() if self.asking.words else ""
        return (*filter(None, (template.separator[:1], several[:1])),)
