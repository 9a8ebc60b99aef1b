"""Whether entities stand where their file says, and hold the text it says; if not, how their offsets were counted."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from taesan.data.report import KEPT_ERRORS, Report
from taesan.errors import Problem, escape


@dataclass(frozen=True, slots=True)
class GivenSpan:
    """An entity as it is written; `text` is what it is said to hold, where the file says it."""

    start: int
    end: int
    label: str
    text: str | None


@dataclass(frozen=True, slots=True)
class _Way:
    """A way of counting, as long as it explains every entity of the file whose text is known."""

    what: str
    fix: str
    convert: Callable[[str], str | bytes]
    scale: int = 1
    before: int = 0  # how much is too much in a start
    after: int = 0  # and in an end

    def explains(self, converted: str | bytes, span: GivenSpan) -> bool:
        start, end = (span.start - self.before) * self.scale, (span.end - self.after) * self.scale
        return 0 <= start < end <= len(converted) and converted[start:end] == self.convert(span.text or "")


_WAYS = (
    _Way(
        "in bytes of UTF-8: a Hangul syllable is three",
        "Write each as len(text.encode()[:offset].decode()).",
        lambda text: text.encode("utf-8", "surrogatepass"),
    ),
    _Way(
        "in UTF-16 units, as JavaScript and Java count: an emoji is two",
        'Write each as len(text.encode("utf-16-le")[: 2 * offset].decode("utf-16-le")).',
        lambda text: text.encode("utf-16-le", "surrogatepass"),
        scale=2,
    ),
    _Way("with the last character's place as the end", "Write each end plus one.", str, after=-1),
    _Way("from 1", "Write each start and end less one: the first character is 0.", str, before=1, after=1),
    _Way("from 1, with the last character's place as the end", "Write each start less one.", str, before=1),
)


class Offsets:
    """Checks the entities of one file; those of the wrong text are reported at its end, when all were seen."""

    def __init__(self, file: str, name: str, report: Report):
        self._file, self._name, self._report = file, name, report
        self._ways = list(_WAYS)
        self._count = self._wrong_count = 0
        self._wrong = list[Problem]()

    def check(self, line: int, text: str, spans: Sequence[GivenSpan]) -> bool:
        """Whether all are within the text and hold what they are said to hold."""
        known = [span for span in spans if span.text is not None]
        self._count += len(known)
        for way in list(self._ways) if known else ():
            converted = way.convert(text)
            if not all(way.explains(converted, span) for span in known):
                self._ways.remove(way)
        good = True
        for span in spans:
            problem = self._judge(line, text, span)
            good = good and problem is None
            if problem is not None and span.text is None:
                self._report.add(problem)
            elif problem is not None:
                self._wrong_count += 1
                # The report counts the later ones and shows none of them.
                if len(self._wrong) < KEPT_ERRORS:
                    self._wrong.append(problem)
        return good

    def finish(self) -> None:
        """Says one thing where one other way of counting explains every entity; else each one that is wrong."""
        if not self._wrong:
            return
        if len(self._ways) == 1:
            found = (
                f"offsets counted {self._ways[0].what}: so all {self._count:,} entities hold their text, while "
                f"{self._wrong_count:,} do not in code points, first {self._wrong[0].found}"
            )
            expected, fix = "offsets in code points, which is what Python's str counts", self._ways[0].fix
            line = self._wrong[0].line
            self._report.add(Problem("span-units", self._file, line, 0, self._name, found, expected, fix))
            return
        for problem in self._wrong:
            self._report.add(problem)
        for _ in range(self._wrong_count - len(self._wrong)):
            self._report.add(self._wrong[-1])

    def _judge(self, line: int, text: str, span: GivenSpan) -> Problem | None:
        place = f"{span.start:,} to {span.end:,}"
        if not 0 <= span.start < span.end <= len(text):
            found = f"'{escape(span.label, 30)}' at {place} in a text of {len(text):,} characters"
            expected = "a start below the end, both within the text"
            fix = (
                self._where(text, span.text)
                or "Count both in code points from 0; the end is one past the last character."
            )
            return Problem("span-range", self._file, line, 0, self._name, found, expected, fix)
        there = text[span.start : span.end]
        if span.text in (None, there):
            return None
        found, expected = f"'{escape(there, 40)}' at {place}", f"'{escape(span.text, 40)}', as its \"text\" says"
        fix = self._where(text, span.text) or 'Correct "start" and "end", or "text".'
        if unicodedata.normalize("NFC", there) == unicodedata.normalize("NFC", span.text):
            fix = "One is in composed characters (NFC), the other in decomposed ones (NFD): write both in NFC."
        return Problem("span-text", self._file, line, 0, self._name, found, expected, fix)

    def _where(self, text: str, part: str | None) -> str:
        # Searching costs a look at the whole text: only for what is shown.
        if not part or self._wrong_count >= KEPT_ERRORS or text.count(part) != 1:
            return ""
        start = text.index(part)
        return f"Write {start} to {start + len(part)}: '{escape(part, 40)}' is only there."
