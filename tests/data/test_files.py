"""Paths and streams: what is packed is unpacked, what changes is noticed, what comes slowly is read as it comes."""

import gzip
import io
import lzma
import os
from pathlib import Path

import psutil
import pytest

from taesan.data.encoding import guess_encoding
from taesan.data.lines import split_lines
from taesan.data.plain import read_lines
from taesan.data.report import Report
from taesan.data.rows import read_rows, read_stream
from taesan.data.schema import Field
from taesan.errors import DataError, InputMissing

FIELDS = (Field("text"), Field("label", kind="label"))


def test_packed_files_read_like_plain_ones(tmp_path: Path) -> None:
    text = "".join(f"{number}번째 줄\n" for number in range(50_000))
    expected = [(number + 1, f"{number}번째 줄") for number in range(50_000)]
    for name, content in {"a.txt": text.encode(), "a.txt.gz": gzip.compress(text.encode()),
                          "a.txt.xz": lzma.compress(text.encode())}.items():  # fmt: skip
        path = tmp_path / name
        path.write_bytes(content)
        report = Report()
        assert list(read_lines(path, report=report)) == expected
        assert not report.error_count
        path.write_bytes(content[:-1] if name != "a.txt" else content[:-1] + b"\xed")
        list(read_lines(path, report=report))
        assert [problem.code for problem in report.errors] == ["encoding" if name == "a.txt" else "packed-damaged"]


@pytest.mark.parametrize("change", ["append", "touch", "truncate"])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, change: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\n" + "글,x\n" * 100_000, "utf-8")
    report = Report()
    rows = read_rows(path, FIELDS, report=report)
    next(rows)
    if change == "append":
        with path.open("a") as file:
            file.write("more,x\n")
    elif change == "touch":
        os.utime(path, ns=(1, 1))
    else:
        os.truncate(path, 300_000)
    for _ in rows:
        pass
    assert "changed" in [problem.code for problem in report.errors]


def test_raw_text_is_asked_the_same_of_its_path(tmp_path: Path) -> None:
    with pytest.raises(InputMissing):
        list(read_lines(tmp_path, report=Report()))
    for content, code in {
        b"": "empty",
        b"\n\n": "empty",
        "한국어 글".encode("cp949"): "encoding",
        b"%PDF-1.4": "not-text",
    }.items():
        path = tmp_path / "prose.txt"
        path.write_bytes(content)
        report = Report()
        assert not list(read_lines(path, report=report))
        assert [problem.code for problem in report.errors] == [code]


def test_a_stream_is_answered_line_by_line() -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as stream, os.fdopen(write, "wb", buffering=0) as source:
        source.write("text,label\n하나,x\n".encode())
        rows = read_stream(stream, "standard input", FIELDS, report=Report())
        assert next(rows).values == {"text": "하나", "label": "x"}
        source.write("둘,y\n".encode())
        assert next(rows).line == 3


def test_a_generator_left_early_closes_its_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\n" + "글,x\n" * 100, "utf-8")
    rows = read_rows(path, FIELDS, report=Report())
    next(rows)
    assert str(path) in {file.path for file in psutil.Process().open_files()}
    rows.close()
    assert str(path) not in {file.path for file in psutil.Process().open_files()}


def test_lines_end_where_they_should() -> None:
    report = Report()
    found = list(split_lines(iter(["가\r", "\n나\r", "다\n\n\u2028라", "마\r"]), "x", report))
    assert found == [(1, "가", "\r\n"), (2, "나", "\r"), (3, "다", "\n"), (4, "", "\n"), (5, "\u2028라마", "\r")]
    assert [(problem.code, problem.line) for problem in report.warnings] == [("line-ends-mixed", 2)]
    with pytest.raises(DataError):
        list(split_lines(iter(["x" * 6_000_000] * 2), "x", report))


@pytest.mark.parametrize(
    ("text", "encoding", "guessed"),
    [
        ("한국어로 쓴 글입니다. 좋은 영화였다.", "cp949", "cp949"),
        ("똠방각하 펲시콜라", "cp949", "cp949"),
        ("한국어", "utf-16", "utf-16"),
        ("한국어로 쓴 글", "utf-16-be", "utf-16-be"),
        ("한국어로 쓴 글", "utf-32-le", "utf-32-le"),
        ("これは日本語の文章です。", "shift_jis", "shift_jis"),
        ("これは日本語の文章です。", "euc_jp", "euc_jp"),
        ("Élève façon déjà", "cp1252", "cp1252"),
        ("한국어", "utf-8", "utf-8"),
    ],
)
def test_encodings_are_guessed(text: str, encoding: str, guessed: str) -> None:
    assert guess_encoding(text.encode(encoding)) == guessed


@pytest.mark.parametrize("before", [0, 1, 100, 262_100, 262_140, 600_000])
def test_a_bad_byte_is_located_wherever_it_is(before: int) -> None:
    lines = "가나다라 마바사\n" * (before // 22)
    content = b"text,label\n" + lines.replace("\n", ",x\n").encode() + "열".encode() + b"\xff,x\n"
    report = Report()
    list(read_stream(io.BytesIO(content), "x", FIELDS, report=report))
    problem = report.errors[0]
    assert (problem.code, problem.line, problem.column) == ("encoding", before // 22 + 2, 2)
    assert f"offset {content.index(0xFF):,}" in problem.found
