"""Rows as JSON lines that are read back as they are: the inverse of `read_rows`, whatever format they came in."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, cast

from taesan.data.schema import Answer, Row, Span


def row_lines(rows: Iterable[Row]) -> Iterator[bytes]:
    """One line a row, under the names of the task's fields."""
    for row in rows:
        written = {name: _written(value) for name, value in row.values.items()}
        if written.get("answers") == []:
            written["is_impossible"] = True
        yield json.dumps(written, ensure_ascii=False).encode() + b"\n"


def _written(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_part(one) for one in cast(tuple[Span | Answer, ...], value)]
    return value


def _part(part: Span | Answer) -> dict[str, object]:
    if isinstance(part, Span):
        return {"start": part.start, "end": part.end, "label": part.label}
    return {"text": part.text, "answer_start": part.start}
