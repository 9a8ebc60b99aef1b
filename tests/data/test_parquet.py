"""Parquet gives the rows that other formats give, code point for code point, and no byte of it ends the process."""

import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bad_parquet
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad_inputs import ROWS, table
from hypothesis import given, settings
from hypothesis import strategies as st

from taesan.data.characters import find_oddities, is_blank
from taesan.data.report import Report
from taesan.data.rows import read_rows, read_stream
from taesan.data.schema import Answer, Field, Row, Span
from taesan.errors import UsageError
from taesan.tasks import TASKS

FIELDS = (Field("text"), Field("label", kind="label"))
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"compression": "none", "data_page_version": "2.0"},
    {"compression": "zstd", "use_dictionary": False, "store_schema": False},
    {"compression": "gzip", "row_group_size": 2, "write_page_checksum": True},
    {"compression": "lz4", "data_page_size": 1, "write_batch_size": 1},
    {"compression": "brotli", "use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY"},
    {"use_dictionary": False, "column_encoding": {"text": "DELTA_LENGTH_BYTE_ARRAY"}},
)
HUGGING_FACE = {
    "label": {"names": ["부정", "긍정"], "_type": "ClassLabel"},
    "ner_tags": {"feature": {"names": ["O", "B-LC", "I-LC"], "_type": "ClassLabel"}, "_type": "Sequence"},
}
texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=30).filter(
    lambda text: not is_blank(text) and not any(oddity.severity == "error" for oddity, _ in find_oddities(text))
)


def read(content: bytes, path: Path, fields: Sequence[Field] = FIELDS, **options: Any) -> tuple[list[Row], Report]:
    path.write_bytes(content)
    report = Report()
    return list(read_rows(path, fields, report=report, **options)), report


def written(rows: Sequence[Mapping[str, Any]], **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out, **options)
    return out.getvalue()


def named(content: Mapping[str, Any], features: object = HUGGING_FACE) -> bytes:
    """As Hugging Face datasets writes it."""
    out = io.BytesIO()
    about = json.dumps({"info": {"features": features}}, ensure_ascii=False)
    pq.write_table(pa.table(content).replace_schema_metadata({"huggingface": about}), out)
    return out.getvalue()


@settings(max_examples=60)
@given(st.lists(texts, min_size=1, max_size=12), st.sampled_from(OPTIONS))
def test_texts_come_back_code_point_for_code_point(tmp_path_factory, found, options) -> None:
    path = tmp_path_factory.getbasetemp() / "round.parquet"
    content = written([{"text": text, "label": "가"} for text in found], **options)
    rows, report = read(content, path)
    assert not report.error_count, str(report)
    assert [(row.line, row.values["text"]) for row in rows] == list(enumerate(found, 1))


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl"])
def test_the_same_rows_in_other_formats_are_the_same_examples(tmp_path, form) -> None:
    task = TASKS["classification"]
    rows, _ = read(bad_parquet.by_hand(), tmp_path / "rows.parquet", task.fields)
    others, _ = read(table(form, ROWS), tmp_path / f"rows.{form}", task.fields)
    assert [task.example(row).texts for row in rows] == [task.example(row).texts for row in others]
    assert [task.example(row).label for row in rows] == [task.example(row).label for row in others]
    assert task.labels(map(task.example, rows)) == ("negative", "positive")


STRUCTURED = {
    "ner": [
        {"text": "서울에 산다", "entities": [{"start": 0, "end": 2, "label": "LC"}]},
        {"text": "산다", "entities": []},
    ],
    "ner-tokens": [
        {"tokens": ["서울", "에"], "ner_tags": ["B-LC", "O"]},
        {"tokens": ["산", "다"], "ner_tags": ["O", "O"]},
    ],
    "qa": [
        {"id": "a", "question": "어디?", "context": "서울에 산다", "answers": {"text": ["서울"], "answer_start": [0]}},
        {"id": "b", "question": "누가?", "context": "그가 산다", "answers": {"text": ["그"], "answer_start": [0]}},
    ],
    "qa-list": [
        {"id": "a", "question": "어디?", "context": "서울에 산다", "answers": [{"text": "서울", "answer_start": 0}]}
    ],
    "qa-impossible": [
        {"id": "a", "question": "?", "context": "산다", "answers": [{"text": "산", "answer_start": 0}],
         "is_impossible": False},
        {"id": "b", "question": "??", "context": "산다", "answers": [], "is_impossible": True},
    ],
    "generation": [{"text": "하나"}, {"text": "둘"}],
    "generation-prompt": [{"prompt": "하나?", "completion": "하나"}, {"prompt": "둘?", "completion": "둘"}],
    "pair": [{"premise": "가", "hypothesis": "나", "label": "중립"}],
}  # fmt: skip


