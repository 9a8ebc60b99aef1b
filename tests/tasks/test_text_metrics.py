"""Metrics of generated texts against sacrebleu and loops; intervals, also of distinct-n, hold the truth."""

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.chrf import CHRF

from taesan.tasks import bootstrap
from taesan.tasks.text_metrics import chrf, common_subsequence, distinct, evaluate_texts, repetition, rouge_l

TEXT = st.text("가나다라마 ab.\n", max_size=20)
PAIRS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5)


@given(PAIRS)
def test_chrf_is_that_of_sacrebleu(pairs) -> None:
    references, generated = map(list, zip(*pairs, strict=True))
    oracle = CHRF()
    assert 100 * chrf(references, generated) == pytest.approx(oracle.corpus_score(generated, [references]).score)
    scores = evaluate_texts(references[:1], generated[:1], seed=0)
    expected = oracle.sentence_score(generated[0], references[:1]).score
    assert 100 * scores["sentence_chrf"].value == pytest.approx(expected)


def test_chrf_of_korean_sentences() -> None:
    references = ["오늘은 날씨가 맑아서 아이들과 강가를 오래 걸었다.", "서울에서 부산까지 기차로 두 시간 반이 걸린다."]
    generated = ["오늘 날씨가 맑아 아이들과 강가를 걸었다", "부산에서 서울까지 두 시간 반"]
    expected = CHRF().corpus_score(generated, [references]).score
    assert 20 < expected < 80
    assert 100 * chrf(references, generated) == pytest.approx(expected)
    assert chrf(references, references) == pytest.approx(1)
    assert chrf(references, ["", ""]) == 0


def longest(one: str, other: str) -> int:
    """The recursion of the definition."""

    @lru_cache(None)
    def size(i: int, j: int) -> int:
        if i == len(one) or j == len(other):
            return 0
        if one[i] == other[j]:
            return 1 + size(i + 1, j + 1)
        return max(size(i + 1, j), size(i, j + 1))

    return size(0, 0)


@given(st.text("가나다", max_size=25), st.text("가나다", max_size=25))
def test_common_subsequence_is_that_of_the_recursion(one: str, other: str) -> None:
    size = longest(one, other)
    assert common_subsequence(one, other) == common_subsequence(other, one) == size
    reference, generated = " ".join(one), " ".join(other)
    if size:
        precision, recall = size / len(other), size / len(one)
        assert rouge_l(reference, generated) == pytest.approx(2 * precision * recall / (precision + recall))
    else:
        assert rouge_l(reference, generated) == 0


def test_rouge_l_by_hand() -> None:
    """Lin 2004, section 3.1: police killed the gunman, in Korean."""
    assert rouge_l("경찰이 그 범인을 잡았다", "범인을 그 경찰이 잡았다") == 0.5
    assert rouge_l("경찰이 그 범인을 잡았다", "경찰이 범인을  잡았다\n") == pytest.approx(6 / 7)
    assert rouge_l("", "") == 0


@pytest.mark.parametrize(
    ("texts", "order", "expected"),
    [
        (["가 나 가", "가 나"], 1, 2 / 5),
        (["가 나 가", "가 나"], 2, 2 / 3),
        (["가 나 가", "가 나"], 3, 1),
        (["가"], 2, 0),
        ([], 1, 0),
    ],
)
def test_distinct_by_hand(texts: list[str], order: int, expected: float) -> None:
    assert distinct(texts, order) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("가 나 다 라 마", 0), ("가 가 가 가 가", 1 / 2), ("가 나 다 라 가 나 다 라", 1 / 5), ("가 가 가", 0), ("", 0)],
)
def test_repetition_by_hand(text: str, expected: float) -> None:
    assert repetition(text) == pytest.approx(expected)


def simulate(texts: int, seed: int) -> tuple[list[str], list[str]]:
    """Zipf's words; generated texts share most of them, loop now and then, and differ in how varied they are."""
    chance = np.random.default_rng(seed)
    references, generated = [], []
    for _ in range(texts):
        words = [f"말{rank}" for rank in chance.zipf(1.4, int(chance.integers(5, 20))) % 1000]
        own = [word for word in words if chance.random() < 0.8] or words[:1]
        if chance.random() < 0.2:
            own += own[-3:] * 4
        references.append(" ".join(words))
        generated.append(" ".join(own))
    return references, generated


def test_scores_are_those_of_the_functions() -> None:
    references, generated = simulate(60, 5)
    scores = evaluate_texts(references, generated, seed=2)
    values = {name: score.value for name, score in scores.items()}
    pairs = list(zip(references, generated, strict=True))
    expected = {
        "chrf": chrf(references, generated),
        "sentence_chrf": np.mean([chrf([one], [other]) for one, other in pairs]),
        "rouge_l": np.mean([rouge_l(*pair) for pair in pairs]),
        "repetition": np.mean([repetition(text) for text in generated]),
        **{f"distinct_{order}": distinct(generated, order) for order in (1, 2, 3)},
    }
    assert values == pytest.approx(expected)
    for name, score in scores.items():
        assert 0 <= score.low < score.value < score.high <= 1, name
    assert scores == evaluate_texts(references, generated, seed=2)
    assert evaluate_texts([], [], seed=0)["distinct_1"].value == 0
    assert evaluate_texts(["가 나"], ["가 나"], seed=0)["distinct_1"].value == 1


def test_intervals_hold_the_truth_about_as_often_as_they_say(monkeypatch) -> None:
    """Distinct-n hangs on the number of texts: its true value is the mean of many samples of that number."""
    monkeypatch.setattr(bootstrap, "RESAMPLES", 400)
    samples = [evaluate_texts(*simulate(80, seed), seed=seed) for seed in range(150)]
    for name in samples[0]:
        true = np.mean([sample[name].value for sample in samples])
        held = sum(sample[name].low <= true <= sample[name].high for sample in samples)
        assert 130 <= held <= 150, (name, held)  # 142 expected
