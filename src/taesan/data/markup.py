"""The format of ratsnlp and its book, a sentence a line: `text␞text with <surface:TYPE> marks`.

The text in front of ␞ (U+241E) tells marks and literal angle brackets apart: where it has a `<` too, that is text. So
no entity may hold a bracket; a mark's last colon is in front of its type.
"""

import re
from collections.abc import Iterator, Sequence

from taesan.data.jsonl import bom_inside
from taesan.data.lines import Line
from taesan.data.report import Report
from taesan.data.schema import Span
from taesan.errors import Problem, escape

SEPARATOR = "\u241e"
_MARK = re.compile("<([^<>]+):([^<>:]+)>")
_FORM = f"text{SEPARATOR}text with <surface:TYPE> marks"

Marked = tuple[int, str, list[Span]]


def mark(text: str, spans: Sequence[Span]) -> str:
    """The text with its spans as marks."""
    parts, end = list[str](), 0
    for span in sorted(spans):
        parts += (text[end : span.start], "<", text[span.start : span.end], ":", span.label, ">")
        end = span.end
    return "".join(parts) + text[end:]


def read_markup(lines: Iterator[Line], name: str, report: Report) -> Iterator[Marked]:
    """Every sentence with its line and spans; a line with an error is reported and left out."""
    for line, whole, _ in lines:
        if not whole.strip():
            report.add(Problem("blank-line", name, line, found="an empty line, skipped", severity="note"))
            continue
        if whole.startswith("\ufeff"):
            report.add(bom_inside(name, line))
            continue
        text, *rest = whole.split(SEPARATOR)
        if len(rest) != 1:
            found = f"{SEPARATOR} {len(rest):,} times: {escape(whole, 60)}" if rest else escape(whole, 60)
            fix = f"Put {SEPARATOR} (U+241E) between the text and the text with marks."
            report.add(Problem("mark-separator", name, line, 0, "", found, _FORM, fix))
            continue
        spans = _read_marks(text, rest[0], name, line)
        if isinstance(spans, Problem):
            report.add(spans)
        else:
            yield line, text, spans


def _read_marks(text: str, marked: str, name: str, line: int) -> list[Span] | Problem:
    spans, at, place = list[Span](), 0, 0  # how far the text and the marked text were read
    while place < len(marked):
        bracket = marked.find("<", place)
        stop = bracket if bracket >= 0 else len(marked)
        if not text.startswith(marked[place:stop], at):
            return _unlike(text, marked, at, place, name, line)
        at, place = at + stop - place, stop
        if bracket < 0:
            break
        if text.startswith("<", at):
            at, place = at + 1, place + 1
            continue
        match = _MARK.match(marked, place)
        if match is None:
            return _broken(text, marked, place, name, line)
        if not text.startswith(match[1], at):
            return _unlike(text, marked, at, place + 1, name, line)
        spans.append(Span(at, at + len(match[1]), match[2]))
        at, place = at + len(match[1]), match.end()
    return spans if at == len(text) else _unlike(text, marked, at, place, name, line)


def _unlike(text: str, marked: str, at: int, place: int, name: str, line: int) -> Problem:
    """The two texts differ somewhere after these places."""
    while at < len(text) and place < len(marked) and text[at] == marked[place]:
        at, place = at + 1, place + 1
    found = f"'{escape(marked[place : place + 20])}'" if place < len(marked) else "the line's end"
    expected = f"'{escape(text[at : at + 20])}', as in front of {SEPARATOR}" if at < len(text) else "the line's end"
    fix = f"Write the same text on both sides of {SEPARATOR}, with marks on the right."
    return Problem("mark-text", name, line, len(text) + place + 2, "", found, expected, fix)


def _broken(text: str, marked: str, place: int, name: str, line: int) -> Problem:
    """A bracket that is no text and begins no mark."""
    close, inner = marked.find(">", place), marked.find("<", place + 1)
    inside = marked[place + 1 : close]
    if close < 0:
        why, fix = "nothing closes it", "Write > after the type."
    elif 0 <= inner < close:
        why, fix = "a mark, or a bracket, inside a mark", "Close it first: entities do not overlap and hold no < or >."
    elif inside.startswith(":"):
        why, fix = "an entity of no characters", "Write the entity in front of the colon, or delete the mark."
    else:
        why, fix = "no type", f"Write a colon and the type. A bracket that is text stands on both sides of {SEPARATOR}."
    found = f"'{escape(marked[place : place + 20])}': {why}"
    return Problem("mark-broken", name, line, len(text) + place + 2, "", found, "<surface:TYPE>", fix)