# Tokens without a text are no input to predict for, in JSON lines neither.
@pytest.mark.parametrize(
    ("name", "labelled"),
    [(name, True) for name in STRUCTURED] + [(name, False) for name in STRUCTURED if name != "ner-tokens"],
)
def test_every_task_reads_what_it_reads_from_json_lines(tmp_path, name, labelled) -> None:
    fields = [field for field in TASKS[name.split("-")[0]].fields if labelled or field.given]
    rows = STRUCTURED[name]
    found, report = read(written(rows), tmp_path / "rows.parquet", fields)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    assert not report.error_count, str(report)
    assert found == read(lines, tmp_path / "rows.jsonl", fields)[0]
    assert len(found) == len(rows)


def test_answers_and_entities_are_what_the_file_says(tmp_path) -> None:
    rows, _ = read(written(STRUCTURED["qa"]), tmp_path / "rows.parquet", TASKS["qa"].fields)
    assert rows[0].values["answers"] == (Answer("서울", 0),)
    rows, _ = read(written(STRUCTURED["ner-tokens"]), tmp_path / "rows.parquet", TASKS["ner"].fields)
    assert rows[0].values == {"text": "서울 에", "entities": (Span(0, 2, "LC"),)}


# What Hugging Face wrote ----------------------------------------------------------------------------------------------


def test_integers_have_the_names_that_the_file_gives_them(tmp_path) -> None:
    rows, report = read(named({"text": ["좋다", "싫다"], "label": [1, 0]}), tmp_path / "rows.parquet")
    assert [row.values["label"] for row in rows] == ["긍정", "부정"]
    assert "integers as the names that the file gives them, from 0: '부정', '긍정'" in str(report)
    content = named({"tokens": [["서울", "역", "에"]], "ner_tags": [[1, 2, 0]]})
    rows, _ = read(content, tmp_path / "rows.parquet", TASKS["ner"].fields)
    assert rows[0].values["entities"] == (Span(0, 4, "LC"),)


@pytest.mark.parametrize("label", [-1, 2, 10**12])
def test_an_integer_without_a_name_among_named_ones(tmp_path, label) -> None:
    rows, report = read(named({"text": ["좋다", "싫다"], "label": [1, label]}), tmp_path / "rows.parquet")
    assert len(rows) == 1
    assert [(one.code, one.line) for one in report.errors] == [("label-unnamed", 2)]


@pytest.mark.parametrize(
    "about",
    ["", "[", "[1]", '"x"', "{}", '{"info": 1}', '{"info": {"features": {"label": {"names": [1]}}}}', "[" * 999],
)
def test_odd_metadata_name_nothing(tmp_path, about) -> None:
    out = io.BytesIO()
    content = pa.table({"text": ["좋다", "싫다"], "label": [1, 0]}).replace_schema_metadata({"huggingface": about})
    pq.write_table(content, out)
    rows, report = read(out.getvalue(), tmp_path / "rows.parquet")
    assert [row.values["label"] for row in rows] == ["1", "0"]
    assert not report.error_count


def test_tag_ids_without_names_are_refused_as_in_json_lines(tmp_path) -> None:
    content = named({"tokens": [["서울", "에"]], "ner_tags": [[1, 0]]}, {})
    rows, report = read(content, tmp_path / "rows.parquet", TASKS["ner"].fields)
    assert not rows
    assert {problem.code for problem in report.errors} == {"tag-number"}


