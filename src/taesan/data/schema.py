"""What a task asks of a file (`Field`), and what it gets (`Row`)."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Field:
    """A column that a task needs. `aliases` are other names taken for it, in order of preference."""

    name: str
    aliases: tuple[str, ...] = ()
    kind: Literal["text", "label"] = "text"


@dataclass(frozen=True, slots=True)
class Row:
    """`line` is the physical line where the row begins, from 1; `values` maps a field's name to what the file holds."""

    line: int
    values: dict[str, Any]
