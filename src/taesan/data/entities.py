"""Named-entity files as texts with spans: JSON lines, CoNLL and KLUE, or marks in the text, each found by its content.

lines → entity_json | conll | markup → tags and tokens, or offsets → text and spans → checks → Row
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import cast

from taesan.data.characters import find_oddities, is_blank
from taesan.data.conll import read_sentences
from taesan.data.entity_json import Spans, read_json
from taesan.data.entity_offsets import Offsets
from taesan.data.jsonl import Object, read_objects
from taesan.data.kinds import format_by_name
from taesan.data.labels import Labels
from taesan.data.lines import Line
from taesan.data.markup import SEPARATOR, read_markup
from taesan.data.report import Report
from taesan.data.schema import Field, Row, Span
from taesan.data.tags import Tags, is_like_tag, is_tag
from taesan.data.tokens import MAX_CHARACTERS, Found, Joiner, Sentence, long_sentence
from taesan.data.values import Values
from taesan.errors import DataError, Problem, UsageError, escape

ENTITY_FORMATS = ("jsonl", "conll", "markup")
# What the first line of a table, or of CoNLL with a header, may call its columns.
_NAMES = frozenset(
    ("text", "sentence", "document", "token", "tokens", "word", "words", "char", "id", "pos", "label", "labels", "tag")
) | frozenset(("tags", "ner_tags", "ner", "entities"))


def read_entities(
    lines: Iterator[Line],
    first: str,
    name: str,
    fields: Sequence[Field],
    report: Report,
    columns: Mapping[str, str],
    format: str | None,
    labels: Sequence[str] | None,
) -> Iterator[Row]:
    """The good rows of a file: a text, and its entities as a sorted tuple of spans. `first` is its first line.

    Raises:
        DataError: the file is in none of the formats.
        UsageError: the format is none of them, or the fields are others, or columns are named that have no names.
    """
    text, entities = _choose(fields, format)
    form = format or _find_format(first, name, {text.name, entities.name, *text.aliases, *entities.aliases})
    if columns and form != "jsonl":
        raise UsageError(f"--column {next(iter(columns))}=…: columns have no names in {form}. Leave it away.")
    if form == "markup":
        found = (Found(line, text, spans) for line, text, spans in read_markup(lines, name, report))
    elif form == "conll":
        found = _join(read_sentences(lines, name, report), name, entities, report)
    else:
        yield from read_entity_objects(read_objects(lines, name, report), name, fields, report, columns, labels)
        return
    yield from _accept(found, _Rows(name, text, entities, report, labels), text, entities in fields)


def read_entity_objects(
    objects: Iterator[Object],
    name: str,
    fields: Sequence[Field],
    report: Report,
    columns: Mapping[str, str],
    labels: Sequence[str] | None,
) -> Iterator[Row]:
    """The same of objects: each with its line or row."""
    text, entities = _choose(fields, None)
    found = _read_json(read_json(objects, name, text, entities, report, columns), name, entities, report)
    yield from _accept(found, _Rows(name, text, entities, report, labels), text, entities in fields)


def _accept(found: Iterator[Found], rows: "_Rows", text: Field, asked: bool) -> Iterator[Row]:
    for one in found:
        row = rows.accept(one)
        if row is not None:
            yield row if asked else Row(row.line, {text.name: row.values[text.name]})
    rows.finish(asked)


def _choose(fields: Sequence[Field], format: str | None) -> tuple[Field, Field]:
    """The fields of the text and of the entities. The latter may not be asked for: a tagged file can be predicted for.

    Raises:
        UsageError: the format is none that holds these fields.
    """
    texts = [field for field in fields if field.kind == "text"]
    other = [field.name for field in fields if field.kind not in ("text", "entities") and not field.optional]
    if len(texts) != 1 or other:
        names = ", ".join(field.name for field in fields)
        raise UsageError(
            f"--format {format}: a text and its entities, but the fields are {names}. Name another format."
        )
    if format not in (None, *ENTITY_FORMATS):
        formats = ", ".join(ENTITY_FORMATS)
        raise UsageError(f"--format {format}: it holds no entities. Type one of {formats}, or none to have it found.")
    return texts[0], next((field for field in fields if field.kind == "entities"), Field("entities", kind="entities"))


def _find_format(first: str, name: str, names: set[str]) -> str:
    """One of the formats, by the file's first line and its name.

    Raises:
        DataError: it is none of them.
    """
    start = first.lstrip()
    if start.startswith(("{", "[")) and (format_by_name(name) == "jsonl" or start[1:2] in ('"', "{", "}", "]", "")):
        return "jsonl"
    if SEPARATOR in first:
        return "markup"
    if first.startswith(("#", "-DOCSTART-")):
        return "conll"
    table = first.split("\t" if "\t" in first else ",")
    named = any(cell.strip('" ').lower() in names | _NAMES for cell in table)
    if len(table) > 1 and named and not is_tag(table[-1]):
        raise DataError([_no_format(name, f"the header of a table: {escape(first, 60)}")])
    if "\t" in first:
        return "conll"
    words = first.split(" ")
    if len(words) > 1 and any(is_tag(word) or is_like_tag(word) or word.isdecimal() for word in (words[0], words[-1])):
        return "conll"
    if len(words) == 2 and words[1].isascii():
        return "conll"
    if format_by_name(name) == "jsonl":
        return "jsonl"
    raise DataError([_no_format(name, f"text without tags: {escape(first, 60)}")])


def _no_format(name: str, found: str) -> Problem:
    expected = (
        'a token, a tab and its tag a line (CoNLL, KLUE); {"text", "entities"} or {"tokens", "ner_tags"} (JSON lines); '
        f"or text{SEPARATOR}text with <entity:TYPE> marks"
    )
    fix = "Write the file in one of these; `--format conll`, `jsonl` or `markup` says which, where the file is in one."
    return Problem("entities-format", name, 1, 0, "", found, expected, fix)


def _join(sentences: Iterator[Sentence], name: str, field: Field, report: Report) -> Iterator[Found]:
    """Tagged tokens as texts with spans."""
    tags, joiner = Tags(name, field.name, report), Joiner(name, field.name, report)
    for sentence in sentences:
        entities = tags.spans(sentence.tags, sentence.lines)
        if entities is not None:
            sentence.entities = entities
            yield from joiner.add(sentence)
    yield from joiner.finish()
    tags.finish()


def _read_json(found: Iterator[Spans | Sentence], name: str, field: Field, report: Report) -> Iterator[Found]:
    """The rows of either form; all of a file are in that of its first."""
    first = next(found, None)
    if isinstance(first, Sentence):
        yield from _join(chain([first], cast("Iterator[Sentence]", found)), name, field, report)
    elif first is not None:
        offsets = Offsets(name, field.name, report)
        for one in chain([first], cast("Iterator[Spans]", found)):
            if offsets.check(one.line, one.text, one.spans):
                yield Found(one.line, one.text, [Span(span.start, span.end, span.label) for span in one.spans])
        offsets.finish()


class _Rows:
    """The last gate of the rows of one file, whatever its format."""

    def __init__(self, file: str, text: Field, entities: Field, report: Report, labels: Sequence[str] | None):
        self._file, self._text, self._name, self._report = file, text.name, entities.name, report
        self._values = Values(file, [text], report, None)
        self._labels = Labels(entities.name, file, labels, report.unit(file))
        self._errors = report.error_count
        self._spans = 0

    def accept(self, found: Found) -> Row | None:
        """The row, or nothing after its errors were reported."""
        if len(found.text) > MAX_CHARACTERS:
            self._report.add(long_sentence(self._file, found.line))
            return None
        spans = sorted(found.spans)
        # A text that is joined from many lines is wrong in one of them.
        odd = sorted(find_oddities(found.text), key=lambda oddity: oddity[0].severity != "error")
        line = found.line_at(odd[0][1]) if odd else found.line
        good = self._values.accept(line, {self._text: found.text}) is not None
        good = self._accept_spans(found.text, spans, found.line_at) and good
        self._spans += len(spans)
        return Row(found.line, {self._text: found.text, self._name: tuple(spans)}) if good else None

    def finish(self, asked: bool) -> None:
        """Says what only the whole file shows; that it has no entities, where they are asked for."""
        self._values.finish()
        if self._report.error_count > self._errors:
            return
        if not self._values.rows:
            found, fix = "no sentence", "Name a file that holds tagged sentences."
            self._report.add(Problem("no-rows", self._file, found=found, expected="rows", fix=fix))
        elif asked and not self._spans:
            found = f"none in {self._values.rows:,} sentences"
            fix = "Name a file with entities: without any, nothing can be learnt or measured."
            self._report.add(Problem("no-entities", self._file, 0, 0, self._name, found, "some", fix))

    def _accept_spans(self, text: str, spans: Sequence[Span], line_at: Callable[[int], int]) -> bool:
        problems, before = list[Problem](), None
        for span in spans:
            line, inside = line_at(span.start), text[span.start : span.end]
            if (problem := self._labels.check(span.label, line)) is not None:
                problems.append(problem)
            if before is not None and span.start < before.end:
                found = f"{_shown(text, span)} and {_shown(text, before)}"
                expected = "entities that do not overlap"
                problems.append(self._problem("span-overlap", line, found, expected, "Keep one of them."))
            elif is_blank(inside):
                found, fix = _shown(text, span), "Delete the entity."
                problems.append(self._problem("span-blank", line, found, "something to see", fix))
            elif inside != inside.strip():
                found = f"white space at an end of {_shown(text, span)}; it is kept"
                self._report.add(replace(self._problem("span-space", line, found, "", ""), severity="warning"))
            before = span if before is None or span.end > before.end else before
        for problem in problems:
            self._report.add(problem)
        return not problems

    def _problem(self, code: str, line: int, found: str, expected: str, fix: str) -> Problem:
        return Problem(code, self._file, line, 0, self._name, found, expected, fix)


def _shown(text: str, span: Span) -> str:
    part = escape(text[span.start : span.end], 30)
    return f"{escape(span.label, 30)} '{part}' at {span.start:,} to {span.end:,}"
