"""CSV (RFC 4180, strictly) and TSV (a tab ends a cell and nothing else: quotes are text, as in NSMC) into cells.

The first row is the header. A row with an error is reported and left out; reading goes on with the next line.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from taesan.data.lines import LINE_CHARACTERS, Line
from taesan.data.report import Report
from taesan.errors import Problem, escape

Cells = tuple[int, list[str]]  # the physical line where the row begins, and what stands in its columns


def read_delimited(lines: Iterator[Line], delimiter: str, name: str, report: Report) -> Iterator[Cells]:
    """The header, then every row that has as many cells as the header. Empty lines are skipped and noted."""
    rows = _read_csv(lines, name, report) if delimiter == "," else _read_tsv(lines, name, report)
    header: list[str] = []
    errors = report.error_count
    for line, cells in rows:
        if not header and report.error_count > errors:
            return  # the header itself is broken: another row must not stand in for it
        if not cells:
            report.add(Problem("blank-line", name, line, found="an empty line, skipped", severity="note"))
        elif not header:
            header = cells
            yield line, cells
        elif cells == header:
            found, fix = (
                f"the header again: {escape(delimiter.join(cells), 60)}",
                "Two files were joined here: delete it.",
            )
            report.add(Problem("header-repeated", name, line, 0, "", found, "a row", fix))
        elif len(cells) == len(header):
            yield line, cells
        else:
            report.add(_ragged(name, line, cells, header, delimiter))


def _ragged(name: str, line: int, cells: list[str], header: list[str], delimiter: str) -> Problem:
    shown = ", ".join(escape(column, 20) for column in header[:10]) + (", …" if len(header) > 10 else "")
    expected = f"{len(header):,} ({shown})"
    found = f"{len(cells):,} cells: {escape(delimiter.join(cells), 60)}"
    if len(cells) > len(header):
        fix = 'Put a text that holds a comma in quotes: "…".' if delimiter == "," else "Replace the tab inside a text."
        return Problem("row-long", name, line, 0, "", found, expected, fix)
    if cells[0].startswith("#"):
        return Problem("comment-line", name, line, 0, "", found, expected, "Delete the line: tables have no comments.")
    if delimiter == "\t" and "  " in cells[0]:
        return Problem("row-short", name, line, 0, "", found, expected, "Put one tab, no spaces, between the cells.")
    return Problem(
        "row-short", name, line, 0, "", found, expected, "Add the cells that are missing, or delete the line."
    )


def _read_tsv(lines: Iterator[Line], name: str, report: Report) -> Iterator[Cells]:
    for line, text, _ in lines:
        if '""' in text and any(cell[:1] == cell[-1:] == '"' and '""' in cell[1:-1] for cell in text.split("\t")):
            found = "a cell in quotes with doubled quotes inside; they are kept as they are"
            fix = "Where they are meant as CSV quoting, save the file as CSV."
            report.add(Problem("tsv-quotes", name, line, 0, "", found, "", fix, "warning"))
        yield line, text.split("\t") if text else []


@dataclass(slots=True)
class _Open:
    """A quoted cell that goes on in the next line: where its quote stands, and its text so far."""

    line: int
    column: int
    shown: str
    parts: list[str] = field(default_factory=list[str])


class _QuoteError(Exception):
    def __init__(self, code: str, column: int, expected: str, fix: str, opened: _Open | None = None):
        super().__init__(code)
        self.code, self.column, self.expected, self.fix, self.opened = code, column, expected, fix, opened


def _read_csv(lines: Iterator[Line], name: str, report: Report) -> Iterator[Cells]:
    again = deque[Line]()  # lines read in search of a closing quote that was never there
    while True:
        line = again.popleft() if again else next(lines, None)
        if line is None:
            return
        number, text, _ = line
        if '"' not in text:
            yield number, text.split(",") if text else []
            continue
        cells, taken, problem = _read_quoted(line, again, lines, name)
        if problem is None:
            yield number, cells
            continue
        report.add(problem)
        again.extendleft(reversed([seen for seen in taken if seen[0] > problem.line]))


def _read_quoted(
    line: Line, again: deque[Line], lines: Iterator[Line], name: str
) -> tuple[list[str], list[Line], Problem | None]:
    """A row that begins in this line and ends where its quotes do; all its lines; what is wrong with it."""
    cells, taken, opened, characters = list[str](), [line], None, 0
    while True:
        number, text, end = taken[-1]
        try:
            opened = _scan(number, text, end, cells, opened)
        except _QuoteError as error:
            if error.opened and error.opened.line < number:
                return [], taken, _unclosed(name, error.opened, f"the next quote, in line {number:,}, does not end it")
            found = escape(text[max(0, error.column - 10) : error.column + 20])
            return [], taken, Problem(error.code, name, number, error.column, "", found, error.expected, error.fix)
        if opened is None:
            return cells, taken, None
        characters += len(text)
        following = again.popleft() if again else next(lines, None)
        if following is None or characters > LINE_CHARACTERS:
            if following:
                taken.append(following)
            return [], taken, _unclosed(name, opened, "no quote ends it")
        taken.append(following)


def _scan(number: int, text: str, end: str, cells: list[str], opened: _Open | None) -> _Open | None:
    """Reads a physical line into `cells`; returns the quoted cell that is still open at its end.

    Raises:
        _QuoteError: a quote stands where none may.
    """
    position = 0
    while True:
        if opened is None:
            if not text.startswith('"', position):
                comma = text.find(",", position)
                stop = comma if comma >= 0 else len(text)
                quote = text.find('"', position, stop)
                if quote >= 0:
                    raise _QuoteError("quote-inside", quote + 1, "a cell without quotes, or all of it in quotes", _WRAP)
                cells.append(text[position:stop])
                if comma < 0:
                    return None
                position = comma + 1
                continue
            opened = _Open(number, position + 1, escape(text[position:], 40))
            position += 1
        close = text.find('"', position)
        if close < 0:
            opened.parts += (text[position:], end)
            return opened
        opened.parts.append(text[position:close])
        if text.startswith('"', close + 1):
            opened.parts.append('"')
            position = close + 2
            continue
        if close + 1 < len(text) and text[close + 1] != ",":
            if text[close - 1 : close] == "\\":
                raise _QuoteError(
                    "quote-backslash", close, 'a quote inside a cell doubled: ""', 'Write "" for \\".', opened
                )
            raise _QuoteError("quote-after", close + 2, "a comma or the line's end after the quote", _WRAP, opened)
        cells.append("".join(opened.parts))
        opened = None
        if close + 1 == len(text):
            return None
        position = close + 2


_WRAP = 'Put the whole cell in quotes, and double the quotes inside: "he said ""yes""".'


def _unclosed(name: str, opened: _Open, why: str) -> Problem:
    found, expected = f"{opened.shown}: {why}", "a closing quote"
    return Problem("quote-unclosed", name, opened.line, opened.column, "", found, expected, _WRAP)