# How it is read and what is said --------------------------------------------------------------------------------------


def test_places_are_rows(tmp_path) -> None:
    rows = [*({"text": f"글 {number}", "label": "가"} for number in range(3)), {"text": " ", "label": "가 "}]
    _, report = read(written(rows, row_group_size=2), tmp_path / "rows.parquet")
    said = str(report)
    assert f"{tmp_path / 'rows.parquet'}: row 4: error [text-empty]" in said
    assert "expected '가' as in row 1" in said
    assert report.errors[0].as_dict()["unit"] == "row"
    assert "line" not in said.replace(str(tmp_path), "")


def test_a_column_by_the_users_word(tmp_path) -> None:
    content = written([{"review": "좋다", "stars": "다섯"}])
    rows, report = read(content, tmp_path / "rows.parquet", columns={"text": "review", "label": "stars"})
    assert rows == [Row(1, {"text": "좋다", "label": "다섯"})]
    assert not report.warnings


def test_names_with_dots_are_columns_like_others(tmp_path) -> None:
    content = written([{"text": "좋다", "text.raw": "x" * 100, "label.name": "가", "label": "나"}])
    rows, _ = read(content, tmp_path / "rows.parquet")
    assert rows == [Row(1, {"text": "좋다", "label": "나"})]
    rows, _ = read(content, tmp_path / "rows.parquet", columns={"label": "label.name"})
    assert rows == [Row(1, {"text": "좋다", "label": "가"})]


def test_neither_packed_nor_through_a_pipe(tmp_path) -> None:
    report = Report()
    assert not list(read_stream(io.BytesIO(bad_parquet.GOOD), "standard input", FIELDS, report=report))
    assert "a Parquet file" in str(report)
    assert "not through a pipe" in str(report)
    _, report = read(bad_parquet.GOOD, tmp_path / "rows.csv", format="csv")
    assert [problem.code for problem in report.errors] == ["not-text"]


def test_without_pyarrow_it_says_what_to_install(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'taesan\[parquet\]'"):
        read(bad_parquet.GOOD, tmp_path / "rows.parquet")
    assert len(read(table("csv", ROWS), tmp_path / "rows.csv")[0]) == len(ROWS)  # others do not ask for it


def test_a_footer_is_refused_before_pyarrow_is_asked(tmp_path, monkeypatch) -> None:
    """What could exhaust or crash native code is refused without it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for name in ("P04-most", "P11", "P12", "P14", "P35", "P36", "P41"):
        case = next(case for case in bad_parquet.CASES if case.id == name)
        _, report = read(case.content, tmp_path / "rows.parquet")
        assert [problem.code for problem in report.errors] == [case.code], name


def test_memory_is_that_of_a_batch(tmp_path) -> None:
    """Five times the rows in one row group do not take five times the memory of pyarrow."""

    def most_bytes(count: int) -> int:
        path = tmp_path / f"{count}.parquet"
        content = [f"{number} " + "글" * 500 for number in range(count)]
        pq.write_table(pa.table({"text": content, "label": ["가", "나"] * (count // 2)}), path)
        before = pa.total_allocated_bytes()
        rows = read_rows(path, FIELDS, report=Report())
        return max(pa.total_allocated_bytes() - before for _ in rows)

    assert 0 < most_bytes(10_000) < 1.5 * most_bytes(2_000)


@pytest.mark.parametrize("name", ["qa", "ner-tokens", "pair"])
@pytest.mark.parametrize("options", OPTIONS[:4], ids=str)
def test_no_changed_bit_raises_anything(tmp_path, name, options) -> None:
    """Every thirtieth bit, of pages and footer: the rows, or errors, and no exception. A crash would end the tests."""
    good = written(STRUCTURED[name], **options)
    fields = TASKS[name.split("-")[0]].fields
    for position in range(len(name), len(good) * 8, 181):
        report = read(bad_parquet.changed(good, position // 8, 1 << position % 8), tmp_path / "rows.parquet", fields)[1]
        str(report).encode()
