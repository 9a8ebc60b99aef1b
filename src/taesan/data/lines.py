r"""Physical lines: they end at \n, \r\n or a lone \r and nowhere else (U+2028, U+0085, \v and \f are text)."""

import re
from collections.abc import Iterable, Iterator

from taesan.data.encoding import UndecodableError
from taesan.data.report import Report
from taesan.errors import DataError, Problem, escape

# The longest line, and the longest row of several lines, in characters.
LINE_CHARACTERS = 10_000_000
_ENDS = re.compile(r"(\r\n|\r|\n)")

Line = tuple[int, str, str]  # its number from 1, its text, its end: "\n", "\r\n", "\r", or "" at the end of the file


def split_lines(texts: Iterable[str], name: str, report: Report, limit: int = LINE_CHARACTERS) -> Iterator[Line]:
    """The lines of a text that comes in blocks. No more than a block and a line are in memory.

    A lone \\r among other ends is counted in `report`: it may have been part of a text.

    Raises:
        DataError: a line is too long, or bytes are not in the encoding; with the line and column.
    """
    number, held, held_characters, carriage, usual = 1, list[str](), 0, "", ""
    try:
        for block in texts:
            text = carriage + block
            # Whether \r ends a line alone is known only with the next character.
            carriage = "\r" if text.endswith("\r") else ""
            for piece, end in _pieces(text[:-1] if carriage else text):
                held_characters += len(piece)
                if held_characters > limit:
                    raise DataError([_too_long(name, number, limit)])
                if held or not end:
                    held.append(piece)
                    if not end:
                        continue
                    piece = "".join(held)
                    held.clear()
                usual = usual or end
                if (end == "\r") != (usual == "\r"):
                    report.add(_mixed(name, number, end, usual))
                yield number, piece, end
                number, held_characters = number + 1, 0
    except UndecodableError as error:
        place = (number + 1, 1) if carriage else (number, held_characters + 1)
        raise DataError([error.problem(name, *place)]) from error
    if held_characters or carriage:
        yield number, "".join(held), carriage


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Each line with its end; the last, where it is not empty, has none yet."""
    if "\r" in text:
        parts = _ENDS.split(text)
        yield from zip(parts[:-1:2], parts[1::2], strict=True)
        last = parts[-1]
    else:
        lines = text.split("\n")
        last = lines.pop()
        for line in lines:
            yield line, "\n"
    if last:
        yield last, ""


def _mixed(name: str, line: int, end: str, usual: str) -> Problem:
    found = f"a line that ends in {escape(end)}, in a file whose first ends in {escape(usual)}"
    fix = "Where it stands inside a text, put the text in quotes (CSV) or write it as JSON lines."
    return Problem("line-ends-mixed", name, line, 0, "", found, "", fix, "warning")


def _too_long(name: str, line: int, limit: int) -> Problem:
    return Problem(
        "line-too-long",
        name,
        line,
        found=f"more than {limit:,} characters without a line end",
        expected="a row a line",
        fix="Break the text into lines.",
    )
