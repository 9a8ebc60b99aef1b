"""The likeliest spans against all spans, one by one."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from taesan.tasks.spans import choose_spans

scores = st.integers(1, 12).flatmap(
    lambda size: st.lists(st.tuples(*[st.floats(-30, 30)] * 2), min_size=size, max_size=size)
)


@settings(max_examples=200, deadline=None)
@given(scores, st.integers(1, 14), st.booleans(), st.integers(1, 6))
def test_equals_all_spans(rows, longest, nothing, best) -> None:
    chances = {
        (first, last): math.exp(rows[first][0] + rows[last][1])
        for first in range(len(rows))
        for last in range(first, min(len(rows), first + longest))
    }
    total = sum(chances.values()) + nothing
    chosen = choose_spans(np.array(rows), longest=longest, nothing=nothing, best=best)
    expected = sorted((chance / total for chance in chances.values()), reverse=True)[:best]
    np.testing.assert_allclose([p for _, _, p in chosen.spans], expected, rtol=1e-9)
    for first, last, probability in chosen.spans:
        assert math.isclose(probability, chances[first, last] / total, rel_tol=1e-9)
    assert (chosen.nothing is None) == (not nothing)
    if nothing:
        assert math.isclose(chosen.nothing, 1 / total, rel_tol=1e-9)
    for place in range(len(rows)):
        starts = sum(chance for (first, _), chance in chances.items() if first == place) / total
        ends = sum(chance for (_, last), chance in chances.items() if last == place) / total
        assert math.isclose(chosen.starts[place], starts, rel_tol=1e-9)
        assert math.isclose(chosen.ends[place], ends, rel_tol=1e-9)


def test_an_empty_context() -> None:
    assert choose_spans(np.zeros((0, 2)), longest=3, nothing=True, best=5).nothing == 1.0
    assert choose_spans(np.zeros((0, 2)), longest=3, nothing=False, best=5).spans == []
