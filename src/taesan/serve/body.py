"""A request's body as JSON, strictly: what two readers may read differently is refused."""

from typing import Any

from taesan.data.jsonl import MAX_DEPTH, MAX_KEYS, Float, Integer, parse_object
from taesan.errors import Problem
from taesan.serve.faults import Fault

MAX_INTEGER = 2**53  # beyond it JavaScript has another number
_EXPECTED = {
    "json-syntax": "JSON, which has no NaN, no comments, and one value",
    "json-object": "a JSON object",
    "json-duplicate-key": "each key once in an object",
    "json-limit": f"at most {MAX_DEPTH} levels, {MAX_KEYS:,} keys in an object, and no longer numbers",
}


def read_body(content: bytes) -> dict[str, Any]:
    """The object that the body is. Raises: Fault."""
    if content.startswith(b"\xef\xbb\xbf"):
        raise Fault(400, "json-bom", "The body begins with a byte order mark; JSON has none.")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise Fault(400, "json-utf8", f"The body is not UTF-8 from byte {error.start:,} on.") from None
    parsed = parse_object(text, "body", 0)
    if isinstance(parsed, Problem):
        place = f" at character {parsed.column:,}" if parsed.column else ""
        raise Fault(400, parsed.code, f"The body is not as expected{place}: {_EXPECTED[parsed.code]}.")
    return {_text(key): _value(value) for key, value in parsed.items()}


def _value(value: object) -> Any:
    """The same with its numbers as numbers."""
    match value:
        case Integer():
            if len(value) > len(str(MAX_INTEGER)) + 1 or abs(int(value)) > MAX_INTEGER:
                raise Fault(400, "json-number", "A whole number is beyond 2^53, where readers no longer agree.")
            return int(value)
        case Float():
            number = float(value)
            if number in (float("inf"), float("-inf")):
                raise Fault(400, "json-number", "A number is too large for 64 bits.")
            return number
        case str():
            return _text(value)
        case list():
            return [_value(one) for one in value]
        case dict():
            return {_text(key): _value(one) for key, one in value.items()}
        case _:
            return value


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Fault(400, "json-surrogate", "A string has half of a surrogate pair, which is no character.") from None
    return text
