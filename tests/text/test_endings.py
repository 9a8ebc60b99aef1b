"""Where inside a token an answer ends, learnt by counting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taesan.text.endings import count_endings, left_out

WITH_JOSA = [("서울에서", 2), ("부산까지", 2), ("13일까지", 2), ("민수가", 1), ("영희가", 1)]
CASES = [*WITH_JOSA, ("어린이", 0), ("제주도", 0), ("강원도", 0)]
LETTERS = "가나다라"


def test_josa_are_left_out_and_names_are_whole() -> None:
    counts = count_endings(CASES * 3)
    for token, number in CASES:
        assert left_out(token, counts)[0] == number
    assert left_out("광주에서", counts)[0] == 2  # never seen, but for its end
    assert left_out("철수가", counts)[0] == 1
    assert left_out("경기도", counts)[0] == 0
    assert left_out("가", counts)[0] == 0  # something of a token stays
    assert left_out("처음", counts) == (0, 1.0)


def test_by_hand() -> None:
    """One suffix, seen four times with and once without its last character, mixed with two rows that say 0."""
    counts = count_endings([("a가", 1), ("b가", 1), ("c가", 1), ("e가", 1), ("d가", 0)])
    assert left_out("x가", counts) == (1, pytest.approx(4 / 7))
    # d가 itself: one row for 0, against two of what its suffix says, which is (1 + 2) / 7 for 0.
    assert left_out("d가", counts) == (0, pytest.approx((1 + 2 * 3 / 7) / 3))


@given(st.lists(st.tuples(st.text(LETTERS, min_size=1, max_size=5), st.integers(0, 4))), st.text(LETTERS, min_size=1))
def test_always_something_stays(cases, token) -> None:
    counts = count_endings([(text, min(number, len(text) - 1)) for text, number in cases])
    number, chance = left_out(token, counts)
    assert 0 <= number < len(token)
    assert 0 < chance <= 1
