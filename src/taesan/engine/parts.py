"""Which parts of a text may be an answer: from where a word begins to where a character ends. No torch here."""

import re

import numpy as np

from taesan.tasks.base import Found
from taesan.text.tokenizer import Ids

_INSIDE = re.compile(r"\w\w")
_SAYS = re.compile(r"\w")


def says(text: str) -> bool:
    """Whether a text has a letter or a digit: marks alone are no answer."""
    return _SAYS.search(text) is not None


def begins(text: str, offsets: Ids, place: int) -> bool:
    """Whether a word, or a run of it after a mark, begins at a token."""
    start, end = offsets[place].tolist()
    if place and offsets[place - 1, 1] > start:  # bytes of one character may be several tokens
        return False
    start += len(text[start:end]) - len(text[start:end].lstrip())
    return start < end and not (start > 0 and _INSIDE.fullmatch(text[start - 1 : start + 1]))


def closes(offsets: Ids, place: int) -> bool:
    """Whether a character ends with a token: bytes of one may be several."""
    return place + 1 == len(offsets) or bool(offsets[place + 1, 0] >= offsets[place, 1])


def found_parts(choices: list[float], tokens: list[int], spans: list[tuple[int, int]], scores: list[float]) -> Found:
    return Found(
        np.array(choices, dtype=np.float64),
        np.array(tokens, dtype=np.int64),
        np.array(spans, dtype=np.int64).reshape(-1, 2),
        np.array(scores, dtype=np.float64),
    )
