"""Named entities come back exactly as they were written, in every format and scheme; the rest is refused."""

import io
import json
import time
from itertools import pairwise

import pytest
from bad_entities import CASES, ELSEWHERE, FIRST, KLUE, LAST, MARK, Case, characters, conll, klue, marked
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taesan.data.characters import find_oddities, is_blank
from taesan.data.report import Report
from taesan.data.rows import read_rows, read_stream
from taesan.data.schema import Field, Row, Span
from taesan.errors import UsageError

FIELDS = (Field("text", ("sentence", "document")), Field("entities", kind="entities"))


def read(content: str | bytes, name: str = "rows", fields: tuple[Field, ...] = FIELDS, **options):
    report = Report()
    stream = io.BytesIO(content.encode() if isinstance(content, str) else content)
    return list(read_stream(stream, name, fields, report=report, **options)), report


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_bad_entities(case: Case, tmp_path) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.content)
    report = Report()
    began = time.monotonic()
    rows = list(read_rows(path, FIELDS, report=report, labels=case.labels))
    assert time.monotonic() - began < 10

    problems = report.errors if case.outcome == "error" else report.warnings
    if case.outcome == "accept":
        assert not report.error_count, report
        assert not report.warnings, report
    else:
        assert (case.code, *case.place) in [(one.code, one.line, one.column) for one in problems], report
        problem = next(one for one in problems if one.code == case.code)
        assert problem.found, problem
        assert case.fix in problem.fix, problem
        if case.outcome == "error":
            assert problem.fix, problem
            assert report.error_count == case.count or not case.count, report
        else:
            assert not report.error_count, report
    if case.row_line:
        held = {row.line: row.values for row in rows}[case.row_line]
        assert held["text"] == case.text
        if case.entities is not None:
            assert held["entities"] == tuple(Span(*one) for one in case.entities)
    str(report).encode()  # no lone surrogate reaches a terminal
    assert all(character >= " " or character == "\n" for character in str(report))


def test_the_catalogue_is_covered() -> None:
    wanted = {f"N{number:02}" for number in range(1, 37)}
    assert wanted - {case.id.split("-")[0] for case in CASES} == ELSEWHERE


def test_bad_rows_are_left_out() -> None:
    good = conll(FIRST)
    rows, report = read(good + "한국\tB-LC\n은\n\n" + conll(LAST))
    assert [row.line for row in rows] == [1, 8]
    assert report.error_count == 1


def test_usage() -> None:
    with pytest.raises(UsageError, match="it holds no entities"):
        read(KLUE, format="tsv")
    with pytest.raises(UsageError, match="columns have no names"):
        read(KLUE, columns={"text": "sentence"})
    with pytest.raises(UsageError, match="a text and its entities"):
        read(KLUE, fields=(Field("text"), Field("label", kind="label")), format="conll")


def test_a_tagged_file_can_be_read_for_its_text() -> None:
    rows, report = read(KLUE, fields=FIELDS[:1], format="conll")
    assert [row.values for row in rows] == [{"text": "서울에 산다."}, {"text": "이순신 장군과 한국은행"}]
    assert not report.error_count


def test_columns_of_json() -> None:
    content = json.dumps({"본문": "서울에 산다", "표지": [[0, 2, "LC"]]}, ensure_ascii=False)
    rows, report = read(content, columns={"text": "본문", "entities": "표지"})
    assert not report.error_count, report
    assert rows[0].values == {"text": "서울에 산다", "entities": (Span(0, 2, "LC"),)}


def test_one_wrong_span_needs_several_to_be_a_unit() -> None:
    """Where two ways of counting explain the file, or none, each span is said to be wrong."""
    row = {"text": "ab cd", "entities": [{"start": 3, "end": 4, "label": "X", "text": "cd"}]}
    other = {"text": "가나 다", "entities": [{"start": 0, "end": 1, "label": "X", "text": "다"}]}
    _, report = read("\n".join(json.dumps(one) for one in (row, other)))
    assert [problem.code for problem in report.errors] == ["span-text", "span-text"]


def test_many_errors_are_counted() -> None:
    sentence = conll([("서울", "B-LC"), ("에", "O"), ("부산", "B-LC"), ("에", "O"), ("한국", "I-LC")])
    _, report = read(sentence * 3000)
    assert report.error_count == 3000
    assert {problem.code for problem in report.errors} == {"tag-orphan"}
    assert [problem.line for problem in report.errors[:2]] == [5, 11]


