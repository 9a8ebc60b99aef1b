"""Which tokens of a long text are read."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taesan.text.windows import windows


@given(st.integers(0, 300), st.integers(1, 60), st.sampled_from(["head", "head-tail", "windows"]))
def test_pieces_fit_and_keep_the_order(length, room, policy) -> None:
    pieces = windows(length, room, policy)
    for piece in pieces:
        assert len(piece) == min(length, room)
        assert (np.diff(piece) > 0).all()
        assert not len(piece) or (piece[0] >= 0 and piece[-1] < length)
    if length <= room:
        assert [piece.tolist() for piece in pieces] == [list(range(length))]
    elif policy == "windows":
        assert set(np.concatenate(pieces).tolist()) == set(range(length))
        for left, right in pairwise(pieces):
            assert len(set(left.tolist()) & set(right.tolist())) >= room // 2 or room == 1
    else:
        assert len(pieces) == 1
        head = room if policy == "head" else room - room // 2
        assert pieces[0][:head].tolist() == list(range(head))
        assert pieces[0][head:].tolist() == list(range(length - room // 2, length))[: room - head]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("head", [[0, 1, 2, 3]]),
        ("head-tail", [[0, 1, 8, 9]]),
        ("windows", [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [6, 7, 8, 9]]),
    ],
)
def test_by_hand(policy, expected) -> None:
    assert [piece.tolist() for piece in windows(10, 4, policy)] == expected
