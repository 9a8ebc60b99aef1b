"""What a task is: a schema, an encoding, a decoding, metrics. Pure NumPy: a task never knows which method ran.

Two ways lead to one `Prediction`. The head view: `encode`, a head's logits for every item, `decode`. The text view:
`prompt` and choices, log-probabilities of the choices, `parse`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from taesan.data import Field, Row
from taesan.text.tokenizer import Ids, Tokenizer

HeadKind = Literal["sequence", "token", "span", "language_model"]
IGNORED = -100
Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Example:
    """One row as the task sees it. `line` is its physical line, 0 where it came from no file."""

    texts: tuple[str, ...]
    label: Any = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class Item:
    """One input of the model, a window of an example. `labels`: () a class, (T,) a class a token, -100 ignored."""

    input_ids: Ids
    token_type_ids: Ids
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Encoded:
    """An example's items; `cut` says that it was longer than the model."""

    items: list[Item]
    cut: bool


class Prediction(Protocol):
    """An answer with its probabilities."""

    def as_dict(self) -> dict[str, Any]:
        """The answer as `predict` prints it."""
        ...


@dataclass(frozen=True, slots=True)
class Score:
    """A metric with its 95% bootstrap interval."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Evaluation:
    """`scores` by name; `tables` of any further shape, JSON-ready; `text`, the same for a person."""

    rows: int
    scores: dict[str, Score]
    tables: dict[str, Any] = field(default_factory=dict[str, Any])
    text: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "scores": {k: s.as_dict() for k, s in self.scores.items()}, **self.tables}


@dataclass(frozen=True, slots=True)
class Template:
    """How a row becomes a prompt: `{field}` where a field's text goes, and the words that stand for the labels."""

    text: str
    label_words: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """What is stored with a model, so that it predicts as it was trained."""

    max_length: int
    long_text: str = "head-tail"


class Task(Protocol):
    """The questions that every task answers; one file and one line in a dict a task."""

    name: str
    head: HeadKind
    fields: tuple[Field, ...]
    metric: str  # the one of `scores` that chooses the checkpoint; higher is better

    def example(self, row: Row) -> Example: ...

    def labels(self, examples: Iterable[Example]) -> tuple[str, ...]:
        """The label set in its order, which is the order of the head's outputs."""
        ...

    def encode(
        self, examples: Sequence[Example], tokenizer: Tokenizer, labels: tuple[str, ...], options: EncodeOptions
    ) -> list[Encoded]: ...

    def decode(
        self, example: Example, encoded: Encoded, outputs: Sequence[Logits], labels: tuple[str, ...]
    ) -> Prediction: ...

    def scores(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], labels: tuple[str, ...]
    ) -> dict[str, float]:
        """Point values alone: what validation during training needs."""
        ...

    def evaluate(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], labels: tuple[str, ...], *, seed: int
    ) -> Evaluation: ...

    def prompt(self, example: Example, template: Template, label: str) -> tuple[str, str]:
        """The text view's prompt, and the choice that stands for `label`."""
        ...

    def parse(self, scores: NDArray[np.floating[Any]], labels: tuple[str, ...]) -> Prediction:
        """Log-probabilities of the choices, (choices,), to the answer."""
        ...
