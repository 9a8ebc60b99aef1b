"""Questions with their answers out of any file that holds such: SQuAD documents and JSON lines. Contexts that repeat.

lines → a document (documents, squad) or an object a line (jsonl) → questions → answer_values → offsets → Row
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Protocol

from taesan.data.checks import same
from taesan.data.jsonl import Object, read_objects
from taesan.data.lines import Line
from taesan.data.questions import Questions
from taesan.data.report import Report
from taesan.data.schema import Field, Row
from taesan.data.squad import KNOWN, read_squad
from taesan.errors import DataError, Problem, UsageError, escape

SHOWN = 5
# As far as the keys of a document are looked at to tell what it is.
_LOOKED_AT = 1_000_000
_SQUAD_KEYS = frozenset({"data", "version", "paragraphs", "qas"})
_TOKENS = re.compile(r'("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t]*+(:?)|[{}]')


class Asked(Protocol):
    """An example of question answering, as the checks see it: its texts are the question and the context."""

    @property
    def line(self) -> int: ...
    @property
    def texts(self) -> tuple[str, ...]: ...


def read_answers(
    lines: Iterator[Line],
    first: str,
    name: str,
    fields: Sequence[Field],
    report: Report,
    columns: Mapping[str, str],
    format: str | None,
    labels: Sequence[str] | None = None,
) -> Iterator[Row]:
    """The good rows of a file: `id`, `question`, `context`, and `answers` where the fields ask for them.

    `first` is the first of the `lines` that holds something; `labels` are nothing to answers.

    Raises:
        DataError: the file is not JSON, or one that cannot be read at all.
        UsageError: the fields are not those of questions.
    """
    if not {"question", "context"} <= {field.name for field in fields}:
        raise UsageError(f"--format {format}: only questions about a context come in it.")
    named = {field.name: {field.name, *field.aliases, columns.get(field.name, field.name)} for field in fields}
    if format not in (None, "squad", "jsonl") or (format is None and not first.lstrip().startswith(("{", "["))):
        found = f"{format} asked for" if format else escape(first, 40)
        fix = "Write JSON lines with question, context and answers, a row a line; or a SQuAD document."
        raise DataError([Problem("answers-format", name, 1, 0, "", found, "SQuAD JSON or JSON lines", fix)])
    seen = list[Line]()
    if format is None:
        format = _find_format(lines, seen, frozenset(key for keys in named.values() for key in keys))
    whole = chain(seen, lines)
    if format == "squad":
        questions = Questions(name, fields, columns, report, KNOWN)
        keys = named["question"] | named["context"]
        yield from _finish(read_squad(whole, name, questions, keys, report), questions, name, report)
    else:
        yield from read_answer_objects(read_objects(whole, name, report), name, fields, report, columns)


def read_answer_objects(
    objects: Iterator[Object],
    name: str,
    fields: Sequence[Field],
    report: Report,
    columns: Mapping[str, str],
    labels: Sequence[str] | None = None,
) -> Iterator[Row]:
    """The same of objects, each a question with its line or row."""
    questions = Questions(name, fields, columns, report, KNOWN)
    yield from _finish(_read_flat(objects, questions), questions, name, report)


def _finish(found: Iterator[Row], questions: Questions, name: str, report: Report) -> Iterator[Row]:
    """The same rows, and what only the whole file shows."""
    errors = report.error_count
    try:
        yield from found
    except DataError:
        questions.finish()  # what was found until here stands
        raise
    questions.finish()
    if not questions.rows and report.error_count == errors:
        fix = "Name a file that holds questions."
        report.add(Problem("no-rows", name, found="no question", expected="questions", fix=fix))


def _read_flat(objects: Iterator[Object], questions: Questions) -> Iterator[Row]:
    for number, (line, found) in enumerate(objects, 1):
        questions.note(found, line)
        context = questions.context(found, (line, 0))
        row = questions.accept(found, (line, 0), context, {}, number)
        if row is not None:
            yield row


def _find_format(lines: Iterator[Line], seen: list[Line], flat: frozenset[str]) -> str:
    """`squad` or `jsonl`, by the first telling key of the outermost object; the lines looked at are kept in `seen`."""
    depth = looked_at = 0
    for line in lines:
        seen.append(line)
        for match in _TOKENS.finditer(line[1]):
            if match[0] in "{}":
                depth += 1 if match[0] == "{" else -1
                if depth == 0:
                    return "jsonl"
            elif depth == 1 and match[2]:
                key = match[1][1:-1]
                if key in flat or key in _SQUAD_KEYS:
                    return "jsonl" if key in flat else "squad"
        looked_at += len(line[1])
        if looked_at > _LOOKED_AT:
            break
    return "jsonl"


def check_contexts(examples: Sequence[Asked], file: str, report: Report) -> None:
    """The same context in several places of a file: a warning. Rows that follow one another share theirs."""
    first, repeated = dict[tuple[str, ...], Asked](), dict[tuple[str, ...], Asked]()
    before = ""
    for example in examples:
        context = example.texts[1]
        # Most rows have the context of the row before: comparing is cheaper than normalising.
        if context == before:
            continue
        before = context
        key = same((context,))
        if first.setdefault(key, example) is not example:
            repeated.setdefault(key, example)
    if repeated:
        key, again = next(iter(repeated.items()))
        found = (
            f"{len(repeated):,} contexts that stood before, first {report.unit(file)}s {first[key].line:,}, "
            f"{again.line:,}: '{escape(again.texts[1], 30)}'"
        )
        expected = "each context once, with all its questions"
        report.add(Problem("context-duplicate", file, again.line, 0, "context", found, expected, "", "warning"))


def check_context_overlap(
    train: Sequence[Asked], test: Sequence[Asked], train_file: str, test_file: str, report: Report
) -> None:
    """Contexts of the test file that were trained on, even with other questions: a warning."""
    lines = dict[tuple[str, ...], int]()
    for context, line in _contexts(train):
        lines.setdefault(context, line)
    contexts = dict(reversed(list(_contexts(test))))  # the first line of each
    shared = [(line, lines[context]) for context, line in contexts.items() if context in lines]
    if not shared:
        return
    line, there = min(shared)
    found = (
        f"{len(shared):,} of {len(contexts):,} contexts that are in {escape(train_file, 200)} too, first its "
        f"{report.unit(train_file)} {there:,}"
    )
    expected, fix = "contexts that were not trained on", "Take them out of training: else the figures are too good."
    report.add(Problem("context-overlap", test_file, line, 0, "context", found, expected, fix, "warning"))


def _contexts(examples: Sequence[Asked]) -> Iterator[tuple[tuple[str, ...], int]]:
    before = ""
    for example in examples:
        if example.texts[1] != before:
            before = example.texts[1]
            yield same((before,)), example.line
