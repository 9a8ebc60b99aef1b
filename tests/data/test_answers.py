"""Questions and answers come back exactly as they were written, with their lines; the rest is refused where it says."""

import io
import json
import re
import time
from dataclasses import dataclass

import pytest
from bad_answers import AFTER, BEFORE, CASES, CONTEXT, PAIRS, PREDICTIONS, Case, Pair, Prediction, document, lines
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taesan.data import documents
from taesan.data.answers import check_context_overlap, check_contexts, read_answers
from taesan.data.characters import find_oddities, is_blank
from taesan.data.predictions import check_predictions, read_predictions
from taesan.data.report import Report
from taesan.data.rows import read_rows, read_stream
from taesan.data.schema import Answer, Field, Row
from taesan.errors import DataError, UsageError

ASKED = (Field("question"), Field("context"))
FIELDS = (*ASKED, Field("answers", kind="answers"), Field("id", ("qid", "guid"), kind="id", optional=True))


@dataclass(frozen=True)
class Example:
    line: int
    texts: tuple[str, ...]


def examples(rows: list[Row]) -> list[Example]:
    return [Example(row.line, (row.values["question"], row.values["context"])) for row in rows]


def read(content: bytes, **options) -> tuple[list[Row], Report]:
    report = Report()
    fields = options.pop("fields", FIELDS)
    return list(read_stream(io.BytesIO(content), "rows", fields, report=report, **options)), report


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_bad_answers(case: Case, tmp_path) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.content)
    report = Report()
    began = time.monotonic()
    rows = list(read_rows(path, FIELDS, report=report))
    assert time.monotonic() - began < 5
    if not report.error_count:
        check_contexts(examples(rows), str(path), report)

    problems = report.errors if case.outcome == "error" else report.warnings
    said = [(problem.code, (problem.line, problem.column)) for problem in problems]
    if case.outcome == "accept":
        assert not report.error_count, report
        assert not said, report
    else:
        assert (case.code, case.expected) in said, report
        problem = next(problem for problem in problems if problem.code == case.code)
        assert problem.found, problem
        assert case.fix in problem.fix, problem
        assert report.error_count == (case.count if case.outcome == "error" else 0), report
        assert case.outcome == "warning" or problem.fix, problem
    if case.answers is not None:
        held = {row.values["question"]: row.values for row in rows}["무엇인가?"]
        assert held["answers"] == tuple(Answer(text, start) for text, start in case.answers)
        assert all(held["context"][one.start : one.end] == one.text for one in held["answers"])
    if case.outcome == "error" and case.id.endswith(("-squad", "-jsonl")):
        assert len(rows) == len({row.values["id"] for row in rows})
        assert not any(row.values["question"] == "무엇인가?" and row.values["id"] == "b" for row in rows)
    str(report).encode()  # no lone surrogate reaches a terminal
    assert all(character >= " " or character == "\n" for character in str(report))


@pytest.mark.parametrize("case", PREDICTIONS, ids=lambda case: case.id)
def test_predictions(case: Prediction, tmp_path) -> None:
    path = tmp_path / "answers.json"
    path.write_text(case.content, encoding="utf-8")
    report = Report()
    answers = read_predictions(path, report)
    if case.gold is not None:
        check_predictions(answers, case.gold, str(path), "gold.json", report)
    if case.answers is not None:
        assert answers == case.answers
    assert report.error_count == (case.count if case.outcome == "error" else 0), report
    if case.outcome == "error":
        assert (case.code, case.place) in [(one.code, (one.line, one.column)) for one in report.errors], report
        assert all(problem.found and problem.fix for problem in report.errors)
    str(report).encode()


