"""Whether answers stand where their file says; where they do not, in which other unit they were counted."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from taesan.data.characters import without_invisible
from taesan.data.documents import Place
from taesan.data.report import KEPT_ERRORS, Report
from taesan.errors import Problem, escape

# Counting from 1 explains a single wrong start as well as a slip does: it takes several.
_SLIPS = 3


class _Unit:
    """A way of counting other than in code points, as long as it explains every answer of the file."""

    def __init__(
        self, what: str, convert: Callable[[str], str | bytes], fix: str, scale: int = 1, first: int = 0, least: int = 1
    ):
        self.what, self.fix, self.least = what, fix, least
        self._convert, self._scale, self._first = convert, scale, first
        self._context, self._converted = "", convert("")

    def explains(self, context: str, text: str, start: int) -> bool:
        # The questions of a paragraph share one string.
        if context is not self._context:
            self._context, self._converted = context, self._convert(context)
        begin, answer = (start - self._first) * self._scale, self._convert(text)
        return begin >= 0 and self._converted[begin : begin + len(answer)] == answer


def _units() -> list[_Unit]:
    """Those that programs are known to count in."""
    return [
        _Unit(
            "in UTF-16 units, as JavaScript and Java count: an emoji is two",
            lambda text: text.encode("utf-16-le", "surrogatepass"),
            'Write each start as len(context.encode("utf-16-le")[: 2 * start].decode("utf-16-le")).',
            scale=2,
        ),
        _Unit(
            "in bytes of UTF-8: a Hangul syllable is three",
            lambda text: text.encode("utf-8", "surrogatepass"),
            "Write each start as len(context.encode()[:start].decode()).",
        ),
        _Unit(
            r"with each \r\n as one character",
            lambda text: text.replace("\r\n", "\n"),
            r"Write the contexts with \n, as they were when the answers were found.",
        ),
        _Unit(
            r"with each \n as two characters, \r\n",
            lambda text: text.replace("\r\n", "\n").replace("\n", "\r\n"),
            r"Write the contexts with \r\n, as they were when the answers were found.",
        ),
        _Unit(
            "in composed characters (NFC), where the file is decomposed (NFD)",
            lambda text: unicodedata.normalize("NFC", text),
            'Write contexts and answers in NFC: unicodedata.normalize("NFC", text).',
        ),
        _Unit(
            "in decomposed characters (NFD), where the file is composed (NFC)",
            lambda text: unicodedata.normalize("NFD", text),
            'Write each start as len(normalize("NFC", normalize("NFD", context)[:start])).',
        ),
        _Unit("from 1", str, "Write each start less one: the first character is 0.", first=1, least=_SLIPS),
    ]


@dataclass(frozen=True, slots=True)
class _Wrong:
    place: Place
    context: str
    text: str
    start: int


class Offsets:
    """Checks the answers of one file; says what is wrong at its end, when it is known whether one thing explains it."""

    def __init__(self, file: str, field: str, report: Report):
        self._file, self._field, self._report = file, field, report
        self._units = _units()
        self._wrong = list[_Wrong]()
        self._count = self._wrong_count = 0

    def check(self, context: str, text: str, start: int, place: Place) -> bool:
        """Whether the answer is at this code point of the context."""
        self._count += 1
        self._units = [unit for unit in self._units if unit.explains(context, text, start)]
        if context[start : start + len(text)] == text:
            return True
        self._wrong_count += 1
        # The report counts the later ones and shows none of them.
        if len(self._wrong) < KEPT_ERRORS:
            self._wrong.append(_Wrong(place, context, text, start))
        return False

    def finish(self) -> None:
        """Says one thing where one other unit explains every answer; else each answer that is wrong."""
        if not self._wrong_count:
            return
        if (unit := next((unit for unit in self._units if unit.least <= self._wrong_count), None)) is not None:
            first = self._wrong[0]
            found = (
                f"starts counted {unit.what}: so all {self._count:,} answers are where they should be, while "
                f"{self._wrong_count:,} are not in code points, first '{escape(first.text, 30)}'"
            )
            expected = "starts in code points, which is what Python's str counts"
            self._report.add(Problem("answer-units", self._file, *first.place, self._field, found, expected, unit.fix))
            return
        for one in self._wrong:
            self._report.add(self._describe(one))
        for _ in range(self._wrong_count - len(self._wrong)):
            self._report.add(Problem("answer-mismatch", self._file))

    def _describe(self, one: _Wrong) -> Problem:
        text, start, characters = escape(one.text, 40), one.start, len(one.context)
        fix = _fix(one.context, one.text, start)
        if start + len(one.text) > characters:
            found = f"'{text}' at {start:,}, which ends after the context of {characters:,} characters"
            expected = "a start within the context"
            return Problem("answer-outside", self._file, *one.place, self._field, found, expected, fix)
        there = escape(one.context[start : start + len(one.text)], 40)
        found, expected = f"'{there}' at {start:,} of the context", f"'{text}'"
        return Problem("answer-mismatch", self._file, *one.place, self._field, found, expected, fix)


def where(context: str, text: str) -> str:
    """What to write for an answer that comes without its start."""
    first, last = context.find(text), context.rfind(text)
    if first < 0:
        return _absent(context, text)
    if first == last:
        return f'Write {{"text": …, "answer_start": {first}}}: it occurs only there.'
    return f'Write {{"text": …, "answer_start": …}}: it occurs several times, first at {first:,}.'


def _fix(context: str, text: str, start: int) -> str:
    first, last = context.find(text), context.rfind(text)
    if first < 0:
        return _absent(context, text)
    if first == last:
        return f'Write "answer_start": {first}: it occurs only there.'
    before, after = context.rfind(text, 0, max(0, start - 1 + len(text))), context.find(text, start + 1)
    if before < 0 or after < 0 or start - before != after - start:
        near = after if before < 0 or (after >= 0 and after - start < start - before) else before
        return f'Write "answer_start": {near} where the nearest is meant; it occurs elsewhere too.'
    return f'It occurs at {before:,} and at {after:,}, as near: write as "answer_start" the one that is meant.'


def _absent(context: str, text: str) -> str:
    """Why an answer that a person sees in the context is not there."""
    composed = unicodedata.normalize("NFC", context)
    if (same := unicodedata.normalize("NFC", text)) in composed:
        return (
            'One is in NFC, the other in NFD: write both in NFC, unicodedata.normalize("NFC", text), and count again.'
        )
    if without_invisible(same) in without_invisible(composed):
        return "It is there but for white space or invisible characters: copy the answer out of the context."
    if same.casefold() in composed.casefold():
        return "It is there in other case: copy the answer out of the context."
    return "It is not in the context: copy the answer from there, or say is_impossible where there is none."
