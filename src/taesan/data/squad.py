"""SQuAD documents (1.1, 2.0, KorQuAD 1.0): articles of paragraphs of questions, each at its physical line."""

from collections.abc import Collection, Iterator, Mapping
from typing import cast

from taesan.data.columns import find_lookalike
from taesan.data.documents import Document, Place
from taesan.data.jsonl import describe
from taesan.data.lines import Line
from taesan.data.questions import Questions
from taesan.data.report import Report
from taesan.data.schema import Row
from taesan.errors import DataError, Problem, escape

# What else a document of this kind holds.
KNOWN = ("version", "title", "is_impossible")
_SHAPE = '{"data": [{"paragraphs": [{"context": "…", "qas": […]}]}]}'


def read_squad(
    lines: Iterator[Line], name: str, questions: Questions, keys: Collection[str], report: Report
) -> Iterator[Row]:
    """The good rows of a document.

    `keys` are those of questions and contexts: where they stand is the line of a question and of a paragraph.

    Raises:
        DataError: it is no JSON, too large or too deep, or no object.
    """
    document = Document(lines, name)
    if document.text.lstrip().startswith("["):
        raise DataError([_list_at_top(document, name)])
    parsed = document.parse()
    tree = _Tree(name, document.places(parsed, keys), report, questions)
    yield from tree.rows(parsed)
    tree.finish()


def _list_at_top(document: Document, name: str) -> Problem:
    if '"paragraphs"' in document.text:
        fix = 'Write {"data": in front of it and } behind.'
    else:
        fix = 'Write JSON lines, a question a line: `jq -c ".[]" FILE > FILE.jsonl` does it.'
    place = document.place(document.text.index("["))
    return Problem("json-array", name, *place, "", "a list over the whole file", _SHAPE, fix)


class _Tree:
    """Walks down one document."""

    def __init__(self, name: str, places: Mapping[int, Place], report: Report, questions: Questions):
        self._name, self._places, self._report, self._questions = name, places, report, questions
        # Whether the first question says is_impossible, how many say it otherwise, and where the first of those is.
        self._says: bool | None = None
        self._mixed, self._mixed_place = 0, (0, 0)

    def rows(self, parsed: dict[str, object]) -> Iterator[Row]:
        for article in self._held(parsed, "data"):
            for paragraph in self._held(article, "paragraphs"):
                place = self._places[id(paragraph)]
                context = self._questions.context(paragraph, place)
                for found in self._held(paragraph, "qas", "context"):
                    place = self._places[id(found)]
                    self._count_impossible(found, place)
                    self._questions.note(found, place[0])
                    row = self._questions.accept(found, place, context, self._places)
                    if row is not None:
                        yield row

    def finish(self) -> None:
        """Says that two versions were joined, which shows only at the end."""
        if self._mixed:
            without = self._mixed if self._says else self._questions.rows - self._mixed
            found = f"{without:,} of {self._questions.rows:,} questions without is_impossible"
            fix = "Versions 1 and 2 were joined: write is_impossible, true or false, for each question, or for none."
            expected = "it with every question or with none"
            self._report.add(
                Problem("squad-mixed", self._name, *self._mixed_place, "is_impossible", found, expected, fix)
            )

    def _held(self, found: dict[str, object], key: str, *fields: str) -> Iterator[dict[str, object]]:
        """The objects of the list that this key holds; what is none is reported."""
        place = self._places[id(found)]
        self._questions.note(found, place[0], (key,))
        if key not in found:
            # A key that looks like it was noted already.
            if find_lookalike(found, key) is None:
                keys = ", ".join(f"'{escape(one, 30)}'" for one in list(found)[:10]) or "none"
                fix = f"Write a SQuAD document: {_SHAPE}"
                self._problem("key-missing", place, key, f"the keys {keys}", f"'{key}'", fix)
            return
        if not isinstance(value := found[key], list):
            fix = f"Write a SQuAD document: {_SHAPE}"
            self._problem("json-type", place, key, describe(value), "a list of objects", fix)
            return
        for held in cast(list[object], value):
            if isinstance(held, dict):
                yield cast(dict[str, object], held)
            else:
                fix = f"Write a SQuAD document: {_SHAPE}"
                self._problem("json-type", place, key, f"{describe(held)} in the list", "objects", fix)

    def _count_impossible(self, found: dict[str, object], place: Place) -> None:
        says = "is_impossible" in found
        if self._says is None:
            self._says = says
        elif says != self._says:
            self._mixed += 1
            self._mixed_place = self._mixed_place if self._mixed > 1 else place

    def _problem(self, code: str, place: Place, field: str, found: str, expected: str, fix: str) -> None:
        self._report.add(Problem(code, self._name, *place, field, found, expected, fix))
