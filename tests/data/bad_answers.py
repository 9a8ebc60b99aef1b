"""The catalogue of bad inputs for question answering, as a table: what is written, and what must be said of it.

`CASES` are single files of questions, most of them as a SQuAD document and as JSON lines; `PREDICTIONS` are answers
to the questions of a file; `PAIRS` are a training and a test file. Exit status 0 or 65 by their `outcome`.
"""

import json
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

CONTEXT = "서울은 대한민국의 수도이다. 부산은 항구 도시이고, 서울보다 작다."
BEFORE = {"question": "수도는 어디인가?", "id": "a", "answers": [{"text": "서울", "answer_start": 0}]}
AFTER = {"question": "작은 곳은?", "id": "c", "answers": [{"text": "부산", "answer_start": CONTEXT.index("부산")}]}
STATUS = {"accept": 0, "warning": 0, "error": 65}

Question = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """`outcome` is accept, warning or error; `mark` is what the content holds at the line and column of `code`.

    Without a `mark`, `place` is where the problem is. `fix` is a part of what the problem proposes. `count` is how many
    errors there are, `answers` what the row `b` must hold, as pairs of a text and a start.
    """

    id: str
    name: str
    content: bytes
    outcome: str
    code: str = ""
    place: tuple[int, int] = (0, 0)
    mark: str = ""
    fix: str = ""
    count: int = 1
    answers: tuple[tuple[str, int], ...] | None = None

    @property
    def expected(self) -> tuple[int, int]:
        if not self.mark:
            return self.place
        before = self.content.decode().partition(self.mark)[0].split("\n")
        return len(before), len(before[-1]) + 1


@dataclass(frozen=True)
class Prediction:
    """`answers` are those that come back; `gold` the ids of the questions."""

    id: str
    content: str
    outcome: str
    code: str = ""
    place: tuple[int, int] = (0, 0)
    answers: dict[str, str] | None = None
    gold: tuple[str, ...] | None = None
    count: int = 1


@dataclass(frozen=True)
class Pair:
    id: str
    train: bytes
    test: bytes
    code: str
    line: int


def dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def document(*paragraphs: tuple[str, list[Question]]) -> bytes:
    """A SQuAD document with every context and every question in a line of its own."""
    written = [
        '{"context": ' + dump(context) + ', "qas": [\n' + ",\n".join(map(dump, questions)) + "\n]}"
        for context, questions in paragraphs
    ]
    return ('{"version": "1.1", "data": [{"title": "t", "paragraphs": [\n' + ",\n".join(written) + "]}]}\n").encode()


def lines(*rows: tuple[str, Question]) -> bytes:
    return "".join(dump({"title": "t", "context": context, **row}) + "\n" for context, row in rows).encode()


def question(answers: object = (), **more: object) -> Question:
    made: Question = {"question": "무엇인가?", "id": "b", "answers": answers, **more}
    return {key: value for key, value in made.items() if value is not Ellipsis}


def answer(text: object, start: object) -> Question:
    return {"text": text, "answer_start": start}


def both(
    identity: str, middle: Question, outcome: str, code: str = "", mark: str = "question", **more: Any
) -> Iterator[Case]:
    """A good file whose second question is this one: its problem is at the question, or at its answer number `mark`."""
    content = document((CONTEXT, [BEFORE, middle, AFTER]))
    if mark == "question":
        place = (4, dump(middle).index('"question"') + 1 if "question" in middle else 1)
    else:
        place = (4, dump(middle).index(dump(middle["answers"][int(mark)])) + 1)
    yield Case(f"{identity}-squad", "rows.json", content, outcome, code, place, **more)
    rows = [(CONTEXT, BEFORE), (CONTEXT, middle), (CONTEXT, AFTER)]
    yield Case(f"{identity}-jsonl", "rows.jsonl", lines(*rows), outcome, code, (2, 0), **more)


def context_case(identity: str, context: str, outcome: str, code: str = "", **more: Any) -> Iterator[Case]:
    """The same about a context: in a document it is told once, where the context stands; in lines at its question."""
    middle = question([answer("서울", context.find("서울"))] if "서울" in context else [answer("x", 0)])
    content = document((CONTEXT, [BEFORE, AFTER]), (context, [middle, {**middle, "id": "d"}]))
    yield Case(f"{identity}-squad", "rows.json", content, outcome, code, (6, 2), **more)
    flat = lines((CONTEXT, BEFORE), (context, middle))
    yield Case(f"{identity}-jsonl", "rows.jsonl", flat, outcome, code, (2, 0), **more)


