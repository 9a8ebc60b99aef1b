"""Which column of a file is which field: by the user's word, the field's name, its aliases; never by a guess."""

import difflib
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence

from taesan.data.characters import without_invisible
from taesan.data.report import Report
from taesan.data.schema import Field
from taesan.errors import DataError, Problem, escape

MAX_COLUMNS = 1000
_DELIMITERS = ((",", "commas", "csv"), ("\t", "tabs", "tsv"), (";", "semicolons", ""), ("|", "bars", ""))


def find_column(names: Collection[str], field: Field, columns: Mapping[str, str]) -> str | None:
    """The column that is this field, spelled exactly so, or nothing."""
    if field.name in columns:
        return columns[field.name] if columns[field.name] in names else None
    return next((name for name in (field.name, *field.aliases) if name in names), None)


def find_lookalike(names: Collection[str], spelling: str) -> str | None:
    """A column that looks like this name and is not: other case, outer spaces, NFD, invisible characters."""
    return next((name for name in names if name != spelling and _plain(name) == _plain(spelling)), None)


def missing_column(names: Sequence[str], field: Field, columns: Mapping[str, str], file: str, line: int) -> Problem:
    """What to say where a field has no column: the nearest that there is, and what to type."""
    wanted = [columns[field.name]] if field.name in columns else [field.name, *field.aliases]
    expected = " or ".join(f"'{escape(name)}'" for name in wanted[:6])
    for spelling in wanted:
        if (near := find_lookalike(names, spelling)) is not None:
            fix = f"Rename it to '{escape(spelling)}', or type {_flag(field.name, near)}."
            return Problem("column-lookalike", file, line, 0, "", f"'{escape(near)}'", expected, fix)
    plain = {_plain(name): name for name in names}
    close = [match for name in wanted for match in difflib.get_close_matches(_plain(name), plain, 1, 0.75)]
    shown = ", ".join(f"'{escape(name, 30)}'" for name in names[:20]) + (", …" if len(names) > 20 else "")
    fix = f"Type {_flag(field.name, plain[close[0]] if close else 'NAME')}, or rename the column."
    return Problem("column-missing", file, line, 0, field.name, f"the columns {shown}", expected, fix)


def read_header(
    header: list[str],
    line: int,
    fields: Sequence[Field],
    *,
    file: str,
    report: Report,
    columns: Mapping[str, str],
    delimiter: str,
) -> dict[str, int]:
    """The position of each field's column.

    Raises:
        DataError: a column is missing, there twice, or there is no header at all.
    """
    problems = list[Problem]()
    if len(header) > MAX_COLUMNS:
        found = f"{len(header):,} columns"
        raise DataError(
            [Problem("columns-many", file, line, 0, "", found, f"at most {MAX_COLUMNS:,}", "Keep those needed.")]
        )
    for name in sorted({name for name in header if header.count(name) > 1}):
        fix = "Rename or delete one of them."
        problems.append(
            Problem("column-duplicate", file, line, 0, "", f"'{escape(name)}' twice", "each column once", fix)
        )
    chosen = {field.name: name for field in fields if (name := find_column(header, field, columns)) is not None}
    for name in chosen.values():
        if (near := find_lookalike(header, name)) is not None:
            found, fix = f"'{escape(near)}' beside '{escape(name)}'", "Rename or delete one of them."
            problems.append(Problem("column-lookalike", file, line, 0, "", found, "one of them", fix))
    absent = [field for field in fields if field.name not in chosen and not field.optional]
    if absent and (problem := _explain(header, line, fields, columns, file, delimiter)) is not None:
        raise DataError([problem])
    problems += [missing_column(header, field, columns, file, line) for field in absent]
    if problems:
        raise DataError(problems)
    note_unused([name for name in header if name not in chosen.values()], report, file, line)
    return {name: header.index(column) for name, column in chosen.items()}


def note_unused(names: Sequence[str], report: Report, file: str, line: int) -> None:
    if names:
        shown = ", ".join(f"'{escape(name, 30)}'" for name in names[:10]) + (", …" if len(names) > 10 else "")
        report.add(Problem("column-unused", file, line, found=f"columns that are not used: {shown}", severity="note"))


def _explain(
    header: list[str], line: int, fields: Sequence[Field], columns: Mapping[str, str], file: str, delimiter: str
) -> Problem | None:
    """A header that is none, or is cut by another delimiter than the format's: one problem instead of many."""
    names = {name for field in fields for name in (columns.get(field.name, field.name), *field.aliases)}
    expected = ",".join(columns.get(field.name, field.name) for field in fields)
    whole = delimiter.join(header)
    if any(_plain(cell) in names for cell in header):
        return None
    for other, words, form in _DELIMITERS:
        if other != delimiter and any(_plain(cell.strip(' "')) in names for cell in whole.split(other)):
            fix = f"Type `--format {form}`." if form else "Save the file as CSV, with commas."
            return Problem(
                "delimiter", file, line, 0, "", f"cells between {words}: {escape(whole, 60)}", _BETWEEN[delimiter], fix
            )
    if delimiter == "\t" and any(_plain(cell) in names for cell in whole.split()):
        found, fix = f"cells between spaces: {escape(whole, 60)}", "Put one tab between the cells."
        return Problem("delimiter", file, line, 0, "", found, _BETWEEN[delimiter], fix)
    if whole.startswith("#"):
        fix = f"Delete the comment; the first line names the columns: {expected}"
        return Problem("comment-line", file, line, 0, "", escape(whole, 60), f"a header: {expected}", fix)
    # A name is a word or two; a number, an empty cell or a sentence is a value.
    if any(
        not re.search(r"[^\W\d]", cell) or len(cell) > 30 or cell.count(" ") > 2
        for cell in header
        if cell or len(header) < 3
    ):
        fix = f"Write a first line that names the columns: {expected}"
        return Problem("header-missing", file, line, 0, "", f"a row: {escape(whole, 60)}", f"a header: {expected}", fix)
    return None


_BETWEEN = {",": "commas between them", "\t": "tabs between them"}


def _plain(name: str) -> str:
    return without_invisible(unicodedata.normalize("NFC", name)).casefold()


def _flag(field: str, name: str) -> str:
    return f"`--column {field}={escape(name)}`"
