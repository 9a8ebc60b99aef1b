"""What a task asks of a file (`Field`), and what it gets (`Row`)."""

from dataclasses import dataclass
from typing import Any, Literal

FieldKind = Literal["text", "target", "label", "entities", "answers", "id"]


@dataclass(frozen=True, slots=True)
class Field:
    """A column that a task needs. `aliases` are other names taken for it, in order of preference.

    A `text` is what a model reads, an `id` what a row is called; the other kinds are what it is to answer, a `target` a
    text itself. A file may lack an `optional` field.
    """

    name: str
    aliases: tuple[str, ...] = ()
    kind: FieldKind = "text"
    optional: bool = False

    @property
    def given(self) -> bool:
        """Whether it is there before the answer is known."""
        return self.kind in ("text", "id")


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A labelled part of a text: half-open, in code points of the original string."""

    start: int
    end: int
    label: str

    def __str__(self) -> str:
        return f"{self.label} at {self.start} to {self.end}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A part of a context, and where it begins, in code points of the original string."""

    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    def __str__(self) -> str:
        return f"{self.text} at {self.start}"


@dataclass(frozen=True, slots=True)
class Row:
    """`line` is the physical line where the row begins, from 1; `values` maps a field's name to what the file holds.

    A string, but a sorted tuple of `Span` for entities, and a tuple of `Answer` for answers, empty where a question has
    none.
    """

    line: int
    values: dict[str, Any]