def structure_cases() -> Iterator[Case]:
    """Q01-Q04, Q34: the document."""

    def whole(identity: str, content: str, code: str, mark: str = "", **more: Any) -> Case:
        more.setdefault("place", (1, 1))
        return Case(identity, "rows.json", content.encode(), "error", code, mark=mark, **more)

    yield whole("Q01", '{"version": "1.1"}', "key-missing")
    yield whole("Q01-spelling", '{"version": "1.1", "Data": []}', "column-lookalike", place=(1, 0))
    yield whole("Q01-article", '{"paragraphs": [{"context": "가", "qas": []}]}', "key-missing")
    yield whole("Q02", '[{"title": "t", "paragraphs": []}]', "json-array", fix='{"data":')
    yield whole("Q02-flat", f"[{dump({'context': CONTEXT, **BEFORE})}]", "json-array", fix="jq")
    yield whole("Q02-data", '{"data": {"paragraphs": []}}', "json-type")
    yield whole("Q02-articles", '{"data": ["가", 1]}', "json-type", count=2)
    mixed = document((CONTEXT, [BEFORE, {**question([answer("서울", 0)]), "is_impossible": False}, AFTER]))
    yield whole("Q03", mixed.decode(), "squad-mixed", mark='"question": "무엇인가?"')
    said = [{**one, "is_impossible": False} for one in (BEFORE, AFTER)]
    mixed = document((CONTEXT, [*said, question([answer("서울", 0)])]))
    yield whole("Q03-later", mixed.decode(), "squad-mixed", mark='"question": "무엇인가?"')
    yield whole("Q04-paragraphs", '{"data": [\n{"title": "t"}]}', "key-missing", place=(2, 1))
    yield whole("Q04-paragraphs-null", '{"data": [\n{"paragraphs": null}]}', "json-type", place=(2, 1))
    yield whole("Q04-qas", '{"data": [{"paragraphs": [\n{"context": "가"}]}]}', "key-missing", mark='"context"')
    null = '{"data": [{"paragraphs": [\n {"qas": null, "context": "가"}]}]}'
    yield whole("Q04-qas-null", null, "json-type", mark='"context"')
    yield whole("Q04-context", '{"data": [{"paragraphs": [\n {"qas": []}]}]}', "key-missing", mark='{"qas"')
    yield from both("Q04-answers", question(...), "error", "key-missing")
    yield from both("Q04-answers-null", question(None), "error", "json-type")
    yield from both("Q04-answers-number", question(1), "error", "json-type")
    yield from both("Q04-answers-text", question([{"answer_start": 1}]), "error", "key-missing", mark="0")
    yield from both("Q04-answers-none", question({}), "error", "key-missing")
    yield from both("Q04-answers-inner", question([1]), "error", "json-type")
    deep = '{"data": ' + "[" * 20_000 + "]" * 20_000 + "}"
    yield whole("Q34-deep", deep, "json-limit", place=(1, 9 + 32))
    yield whole("Q34-lines", '{"data":\n' + "[\n" * 100 + "]" * 100 + "}", "json-limit", place=(33, 1))
    yield whole("Q34-number", '{"data": [],\n "x": ' + "1" * 5000 + "}", "json-limit", place=(2, 7))
    nested = dump({"context": CONTEXT, **BEFORE, "x": json.loads("[" * 500 + "]" * 500)})
    yield Case("Q34-flat", "rows.jsonl", nested.encode(), "error", "json-limit", (1, 0))
    good = document((CONTEXT, [BEFORE, AFTER])).decode()
    yield whole("Q00-cut", good[: good.index("항구")], "json-syntax", place=(2, 13))
    yield whole("Q00-end", good[: good.rindex("]}")], "json-syntax", place=(5, 5), fix="cut off")
    yield whole("Q00-comma", good.replace("\n]}]}]}", ",\n]}]}]}"), "json-syntax", place=(5, 1), fix="comma")
    yield whole("Q00-two", good + good, "json-syntax", place=(6, 1), fix="One document a file")
    twice = good.replace('"id": "c"', '"id": "c", "id": "d"')
    yield whole("Q00-key-twice", twice, "json-duplicate-key", mark='"id": "d"')
    yield whole("Q00-nan", good.replace(f"{CONTEXT.index('부산')}", "NaN"), "json-syntax", mark="NaN")
    yield whole("Q00-empty", '{"data": []}', "no-rows", place=(0, 0))
    yield Case("Q00-csv", "rows.csv", b"question,context\n", "error", "answers-format", (1, 0))
    extra = {**question([answer("서울", 0)]), "level": 3}
    yield from unused(extra)
    named = {"Question": "?", **question([answer("서울", 0)], question=...)}
    yield from both("Q00-lookalike", named, "error", "column-lookalike")
    impossible = {**question([answer("서울", 0)]), "Is_impossible": True}
    squad = document((CONTEXT, [BEFORE, impossible]))
    yield Case("Q00-lookalike-key", "rows.json", squad, "error", "column-lookalike", (4, 0))


