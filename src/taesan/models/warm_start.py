"""Token embeddings from co-occurrence: what a few minutes of counting know, the first million steps need not learn."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

WINDOW = 4
CONTEXTS = 2000
BLOCK_TOKENS = 1 << 20
SHIFT = 0.75


def cooccurrence_embeddings(
    streams: Callable[[], Iterable[NDArray[np.integer]]], *, vocabulary_size: int, width: int, deviation: float
) -> NDArray[np.float32]:
    """Embeddings (vocabulary, width) of the tokens in some streams, with that standard deviation.

    Positive pointwise mutual information with the 2,000 most frequent tokens within four places on either side,
    smoothed by counts to the power of 0.75, reduced by its leading singular vectors weighted by the square root of
    their values (Levy and Goldberg 2014, sections 3.1 and 3.3; Levy et al. 2015, section 3.3). Deterministic.
    `streams` is called twice.
    """
    frequency = np.zeros(vocabulary_size, dtype=np.int64)
    for tokens in streams():
        frequency += np.bincount(tokens, minlength=vocabulary_size)
    contexts = np.argsort(-frequency, kind="stable")[: min(CONTEXTS, vocabulary_size)]
    column = np.full(vocabulary_size, -1, dtype=np.int64)
    column[contexts] = np.arange(len(contexts))
    counts = np.zeros(vocabulary_size * 2 * len(contexts), dtype=np.float32)
    for tokens in streams():
        for start in range(0, len(tokens), BLOCK_TOKENS):
            block = np.asarray(tokens[start : start + BLOCK_TOKENS + WINDOW], dtype=np.int64)
            for distance in range(1, WINDOW + 1):
                left, right = block[:-distance][:BLOCK_TOKENS], block[distance:][:BLOCK_TOKENS]
                for side, (word, context) in enumerate(((right, left), (left, right))):
                    known = column[context] >= 0
                    cells = (word[known] * 2 + side) * len(contexts) + column[context[known]]
                    np.add.at(counts, cells, np.float32(1))
    matrix = _positive_information(counts.reshape(vocabulary_size, 2 * len(contexts)))
    values, vectors = np.linalg.eigh((matrix.T @ matrix).astype(np.float64))
    top = np.argsort(-values, kind="stable")[:width]
    scale = np.maximum(values[top], 1e-12) ** -0.25  # singular values to the power of 1/2, not 1
    embeddings = np.zeros((vocabulary_size, width), dtype=np.float32)  # a small vocabulary has fewer directions
    embeddings[:, : len(top)] = matrix @ (vectors[:, top] * scale).astype(np.float32)
    embeddings -= embeddings.mean(axis=0)
    return (embeddings * (deviation / max(float(embeddings.std()), 1e-12))).astype(np.float32)


def _positive_information(counts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Counts (words, contexts) as positive pointwise mutual information, in their own memory."""
    row = counts.sum(axis=1, dtype=np.float64)
    smooth = counts.sum(axis=0, dtype=np.float64) ** SHIFT
    smooth = (smooth / max(smooth.sum(), 1e-12)).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        for word in range(len(counts)):
            counts[word] = np.log(counts[word] / (np.float32(row[word]) * smooth))
    counts[~np.isfinite(counts)] = 0
    return np.maximum(counts, 0, out=counts)