def test_predictions_show_twenty_ids_and_count_all() -> None:
    report = Report()
    check_predictions([f"p{n}" for n in range(30)], [f"g{n}" for n in range(40)], "f", "gold", report)
    missing, extra = report.errors
    assert missing.found.startswith("no answer to 40 of 40 questions")
    assert extra.found.startswith("30 ids")
    assert "'g19', …" in missing.found
    assert "'g20'" not in missing.found
    assert "'p19', …" in extra.found


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.id)
def test_pairs(pair: Pair) -> None:
    report = Report()
    train, test = (examples(read(content)[0]) for content in (pair.train, pair.test))
    check_context_overlap(train, test, "train.json", "test.json", report)
    assert [(one.code, one.line, one.severity) for one in report.warnings] == [(pair.code, pair.line, "warning")]
    assert "1 of 2 contexts" in report.warnings[0].found
    assert "line 3" in report.warnings[0].found


def test_the_catalogue_is_covered() -> None:
    elsewhere = {"Q19", "Q20", "Q21"}  # lengths against the model: the task's
    have = {case.id.split("-")[0] for case in (*CASES, *PREDICTIONS, *PAIRS)}
    assert {f"Q{n:02}" for n in range(1, 37)} - have == elsewhere


def is_taken(text: str) -> bool:
    return not is_blank(text) and not any(oddity.severity == "error" for oddity, _ in find_oddities(text))


def is_answer(text: str) -> bool:
    return not is_blank(text) and all(oddity.code != "text-zero-width" for oddity, _ in find_oddities(text))


characters = st.one_of(
    st.sampled_from("가힣ㅋ\u1100\u1161각\u2028\x85\x0b\"'\\{}[]:, 👍🏽🇰🇷❤️\r\n\t서울"),
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\ufeff"),
)
texts = st.text(characters, min_size=1, max_size=20).filter(is_taken)
contexts = st.text(characters, min_size=1, max_size=60).filter(lambda text: is_taken(text) and "<" not in text)
strings = st.sampled_from(["question", '"question":', "answers", '{"question": "?"}', "context"])


@st.composite
def paragraphs(draw) -> list[tuple[str, list[tuple[str, tuple[Answer, ...], bool]]]]:
    made = []
    for context in draw(st.lists(contexts, min_size=1, max_size=4)):
        asked = []
        for question in draw(st.lists(texts | strings, min_size=0, max_size=4)):
            spans = draw(st.lists(st.tuples(st.integers(0, len(context)), st.integers(1, 10)), max_size=3))
            answers = [Answer(context[start : start + length], start) for start, length in spans]
            kept = tuple(answer for answer in answers if is_answer(answer.text))
            asked.append((question, kept))
        made.append((context, asked))
    return made


def listed(answers: tuple[Answer, ...]) -> list[dict[str, object]]:
    return [{"text": answer.text, "answer_start": answer.start} for answer in answers]


def line_of(content: str, position: int) -> int:
    return len(re.findall(r"\r\n|\r|\n", content[:position])) + 1


@settings(max_examples=120, deadline=None)
@given(
    paragraphs(),
    st.sampled_from([None, 0, 1, 4]),
    st.booleans(),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.permutations(["question", "id", "answers", "is_impossible", "note"]),
    st.booleans(),
)
def test_documents_come_back(made, indent, ascii_only, end, order, context_first) -> None:
    articles, expected, number = [], [], 0
    for context, asked in made:
        questions = []
        for question, answers in asked:
            values = {"question": question, "id": f"id {number}", "answers": listed(answers)}
            # What no field asks for may hold anything, keys of that name too.
            values |= {"is_impossible": not answers, "note": [{"question": {"question": question}}, '"question": "x"']}
            questions.append({key: values[key] for key in order})
            expected.append((f"id {number}", question, context, answers))
            number += 1
        paragraph = {"qas": questions, "context": context}
        articles.append({"paragraphs": [dict(reversed(paragraph.items())) if context_first else paragraph]})
    whole = {"data": articles, "version": "2.0"}
    content = json.dumps(whole, indent=indent, ensure_ascii=ascii_only).replace("\n", end)
    rows, report = read(content.encode())
    if not expected:
        assert [problem.code for problem in report.errors] == ["no-rows"]
        return
    assert not report.error_count, report
    assert [tuple(row.values[key] for key in ("id", "question", "context", "answers")) for row in rows] == expected
    # Another way to the lines: the line of "id", which each question has once, and how far "question" is from it.
    if indent is None:
        assert {row.line for row in rows} == {1}
        return
    for row in rows:
        line = line_of(content, content.index(f'"id": "{row.values["id"]}"'))
        first, last = sorted((order.index("id"), order.index("question")))
        if not {"answers", "note"} & set(order[first:last]):  # each other key takes one line
            assert row.line - line == order.index("question") - order.index("id")
        assert re.match(r'\s*"question":', re.split(r"\r\n|\r|\n", content)[row.line - 1])
    assert sorted(row.line for row in rows) == [row.line for row in rows]


