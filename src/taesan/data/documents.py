"""One JSON document over a whole file, on one line or many: parsed under guards, and where its objects stand."""

import json
import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import cast

from taesan.data.jsonl import MAX_DEPTH, parse_object
from taesan.data.lines import Line
from taesan.errors import DataError, Problem, escape

# The largest document, in characters: it is in memory as a whole, and once more as its objects.
DOCUMENT_CHARACTERS = 200_000_000
_TOKENS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]')
_COLON = re.compile(r"[ \t\n]*+:")

Place = tuple[int, int]  # a physical line and a column, both from 1


class Document:
    """The text of a document, its line ends as \\n, and the physical line of every position in it."""

    def __init__(self, lines: Iterable[Line], name: str):
        """
        Raises:
            DataError: it is larger than `DOCUMENT_CHARACTERS`.
        """
        self._name = name
        self._numbers, self._starts = list[int](), list[int]()
        pieces, size = list[str](), 0
        for number, text, _ in lines:
            if not text.strip(" \t"):
                continue
            self._numbers.append(number)
            self._starts.append(size)
            pieces.append(text)
            size += len(text) + 1
            if size > DOCUMENT_CHARACTERS:
                found, expected = "a document that goes on", f"at most {DOCUMENT_CHARACTERS:,} characters"
                fix = "Split it into several files, or write JSON lines: a question a line."
                raise DataError([Problem("json-limit", name, number, 0, "", found, expected, fix)])
        # No string of JSON holds a line end, so that these are white space between tokens whatever they were.
        self.text = "\n".join(pieces)

    def place(self, position: int) -> Place:
        """The line and the column of a position in the text."""
        index = max(0, bisect_right(self._starts, position) - 1)
        return self._numbers[index], position - self._starts[index] + 1

    def parse(self) -> dict[str, object]:
        """The object that the document is; its numbers are their digits, as in `jsonl`.

        Raises:
            DataError: it is no JSON, is too deep, or holds a key twice; at its line and column.
        """
        deep = next(self._deeper(MAX_DEPTH), None)
        if deep is not None:
            found, fix = f"lists or objects more than {MAX_DEPTH} deep", "Write flat objects."
            raise DataError(
                [Problem("json-limit", self._name, *self.place(deep), "", found, f"at most {MAX_DEPTH}", fix)]
            )
        parsed = parse_object(self.text, self._name, 1)
        if isinstance(parsed, Problem):
            raise DataError([self._located(parsed)])
        return parsed

    def places(self, value: object, keys: Collection[str]) -> dict[int, Place]:
        """Where each object in `value`, by its `id()`, stands: at the first of these keys in it, else at its brace.

        `value` is what `parse` gave: its objects, in order, are those that open in the text.
        """
        lengths = {len(key) + 2 for key in keys}
        positions, named, open_ = list[int](), set[int](), list[int]()
        for match in _TOKENS.finditer(self.text):
            start, end = match.span()
            sign = self.text[start]
            if sign == "{":
                open_.append(len(positions))
                positions.append(start)
            elif sign == "[":
                open_.append(-1)
            elif sign != '"':
                open_.pop()
            elif end - start not in lengths or open_[-1] in named or self.text[start + 1 : end - 1] not in keys:
                continue
            elif _COLON.match(self.text, end):
                positions[open_[-1]] = start
                named.add(open_[-1])
        return {id(found): self.place(at) for found, at in zip(_objects(value), positions, strict=True)}

    def _deeper(self, limit: int) -> Iterator[int]:
        depth = 0
        if self.text.count("{") + self.text.count("[") <= limit:
            return
        for match in _TOKENS.finditer(self.text):
            sign = self.text[match.start()]
            if sign in "[{":
                depth += 1
                if depth > limit:
                    yield match.start()
            elif sign in "]}":
                depth -= 1

    def _located(self, problem: Problem) -> Problem:
        """The problem of a line, which the whole text was to its finder, where it is in the file."""
        position = problem.column - 1
        if problem.code == "json-duplicate-key":
            position = self._second_key()
        line, column = self.place(max(0, position))
        problem = replace(problem, line=line, column=column if position >= 0 else 0)
        if problem.code != "json-syntax":
            return problem
        rest = self.text[position:].lstrip()
        if not rest:
            found, fix = "the file's end", "The document is cut off: take the file again."
            return replace(problem, found=found, fix=fix)
        if "Extra data" in problem.expected:
            fix = "One document a file: write each into its own, or write JSON lines, a question a line."
        elif rest[0] in "}]" and self.text[:position].rstrip().endswith(","):
            fix = "Delete the comma in front of it."
        elif problem.fix.startswith(("Write the line", "The line is cut off")):
            fix = "Mend it there, or write the document again with json.dump()."
        else:
            fix = problem.fix
        return replace(problem, found=escape(rest.partition("\n")[0][:20]), fix=fix)

    def _second_key(self) -> int:
        """Where an object first repeats a key; only asked where one does."""
        seen = list[set[str]]()
        for match in _TOKENS.finditer(self.text):
            sign = self.text[match.start()]
            if sign in "{[":
                seen.append(set())
            elif sign in "}]":
                seen.pop()
            elif _COLON.match(self.text, match.end()):
                key = str(json.loads(match[0]))
                if key in seen[-1]:
                    return match.start()
                seen[-1].add(key)
        return -1


def _objects(value: object) -> Iterator[dict[str, object]]:
    """Every object in a value, in the order in which they open."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            held = cast(dict[str, object], found)
            yield held
            inner = list(held.values())
        else:
            inner = cast(list[object], found)
        waiting.extend(one for one in reversed(inner) if type(one) in (dict, list))
