"""Odd characters are found wherever they stand; ordinary Korean, and emoji of any make, are not odd."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taesan.data import characters
from taesan.data.characters import find_oddities, is_blank

POOL = st.text(
    st.sampled_from(
        "가a \u1112\u1161\u0301\u200b\u200d\u2060\ufeff\u202e\u2066\ufffd\uffa1ㅋㆍ\x1b\x7f\x9f\0\ud800ìí•œ¸€👍\ufe0f"
    )
    | st.characters(),
    max_size=12,
)


@settings(max_examples=400, deadline=None)
@given(POOL)
def test_the_quick_look_misses_nothing(text: str) -> None:
    slow = {oddity.code for oddity in characters._ODDITIES if oddity.pattern.search(text)}
    conjoining = any("\u1100" <= character <= "\u11ff" or character == "\u0301" for character in text)
    if conjoining and unicodedata.normalize("NFC", text) != text:
        slow.add("text-nfd")
    assert slow <= {oddity.code for oddity, _ in find_oddities(text)}


ORDINARY = ["그냥 글.", "漢字 かな Ελλάς naïve", "tab\there\nline", "é"]
EMOJI = ["👨\u200d👩\u200d👧", "🏳\ufe0f\u200d🌈", "❤\ufe0f\u200d🔥", "👩🏽\u200d🚀", "🏴\U000e0067\U000e007f"]


@pytest.mark.parametrize("text", ORDINARY + EMOJI)
def test_ordinary_texts_are_not_odd(text: str) -> None:
    assert find_oddities(text) == []


@pytest.mark.parametrize(
    "text", ["", " ", "\t\n", "\u3000\xa0\u2003", "\u200b", "\u3164", "\u2800\ufeff", "\u2028\x85\x1f"]
)
def test_nothing_to_see(text: str) -> None:
    assert is_blank(text)
    assert not is_blank(text + ".")
