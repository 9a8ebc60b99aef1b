"""What is odd in a text: characters that are refused, and those that are kept and counted."""

import re
import unicodedata
from dataclasses import dataclass

# General category Mn/Me blocks that stack on one base. A base may carry many in honest writing, never a hundred.
_COMBINING = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u3099\u309a\ufe20-\ufe2f"
_JAMO = "\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff"
# The bytes 80-BF as Latin-1 shows them, and as Windows-1252 does.
_TRAIL = "\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_COMPATIBLE = "\u3131-\u3163\u3165-\u318c\u318e"
_EMOJI = "\U0001f000-\U0001faff\u2600-\u27bf\ufe0f\u2640\u2642"
MAX_COMBINING = 64


@dataclass(frozen=True, slots=True)
class Oddity:
    code: str
    pattern: re.Pattern[str]
    expected: str
    fix: str = ""
    severity: str = "warning"


_REMOVE = "Remove the character, or write the text again from its source."
_ODDITIES = (
    Oddity("text-nul", re.compile("\0"), "text without NUL", _REMOVE, "error"),
    Oddity("text-surrogate", re.compile("[\ud800-\udfff]"), "whole characters, no half of a pair", _REMOVE, "error"),
    Oddity(
        "text-combining",
        re.compile(f"[{_COMBINING}]{{{MAX_COMBINING + 1}}}"),
        f"at most {MAX_COMBINING} combining marks in a row",
        "Remove the marks.",
        "error",
    ),
    Oddity("text-control", re.compile("[\x01-\x08\x0e-\x1f\x7f\x80-\x84\x86-\x9f]"), "no control characters"),
    Oddity(
        "text-zero-width", re.compile(f"[\u200b\u200c\u2060\ufeff]|(?<![{_EMOJI}])\u200d"), "no invisible characters"
    ),
    Oddity("text-bidi", re.compile("[\u202a-\u202e\u2066-\u2069]"), "no changes of writing direction"),
    Oddity("text-replacement", re.compile("\ufffd"), "undamaged text: each of these was another character once"),
    Oddity(
        "text-mojibake",
        re.compile(f"(?:[\xea-\xed][{_TRAIL}]{{2}}.?){{2}}"),
        "readable text: this is UTF-8 that was read as Latin-1",
        "Make the file again, reading its source as UTF-8.",
    ),
    Oddity("text-jamo-halfwidth", re.compile("[\uffa0-\uffdc]"), "full-width Hangul"),
    # Not U+3164, a filler, nor U+318D, which official texts use as a middle dot.
    Oddity("text-jamo", re.compile(f"[{_COMPATIBLE}]"), "", "", "note"),
)
_NFD = Oddity("text-nfd", re.compile(f"[{_JAMO}{_COMBINING}]"), "composed characters (NFC)")
# One look decides for most texts that none of the above need be sought.
_ANY = re.compile(
    f"[\0-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff{_COMBINING}{_JAMO}\u200b-\u200d\u2060\ufeff\u202a-\u202e\u2066-\u2069"
    f"\ufffd\uffa0-\uffdc{_COMPATIBLE}]|[\xea-\xed][{_TRAIL}]"
)
# Nothing to see: white space of any kind, zero-width characters, direction marks, Hangul fillers.
_INVISIBLE = re.compile(
    "[\\s\x1c-\x1f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00ad\u115f\u1160\u2800\u3164\uffa0]*"
)


def is_blank(text: str) -> bool:
    """Whether nothing of the text can be seen."""
    return _INVISIBLE.fullmatch(text) is not None


def without_invisible(text: str) -> str:
    return _INVISIBLE.sub("", text)


def find_oddities(text: str) -> list[tuple[Oddity, int]]:
    """Each kind of odd character in the text with the position (from 0) of its first."""
    if _ANY.search(text) is None:
        return []
    found = [(oddity, match.start()) for oddity in _ODDITIES if (match := oddity.pattern.search(text))]
    if (match := _NFD.pattern.search(text)) and not unicodedata.is_normalized("NFC", text):
        found.append((_NFD, match.start()))
    return found
