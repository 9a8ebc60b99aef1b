"""The last gate of a question, whatever its format: texts that can be seen, ids once each, answers that are there."""

import re
from collections.abc import Mapping, Sequence

from taesan.data.answer_values import AnswerValues
from taesan.data.characters import is_blank
from taesan.data.columns import find_column, find_lookalike, missing_column, note_unused
from taesan.data.documents import Place
from taesan.data.jsonl import Integer, describe
from taesan.data.report import Report
from taesan.data.schema import Field, Row
from taesan.data.values import check_characters
from taesan.errors import Problem, escape

# Longer than any article; a model reads it in windows, each of which costs as much as a short context.
CONTEXT_CHARACTERS = 1_000_000
_MAX_UNUSED = 1000
# Both an opening and a closing tag of those that lay out a page: a text about HTML seldom has the two.
_PAGE = re.compile(r"\s*<(?:!doctype html|html)[\s>]", re.IGNORECASE)
_OPENS = re.compile(r"<(?:table|tr|td|th|div|p|ul|ol|li|h[1-6]|body|head)(?:\s[^<>]*+)?>", re.IGNORECASE)
_CLOSES = re.compile(r"</(?:table|tr|td|th|div|p|ul|ol|li|h[1-6]|body|head)>", re.IGNORECASE)

Object = Mapping[str, object]


