"""`taesan generate DIR "…"`: texts by a causal language model, from a fitted folder or a backbone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taesan.config import GenerationOptions
from taesan.engine.decoding import Generated
from taesan.engine.infer import Asked, Writes
from taesan.engine.load import DEVICE, open_writer
from taesan.engine.vocabulary import Candidate
from taesan.errors import DataError, Problem, UsageError
from taesan.tasks.base import Example
from taesan.text.tokenizer import Tokenizer

OnText = Callable[[str], object]


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
) -> list[list[Written]]:
    """For each prompt its texts, `options.sequences` of them.

    `model` is a folder fitted for generation, an opened one, or a causal backbone, which goes on with the prompt.
    `on_text` is told of the first prompt's first text piece by piece, as it comes (of beams, when they are done), after
    the prompt where that is gone on with.
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
    on_token = None if on_text is None else _Pieces(tokenizer, on_text)
    written = predictor.write(examples, options, on_token=on_token)
    if on_token is not None:
        on_token.end()
    answers = bool(predictor.learnt.counts["prompted"])
    return [
        [_written(prompt, one, tokenizer, answers) for one in texts]
        for prompt, texts in zip(prompts, written, strict=True)
    ]


class _Pieces:
    """Tells of the first text as it grows, whole characters at a time: a token may hold a part of one."""

    def __init__(self, tokenizer: Tokenizer, on_text: OnText):
        self._tokenizer, self._on_text = tokenizer, on_text
        self._ids: list[int] = []
        self._told = ""

    def __call__(self, prompt: int, sequence: int, token: int) -> None:
        if prompt or sequence:
            return
        self._ids.append(token)
        self._tell(self._tokenizer.text(self._ids).rstrip("\ufffd"))

    def end(self) -> None:
        self._tell(self._tokenizer.text(self._ids))

    def _tell(self, text: str) -> None:
        if text.startswith(self._told) and len(text) > len(self._told):
            self._on_text(text[len(self._told) :])
            self._told = text


def _written(prompt: str, one: Generated, tokenizer: Tokenizer, answers: bool) -> Written:
    steps = tuple(
        tuple(Candidate(tokenizer.token(number), tokenizer.piece(number), chance) for number, chance in step)
        for step in one.candidates
    )
    tokens = len(one.token_log_probabilities)
    return Written(prompt, tokenizer.text(one.ids), one.log_probability, tokens, one.finished, answers, steps)