def unused(extra: Question) -> Iterator[Case]:
    rows = [(CONTEXT, BEFORE), (CONTEXT, extra)]
    yield Case("Q00-extra-jsonl", "rows.jsonl", lines(*rows), "warning", "column-unused", (2, 0))
    content = document((CONTEXT, [BEFORE, extra]))
    yield Case("Q00-extra-squad", "rows.json", content, "warning", "column-unused", (4, 0))


def place_cases() -> Iterator[Case]:
    """Q05-Q08, Q22, Q23, Q25, Q26, Q28, Q31: where an answer is."""
    sea, busan = CONTEXT.index("항구"), CONTEXT.index("부산")
    later = CONTEXT.rindex("서울")

    def wrong(text: str, start: object) -> Question:
        return question([answer(text, start)])

    yield from both(
        "Q05", wrong("항구", 3), "error", "answer-mismatch", "0", fix=f'"answer_start": {sea}: it occurs only'
    )
    yield from both("Q05-nearest", wrong("서울", later - 2), "error", "answer-mismatch", "0", fix=f": {later} where")
    yield from both("Q05-first", wrong("서울", 2), "error", "answer-mismatch", "0", fix='"answer_start": 0 where')
    yield from both("Q05-tie", wrong("은", 10), "error", "answer-mismatch", "0", fix="at 2 and at 18")
    yield from both("Q05-absent", wrong("평양", 3), "error", "answer-mismatch", "0", fix="not in the context")
    yield from both("Q05-space", wrong("항구도시", sea), "error", "answer-mismatch", "0", fix="but for white space")
    yield from both("Q06", wrong("부산", busan + 1), "error", "answer-mismatch", "0", fix=f'"answer_start": {busan}')
    yield from both("Q06-before", wrong("항구", sea - 1), "error", "answer-mismatch", "0", fix=f": {sea}")
    slips = [{**wrong(text, CONTEXT.index(text) + 1), "id": text} for text in ("대한민국", "수도", "항구", "도시")]
    content, mark = document((CONTEXT, slips)), dump(slips[0]["answers"][0])
    yield Case("Q06-all", "rows.json", content, "error", "answer-units", mark=mark, fix="less one")
    yield from both("Q07", wrong("부산", -1), "error", "answer-outside", "0")
    yield from both("Q07-beyond", wrong("부산", 1000), "error", "answer-outside", "0", fix=f": {busan}")
    yield from both("Q07-across", wrong("작다.", len(CONTEXT) - 2), "error", "answer-outside", "0")
    yield from both("Q07-float", wrong("서울", 0.0), "error", "json-type", "0")
    yield from both("Q07-string", wrong("서울", "0"), "error", "json-type", "0")
    yield from both("Q07-null", wrong("서울", None), "error", "json-type", "0")
    yield from both("Q07-true", wrong("서울", True), "error", "json-type", "0")
    yield from both("Q07-digits", wrong("서울", 10**400), "error", "answer-outside", "0")

    def counted(identity: str, context: str, count: Callable[[str], int], fix: str, texts: list[str]) -> Iterator[Case]:
        """Answers whose starts are counted otherwise: one word about all of them, at the first that is wrong."""
        rows = [
            {**question([answer(text, count(context[: context.index(text)]))]), "id": str(number)}
            for number, text in enumerate(texts)
        ]
        first = next(n for n, text in enumerate(texts) if count(context[: context.index(text)]) != context.index(text))
        mark = dump(rows[first]["answers"][0])
        yield Case(
            f"{identity}-squad", "rows.json", document((context, rows)), "error", "answer-units", mark=mark, fix=fix
        )
        flat = lines(*((context, row) for row in rows))
        yield Case(f"{identity}-jsonl", "rows.jsonl", flat, "error", "answer-units", (first + 1, 0), fix=fix)

    words = ["서울", "대한민국", "부산", "작다"]
    yield from counted("Q08", CONTEXT, lambda text: len(text.encode()), "encode()", words)
    emoji = "서울 🇰🇷은 대한민국의 수도 👍이다. 부산은 작다."
    yield from counted("Q08-utf16", emoji, lambda text: len(text.encode("utf-16-le")) // 2, "utf-16-le", words)
    yield from counted("Q31", emoji, lambda text: len(text.encode("utf-16-le")) // 2, "utf-16-le", ["서울", "부산"])
    start = emoji.index("부산")
    accepted = lines((CONTEXT, BEFORE), (emoji, wrong("부산", start)))
    yield Case("Q31-right", "rows.jsonl", accepted, "accept", answers=(("부산", start),))
    broken = CONTEXT.replace(". ", ".\r\n")
    yield from counted("Q22", broken, lambda text: len(text.replace("\r\n", "\n")), "with \\n", words)
    lone = CONTEXT.replace(". ", ".\n")
    yield from counted("Q22-lost", lone, lambda text: len(text.replace("\n", "\r\n")), "with \\r\\n", words)
    right = lines((broken, wrong("항구", broken.index("항구"))))
    yield Case("Q22-right", "rows.jsonl", right, "accept", answers=(("항구", broken.index("항구")),))
    apart = unicodedata.normalize("NFD", CONTEXT)
    composed = [
        {**question([answer(text, CONTEXT.index(text))]), "id": text} for text in ("서울", "대한민국", "부산", "작다")
    ]
    nfd = document((apart, composed))
    yield Case("Q23", "rows.json", nfd, "error", "answer-units", mark='{"text": "서울"', fix='normalize("NFC"')
    part = document((CONTEXT, [BEFORE, AFTER]), (apart, [question([answer("부산", 20)])]))
    mark = '{"text": "부산", "answer_start": 20}'
    yield Case("Q23-part", "rows.json", part, "error", "answer-mismatch", mark=mark, fix="both in NFC")
    same = lines((apart, question([answer(apart[:5], 0)])))
    yield Case("Q23-same", "rows.jsonl", same, "warning", "text-nfd", (1, 0), answers=((apart[:5], 0),))
    yield from both("Q25", wrong("서울", later), "accept", answers=(("서울", later),))
    two = question([answer("서울", 0), answer("서울", later), answer("부산", busan + 2)])
    yield from both("Q26", two, "error", "answer-mismatch", "2")
    josa = CONTEXT.index("민국")
    yield from both("Q28", wrong("민국", josa), "accept", answers=(("민국", josa),))
    many = question([answer("서울", 0), answer("서울", 0), answer("서울은", 0)])
    yield from both("Q00-many", many, "accept", answers=(("서울", 0), ("서울", 0), ("서울은", 0)))


def value_cases() -> Iterator[Case]:
    """Q09-Q18, Q24, Q27, Q29, Q30, Q32: what questions, contexts and answers are."""
    good = [answer("서울", 0)]
    yield from both("Q09", question([answer("", 0)]), "error", "answer-empty", "0")
    yield from both("Q10", question([answer(" \u3000", 3)]), "error", "answer-empty", "0")
    spaced = question([answer(" 대한", 3)])
    yield from both("Q10-outer", spaced, "warning", "answer-spaces", "0", answers=((" 대한", 3),))
    yield from both("Q10-wrong", question([answer("서울 ", 0)]), "error", "answer-mismatch", "0")
    yield from both("Q09-type", question([answer(1, 0)]), "error", "json-type", "0")

    def version2(identity: str, middle: Question, outcome: str, code: str = "", **more: Any) -> Iterator[Case]:
        rows = [{**BEFORE, "is_impossible": False}, middle, {**AFTER, "is_impossible": False}]
        place = (4, 2)
        yield Case(f"{identity}-squad", "rows.json", document((CONTEXT, rows)), outcome, code, place, **more)
        flat = lines(*((CONTEXT, row) for row in rows))
        yield Case(f"{identity}-jsonl", "rows.jsonl", flat, outcome, code, (2, 0), **more)

    yield from version2("Q11", question(good, is_impossible=True), "error", "answers-impossible")
    yield from version2("Q12", question([], is_impossible=False), "error", "answers-none", fix='"is_impossible": true')
    yield from version2("Q12-impossible", question([], is_impossible=True), "accept", answers=())
    yield from version2("Q12-type", question([], is_impossible="true"), "error", "json-type")
    yield from version2("Q12-number", question(good, is_impossible=0), "error", "json-type")
    yield from both("Q12-version-1", question([]), "error", "answers-none")
    empty = {"text": [], "answer_start": []}
    yield from both("Q12-lists", question(empty), "error", "answers-none")
    yield from version2("Q12-lists-impossible", question(empty, is_impossible=True), "accept", answers=())
    yield from both("Q13", {**BEFORE}, "error", "id-duplicate")
    yield from both("Q14", question(good, id="a"), "error", "id-conflict")
    yield from both("Q15", question(good, id=7), "error", "json-type", fix='"7"')
    yield from both("Q15-null", question(good, id=None), "error", "json-type")
    yield from both("Q15-empty", question(good, id=""), "error", "id-empty")
    squad, flat = both("Q15-missing", question(good, id=...), "error", "key-missing")
    yield squad
    yield Case(flat.id, flat.name, flat.content, "accept")
    yield from context_case("Q16", "", "error", "text-empty")
    yield from context_case("Q16-blank", "\u200b ", "error", "text-empty")
    yield from both("Q17-type", question(good, question=7), "error", "json-type")
    yield from both("Q17", question(good, question=" "), "error", "text-empty")
    yield from both("Q17-missing", question(good, question=...), "error", "key-missing")
    yield from characters()
    yield from context_case("Q18", "서울" + "가" * 5_000_000, "error", "context-long")
    page = "<!DOCTYPE html>\n<html><body><p>서울은 수도이다.</p></body></html>"
    yield from context_case("Q24", page, "error", "context-html")
    yield from context_case("Q24-table", '<table class="x"><tr><td>서울</td></tr></table>', "error", "context-html")
    for identity, text in {"less": "서울 <ref> 3 < 5 > 2", "named": "서울의 <p> 태그는 문단이다."}.items():
        yield from context_case(f"Q24-{identity}", text, "accept", answers=(("서울", 0),))
    yield from context_case("Q32", "\ufeff서울은 수도", "error", "context-bom", fix="lower each answer_start by one")
    hidden = "서울은 대한\u200b민국의 수도이다."
    rows = [(CONTEXT, BEFORE), (hidden, question([answer("대한\u200b민국", 4)]))]
    yield Case("Q27", "rows.jsonl", lines(*rows), "error", "answer-invisible", (2, 0))
    rows[1] = (hidden, question([answer("대한민국", 4)]))
    yield Case("Q27-lost", "rows.jsonl", lines(*rows), "error", "answer-mismatch", (2, 0), fix="invisible")
    family = "가족 👨‍👩‍👧 서울"
    rows[1] = (family, question([answer("👨‍👩‍👧", 3)]))
    yield Case("Q27-emoji", "rows.jsonl", lines(*rows), "accept", answers=(("👨‍👩‍👧", 3),))
    found = f'"answer_start": {CONTEXT.index("항구")}}}'
    yield from both("Q29", question(["항구"]), "error", "answer-start-missing", fix=found)
    yield from both("Q29-several", question(["서울"]), "error", "answer-start-missing", fix="several times")
    yield from both("Q29-string", question("항구"), "error", "answer-start-missing", fix=found)
    yield from both("Q29-lists", question({"text": ["항구"]}), "error", "answer-start-missing", fix=found)
    yield from both("Q29-object", question([{"text": "항구"}]), "error", "answer-start-missing", "0", fix=found)
    unequal = {"text": ["서울", "부산"], "answer_start": [0]}
    yield from both("Q30", question(unequal), "error", "answers-unequal")
    yield from both("Q30-scalar", question({"text": "서울", "answer_start": 0}), "error", "json-type")
    lists = {"text": ["서울", "대한민국"], "answer_start": [0, 4]}
    yield from both("Q30-right", question(lists), "accept", answers=(("서울", 0), ("대한민국", 4)))


def characters() -> Iterator[Case]:
    """Characters are looked for in a text, not in a line: these have no column."""
    for code, sign in {"text-nul": "\0", "text-surrogate": "\ud800"}.items():
        rows = [BEFORE, question([answer("서울", 0)], question=f"왜{sign}?")]
        content = json.dumps({"data": [{"paragraphs": [{"context": CONTEXT, "qas": rows}]}]}).encode()
        yield Case(f"Q17-{code}", "rows.json", content, "error", code, (1, 0))


def repeated_cases() -> Iterator[Case]:
    """Q35: the same context in two places."""
    again = CONTEXT.replace(" ", "  ")
    content = document((CONTEXT, [BEFORE]), ("부산", [question([answer("부산", 0)])]), (again, [{**BEFORE, "id": "d"}]))
    yield Case("Q35", "rows.json", content, "warning", "context-duplicate", (9, 0))
    shared = lines((CONTEXT, BEFORE), (CONTEXT, question([answer("서울", 0)])), (CONTEXT, AFTER))
    yield Case("Q35-shared", "rows.jsonl", shared, "accept")


CASES: tuple[Case, ...] = (*structure_cases(), *place_cases(), *value_cases(), *repeated_cases())

_GOOD = {"a": "서울", "b": "", "c": "부산"}
PREDICTIONS: tuple[Prediction, ...] = (
    Prediction("Q33", dump(_GOOD), "accept", answers=_GOOD, gold=("c", "b", "a")),
    Prediction("Q33-indented", json.dumps(_GOOD, indent=2), "accept", answers=_GOOD, gold=("a", "b", "c")),
    Prediction(
        "Q33-lines",
        "".join(dump({"id": key, "answer": text}) + "\n" for key, text in _GOOD.items()),
        "accept",
        answers=_GOOD,
    ),
    Prediction(
        "Q33-squad-2",
        "".join(
            dump({"id": key, "prediction_text": text, "no_answer_probability": 0.5}) + "\n"
            for key, text in _GOOD.items()
        ),
        "accept",
        answers=_GOOD,
    ),
    Prediction("Q33-missing", dump(_GOOD), "error", "prediction-missing", answers=_GOOD, gold=("a", "b", "c", "d")),
    Prediction("Q33-extra", dump(_GOOD), "error", "prediction-extra", answers=_GOOD, gold=("a", "b")),
    Prediction("Q33-other", dump(_GOOD), "error", "prediction-extra", answers=_GOOD, gold=("x",), count=2),
    Prediction("Q33-twice", '{"a": "x",\n "b": "y", "a": "z"}', "error", "id-duplicate", (2, 12)),
    Prediction(
        "Q33-type",
        '{"a": "x",\n "b": null, "c": 1.5, "d": [["x"], {}], "e": {}}',
        "error",
        "json-type",
        (2, 2),
        {"a": "x"},
        count=4,
    ),
    Prediction("Q33-list", '[{"id": "a", "prediction_text": "x"}]', "error", "json-array", (1, 1)),
    Prediction("Q33-cut", '{"a": "x",\n "b": "y', "error", "json-syntax", (2, 7)),
    Prediction("Q33-comma", '{"a": "x",\n}', "error", "json-syntax", (2, 1)),
    Prediction("Q33-colon", '{"a" "x"}', "error", "json-syntax", (1, 6)),
    Prediction("Q33-behind", '{"a": "x"}\n{"b": "y"}', "error", "json-syntax", (2, 1)),
    Prediction("Q33-quotes", "{'a': 'x'}", "error", "json-syntax", (1, 2)),
    Prediction("Q33-none", "{}", "error", "no-rows"),
    Prediction("Q33-deep", '{"a": ' + "[" * 20_000 + "]" * 20_000 + "}", "error", "json-type", (1, 2)),
    Prediction("Q33-open", '{"a": ' + "[" * 20_000, "error", "json-syntax", (1, 7)),
    Prediction("Q33-key", '{"id": "a"}\n', "error", "key-missing", (1, 0)),
    Prediction("Q33-number", '{"id": 7, "answer": "x"}\n', "error", "json-type", (1, 0)),
    Prediction("Q33-surrogate", '{"a": "\\ud800"}', "error", "text-surrogate", (1, 0)),
)

PAIRS: tuple[Pair, ...] = (
    Pair(
        "Q36",
        document((CONTEXT, [BEFORE])),
        document(("부산", [question([answer("부산", 0)])]), (CONTEXT + " ", [AFTER])),
        "context-overlap",
        6,
    ),
)
