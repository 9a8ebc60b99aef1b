"""TF-IDF over runs of characters, beside scikit-learn's."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from conftest import SENTENCES
from taesan.text.ngrams import LONGEST, Ngrams, runs
from taesan.text.sparse import Sparse, side_by_side

TEXTS = st.lists(st.text("가나다 \t각각 aB１ 😀", max_size=12), min_size=1, max_size=12)


def oracle(texts) -> TfidfVectorizer:
    """The same in scikit-learn, at its own names for it."""
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, LONGEST), min_df=2, sublinear_tf=True)
    return vectorizer.fit([unicodedata.normalize("NFC", text) for text in texts])


def dense(matrix: Sparse) -> np.ndarray:
    full = np.zeros((len(matrix), matrix.width))
    for row in range(len(matrix)):
        part = matrix.rows(row, row + 1)
        full[row, part.columns] = part.values
    return full


@given(TEXTS, TEXTS)
def test_weights_are_those_of_scikit_learn(train, others) -> None:
    ngrams, weights = Ngrams.learn(map(runs, train))
    try:
        vectorizer = oracle(train)
    except ValueError:  # no run is in two texts
        assert len(ngrams) == 0
        assert not weights.values.size
        return
    order = [vectorizer.vocabulary_[run] for run in ngrams.frequencies]
    assert len(order) == len(vectorizer.vocabulary_)
    others = [*others, *train]
    theirs = vectorizer.transform([unicodedata.normalize("NFC", text) for text in others]).toarray()[:, order]
    np.testing.assert_allclose(dense(ngrams.weights(map(runs, others))), theirs, atol=1e-6)
    np.testing.assert_allclose(dense(weights), theirs[-len(train) :], atol=1e-6)


def test_a_text_is_the_same_in_either_unicode_form() -> None:
    for text in SENTENCES:
        assert runs(unicodedata.normalize("NFD", text)) == runs(text)


@given(TEXTS, st.integers(1, 5))
def test_a_text_weighs_the_same_bits_in_any_company(texts, size) -> None:
    ngrams, _ = Ngrams.learn(map(runs, [*texts, *texts]))
    whole = ngrams.weights(map(runs, texts))
    for start in range(0, len(texts), size):
        part, end = ngrams.weights(map(runs, texts[start : start + size])), min(len(texts), start + size)
        assert part.values.tobytes() == whole.rows(start, end).values.tobytes()
        weight = np.random.default_rng(1).normal(size=(3, len(ngrams)))
        assert part.times(weight).tobytes() == whole.times(weight)[start:end].tobytes()


@pytest.mark.parametrize("seed", range(5))
def test_products_are_those_of_the_full_matrix(seed) -> None:
    random = np.random.default_rng(seed)
    full = random.normal(size=(9, 7)) * (random.random((9, 7)) < 0.3)
    full[4] = 0
    rows, columns = np.nonzero(full)
    starts = np.concatenate([[0], np.cumsum((full != 0).sum(axis=1))])
    matrix = Sparse(starts, columns.astype(np.int32), full[rows, columns], 7)
    np.testing.assert_allclose(dense(matrix), full)
    weight, factors = random.normal(size=(3, 7)), random.normal(size=(9, 3))
    np.testing.assert_allclose(matrix.times(weight), full @ weight.T)
    np.testing.assert_allclose(matrix.summed(factors), factors.T @ full)
    np.testing.assert_allclose(dense(side_by_side([matrix, matrix])), np.hstack([full, full]))