# Texts with josa, emoji, brackets, decomposed and combining characters; what no format can carry is filtered out.
PIECES = [
    "서울",
    "에서",
    "은",
    "가",
    "👨‍👩‍👧",
    "😀",
    "<",
    ">",
    ":",
    "<",
    "A-1",
    "#",
    "##",
    "_",
    "10:30",
    "한",
    "é",
    "é",
    "\u00a0",
    "\u200b",
    " ",
    " ",
    " ",
    ",",
    "\u2028",
    "-DOCSTART-",
    "O",
    "B-PS",
    "ㅋㅋ",
    '"',
    "\\",
    "{",
    "[",
    "0",
]
LABELS = ["PS", "LC", "OG", "기관", "AF_WORKS", "A-B"]
texts = st.lists(st.sampled_from(PIECES), min_size=1, max_size=30).map("".join)


@st.composite
def spanned(draw, texts=texts) -> tuple[str, list[tuple[int, int, str]]]:
    text = draw(texts.filter(lambda text: not is_blank(text) and not _refused(text)))
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
    spans = [
        (start, end, draw(st.sampled_from(LABELS)))
        for start, end in pairwise(cuts)
        if not is_blank(text[start:end]) and draw(st.booleans())
    ]
    return text, spans


def _refused(text: str) -> bool:
    return any(oddity.severity == "error" for oddity, _ in find_oddities(text))


def _with(text: str, spans: list[tuple[int, int, str]]) -> list[tuple[str, list[tuple[int, int, str]]]]:
    """A sentence, and one that shows the form of the file and has an entity."""
    return [("나는 서울에", [(3, 5, "LC")]), (text, spans)]


def _values(rows: list[Row]) -> list[tuple[str, list[tuple[int, int, str]]]]:
    return [(row.values["text"], [(one.start, one.end, one.label) for one in row.values["entities"]]) for row in rows]


@given(spanned())
def test_json_holds_any_spans(row) -> None:
    wanted = _with(*row)
    content = "\n".join(
        json.dumps(
            {
                "text": text,
                "entities": [
                    {"start": start, "end": end, "label": label, "text": text[start:end]} for start, end, label in spans
                ]
                if index
                else spans,
            }
        )
        for index, (text, spans) in enumerate(wanted)
    )
    rows, report = read(content)
    assert not report.error_count, report
    assert _values(rows) == wanted


@given(spanned())
@example(("10<3 _ 서울", [(3, 4, "PS")]))
def test_klue_holds_any_spans(row) -> None:
    wanted = _with(*row)
    content = klue(*((str(index), text, spans) for index, (text, spans) in enumerate(wanted)))
    rows, report = read(content)
    assert not report.error_count, report
    assert _values(rows) == wanted


@given(spanned())
def test_characters_hold_any_spans(row) -> None:
    text, spans = row
    wanted = _with(text, spans)
    rows, report = read(conll(*(characters(*one) for one in wanted)))
    assert not report.error_count, report
    assert _values(rows) == wanted


@given(spanned())
@example(("<10>점", [(1, 3, "QT")]))
def test_marks_hold_spans_without_brackets(row) -> None:
    text, spans = row
    spans = [one for one in spans if not set("<>") & set(text[one[0] : one[1]])]
    wanted = _with(text, spans)
    rows, report = read("\n".join(f"{text}{MARK}{marked(text, spans)}" for text, spans in wanted))
    assert not report.error_count, report
    assert _values(rows) == wanted


words = st.lists(
    st.sampled_from([piece for piece in PIECES if piece.strip() and not is_blank(piece) and piece != "\u00a0"]),
    min_size=1,
    max_size=15,
)
SCHEMES = ("BIO", "IOB1", "BIOES", "BILOU")


@st.composite
def tagged(draw) -> tuple[list[str], list[tuple[int, int, str]]]:
    tokens = draw(words)
    cuts = sorted(draw(st.sets(st.integers(0, len(tokens)), max_size=8)))
    pairs = pairwise(cuts)
    return tokens, [(start, end, draw(st.sampled_from(LABELS))) for start, end in pairs if draw(st.booleans())]


