"""JSON lines, guarded: an object a line, nothing coerced, no depth or number that could harm the parser."""

import json
import re
from collections.abc import Iterator
from typing import NoReturn

from taesan.data.lines import Line
from taesan.data.report import Report
from taesan.errors import DataError, Problem, escape

MAX_DEPTH = 32
MAX_KEYS = 1000
MAX_DIGITS = 1000
_TOKENS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]|NaN|-?Infinity')

Object = tuple[int, dict[str, object]]


class Integer(str):
    """A JSON integer as it is written: never a Python int, whose digits may cost quadratic time."""

    __slots__ = ()


class Float(str):
    __slots__ = ()


class _FaultError(ValueError):
    def __init__(self, code: str, found: str, expected: str, fix: str, sought: str = ""):
        super().__init__(code)
        self.code, self.found, self.expected, self.fix, self.sought = code, found, expected, fix, sought


def read_objects(lines: Iterator[Line], name: str, report: Report) -> Iterator[Object]:
    """Every object with its line. Empty lines are skipped; a line with an error is reported and left out.

    Raises:
        DataError: the file is one JSON document over many lines.
    """
    first = True
    for line, text, _ in lines:
        if not text.strip(" \t"):
            continue
        if first:
            _refuse_document(text, name, line)
            first = False
        if text.startswith("\ufeff"):
            report.add(bom_inside(name, line))
            continue
        parsed = parse_object(text, name, line)
        if isinstance(parsed, Problem):
            report.add(parsed)
        else:
            yield line, parsed


def bom_inside(name: str, line: int, severity: str = "error") -> Problem:
    found = "a byte order mark (\\ufeff) at the beginning of a line that is not the first"
    fix = "Two files were joined here: delete the mark, and a second header where there is one."
    return Problem("bom-inside", name, line, 1, "", found, "one at most, at the file's beginning", fix, severity)


def parse_object(text: str, name: str, line: int) -> dict[str, object] | Problem:
    """One object out of one line; numbers as `Integer` and `Float`, which are their digits."""
    try:
        if text.count("{") + text.count("[") > MAX_DEPTH:
            _refuse_depth(text)
        parsed: object = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        return _syntax_problem(error, text, name, line)
    except _FaultError as fault:
        return Problem(fault.code, name, line, _column(text, fault), "", fault.found, fault.expected, fault.fix)
    if isinstance(parsed, dict):
        return parsed  # pyright: ignore[reportUnknownVariableType]
    found = f"{describe(parsed)}: {escape(text, 40)}"
    return Problem("json-object", name, line, 1, "", found, _OBJECT, "Write an object in each line.")


_OBJECT = 'an object: {"…": "…"}'


def describe(value: object) -> str:
    """What a JSON value is, in words."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case Integer() | Float():
            return f"a number {escape(value, 30)}"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(pairs) > MAX_KEYS:
        raise _FaultError(
            "json-limit", f"{len(pairs):,} keys", f"at most {MAX_KEYS:,} in an object", "Split the object."
        )
    found = dict(pairs)
    if len(found) < len(pairs):
        seen = set[str]()
        key = next(key for key, _ in pairs if key in seen or seen.add(key))
        fix = "Keep one of them: readers disagree on which counts."
        raise _FaultError("json-duplicate-key", f"'{escape(key)}' twice", "each key once", fix, key)
    return found


def _integer(digits: str) -> Integer:
    return Integer(_limited(digits))


def _float(digits: str) -> Float:
    return Float(_limited(digits))


def _limited(digits: str) -> str:
    if len(digits) > MAX_DIGITS:
        found = f"a number of {len(digits):,} digits"
        raise _FaultError("json-limit", found, f"at most {MAX_DIGITS:,}", "Write it as a string.", digits)
    return digits


def _constant(word: str) -> NoReturn:
    raise _FaultError("json-syntax", word, "JSON, which has no NaN and no Infinity", 'Write a string: "NaN".', word)


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_int=_integer, parse_float=_float, parse_constant=_constant)


def _refuse_depth(text: str) -> None:
    depth = 0
    for match in _TOKENS.finditer(text):
        if match[0] in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                found = f"lists or objects more than {MAX_DEPTH} deep"
                raise _FaultError("json-limit", found, f"at most {MAX_DEPTH}", "Write flat objects.")
        elif match[0] in "]}":
            depth -= 1


def _column(text: str, fault: _FaultError) -> int:
    if not fault.sought:
        return 0
    if fault.code == "json-duplicate-key":
        spelled = [match.end() for match in _TOKENS.finditer(text) if _is_key(text, match, fault.sought)]
        return spelled[1] - len(fault.sought) - 1 if len(spelled) > 1 else 0
    for match in _TOKENS.finditer(text):
        if match[0] == fault.sought:
            return match.start() + 1
    return text.find(fault.sought) + 1


def _is_key(text: str, match: re.Match[str], key: str) -> bool:
    return match[0] == f'"{key}"' and text[match.end() :].lstrip(" \t").startswith(":")


def _refuse_document(text: str, name: str, line: int) -> None:
    start = text.strip(" \t\ufeff")
    fix = 'Write an object a line: `jq -c ".[]" FILE > FILE.jsonl` does it.'
    if start.startswith("["):
        raise DataError([Problem("json-array", name, line, 1, "", "a list over the whole file", _OBJECT, fix)])
    if start == "{":
        fix = 'Write each object in one line: `jq -c "." FILE > FILE.jsonl` does it.'
        raise DataError([Problem("json-multiline", name, line, 1, "", "an object over many lines", _OBJECT, fix)])


def _syntax_problem(error: json.JSONDecodeError, text: str, name: str, line: int) -> Problem:
    position = error.pos
    before, after = text[:position].rstrip(" \t"), text[position:].lstrip(" \t")
    fix = "Write the line with json.dumps(), which puts quotes and commas where they belong."
    if error.msg == "Extra data":
        fix = "Delete the comma at the line's end." if after == "," else "Put each object in a line of its own."
    elif error.msg.startswith("Invalid control"):
        fix = "Write control characters as escapes: \\t, \\n, \\u0000."
    elif before.endswith(",") and after[:1] in ("}", "]", ""):
        fix = "Delete the comma in front of it." if after else "The line is cut off: take the file again."
    elif after.startswith("'") or before.endswith("{'"):
        fix = "Write double quotes, with json.dumps(): this is how Python prints a dict."
    elif after.startswith(("#", "//", "/*")):
        fix = "Delete the comment: JSON has none."
    elif not after or error.msg.startswith("Unterminated"):
        fix = "The line is cut off, or the object goes on in the next: one line, one object."
    elif after.startswith(("None", "True", "False")):
        fix = "Write null, true, false, with json.dumps(): this is how Python prints a dict."
    found = f"{escape(text[position : position + 20])}" if after else "the line's end"
    return Problem("json-syntax", name, line, position + 1, "", found, f"JSON ({error.msg})", fix)
