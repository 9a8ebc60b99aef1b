"""Labelled files as examples of a task, with everything that is wrong in them said. No torch here."""

import difflib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from taesan.data import Report, read_rows, read_stream
from taesan.errors import InputMissing, UsageError, escape
from taesan.tasks import TASKS
from taesan.tasks.base import Example, Task

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """How files are to be read, as the user said."""

    encoding: str = "utf-8"
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    format: str | None = None


def read_examples(
    path: str | Path | BinaryIO,
    task: Task,
    source: Source,
    report: Report,
    *,
    labels: Sequence[str] | None = None,
    labelled: bool = True,
) -> Iterator[Example]:
    """The examples of a file or a stream, as they are read; errors and warnings go to `report`.

    With `labels`, another label is an error; not `labelled`, answers are not looked at. Raises: InputMissing,
    UsageError.
    """
    fields = [field for field in task.fields if labelled or field.given]
    names = {field.name for field in fields}
    columns = {name: column for name, column in source.columns.items() if labelled or name in names}
    how: dict[str, Any] = {"encoding": source.encoding, "columns": columns, "format": source.format, "labels": labels}
    if isinstance(path, str | Path):
        rows = read_rows(path, fields, report=report, **how)
    else:
        rows = read_stream(path, "standard input", fields, report=report, **how)
    return (task.example(row) for row in rows)


def read_all(path: str | Path, task: str) -> list[Example]:
    """All examples of a file that is known to be good. Raises: DataError where it is not."""
    report = Report()
    examples = list(read_examples(path, find_task(task), Source(), report))
    report.raise_for_errors()
    return examples


def find_task(name: str) -> Task:
    """Raises: UsageError naming the nearest."""
    return lookup(TASKS, name, "task")


def lookup(table: Mapping[str, T], name: str, what: str) -> T:
    """`table[name]`, or a UsageError with the nearest name."""
    if name in table:
        return table[name]
    near = difflib.get_close_matches(name.lower(), table, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(table)}"
    raise UsageError(f"there is no {what} {escape(name)}; {hint}")


def file_record(path: str | Path) -> dict[str, object]:
    """A file's name, size and SHA-256, as a model folder remembers its data."""
    try:
        with Path(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputMissing(f"{path} cannot be opened: {error.strerror}") from None
    return {"name": Path(path).name, "bytes": Path(path).stat().st_size, "sha256": digest}
