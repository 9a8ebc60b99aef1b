"""Embeddings from co-occurrence against counts made by hand and a dense singular value decomposition."""

from collections import Counter

import numpy as np
import pytest

from taesan.models import warm_start
from taesan.models.warm_start import cooccurrence_embeddings


def by_hand(streams: list[np.ndarray], vocabulary: int, width: int, contexts: list[int]) -> np.ndarray:
    """Levy and Goldberg 2014, section 3.1, word by word: left and right neighbours are apart."""
    pairs: Counter[tuple[int, str, int]] = Counter()
    for stream in streams:
        for place, word in enumerate(stream.tolist()):
            for distance in range(1, 5):
                if place + distance < len(stream):
                    other = int(stream[place + distance])
                    pairs[word, "right", other] += 1
                    pairs[other, "left", word] += 1
    columns = [(side, context) for side in ("left", "right") for context in contexts]
    counts = np.array([[pairs[word, *column] for column in columns] for word in range(vocabulary)], dtype=float)
    smooth = counts.sum(axis=0) ** 0.75
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.log(counts / (counts.sum(axis=1, keepdims=True) * smooth / smooth.sum()))
    matrix = np.maximum(np.where(np.isfinite(information), information, 0), 0)
    left, values, _ = np.linalg.svd(matrix, full_matrices=False)
    embeddings = left[:, :width] * np.sqrt(values[:width])
    embeddings -= embeddings.mean(axis=0)
    return embeddings * (0.04 / embeddings.std())


@pytest.mark.parametrize(("contexts", "block"), [(2000, 1 << 20), (10, 1 << 20), (2000, 37)])
def test_they_are_those_made_by_hand(monkeypatch, contexts, block) -> None:
    monkeypatch.setattr(warm_start, "CONTEXTS", contexts)
    monkeypatch.setattr(warm_start, "BLOCK_TOKENS", block)
    chance, vocabulary, width = np.random.default_rng(0), 30, 6
    streams = [np.minimum(chance.geometric(0.1, size), vocabulary - 1).astype(np.uint16) for size in (400, 251)]
    found = cooccurrence_embeddings(lambda: streams, vocabulary_size=vocabulary, width=width, deviation=0.04)
    frequency = np.bincount(np.concatenate(streams), minlength=vocabulary)
    chosen = np.argsort(-frequency, kind="stable")[:contexts].tolist()
    expected = by_hand(streams, vocabulary, width, chosen)
    # The axes are free to turn and to mirror; the inner products are not.
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=2e-6)
    assert found.dtype == np.float32
    assert found.std() == pytest.approx(0.04, rel=1e-4)


def test_a_vocabulary_smaller_than_the_width() -> None:
    found = cooccurrence_embeddings(
        lambda: [np.array([0, 1, 2, 1, 0, 3, 2], dtype=np.uint16)], vocabulary_size=4, width=32, deviation=0.04
    )
    assert found.shape == (4, 32)
    assert np.isfinite(found).all()
