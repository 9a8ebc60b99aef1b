"""Entities in JSON lines, in two forms, of which a file has one:

{"text": "서울에 산다", "entities": [{"start": 0, "end": 2, "label": "LC", "text": "서울"}]}, or [[0, 2, "LC"]]
{"tokens": ["서울", "에"], "ner_tags": ["B-LC", "O"]}, with or without the "text"
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import cast

from taesan.data.columns import find_column, find_lookalike, missing_column, note_unused
from taesan.data.entity_offsets import GivenSpan
from taesan.data.jsonl import Integer, Object, describe
from taesan.data.report import Report
from taesan.data.schema import Field
from taesan.data.tokens import MAX_TOKENS, Given, Sentence, long_sentence
from taesan.errors import Problem, escape

TOKENS = Field("tokens", ("words",))
TAGS = ("ner_tags", "tags")
_ENTITY = '{"start": 0, "end": 2, "label": "LC"} or [0, 2, "LC"]'
_DIGITS = 15
_KEPT_KEYS = 1000


@dataclass(frozen=True, slots=True)
class Spans:
    """A text and its entities as a row has them."""

    line: int
    text: str
    spans: list[GivenSpan]


def read_json(
    objects: Iterator[Object], name: str, text: Field, entities: Field, report: Report, columns: Mapping[str, str]
) -> Iterator[Spans | Sentence]:
    """What each row holds, in the form of the first; a row with an error is reported and left out."""
    first = next(objects, None)
    if first is None:
        return
    reader = _Reader(name, text, entities, report, columns, first[1])
    for line, found in chain([first], objects):
        row = reader.read_tokens(line, found) if reader.tokens else reader.read_spans(line, found)
        reader.end_row(line, found)
        if row is not None:
            yield row
    reader.finish()


class _Reader:
    """Reads the rows of one file, whose `first` says in which form they are."""

    def __init__(
        self,
        name: str,
        text: Field,
        entities: Field,
        report: Report,
        columns: Mapping[str, str],
        first: Mapping[str, object],
    ):
        self._name, self._text, self._entities, self._report, self._columns = name, text, entities, report, columns
        key = find_column(first, entities, columns)
        self.tokens = find_column(first, TOKENS, {}) is not None and (key is None or _is_tags(first[key]))
        # In the form of tokens, the tags are the entities.
        self._tags = Field(entities.name, () if entities.name in columns else (*TAGS, *entities.aliases), "entities")
        self._used = set[str]()
        self._unused: dict[str, int] = {}
        self._ids: dict[str, int] = {}
        self._good = True

    def read_spans(self, line: int, found: Mapping[str, object]) -> Spans | None:
        self._good = True
        text, entities = self._text_value(line, found, True), self._value(line, found, self._entities)
        self._check_id(line, found)
        if entities is not None and not isinstance(entities, list):
            self._type(line, self._entities.name, entities, f"a list of {_ENTITY}")
            return None
        spans = [self._span(line, one) for one in cast("list[object]", entities or [])]
        return Spans(line, text or "", [span for span in spans if span is not None]) if self._good else None

    def read_tokens(self, line: int, found: Mapping[str, object]) -> Sentence | None:
        self._good = True
        tokens = self._strings(line, TOKENS.name, self._value(line, found, TOKENS), "strings")
        tags = self._strings(line, self._tags.name, self._value(line, found, self._tags), "tags")
        text = self._text_value(line, found, False)
        self._check_id(line, found)
        if self._good and len(tokens) != len(tags):
            counts, fix = f"{len(tokens):,} tokens and {len(tags):,} tags", "Give each token one tag."
            self._fail(Problem("tags-length", self._name, line, 0, self._tags.name, counts, "as many of both", fix))
        if self._good and not tokens:
            fix = "Write its tokens, or delete the row."
            self._fail(Problem("text-empty", self._name, line, 0, TOKENS.name, "no tokens", "some", fix))
        if self._good and len(tokens) > MAX_TOKENS:
            self._fail(long_sentence(self._name, line))
        for token in tokens if self._good else ():
            if not token:
                fix = "Write the token, or delete it and its tag."
                self._fail(Problem("token-empty", self._name, line, 0, TOKENS.name, "an empty token", "text", fix))
                break
        given = None if text is None else Given(text, line, 0, False)
        return Sentence(line, tokens, tags, [line] * len(tokens), given) if self._good else None

    def end_row(self, line: int, found: Mapping[str, object]) -> None:
        """Looks at the keys that were not used, once all that are needed were found."""
        for key in found:
            if key in self._used or key in self._unused:
                continue
            near = next((used for used in self._used if used in found and find_lookalike([key], used)), None)
            if near is not None:
                shown, fix = f"'{escape(key)}' beside '{escape(near)}'", "Delete one."
                self._report.add(Problem("column-lookalike", self._name, line, 0, "", shown, "one of them", fix))
            else:
                self._note_unused(key, line)

    def finish(self) -> None:
        note_unused(sorted(self._unused), self._report, self._name, min(self._unused.values(), default=0))

    def _value(self, line: int, found: Mapping[str, object], field: Field) -> object:
        """What the field's key holds; nothing after its absence was reported."""
        key = find_column(found, field, self._columns)
        if key is None:
            problem = missing_column(list(found), field, self._columns, self._name, line)
            if problem.code == "column-missing":
                shown = ", ".join(f"'{escape(key, 30)}'" for key in list(found)[:10]) or "none"
                expected, fix, shown = problem.expected, problem.fix, f"the keys {shown}"
                problem = Problem("key-missing", self._name, line, 0, field.name, shown, expected, fix)
            self._fail(problem)
            return None
        self._used.add(key)
        if found[key] is None:
            self._type(line, field.name, None, "a string" if field.kind == "text" and field is not TOKENS else "a list")
        return found[key]

    def _text_value(self, line: int, found: Mapping[str, object], needed: bool) -> str | None:
        if not needed and find_column(found, self._text, self._columns) is None:
            return None
        value = self._value(line, found, self._text)
        if value is None or type(value) is str:
            return value
        self._type(line, self._text.name, value, "a string")
        return None

    def _strings(self, line: int, name: str, value: object, expected: str) -> list[str]:
        """A list of strings; integers among tags are kept as digits, to be told from names later."""
        if value is None:
            return []
        if not isinstance(value, list):
            self._type(line, name, value, f"a list of {expected}")
            return []
        items = cast("list[object]", value)
        for item in items:
            if type(item) is not str and not (expected == "tags" and type(item) is Integer):
                self._type(line, name, item, f"a list of {expected}", "in the list")
                return []
        return [str(item) for item in items]

    def _span(self, line: int, value: object) -> GivenSpan | None:
        name = self._entities.name
        given = dict[str, object]()
        if isinstance(value, list):
            items = cast("list[object]", value)
            given |= zip(("start", "end", "label"), items, strict=True) if len(items) == 3 else ()
        elif isinstance(value, dict):
            given = cast("dict[str, object]", value)
        if not {"start", "end", "label"} <= given.keys():
            self._type(line, name, cast("object", value), _ENTITY, "in the list")
            return None
        for key in given.keys() - {"start", "end", "label", "text"}:
            self._note_unused(f"{name}.{key}", line)
        start, end = self._offset(line, given, "start"), self._offset(line, given, "end")
        label, text = given["label"], given.get("text")
        if type(label) is not str:
            return self._type(line, f"{name}.label", label, "a string")
        if text is not None and type(text) is not str:
            return self._type(line, f"{name}.text", text, "a string")
        return None if start is None or end is None else GivenSpan(start, end, label, text)

    def _offset(self, line: int, given: Mapping[str, object], key: str) -> int | None:
        offset = given[key]
        if type(offset) is not Integer or offset == "-0" or len(offset.lstrip("-")) > _DIGITS:
            return self._type(line, f"{self._entities.name}.{key}", offset, "an integer")
        return int(offset)

    def _check_id(self, line: int, found: Mapping[str, object]) -> None:
        identity = found.get("id")
        if not isinstance(identity, str) or self._ids.setdefault(str(identity), line) == line:
            return
        unit = self._report.unit(self._name)
        shown = f"'{escape(identity, 40)}', as in {unit} {self._ids[str(identity)]:,}"
        fix = "Delete one of the two rows, or give it its own id."
        self._fail(Problem("id-duplicate", self._name, line, 0, "id", shown, "each id once", fix))

    def _note_unused(self, key: str, line: int) -> None:
        if len(self._unused) < _KEPT_KEYS and key != "id":
            self._unused.setdefault(key, line)

    def _type(self, line: int, name: str, value: object, expected: str, where: str = "") -> None:
        found = f"{describe(value)} {where}".rstrip()
        if type(value) is str:
            found += f": '{escape(value, 30)}'"
        elif isinstance(value, dict) and value:
            keys = list(cast("dict[str, object]", value))[:6]
            found += f" with the keys {', '.join(escape(key, 20) for key in keys)}"
        fix = f"Write {expected}, or delete the row."
        self._fail(Problem("json-type", self._name, line, 0, name, found, expected, fix))

    def _fail(self, problem: Problem) -> None:
        self._report.add(problem)
        self._good = False


def _is_tags(value: object) -> bool:
    """Whether it is a list of strings or integers, which no list of entities is."""
    items = cast("list[object]", value) if isinstance(value, list) else []
    return bool(items) and isinstance(items[0], str)
