"""Rows come back exactly as they were written, whatever the format and however the bytes arrive."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taesan.data.characters import find_oddities, is_blank
from taesan.data.plain import read_lines
from taesan.data.report import Report
from taesan.data.rows import read_rows, read_stream
from taesan.data.schema import Field
from taesan.errors import DataError, UsageError

FIELDS = (Field("text", ("document", "title")), Field("label", kind="label"))
OPTIONAL = (FIELDS[0], Field("label", kind="label", optional=True))


def is_taken(text: str) -> bool:
    return not is_blank(text) and not any(oddity.severity == "error" for oddity, _ in find_oddities(text))


characters = st.one_of(
    st.sampled_from("가힣ㅋ각\u1100\u1161\u2028\x85\x0b\x0c\"',\t ;|#\\{}[]\ufeff\u200b👍\ufffe\r\n"),
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"),
)
texts = st.text(characters, min_size=1, max_size=20).filter(is_taken)
labels = st.sampled_from(["긍정", "부정", "중립"])
rows = st.lists(st.tuples(texts, labels), min_size=1, max_size=12)
one_line = rows.map(lambda found: [(re.sub(r"[\r\n\t]", "_", text), label) for text, label in found])
no_mark = rows.map(lambda found: [(text.lstrip("\ufeff") + "x", label) for text, label in found])


class Chunks(io.RawIOBase):
    """A stream that hands out its bytes in pieces of the sizes given, again and again."""

    def __init__(self, content: bytes, sizes: list[int]):
        self._content, self._sizes, self._position, self._turn = content, sizes, 0, 0

    def read(self, _size: int = -1) -> bytes:
        size = self._sizes[self._turn % len(self._sizes)]
        self._turn += 1
        piece = self._content[self._position : self._position + size]
        self._position += size
        return piece


def read(
    content: bytes, form: str | None, sizes: list[int] | None = None, fields=FIELDS, **options
) -> tuple[list[tuple[int, str, str]], Report]:
    report = Report()
    stream = Chunks(content, sizes) if sizes else io.BytesIO(content)
    rows = list(read_stream(stream, "rows", fields, report=report, format=form, **options))
    return [(row.line, row.values["text"], row.values.get("label", "")) for row in rows], report


def physical_line(content: str) -> int:
    """The number of the line that follows this text, counted another way."""
    return len(re.findall(r"\r\n|\r|\n", content)) + 1


@settings(max_examples=150, deadline=None)
@given(no_mark, st.sampled_from(["\n", "\r\n"]), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_csv_comes_back(expected, end, quoting) -> None:
    written, lines = io.StringIO(newline=""), []
    if any("\r" in text for text, _ in expected):
        quoting = csv.QUOTE_ALL  # before 3.13 the writer puts quotes around \r only where the lines end in it
    writer = csv.writer(written, lineterminator=end, quoting=quoting)
    writer.writerow(["text", "label"])
    for row in expected:
        lines.append(physical_line(written.getvalue()))
        writer.writerow(row)
    found, report = read(written.getvalue().encode(), "csv")
    assert found == [(line, *row) for line, row in zip(lines, expected, strict=True)], report


@settings(max_examples=100, deadline=None)
@given(one_line.filter(lambda found: not any(text.startswith("\ufeff") for text, _ in found)))
def test_tsv_comes_back(expected) -> None:
    content = "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in expected)
    found, report = read(content.encode(), "tsv")
    assert found == [(line, *row) for line, row in enumerate(expected, 2)], report


@settings(max_examples=100, deadline=None)
@given(rows, st.booleans())
def test_jsonl_comes_back(expected, ascii_only) -> None:
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=ascii_only) for text, label in expected]
    found, report = read("\n".join(lines).encode(), "jsonl")
    assert found == [(line, *row) for line, row in enumerate(expected, 1)], report


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(['"', ",", "\n", "\r", "\r\n", "\t", "가", "text", "label", "{", "0", "\ufeff", " "]),
        max_size=30,
    ),
    st.sampled_from(["csv", "tsv", "jsonl"]),
    st.lists(st.integers(1, 7), min_size=1, max_size=5),
    st.binary(max_size=2),
)
def test_any_pieces_equal_one(parts, form, sizes, tail) -> None:
    head = (
        '{"text": "가", "label": "x"}\n'
        if form == "jsonl"
        else "text,label\n가,x\n".replace(",", "," if form == "csv" else "\t")
    )
    content = (head + "".join(parts)).encode() + tail
    whole, report = read(content, form)
    pieces, other = read(content, form, sizes)
    assert pieces == whole
    assert other.as_dict() == report.as_dict()


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["csv", "tsv", "jsonl", "text", None]), st.booleans())
def test_any_bytes_end_in_rows_or_in_errors(content, form, header) -> None:
    head = b"text,label\n" if header else b""
    found, report = read(head + content, form, fields=OPTIONAL)
    assert found or report.error_count
    str(report).encode()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.lists(st.text(st.sampled_from('a",\n\r가 '), max_size=4), min_size=2, max_size=2), min_size=1, max_size=6
    )
)
def test_valid_csv_reads_as_the_standard_library_does(cells) -> None:
    written = io.StringIO(newline="")
    csv.writer(written).writerows([["x" + first, second] for first, second in cells])
    content = "text,label\n" + written.getvalue()
    oracle = list(csv.reader(io.StringIO(content, newline=""), strict=True))[1:]
    report = Report()
    fields = (Field("text"), Field("label"))  # two texts: only the empty ones are refused
    found = [[row.values["text"], row.values["label"]] for row in read_stream(
        io.BytesIO(content.encode()), "rows", fields, report=report, format="csv")]  # fmt: skip
    assert found == [row for row in oracle if row[1].strip()]
    assert report.error_count == len(oracle) - len(found)


def test_broken_csv_is_reported_line_by_line_and_the_rest_is_read() -> None:
    content = 'text,label\n가,x\n"열린,x\n나,y\n다"라,x\n마,x,y\n"바\n사",y\n아,"열린\n자,x\n'
    found, report = read(content.encode(), "csv")
    assert found == [(2, "가", "x"), (4, "나", "y"), (7, "바\n사", "y"), (10, "자", "x")]
    assert [(problem.code, problem.line, problem.column) for problem in report.errors] == [
        ("quote-unclosed", 3, 1),
        ("quote-inside", 5, 2),
        ("row-long", 6, 0),
        ("quote-unclosed", 9, 3),
    ]


def test_many_unclosed_quotes_take_linear_time() -> None:
    content = "text,label\n" + 'a","b\n' * 30_000 + '"a\n' + "가,x\n" * 30_000
    found, report = read(content.encode(), "csv")
    assert len(found) == 30_000
    assert report.error_count == 30_001


def test_columns_by_alias_by_choice_and_by_preference() -> None:
    content = "id,title,document,label\n1,제목,본문,x\n".encode()
    assert read(content, "csv")[0] == [(2, "본문", "x")]
    assert read(content, "csv", columns={"text": "title"})[0] == [(2, "제목", "x")]
    _, report = read(content, "csv", columns={"text": "Title"})
    assert [problem.code for problem in report.errors] == ["column-lookalike"]
    assert "`--column text=title`" in report.errors[0].fix


def test_an_optional_column_may_be_missing() -> None:
    report = Report()
    for form, content in {"csv": "text\n가\n", "jsonl": '{"text": "가"}\n', "text": "가\n\n"}.items():
        found = list(read_stream(io.BytesIO(content.encode()), "-", OPTIONAL, report=report, format=form))
        assert [row.values for row in found] == [{"text": "가"}]
    assert not report.error_count


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("id\tdocument\tlabel\n1\t가\tx\n", "가"),
        ("title,label\n가,x\n", "가"),
        ('{"text": "가", "label": "x"}\n', "가"),
        ("\n\n" + "text,label\n가,x\n", "가"),
    ],
)
def test_a_name_without_a_known_suffix_is_told_by_content(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "ratings_train.txt"
    path.write_bytes(content.encode())
    report = Report()
    assert [row.values["text"] for row in read_rows(path, FIELDS, report=report)] == [expected]
    assert not report.error_count


def test_plain_text_has_no_labels() -> None:
    _, report = read("첫 줄\n둘째 줄\n".encode(), "text")
    assert [problem.code for problem in report.errors] == ["header-missing"]


def test_known_labels_name_the_nearest() -> None:
    _, report = read("text,label\n가,긍졍입니다\n나,positve\n".encode(), "csv", labels=["긍정입니다", "positive"])
    assert [problem.code for problem in report.errors] == ["label-unknown"] * 2
    assert "'긍정입니다'" in report.errors[0].fix
    assert "'positive'" in report.errors[1].fix


def test_a_label_column_that_is_no_label_column_is_refused_early() -> None:
    content = "text,label\n" + "".join(f"글,이름{number}\n" for number in range(20_000))
    found, report = read(content.encode(), "csv")
    assert len(found) == 10_000
    assert [problem.code for problem in report.errors] == ["labels-many"]


def test_unknown_words_are_errors_of_usage() -> None:
    for options in ({"encoding": "cp94"}, {"encoding": "base64"}, {"columns": {"txt": "text"}}):
        with pytest.raises(UsageError):
            read(b"text,label\n", "csv", **options)
    with pytest.raises(UsageError):
        read(b"text,label\n", "xlsx")


def test_another_encoding_reads_the_same() -> None:
    content = "text,label\n좋은 영화,긍정\n나쁜 영화,부정\n"
    for encoding in ("cp949", "utf-16", "utf-16-le", "utf-32", "utf-8-sig"):
        found, report = read(content.encode(encoding), "csv", encoding=encoding)
        assert [row[1:] for row in found] == [("좋은 영화", "긍정"), ("나쁜 영화", "부정")], encoding
        assert not report.error_count
    for wrong in ("cp949", "utf-16"):
        _, report = read(content.encode(), "csv", encoding=wrong)
        assert report.error_count
    _, report = read(b"\xef\xbb\xbf" + content.encode(), "csv", encoding="cp949")
    assert "utf-8" in report.errors[0].found


def test_errors_are_raised_together() -> None:
    _, report = read("text,label\n,x\n가,\n나,x\n".encode(), "csv")
    with pytest.raises(DataError) as raised:
        report.raise_for_errors()
    assert [problem.code for problem in raised.value.problems] == ["text-empty", "label-empty"]


def test_lines_of_raw_text(tmp_path: Path) -> None:
    path = tmp_path / "prose.txt"
    path.write_bytes("첫 줄\n\n \u3000\n넷째\u2028줄\r다섯째\x00\r\n여섯째\u200b".encode())
    report = Report()
    assert list(read_lines(path, report=report)) == [(1, "첫 줄"), (4, "넷째\u2028줄"), (6, "여섯째\u200b")]
    assert [(problem.code, problem.line) for problem in report.errors] == [("text-nul", 5)]
    assert [(problem.code, problem.line) for problem in report.warnings] == [
        ("line-ends-mixed", 4),
        ("text-zero-width", 6),
    ]
    assert list(read_lines(path, report=Report(), limit_bytes=1)) == [(1, "첫 줄")]