@settings(max_examples=120, deadline=None)
@given(paragraphs(), st.booleans(), st.booleans(), st.booleans())
def test_lines_come_back(made, ascii_only, as_lists, with_ids) -> None:
    written, expected = [], []
    for context, asked in made:
        for question, answers in asked:
            held: object = listed(answers)
            if as_lists:
                held = {"text": [one.text for one in answers], "answer_start": [one.start for one in answers]}
            row = {"context": context, "question": question, "answers": held, "is_impossible": not answers}
            identity = str(len(written) + 1)
            written.append(json.dumps(row | {"id": identity} if with_ids else row, ensure_ascii=ascii_only))
            expected.append((len(written), identity, question, context, answers))
    if not expected:
        return
    rows, report = read("\n".join(written).encode())
    assert not report.error_count, report
    found = [(row.line, *(row.values[key] for key in ("id", "question", "context", "answers"))) for row in rows]
    assert found == expected


pieces = st.sampled_from(
    [
        '{"data": [',
        '"paragraphs"',
        ":",
        "[",
        "{",
        '"qas"',
        '"question"',
        '"context"',
        '"answers"',
        '"id"',
        "}",
        "]",
        ",",
        "\n",
        "null",
        "1",
        "-1",
        "1.5",
        '"\\ud800"',
        '"서울"',
        '"',
        "\\",
        "true",
        '{"text": "서", "answer_start": 0}',
        "\ufeff",
        '{"id": "a", "answer": ',
        "NaN",
    ]
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(pieces, max_size=40).map("".join) | st.text(max_size=40) | st.binary(max_size=60),
    st.sampled_from([None, "squad", "jsonl"]),
)
@example('{"question": ' + "[" * 100_000, None)
@example('{"data": ' + "{" * 100_000, None)
@example('}{"data"', "squad")
@example("]", "squad")
@example('"', "squad")
def test_any_bytes_end_in_rows_or_errors(tmp_path_factory, content, form) -> None:
    content = content.encode() if isinstance(content, str) else content
    rows, report = read(content, format=form)
    assert rows or report.error_count
    str(report).encode()
    path = tmp_path_factory.getbasetemp() / "predictions"
    path.write_bytes(content)
    report = Report()
    assert read_predictions(path, report) or report.error_count
    str(report).encode()


values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 30) | st.floats() | st.sampled_from(["", "서울", "서울은 수도", "0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "answer_start", "question", "qas"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["question", "context", "id", "answers", "is_impossible"]), values, max_size=5),
    st.sampled_from(["question", "context", "id", "answers", "is_impossible", "qas", "paragraphs", "data"]),
    values,
)
def test_any_value_ends_in_a_row_or_an_error(changes, place, value) -> None:
    """Good rows, and rows of which some values are anything: in a document as well as in a line."""
    row = {
        "context": "서울은 수도",
        "question": "?",
        "id": "x",
        "answers": [{"text": "서울", "answer_start": 0}],
        **changes,
    }
    asked = {key: held for key, held in row.items() if key != "context"}
    paragraph = {"context": row["context"], "qas": [asked], **({place: value} if place == "qas" else {})}
    article = {"paragraphs": [paragraph], **({place: value} if place == "paragraphs" else {})}
    whole = {"data": [article], **({place: value} if place == "data" else {})}
    for content in (json.dumps(row), json.dumps(whole), json.dumps(whole, indent=1)):
        rows, report = read(content.encode(), format="squad" if "data" in content else "jsonl")
        assert rows or report.error_count
        for one in rows:
            context = one.values["context"]
            assert all(context[answer.start : answer.end] == answer.text for answer in one.values["answers"])


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0")), texts),
    st.sampled_from([None, 2]),
    st.booleans(),
)
def test_predictions_come_back(tmp_path_factory, answers, indent, ascii_only) -> None:
    answers = {"first": "x"} | {key: text for key, text in answers.items() if is_taken("x" + key)}
    path, report = tmp_path_factory.getbasetemp() / "predictions.json", Report()
    path.write_text(json.dumps(answers, indent=indent, ensure_ascii=ascii_only), encoding="utf-8")
    assert read_predictions(path, report) == answers, report