def tags(scheme: str, length: int, spans: list[tuple[int, int, str]]) -> list[str]:
    """The spans of a sentence in a scheme, each written out by its definition."""
    found = ["O"] * length
    before = (0, 0, "")
    for start, end, label in spans:
        inside = ["I"] * (end - start)
        if scheme == "BIO" or (scheme == "IOB1" and before[1:] == (start, label)):
            inside[0] = "B"
        if scheme in ("BIOES", "BILOU"):
            inside[0], inside[-1] = "B", scheme[3] if scheme == "BIOES" else "L"
            if len(inside) == 1:
                inside = [scheme[-1]]
        found[start:end] = [f"{mark}-{label}" for mark in inside]
        before = (start, end, label)
    return found


def _bioes(marks: list[str]) -> list[str]:
    return [mark.replace("L-", "E-").replace("U-", "S-") for mark in marks]


@pytest.mark.parametrize("form", ["tab", "space", "json"])
@given(tagged())
def test_every_scheme_gives_the_same_spans(form: str, row) -> None:
    tokens, spans = row
    first, first_spans = ["이순신", "장군과", "서울", "시청", "앞에서"], [(0, 2, "PS"), (2, 4, "LC"), (4, 5, "LC")]
    starts = [len(" ".join(["", *tokens[:place]])) for place in range(len(tokens))]
    starts[0] = 0
    wanted = [(starts[start], starts[end - 1] + len(tokens[end - 1]), label) for start, end, label in spans]
    for scheme in SCHEMES:
        marks = [
            tags("BILOU" if scheme == "BIOES" else scheme, len(one), of)
            for one, of in ((first, first_spans), (tokens, spans))
        ]
        marks = [_bioes(one) if scheme == "BIOES" else one for one in marks]
        if form == "json":
            pairs = zip((first, tokens), marks, strict=True)
            content = "\n".join(json.dumps({"tokens": one, "ner_tags": of}) for one, of in pairs)
        else:
            content = conll(
                *(list(zip(one, of, strict=True)) for one, of in zip((first, tokens), marks, strict=True)),
                between="\t" if form == "tab" else " ",
            )
        rows, report = read(content)
        if form != "json" and "-DOCSTART-" in tokens:
            continue
        assert not report.error_count, (scheme, report)
        assert _values(rows)[1:] == [(" ".join(tokens), wanted)]
        said = [problem.found.split()[0] for problem in report.warnings if problem.code == "tags-read"]
        assert said == ([] if scheme == "BIO" else [scheme])


def test_headers_are_compared_with_an_independent_reading() -> None:
    """Marks of KLUE's headers, read by brute force: every way to take a `<…:XX>` as a mark or as text."""
    for text, spans in [("<1>><2>>", [(1, 2, "QT"), (5, 6, "QT")]), ("짱귀엽>▽<", [(0, 3, "PS")])]:
        rows, report = read(klue(("1", text, spans)))
        assert not report.error_count, report
        assert _values(rows) == [(text, spans)]


NOISE = [
    *PIECES,
    "\t",
    "\t",
    "\n",
    "\n",
    "\n\n",
    "\r",
    "\r\n",
    "\0",
    "\ufeff",
    MARK,
    "<서울:LC>",
    "B-LC",
    "I-LC",
    "E-LC",
    "S-PS",
    "\tO\n",
    "\tO\n",
    " O\n",
    "## 1\t",
    '{"text": "',
    '{"tokens": ["가"], "ner_tags": ["O"]}',
    '", "entities": [[0, 1, "A"]]}',
    "text",
    "label",
    "1",
    "-1",
]


@settings(max_examples=6000)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(st.sampled_from(NOISE), max_size=60).map(lambda parts: "".join(parts).encode()),
    ),
    st.sampled_from([None, "jsonl", "conll", "markup"]),
    st.sampled_from([None, ("LC", "PS")]),
)
def test_any_bytes_end_in_rows_or_errors(content: bytes, form: str | None, labels) -> None:
    rows, report = read(content, format=form, labels=labels)
    assert rows or report.error_count
    str(report).encode()
    for row in rows:
        spans = row.values["entities"]
        assert list(spans) == sorted(spans)
        assert all(0 <= span.start < span.end <= len(row.values["text"]) for span in spans)
        assert all(one.end <= two.start for one, two in pairwise(spans))
