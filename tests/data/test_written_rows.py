"""Rows written as JSON lines are read back as they were, for every task and any text that a file may hold."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taesan.data import Report, read_rows, row_lines
from taesan.data.characters import is_blank
from taesan.tasks import TASKS


@pytest.mark.parametrize("task", TASKS)
def test_every_task_reads_back_what_was_written(labelled, tmp_path, task) -> None:
    report = Report()
    rows = list(read_rows(labelled[task], TASKS[task].fields, report=report))
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"".join(row_lines(rows)))
    again = list(read_rows(file, TASKS[task].fields, report=report))
    report.raise_for_errors()
    assert [row.values for row in again] == [row.values for row in rows]


@given(st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co")), min_size=1), min_size=1))
def test_texts_keep_every_character(tmp_path_factory, texts) -> None:
    fields, folder = TASKS["classification"].fields, tmp_path_factory.mktemp("texts")
    given, written = folder / "given.jsonl", folder / "written.jsonl"
    lines = [json.dumps({"text": text, "label": "가"}) for text in texts if not is_blank(text)] or [
        '{"text":"a","label":"b"}'
    ]
    given.write_text("\n".join(lines), "utf-8")
    rows = list(read_rows(given, fields, report=Report()))
    written.write_bytes(b"".join(row_lines(rows)))
    assert [row.values for row in read_rows(written, fields, report=Report())] == [row.values for row in rows]
    assert len(rows) == len(lines)