class Questions:
    """Checks the questions of one file. `known` are keys of the format that no field needs."""

    def __init__(
        self, file: str, fields: Sequence[Field], columns: Mapping[str, str], report: Report, known: Sequence[str]
    ):
        self._file, self._columns, self._report = file, columns, report
        self._fields = {field.name: field for field in fields}
        self._harmless, self._unused, self._unused_line = set(known), set[str](), 0
        self._answers = AnswerValues(file, report)
        self._ids: dict[str, tuple[Place, int]] = {}
        self.rows = 0

    def key(self, found: Object, field: str) -> str | None:
        """The key of this object that holds a field, or nothing."""
        return find_column(found, self._fields[field], self._columns) if field in self._fields else None

    def context(self, found: Object, place: Place) -> str | None:
        """The context that an object holds, or nothing after its errors were reported."""
        text = self._text(found, "context", place)
        if text is None:
            return None
        if len(text) > CONTEXT_CHARACTERS:
            count, fix = f"{len(text):,} characters", "Cut it into several contexts, each with its questions."
            return self._problem("context-long", place, "context", count, f"at most {CONTEXT_CHARACTERS:,}", fix)
        if text.startswith("\ufeff"):
            start, fix = f"a byte order mark: '{escape(text, 20)}'", "Delete it, and lower each answer_start by one."
            return self._problem("context-bom", place, "context", start, "text", fix)
        if _PAGE.match(text) or (_OPENS.search(text) and _CLOSES.search(text)):
            fix = "Take the text out of the page, and find the answers in that; KorQuAD 2 comes as pages."
            return self._problem("context-html", place, "context", f"HTML: '{escape(text.strip(), 40)}'", "text", fix)
        return text

    def accept(
        self, found: Object, place: Place, context: str | None, places: Mapping[int, Place], number: int = 0
    ) -> Row | None:
        """The row, or nothing after its errors were reported.

        `number` stands for a missing id; without one the id has to be there. `places` are those of the answers.
        """
        self.rows += 1
        identity = self._id(found, place, number)
        question = self._text(found, "question", place)
        values: dict[str, object] = {"id": identity, "question": question, "context": context}
        key, field = self.key(found, "answers"), self._fields.get("answers")
        if key is not None:
            impossible = found.get("is_impossible", False)
            values["answers"] = self._answers.accept(found[key], impossible, place, context, places)
        elif field is not None and not field.optional:
            values["answers"] = self.missing(found, field, place)
        if identity is not None and not self._is_new(identity, place, hash(tuple(values.values()))):
            return None
        return None if None in values.values() else Row(place[0], values)

    def note(self, found: Object, line: int, names: Sequence[str] = ()) -> None:
        """Remembers the keys that no field needs, and refuses those that look like one that a field does."""
        wanted = [key for name in self._fields if (key := self.key(found, name))]
        for key in found:
            if key in self._harmless or key in wanted or key in names:
                continue
            near = next((one for one in (*wanted, *names, "is_impossible") if find_lookalike([key], one)), None)
            if near is not None:
                text = f"'{escape(key)}' beside '{escape(near)}'" if near in found else f"'{escape(key)}'"
                expected, fix = f"'{escape(near)}'", "Delete one." if near in found else f"Write {escape(near)}."
                self._problem("column-lookalike", (line, 0), "", text, expected, fix)
            elif len(self._unused) < _MAX_UNUSED:
                self._harmless.add(key)
                self._unused.add(key)
                self._unused_line = self._unused_line or line

    def missing(self, found: Object, field: Field, place: Place) -> None:
        """Reports that an object lacks the key of a field."""
        problem = missing_column(list(found), field, self._columns, self._file, place[0])
        if problem.code == "column-lookalike":
            self._problem("column-lookalike", place, field.name, problem.found, problem.expected, problem.fix)
            return
        keys = ", ".join(f"'{escape(key, 30)}'" for key in list(found)[:10]) or "none"
        fix = {
            "answers": "Write the answers: [] with is_impossible true where there is none.",
            "id": "Write an id that no other question has.",
        }.get(field.name, problem.fix)
        self._problem("key-missing", place, field.name, f"the keys {keys}", problem.expected, fix)

    def finish(self) -> None:
        """Says what only the whole file shows."""
        self._answers.finish()
        note_unused(sorted(self._unused), self._report, self._file, self._unused_line)

    def _problem(self, code: str, place: Place, field: str, found: str, expected: str, fix: str) -> None:
        self._report.add(Problem(code, self._file, *place, field, found, expected, fix))

    def _text(self, found: Object, field: str, place: Place) -> str | None:
        key = self.key(found, field)
        if key is None:
            self.missing(found, self._fields.get(field, Field(field)), place)
            return None
        text = found[key]
        if type(text) is not str:
            return self._problem("json-type", place, field, describe(text), "a string", "Write the text in quotes.")
        if is_blank(text):
            shown = f"nothing to see: '{escape(text, 20)}'" if text else "nothing"
            fix = f"Write the {field}, or delete {'the paragraph' if field == 'context' else 'it'}."
            return self._problem("text-empty", place, field, shown, "text", fix)
        return text if check_characters(text, place[0], self._file, field, self._report) else None

    def _id(self, found: Object, place: Place, number: int) -> str | None:
        key = self.key(found, "id")
        if key is None:
            if number or "id" not in self._fields:
                return str(number or self.rows)
            self.missing(found, self._fields["id"], place)
            return None
        identity = found[key]
        if type(identity) is not str:
            fix = f'Write it as a string: "{identity}".' if isinstance(identity, Integer) else "Write it as a string."
            return self._problem("json-type", place, "id", describe(identity), "a string", escape(fix))
        if is_blank(identity):
            fix = "Write an id that no other question has."
            return self._problem("id-empty", place, "id", f"'{escape(identity, 20)}'", "an id", fix)
        return identity if check_characters(identity, place[0], self._file, "id", self._report) else None

    def _is_new(self, identity: str, place: Place, content: int) -> bool:
        first, before = self._ids.setdefault(identity, (place, content))
        if first is place:
            return True
        where = f"{self._report.unit(self._file)} {first[0]:,}"
        found = f"'{escape(identity, 40)}', which {where}" + (f", column {first[1]:,}" if first[1] else "")
        if content == before:
            fix = "Delete one of them."
            self._problem("id-duplicate", place, "id", f"{found} has too, with the same question", "each id once", fix)
        else:
            fix = "Give one of them another id."
            self._problem("id-conflict", place, "id", f"{found} has for another question", "each id once", fix)
        return False
