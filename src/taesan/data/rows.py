"""Any labelled file as rows: the format is found, columns become fields, every row is checked, in one pass.

path → blocks (files) → text (encoding) → lines → cells or objects (delimited, jsonl) → values → Row
Parquet → objects (parquet), each a row as if it stood in JSON lines
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from taesan.data.answers import read_answer_objects, read_answers
from taesan.data.columns import find_column, find_lookalike, missing_column, note_unused, read_header
from taesan.data.delimited import read_delimited
from taesan.data.documents import DOCUMENT_CHARACTERS
from taesan.data.encoding import decode_blocks
from taesan.data.entities import read_entities, read_entity_objects
from taesan.data.files import read_blocks, read_stream_blocks
from taesan.data.jsonl import Float, Integer, Object, bom_inside, describe, read_objects
from taesan.data.kinds import format_by_content, format_by_name
from taesan.data.lines import LINE_CHARACTERS, Line, split_lines
from taesan.data.parquet import is_parquet, read_parquet
from taesan.data.plain import empty_file, refuse_kinds
from taesan.data.report import Report
from taesan.data.schema import Field, Row
from taesan.data.values import Values
from taesan.errors import DataError, Problem, UsageError, escape

FORMATS = ("csv", "tsv", "jsonl", "text", "squad", "conll", "markup", "parquet")
# Fields that no cell holds come in formats of their own; each reader checks its rows itself.
STRUCTURED: dict[str, Callable[..., Iterator[Row]]] = {"answers": read_answers, "entities": read_entities}
_OBJECTS: dict[str, Callable[..., Iterator[Row]]] = {"answers": read_answer_objects, "entities": read_entity_objects}
_KINDS = {"squad": "answers", "conll": "entities", "markup": "entities"}
# Beyond this, JSON readers elsewhere lose digits.
_EXACT_DIGITS = 15

Named = tuple[int, dict[str, str]]


def read_rows(
    path: str | Path,
    fields: Sequence[Field],
    *,
    report: Report,
    encoding: str = "utf-8",
    columns: Mapping[str, str] | None = None,
    format: str | None = None,
    labels: Sequence[str] | None = None,
) -> Iterator[Row]:
    """The good rows of a file, as they are read; every error and warning goes to `report`.

    `columns` maps a field's name to the column that the user chose for it. `format` is one of `FORMATS`, else found by
    the name or the content. With `labels`, another label is an error.

    Raises:
        InputMissing: the path is not there, or is no ordinary file that can be read.
        UsageError: the encoding, the format or a field's name is unknown.
    """
    name = str(path)
    if is_parquet(path, format):
        return _read_parquet(path, name, fields, report, columns or {}, labels)
    return _read(read_blocks(path), name, fields, report, encoding, columns, format, labels)


def read_stream(
    stream: BinaryIO,
    name: str,
    fields: Sequence[Field],
    *,
    report: Report,
    encoding: str = "utf-8",
    columns: Mapping[str, str] | None = None,
    format: str | None = None,
    labels: Sequence[str] | None = None,
) -> Iterator[Row]:
    """The same for standard input or any other stream, `name` standing for it in messages."""
    return _read(read_stream_blocks(stream), name, fields, report, encoding, columns, format, labels)


def _read(
    blocks: Iterator[bytes],
    name: str,
    fields: Sequence[Field],
    report: Report,
    encoding: str,
    columns: Mapping[str, str] | None,
    format: str | None,
    labels: Sequence[str] | None,
) -> Iterator[Row]:
    columns = columns or {}
    _refuse_usage(fields, columns, format)
    values = Values(name, fields, report, labels)
    try:
        texts = decode_blocks(refuse_kinds(blocks, name), encoding, name, report)
        # A document often stands on one line: KorQuAD's training file is one of 38 million characters.
        questions = {"question", "context"} <= {field.name for field in fields}
        limit = DOCUMENT_CHARACTERS if questions else LINE_CHARACTERS
        first, lines = _first_line(split_lines(texts, name, report, limit), name)
        structured = _find_structured(fields, format, first)
        if structured is not None:
            yield from structured(lines, first, name, fields, report, columns, format, labels)
            return
        form = format or format_by_name(name) or format_by_content(first, _names(fields, columns))
        if form == "jsonl":
            found = _read_json(read_objects(lines, name, report), name, fields, report, columns)
        elif form == "text":
            found = _read_text(lines, name, fields, report)
        else:
            _refuse_json(first, name, form)
            found = _read_table(lines, "," if form == "csv" else "\t", name, fields, report, columns)
        yield from _accept(found, values, name, report, "no row after the header")
    except DataError as error:
        for problem in error.problems:
            report.add(problem)


def _read_parquet(
    path: str | Path,
    name: str,
    fields: Sequence[Field],
    report: Report,
    columns: Mapping[str, str],
    labels: Sequence[str] | None,
) -> Iterator[Row]:
    _refuse_usage(fields, columns, "parquet")
    report.count_rows(name)
    try:
        objects = read_parquet(path, fields, columns, report)
        kind = next((kind for kind in _OBJECTS if kind in {field.kind for field in fields}), None)
        if {"question", "context"} <= {field.name for field in fields}:
            kind = "answers"
        if kind is not None:
            yield from _OBJECTS[kind](objects, name, fields, report, columns, labels)
        else:
            found = _read_json(objects, name, fields, report, columns)
            yield from _accept(found, Values(name, fields, report, labels), name, report, "no row")
    except DataError as error:
        for problem in error.problems:
            report.add(problem)


def _accept(found: Iterator[Named], values: Values, name: str, report: Report, none: str) -> Iterator[Row]:
    """The good rows; what only the whole file shows goes to the report."""
    errors = report.error_count
    for line, row_values in found:
        row = values.accept(line, row_values)
        if row is not None:
            yield row
    values.finish()
    if not values.rows and report.error_count == errors:
        fix = "Name a file that holds rows."
        report.add(Problem("no-rows", name, found=none, expected="rows", fix=fix))


def _find_structured(fields: Sequence[Field], format: str | None, first: str) -> Callable[..., Iterator[Row]] | None:
    """The reader of fields that no cell holds; of files that hold them even where they are not asked for."""
    kinds = {field.kind for field in fields} | {_KINDS.get(format or "", "")}
    if format is None and first.lstrip().startswith(("{", "[")) and {"question", "context"} <= {f.name for f in fields}:
        kinds.add("answers")
    return next((STRUCTURED[kind] for kind in STRUCTURED if kind in kinds), None)


def _refuse_usage(fields: Sequence[Field], columns: Mapping[str, str], format: str | None) -> None:
    if format is not None and format not in FORMATS:
        raise UsageError(f"--format {format}: no such format. Type one of {', '.join(FORMATS)}.")
    names = [field.name for field in fields]
    if unknown := [name for name in columns if name not in names]:
        raise UsageError(f"--column {unknown[0]}=…: no such field. The fields are {', '.join(names)}.")


def _names(fields: Sequence[Field], columns: Mapping[str, str]) -> list[str]:
    return [name for field in fields for name in (field.name, *field.aliases)] + list(columns.values())


def _first_line(lines: Iterator[Line], name: str) -> tuple[str, Iterator[Line]]:
    """The first line that is not empty, and all the lines."""
    skipped = list[Line]()
    for line in lines:
        if line[1].strip():
            return line[1], chain(skipped, [line], lines)
        # Only the first few empty lines are kept to be noted: there may be millions.
        if len(skipped) < 10:
            skipped.append(line)
    raise DataError([empty_file(name)])


def _refuse_json(first: str, name: str, form: str) -> None:
    if first.startswith(('{"', "[{")):
        found, fix = f"JSON: {escape(first, 40)}", "Type `--format jsonl`, or name the file .jsonl."
        raise DataError([Problem("delimiter", name, 1, 0, "", found, form, fix)])


def _read_table(
    lines: Iterator[Line],
    delimiter: str,
    name: str,
    fields: Sequence[Field],
    report: Report,
    columns: Mapping[str, str],
) -> Iterator[Named]:
    rows = read_delimited(lines, delimiter, name, report)
    line, header = next(rows, (0, list[str]()))
    if not header:
        return
    places = read_header(header, line, fields, file=name, report=report, columns=columns, delimiter=delimiter)
    for line, cells in rows:
        if cells[0].startswith("\ufeff"):
            report.add(bom_inside(name, line))
        else:
            yield line, {field: cells[place] for field, place in places.items()}


def _read_json(
    objects: Iterator[Object],
    name: str,
    fields: Sequence[Field],
    report: Report,
    columns: Mapping[str, str],
) -> Iterator[Named]:
    chosen: dict[str, str] = {}
    harmless = set[str]()
    types: dict[str, type] = {}
    unused_line = 0
    for line, found in objects:
        problems, values = list[Problem](), dict[str, str]()
        for field in fields:
            key = chosen.get(field.name) or find_column(found, field, columns)
            if key is not None and key in found:
                chosen[field.name] = key
                value = _json_value(found[key], field, types, name, line)
                if isinstance(value, Problem):
                    problems.append(value)
                else:
                    values[field.name] = value
            elif not field.optional:
                problems.append(_missing_key(list(found), field, columns, name, line))
        for key in found:
            if key not in harmless and key not in chosen.values():
                near = next((wanted for wanted in chosen.values() if find_lookalike([key], wanted)), None)
                if near is not None and near in found:
                    text = f"'{escape(key)}' beside '{escape(near)}'"
                    problems.append(Problem("column-lookalike", name, line, 0, "", text, "one of them", "Delete one."))
                elif near is None and len(harmless) < 1000:
                    harmless.add(key)
                    unused_line = unused_line or line
        for problem in problems:
            report.add(problem)
        if not problems:
            yield line, values
    note_unused(sorted(harmless), report, name, unused_line)


def _missing_key(keys: list[str], field: Field, columns: Mapping[str, str], name: str, line: int) -> Problem:
    problem = missing_column(keys, field, columns, name, line)
    if problem.code == "column-missing":
        shown = ", ".join(f"'{escape(key, 30)}'" for key in keys[:10]) or "none"
        return Problem("key-missing", name, line, 0, field.name, f"the keys {shown}", problem.expected, problem.fix)
    return problem


def _json_value(value: object, field: Field, types: dict[str, type], name: str, line: int) -> str | Problem:
    """The string that a JSON value is; an integer label as its digits. Nothing else is made one."""
    kind = type(value)
    if kind is str or (kind is Integer and field.kind in ("label", "id")):
        text = str(value)
        if kind is Integer and (text == "-0" or len(text.lstrip("-")) > _EXACT_DIGITS):
            fix = "Write it as a string."
            return Problem("json-number", name, line, 0, field.name, text, "an integer of at most 15 digits", fix)
        first = types.setdefault(field.name, kind)
        if field.kind == "label" and first is not kind:
            words = {str: f'a string, "{escape(text)}"', Integer: f"a number, {escape(text)}"}
            expected = "numbers, as before" if first is Integer else "strings, as before"
            return Problem("label-mixed", name, line, 0, field.name, words[kind], expected, "Write all in one way.")
        return text
    found = escape(describe(value) if not isinstance(value, Float) else f"a number {value}")
    expected = "a string or an integer" if field.kind in ("label", "id") else "a string"
    return Problem("json-type", name, line, 0, field.name, found, expected, "Write it as a string, or delete the row.")


def _read_text(lines: Iterator[Line], name: str, fields: Sequence[Field], report: Report) -> Iterator[Named]:
    needed = [field for field in fields if not field.optional]
    if len(needed) != 1 or needed[0].kind not in ("text", "target"):
        names = ", ".join(field.name for field in needed)
        fix = "Name the file .csv, .tsv or .jsonl, or type `--format`; a table's first line names its columns."
        raise DataError(
            [Problem("header-missing", name, 1, 0, "", "plain text without columns", f"a table: {names}", fix)]
        )
    for line, text, _ in lines:
        if not text:
            report.add(Problem("blank-line", name, line, found="an empty line, skipped", severity="note"))
            continue
        if text.startswith("\ufeff"):
            report.add(bom_inside(name, line, "warning"))
        yield line, {needed[0].name: text}