def test_one_line_documents_name_the_column() -> None:
    content = json.dumps(json.loads(document((CONTEXT, [BEFORE, AFTER, {**AFTER, "id": "d", "question": " "}]))))
    _, report = read(content.encode())
    assert [(one.code, one.line) for one in report.errors] == [("text-empty", 1)]
    assert content[report.errors[0].column - 1 :].startswith('"question": " "')


def test_a_document_may_be_asked_for_its_questions_alone() -> None:
    rows, report = read(document((CONTEXT, [BEFORE, {**AFTER, "answers": None}])), format="squad", fields=ASKED)
    assert [set(row.values) for row in rows] == [{"id", "question", "context"}] * 2
    optional = (*ASKED, Field("answers", kind="answers", optional=True))
    bare = {key: value for key, value in BEFORE.items() if key != "answers"}
    rows, report = read(document((CONTEXT, [bare, AFTER])), fields=optional)
    assert ["answers" in row.values for row in rows] == [False, True], report


def test_columns_and_aliases_are_found() -> None:
    row = {"passage": CONTEXT, "guid": "g", "query": "?", "answers": BEFORE["answers"]}
    rows, report = read(lines((CONTEXT, row)), columns={"question": "query"})
    assert not report.error_count, report
    assert rows[0].values["id"] == "g"
    paragraph = {"passage": CONTEXT, "qas": [{"guid": "g", "query": "?", "answers": BEFORE["answers"]}]}
    content = json.dumps({"data": [{"paragraphs": [paragraph]}]}, indent=1)
    rows, report = read(content.encode(), columns={"question": "query", "context": "passage"})
    assert not report.error_count, report
    assert '"query"' in content.split("\n")[rows[0].line - 1]


def test_squad_is_no_format_of_labels() -> None:
    with pytest.raises(UsageError, match="--format squad"):
        read(b'{"data": []}', format="squad", fields=(Field("text"), Field("label", kind="label")))


def test_a_document_beyond_the_limit_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(documents, "DOCUMENT_CHARACTERS", 1000)
    endless = ((number, '{"data": [' * 10, "\n") for number in range(1, 10**9))
    with pytest.raises(DataError) as raised:
        list(read_answers(endless, '{"data": [', "rows.json", FIELDS, Report(), {}, None))
    assert [(one.code, one.line) for one in raised.value.problems] == [("json-limit", 10)]


def test_many_wrong_answers_are_counted() -> None:
    wrong = [{**BEFORE, "id": str(n), "answers": [{"text": "서울", "answer_start": 5}]} for n in range(1500)]
    rows, report = read(document((CONTEXT, wrong)))
    assert not rows
    assert report.error_count == 1500
    assert len(report.errors) == 1000
    assert report.errors[-1].line == 1002
    assert report.errors[-1].fix


def test_a_large_document_takes_about_a_second() -> None:
    rows = [{**BEFORE, "id": str(n)} for n in range(6)]
    content = document(
        *((CONTEXT * 12 + str(n), [{**row, "id": f"{n}-{row['id']}"} for row in rows]) for n in range(1000))
    )
    began = time.monotonic()
    found, report = read(json.dumps(json.loads(content)).encode())
    assert time.monotonic() - began < 5  # 0.6 s on an idle core
    assert len(found) == 6000
    assert not report.error_count
