"""Samples of labelled rows on disk, and what tells one cell from another."""

import hashlib
import json
from pathlib import Path

from taesan.tasks.base import Example, Task


def write_rows(path: Path, task: Task, examples: list[Example]) -> None:
    """Texts and labels as JSON lines."""
    names = [field.name for field in task.fields]
    lines = [json.dumps(dict(zip(names, (*row.texts, row.label), strict=True)), ensure_ascii=False) for row in examples]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def short_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
