"""What a task is: a schema, an encoding, a decoding, metrics. Pure NumPy: a task never knows which method ran.

Two ways lead to one `Prediction`. The head view: `encode`, a head's logits for every item, `decode`. The text view:
`ask`, log-probabilities of what may answer, `parse`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from taesan.data import Field, Report, Row
from taesan.text.tokenizer import Ids, Tokenizer

HeadKind = Literal["sequence", "token", "span", "language_model", "choice"]
IGNORED = -100
Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Example:
    """One row as the task sees it: what is read, and the answer where it is known.

    `label` is a string, or a tuple of `Span` (entities) or `Answer` (answers). `line` is its physical line, 0 where it
    came from no file; `id` what the file calls it.
    """

    texts: tuple[str, ...]
    label: Any = None
    line: int = 0
    id: str = ""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a task knows from its training rows, stored with the model: the label set, and what else it counted."""

    labels: tuple[str, ...] = ()
    counts: Mapping[str, Any] = field(default_factory=dict[str, Any])  # JSON-ready, by name


@dataclass(frozen=True, slots=True)
class Item:
    """One input of the model, a window of an example.

    `labels`: () a class; (T,) a class a token, or the token that comes after it; (T, 2) at each token whether an answer
    starts and ends there, 1 or 0. -100: ignored.
    """

    input_ids: Ids
    token_type_ids: Ids
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Encoded:
    """An example's items; `cut` says that it was longer than the model, `lost` how many of its labels none can hold.

    Where tokens are answered for, `offsets` (N, 2) are those of the text in code points, and `pieces` the places of the
    tokens that each item reads, which begin at `starts` in it. `nothing` is an item's place that stands for no answer.
    """

    items: list[Item]
    cut: bool
    lost: int = 0
    offsets: Ids = field(default_factory=lambda: np.zeros((0, 2), np.int32))
    pieces: tuple[NDArray[np.int64], ...] = ()
    starts: tuple[int, ...] = ()
    nothing: int = 0
    prompt: Ids | None = None  # what a text is to be generated after
    continuation: tuple[str, float] | None = None  # that text and its log-probability, where one was generated


class Prediction(Protocol):
    """An answer with its probabilities."""

    @property
    def decision(self) -> object:
        """What is answered, without how likely it is: equal where two models say the same."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """The answer as `predict` prints it."""
        ...

    def details(self) -> dict[str, Any]:
        """What more there is to say on request."""
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
class Ask:
    """One question to a language model about an example: what fills the template, and what may answer.

    That is one of `choices`, or any part of `text` besides, which fills the slot of the same name.
    """

    slots: Mapping[str, str]
    choices: tuple[str, ...] = ()
    parts_of: str = ""  # the slot whose text's parts may be the answer


@dataclass(frozen=True, slots=True)
class Found:
    """What a language model says to an `Ask`: log-probabilities (nats) of its choices (C,), with their tokens (C,).

    Of a text's parts, half-open offsets in code points (S, 2), and their log-probabilities (S,). `text` is what it
    wrote, where it was to write.
    """

    choices: NDArray[np.float64]
    tokens: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    spans: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    span_scores: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    text: str | None = None
    text_log_probability: float | None = None


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """What is stored with a model, so that it predicts as it was trained."""

    max_length: int
    long_text: str = "head-tail"


@runtime_checkable
class TakesAnswers(Protocol):
    """A task whose answer is a text, so that anyone's can be measured."""

    def answered(self, example: Example, text: str) -> Prediction:
        """An answer that somebody gave, nothing for none, as a prediction."""
        ...


class Asks(Protocol):
    """The text view of a task."""

    slots: tuple[str, ...]  # what a template of it has, besides the answer

    def ask(self, example: Example, words: Mapping[str, str], nothing: str) -> list[Ask]:
        """What to ask about an example, `words` standing for the labels, and `nothing` for no answer."""
        ...

    def told(self, example: Example, words: Mapping[str, str], nothing: str, between: str) -> list[str]:
        """The right answers to these questions, as an example for others shows them."""
        ...

    def parse(self, example: Example, found: Sequence[Found], learnt: Learnt) -> Prediction:
        """What was found for each question, to the answer."""
        ...


class Task(Asks, Protocol):
    """The questions that every task answers; one file and one line in a dict a task."""

    name: str
    usage: str  # the command that asks its model in the folder DIR
    head: HeadKind
    fields: tuple[Field, ...]
    metric: str  # the one of `scores` that chooses the checkpoint
    sign: int  # 1 where higher is better, else -1
    windowed: bool  # whether a long text is always read in overlapping windows, so that nothing of it is lost

    def example(self, row: Row) -> Example: ...

    def labels(self, examples: Iterable[Example]) -> tuple[str, ...]:
        """The label set in its order; empty where a row may be answered with anything."""
        ...

    def counts(self, examples: Sequence[Example]) -> dict[str, int]:
        """How often what is to be learnt occurs, for people."""
        ...

    def check(self, examples: Sequence[Example], file: str, report: Report) -> None:
        """What only a whole training file can show to be wrong."""
        ...

    def check_overlap(
        self, train: Sequence[Example], test: Sequence[Example], train_file: str, test_file: str, report: Report
    ) -> None:
        """What the file to train on and the one to measure on should not share."""
        ...

    def split(self, examples: Sequence[Example], fraction: float, seed: int) -> tuple[list[int], list[int]]:
        """Places of the rows to train on, and of about that fraction to hold out."""
        ...

    def learn(self, examples: Sequence[Example], labels: tuple[str, ...], tokenizer: Tokenizer) -> Learnt:
        """What is counted in the training rows before training."""
        ...

    def tune(self, examples: Sequence[Example], predictions: Sequence[Prediction], learnt: Learnt) -> Learnt:
        """The same, with what is chosen on validation rows after training."""
        ...

    def outputs(self, learnt: Learnt) -> tuple[str, ...]:
        """The names of the head's outputs, in their order; empty where the head has its own."""
        ...

    def encode(
        self, examples: Sequence[Example], tokenizer: Tokenizer, learnt: Learnt, options: EncodeOptions
    ) -> list[Encoded]: ...

    def decode(
        self,
        examples: Sequence[Example],
        encoded: Sequence[Encoded],
        outputs: Sequence[Sequence[Logits]],
        learnt: Learnt,
    ) -> list[Prediction]:
        """`outputs`: for each example, the head's output for each of its items."""
        ...

    def constant(self, examples: Sequence[Example]) -> float | None:
        """`metric` of the best answer that is the same to all; None where there is none worth comparing with."""
        ...

    def scores(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], learnt: Learnt
    ) -> dict[str, float]:
        """Point values alone: what validation during training needs."""
        ...

    def evaluate(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], learnt: Learnt, *, seed: int
    ) -> Evaluation: ...
