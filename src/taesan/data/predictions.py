"""Anyone's answers to the questions of a file, to be measured: SQuAD's object of ids and texts, or JSON lines."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from taesan.data.columns import find_column, note_unused
from taesan.data.documents import Document, Place
from taesan.data.encoding import decode_blocks
from taesan.data.files import read_blocks
from taesan.data.jsonl import Integer, describe, read_objects
from taesan.data.lines import Line, split_lines
from taesan.data.plain import empty_file, refuse_kinds
from taesan.data.report import Report
from taesan.data.schema import Field
from taesan.data.values import check_characters
from taesan.errors import DataError, Problem, escape

_ID = Field("id", ("qid", "guid"), kind="id")
_ANSWER = Field("answer", ("prediction_text",))
_SHAPE = '{"id": "answer", …}, or JSON lines with id and answer'
# Other numbers that such files carry beside an answer.
_KNOWN = frozenset({"no_answer_probability"})
_SHOWN = 20
_STRING = re.compile(r'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"')
_SPACE = re.compile(r"[ \t\n]*+")
_TOKENS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]')
_LITERAL = re.compile(r"null|true|false|-?[0-9][0-9.eE+-]*+")
_LITERALS: dict[str, object] = {"null": None, "true": True, "false": False}
_FIRST_KEY = re.compile(r'[ \t]*\{[ \t]*"([^"\\]*)"[ \t]*:')

Entry = tuple[Place, str, object]  # where it is, its id, its answer


def read_predictions(path: str | Path, report: Report) -> dict[str, str]:
    """The answer to each question by its id; nothing but white space means that there is none.

    Every error and warning goes to `report`; an entry that has one is left out.

    Raises:
        InputMissing: the path is not there, or is no ordinary file that can be read.
    """
    name, answers, places = str(path), dict[str, str](), dict[str, Place]()
    try:
        lines = split_lines(decode_blocks(refuse_kinds(read_blocks(path), name), "utf-8", name, report), name, report)
        for place, identity, answer in _entries(lines, name, report):
            if (first := places.setdefault(identity, place)) is not place:
                found = f"'{escape(identity, 40)}', which line {first[0]:,} has too"
                fix = "Keep one of them."
                report.add(Problem("id-duplicate", name, *place, "id", found, "each id once", fix))
            elif type(answer) is not str:
                fix = 'Write the text of the answer, "" where there is none.'
                report.add(Problem("json-type", name, *place, "answer", describe(answer), "a string", fix))
            elif check_characters(identity, place[0], name, "id", report) and check_characters(
                answer, place[0], name, "answer", report
            ):
                answers[identity] = answer
        if not places and not report.error_count:
            fix = f"Name a file that holds answers: {_SHAPE}."
            report.add(Problem("no-rows", name, found="no answer", expected="answers", fix=fix))
    except DataError as error:
        for problem in error.problems:
            report.add(problem)
    return answers


def check_predictions(
    predicted: Collection[str], gold: Iterable[str], file: str, gold_file: str, report: Report
) -> None:
    """Whether every question has an answer and every answer a question: else errors, with the first ids."""
    expected = dict.fromkeys(gold)
    known = set(predicted)
    missing = [identity for identity in expected if identity not in known]
    extra = [identity for identity in predicted if identity not in expected]
    if missing:
        found = f"no answer to {len(missing):,} of {len(expected):,} questions of {escape(gold_file, 200)}"
        fix = 'Answer every question, with "" where there is no answer: each counts.'
        report.add(Problem("prediction-missing", file, 0, 0, "id", found + _listed(missing), "an answer to each", fix))
    if extra:
        found = f"{len(extra):,} ids that {escape(gold_file, 200)} does not have{_listed(extra)}"
        fix = "Name the file that these are the answers to, or delete them."
        report.add(Problem("prediction-extra", file, 0, 0, "id", found, "the ids of that file", fix))


def _listed(ids: Sequence[str]) -> str:
    return ": " + ", ".join(f"'{escape(one, 40)}'" for one in ids[:_SHOWN]) + (", …" if len(ids) > _SHOWN else "")


def _entries(lines: Iterator[Line], name: str, report: Report) -> Iterator[Entry]:
    first = next((line for line in lines if line[1].strip(" \t")), None)
    if first is None:
        raise DataError([empty_file(name)])
    key, whole = _FIRST_KEY.match(first[1]), chain([first], lines)
    if key and key[1] in (_ID.name, *_ID.aliases, _ANSWER.name, *_ANSWER.aliases, *_KNOWN):
        yield from _read_lines(whole, name, report)
    else:
        yield from _Pairs(Document(whole, name), name, report)


def _read_lines(lines: Iterator[Line], name: str, report: Report) -> Iterator[Entry]:
    unused, first = set[str](), 0
    for line, found in read_objects(lines, name, report):
        identity, answer = find_column(found, _ID, {}), find_column(found, _ANSWER, {})
        for field, key in ((_ID, identity), (_ANSWER, answer)):
            if key is None:
                keys = ", ".join(f"'{escape(one, 30)}'" for one in list(found)[:10]) or "none"
                expected = " or ".join(f"'{one}'" for one in (field.name, *field.aliases))
                fix = f'Write "{field.name}" in each line.'
                report.add(Problem("key-missing", name, line, 0, field.name, f"the keys {keys}", expected, fix))
        if identity is None or answer is None:
            continue
        if type(found[identity]) is not str:
            fix = "Write it as a string, as it is in the file of the questions."
            report.add(Problem("json-type", name, line, 0, "id", describe(found[identity]), "a string", fix))
            continue
        more = found.keys() - {identity, answer} - _KNOWN
        if more and len(unused) < 1000:
            unused |= more
            first = first or line
        yield (line, 0), str(found[identity]), found[answer]
    note_unused(sorted(unused), report, name, first)


class _Pairs:
    """The entries of one object. Read pair by pair: it has a key for each question, and each may have an error."""

    def __init__(self, document: Document, name: str, report: Report):
        self._document, self._text, self._name, self._report = document, document.text, name, report

    def __iter__(self) -> Iterator[Entry]:
        at = self._skip(0)
        if self._text.startswith("[", at):
            fix = 'Write JSON lines: `jq -c ".[]" FILE > FILE.jsonl` does it.'
            place = self._document.place(at)
            found = "a list over the whole file"
            raise DataError([Problem("json-array", self._name, *place, "", found, _SHAPE, fix)])
        at = self._skip(self._expect("{", at))
        if not self._text.startswith("}", at):
            while True:
                place, (identity, at) = self._document.place(at), self._string(at)
                answer, at = self._value(self._skip(self._expect(":", self._skip(at))))
                yield place, identity, answer
                at = self._skip(at)
                if not self._text.startswith(",", at):
                    break
                at = self._skip(at + 1)
        at = self._skip(self._expect("}", at))
        if at < len(self._text):
            raise self._fault(at, "the end of the file")

    def _skip(self, at: int) -> int:
        match = _SPACE.match(self._text, at)
        return match.end() if match else at

    def _expect(self, sign: str, at: int) -> int:
        if not self._text.startswith(sign, at):
            raise self._fault(at, f"'{sign}'")
        return at + 1

    def _string(self, at: int) -> tuple[str, int]:
        if (match := _STRING.match(self._text, at)) is None:
            raise self._fault(at, "a string")
        return json.loads(match[0]), match.end()

    def _value(self, at: int) -> tuple[object, int]:
        """A string and where it ends; of any other value no more than its kind."""
        if self._text.startswith('"', at):
            return self._string(at)
        if match := _LITERAL.match(self._text, at):
            return _LITERALS.get(match[0], Integer(match[0][:40])), match.end()
        depth = 0
        for match in _TOKENS.finditer(self._text, at) if self._text.startswith(("[", "{"), at) else ():
            sign = self._text[match.start()]
            depth += (sign in "[{") - (sign in "]}")
            if depth == 0:
                return list[object]() if sign == "]" else dict[str, object](), match.end()
        raise self._fault(at, "a string")

    def _fault(self, at: int, expected: str) -> DataError:
        rest = self._text[at : at + 20].partition("\n")[0]
        found = escape(rest) if rest.strip() else "the file's end" if at >= len(self._text.rstrip()) else "a line's end"
        fix = f"Write {_SHAPE}; json.dump() puts quotes and commas where they belong."
        place = self._document.place(at)
        return DataError([Problem("json-syntax", self._name, *place, "", found, f"JSON: {expected}", fix)])
