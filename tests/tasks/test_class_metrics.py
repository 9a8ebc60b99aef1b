"""Metrics against scikit-learn and against loops, and intervals that hold the truth about as often as they say."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from taesan.tasks import class_metrics
from taesan.tasks.class_metrics import calibration_error, class_scores, evaluate_classes

LABELS = ("가", "나", "다", "안 나옴")


def simulate(rows: int, seed: int, classes: int = 4, used: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Truth among the first `used` classes, and probabilities that lean towards it."""
    chance = np.random.default_rng(seed)
    truth = chance.integers(0, used, rows)
    logits = chance.normal(size=(rows, classes)) + 1.2 * np.eye(classes)[truth]
    return truth, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("rows", "used"), [(1, 3), (2, 2), (7, 3), (300, 3), (2000, 4)])
def test_scores_are_those_of_scikit_learn(rows, used) -> None:
    truth, probabilities = simulate(rows, rows, used=used)
    predicted = probabilities.argmax(axis=1)
    evaluation = evaluate_classes(truth, probabilities, labels=LABELS, seed=1)
    assert evaluation.rows == rows
    values = {name: score.value for name, score in evaluation.scores.items()}
    assert values["accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted), abs=1e-12)
    expected = metrics.f1_score(truth, predicted, average="macro", zero_division=0)
    assert values["macro_f1"] == pytest.approx(expected, abs=1e-12)
    assert class_scores(truth, probabilities) == {name: values[name] for name in ("accuracy", "macro_f1")}
    everyone = metrics.precision_recall_fscore_support(truth, predicted, labels=range(4), zero_division=0)
    for index, label in enumerate(LABELS):
        row = evaluation.tables["per_class"][label]
        for name, column in zip(("precision", "recall", "f1"), everyone, strict=False):
            assert row[name]["value"] == pytest.approx(column[index], abs=1e-12)
            assert 0 <= row[name]["low"] <= row[name]["high"] <= 1
        assert row["rows"] == everyone[3][index]
    matrix = metrics.confusion_matrix(truth, predicted, labels=range(4))
    assert evaluation.tables["confusion"] == matrix.tolist()
    assert evaluation.tables["labels"] == list(LABELS)
    assert all(label in evaluation.text for label in LABELS)
    assert evaluation == evaluate_classes(truth, probabilities, labels=LABELS, seed=1)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60),
    st.lists(st.sampled_from([k / 15 for k in range(16)]), max_size=8),
)
def test_calibration_error_is_that_of_a_loop(rows, edges) -> None:
    """Guo et al. 2017, equations 2 and 3: bins ((m - 1) / 15, m / 15], the first one closed on the left too."""
    confidence = np.array([value for value, _ in rows] + edges)
    correct = np.array([float(hit) for _, hit in rows] + [1.0] * len(edges))
    total = 0.0
    for number in range(1, 16):
        inside = [
            i
            for i, value in enumerate(confidence)
            if ((number - 1) < value * 15 <= number) or (number == 1 and value == 0)
        ]
        if inside:
            total += abs(sum(correct[inside]) / len(inside) - sum(confidence[inside]) / len(inside)) * len(inside)
    assert math.isclose(calibration_error(confidence, correct), total / len(confidence), abs_tol=1e-12)


def test_a_calibrated_model_has_next_to_no_error() -> None:
    chance = np.random.default_rng(0)
    confidence = chance.uniform(0.5, 1, 200_000)
    correct = (chance.uniform(size=200_000) < confidence).astype(float)
    assert calibration_error(confidence, correct) < 0.01
    assert calibration_error(np.full(100, 0.9), np.zeros(100)) == pytest.approx(0.9)


def test_intervals_hold_the_truth_about_as_often_as_they_say(monkeypatch) -> None:
    """200 samples of 250 rows from one source: nineteen in twenty of the intervals hold the true value."""
    monkeypatch.setattr(class_metrics, "RESAMPLES", 400)
    true_truth, true_probabilities = simulate(200_000, seed=99, classes=3)
    true = class_scores(true_truth, true_probabilities)
    held = dict.fromkeys(true, 0)
    for seed in range(200):
        evaluation = evaluate_classes(*simulate(250, seed, classes=3), labels=LABELS[:3], seed=seed)
        for name, value in true.items():
            score = evaluation.scores[name]
            held[name] += score.low <= value <= score.high
            assert 0.02 < score.high - score.low < 0.2
    for name, count in held.items():
        assert 180 <= count <= 199, name  # 190 expected; these are over three standard deviations away


def test_many_classes_cost_little_memory() -> None:
    chance = np.random.default_rng(0)
    truth = chance.integers(0, 600, 1500)
    probabilities = chance.dirichlet(np.ones(600), 1500)
    tracemalloc.start()
    evaluation = evaluate_classes(truth, probabilities, labels=tuple(map(str, range(600))), seed=0)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 300e6
    predicted = probabilities.argmax(axis=1)
    expected = metrics.f1_score(truth, predicted, average="macro", zero_division=0)
    assert evaluation.scores["macro_f1"].value == pytest.approx(expected)
