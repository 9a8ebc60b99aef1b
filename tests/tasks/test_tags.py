"""Best paths and probabilities against all paths, one by one."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taesan.tasks.tags import decode_tags, tag_names


def legal(path: tuple[int, ...]) -> bool:
    return all(
        tag == 0 or tag % 2 == 1 or before in (tag, tag - 1) for before, tag in zip((0, *path), path, strict=False)
    )


def spans(path: tuple[int, ...]) -> set[tuple[int, int, int]]:
    """(first, last, label) of a legal path, found another way: from the end."""
    found, last = set(), None
    for place in range(len(path) - 1, -1, -1):
        tag = path[place]
        if tag and last is None:
            last = place
        if tag % 2:
            found.add((place, last, tag // 2))
        if tag % 2 or not tag:
            last = None
    return found


def brute(chances: np.ndarray):
    steps, tags = chances.shape
    paths = [path for path in itertools.product(range(tags), repeat=steps) if legal(path)]
    weights = np.array([math.prod(chances[step, tag] for step, tag in enumerate(path)) for path in paths])
    marginals = np.zeros_like(chances)
    for path, weight in zip(paths, weights, strict=True):
        marginals[range(steps), path] += weight / weights.sum()
    best = paths[int(weights.argmax())]
    chance = {
        span: sum(w for p, w in zip(paths, weights, strict=True) if span in spans(p)) / weights.sum()
        for span in spans(best)
    }
    return marginals, chance


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(1, 2), st.integers(0, 1 << 30))
def test_equals_all_paths(lengths, labels, seed) -> None:
    draw = np.random.default_rng(seed)
    tags = len(tag_names("xy"[:labels]))
    sequences = [draw.dirichlet(np.full(tags, 0.5), size=length) for length in lengths]
    for chances, tagging in zip(sequences, decode_tags(sequences), strict=True):
        marginals, spans_ = brute(np.maximum(chances, 1e-200))
        np.testing.assert_allclose(tagging.marginals, marginals, atol=1e-12)
        assert {span[:3] for span in tagging.spans} == set(spans_)
        for first, last, label, probability in tagging.spans:
            assert math.isclose(probability, spans_[first, last, label], rel_tol=1e-9)


def test_the_same_bits_in_any_company() -> None:
    draw = np.random.default_rng(1)
    sequences = [draw.dirichlet(np.full(13, 0.3), size=int(size)) for size in draw.integers(0, 90, 200)]
    together = decode_tags(sequences)
    for place in draw.permutation(200)[:60]:
        (alone,) = decode_tags([sequences[place]])
        assert alone.spans == together[place].spans
        assert np.array_equal(alone.marginals, together[place].marginals)


def test_long_and_extreme() -> None:
    chances = np.zeros((3000, 5))
    chances[:, 2] = 1.0  # an I that no B ever opened
    (tagging,) = decode_tags([chances])
    assert np.isfinite(tagging.marginals).all()
    np.testing.assert_allclose(tagging.marginals.sum(axis=1), 1)
    assert tagging.spans[0][:3] == (0, 2999, 0)


def test_names() -> None:
    assert tag_names(("사람", "장소")) == ("O", "B-사람", "I-사람", "B-장소", "I-장소")


@pytest.mark.parametrize("labels", [1, 3])
def test_nothing_to_decode(labels) -> None:
    assert decode_tags([]) == []
    assert decode_tags([np.zeros((0, 1 + 2 * labels))])[0].spans == []
