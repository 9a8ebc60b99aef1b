"""`taesan generate DIR "…"`: texts by a causal language model, from a fitted folder or a backbone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taesan.config import GenerationOptions
from taesan.engine.decoding import Candidate, Chosen, Generated
from taesan.engine.infer import Asked, Writes
from taesan.engine.load import DEVICE, open_writer
from taesan.errors import DataError, Problem, UsageError
from taesan.tasks.base import Example
from taesan.text.tokenizer import Tokenizer

OnText = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Step:
    """A token that was chosen: its spelling, the text that it made whole, the likeliest ones where asked for.

    The last may have no token: a text that ends within a character ends with U+FFFD.
    """

    token: str
    text: str
    log_probability: float = 0.0
    candidates: tuple[Candidate, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        candidates = [candidate.as_dict() for candidate in self.candidates]
        chosen = {"token": self.token, "text": self.text, "log_probability": self.log_probability}
        return chosen | {"candidates": candidates}


OnStep = Callable[[Step], object]


@dataclass(frozen=True, slots=True)
class Written:
    """A text that the model wrote after `prompt`, in reply where it `answers`, else to go on with it.

    `log_probability` (nats) is that of all its `tokens`; `finished` says that it ended by itself; `steps` holds the
    likeliest pieces at each token, where asked for.
    """

    prompt: str
    text: str
    log_probability: float
    tokens: int
    finished: bool
    answers: bool
    steps: tuple[tuple[Candidate, ...], ...] = ()

    @property
    def shown(self) -> str:
        """The reply, or the prompt as it goes on."""
        return self.text if self.answers else self.prompt + self.text

    def as_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "prompt": self.prompt,
            "text": self.text,
            "log_probability": self.log_probability,
            "tokens": self.tokens,
            "finished": self.finished,
        }
        if self.steps:
            found["steps"] = [[candidate.as_dict() for candidate in step] for step in self.steps]
        return found


def generate(
    model: str | Path | Asked,
    prompts: Sequence[str],
    *,
    options: GenerationOptions | None = None,
    device: str = DEVICE,
    backbone: str | None = None,
    on_text: OnText | None = None,
    on_step: OnStep | None = None,
) -> list[list[Written]]:
    """For each prompt its texts, `options.sequences` of them.

    `model` is a folder fitted for generation, an opened one, or a causal backbone, which goes on with the prompt.
    `on_step` is told of the first prompt's first text token by token, as it comes (of beams, when they are done);
    `on_text` of the same in pieces of text, after the prompt where that is gone on with.
    Raises: UsageError for a model that cannot write, absurd options, an empty prompt; DataError for one that leaves no
    room; InputMissing, StorageError.
    """
    options = options or GenerationOptions()
    predictor = open_writer(model, device=device, backbone=backbone) if isinstance(model, str | Path) else model
    if not isinstance(predictor, Writes) or predictor.task.head != "language_model":
        raise UsageError(f"the model answers {predictor.task.name}, and writes no text: taesan predict DIR …")
    if empty := [number for number, prompt in enumerate(prompts, 1) if not prompt.strip()]:
        found = Problem("text-empty", "input", empty[0], found="an empty prompt", expected="some characters")
        raise DataError([found])
    tokenizer = predictor.tokenizer
    examples = [Example((prompt,), line=number) for number, prompt in enumerate(prompts, 1)]
    if on_text is not None and not predictor.learnt.counts["prompted"]:
        on_text(prompts[0])
    steps = _Steps(tokenizer, [tell for tell in (on_step, on_text and _text_alone(on_text)) if tell])
    written = predictor.write(examples, options, on_token=steps if on_text or on_step else None)
    steps.end()
    answers = bool(predictor.learnt.counts["prompted"])
    return [
        [_written(prompt, one, tokenizer, answers) for one in texts]
        for prompt, texts in zip(prompts, written, strict=True)
    ]


class _Steps:
    """Tells of the first text as it grows, whole characters at a time: a token may hold a part of one."""

    def __init__(self, tokenizer: Tokenizer, listeners: Sequence[OnStep]):
        self._tokenizer, self._listeners = tokenizer, listeners
        self._ids: list[int] = []
        self._told = ""

    def __call__(self, prompt: int, sequence: int, one: Chosen) -> None:
        if prompt or sequence:
            return
        self._ids.append(one.token)
        piece = self._new(self._tokenizer.text(self._ids).rstrip("\ufffd"))
        candidates = as_candidates(one.candidates, self._tokenizer)
        self._tell(Step(self._tokenizer.token(one.token), piece, one.log_probability, candidates))

    def end(self) -> None:
        if piece := self._new(self._tokenizer.text(self._ids)):
            self._tell(Step("", piece))

    def _new(self, text: str) -> str:
        if not text.startswith(self._told):
            return ""
        piece, self._told = text[len(self._told) :], text
        return piece

    def _tell(self, step: Step) -> None:
        for tell in self._listeners:
            tell(step)


def _text_alone(on_text: OnText) -> OnStep:
    def tell(step: Step) -> None:
        if step.text:
            on_text(step.text)

    return tell


def as_candidates(found: Sequence[tuple[int, float]], tokenizer: Tokenizer) -> tuple[Candidate, ...]:
    """Ids with their probabilities as pieces of the vocabulary."""
    return tuple(Candidate(tokenizer.token(number), tokenizer.piece(number), chance) for number, chance in found)


def _written(prompt: str, one: Generated, tokenizer: Tokenizer, answers: bool) -> Written:
    steps = tuple(as_candidates(step, tokenizer) for step in one.candidates)
    tokens = len(one.token_log_probabilities)
    return Written(prompt, tokenizer.text(one.ids), one.log_probability, tokens, one.finished, answers, steps)
