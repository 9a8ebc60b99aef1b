"""Answer metrics by hand from the three scripts' formulas, against loops, and their properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taesan.tasks import bootstrap
from taesan.tasks.answer_metrics import (
    answer_scores,
    evaluate_answers,
    klue_normal,
    korquad_normal,
    overlap_f1,
    rouge_w,
    squad_normal,
)

NAMES = ("em", "f1", "squad_em", "squad_f1", "rouge_w")
TEXT = st.text("가나다라 마ab.,《》'()the ", max_size=12)


def scores_of(answers: tuple[str, ...], predicted: str) -> dict[str, float]:
    return answer_scores([answers], [predicted])


@pytest.mark.parametrize(
    ("text", "korquad", "squad", "klue"),
    [
        ("《태백산맥》(소설)", "태백산맥 소설", "《태백산맥》소설", "《태백산맥》소설"),
        ("  The  'Ring',  A Tale ", "the ring a tale", "ring tale", "the ring a tale"),
        ("O'Neil", "o neil", "oneil", "oneil"),
        ("‘3·1’ 운동.", "3·1 운동", "‘3·1’ 운동", "‘3·1’ 운동"),
        ("an theme\tan", "an theme an", "theme", "an theme an"),
        ("...", "", "", ""),
    ],
)
def test_normalisations(text: str, korquad: str, squad: str, klue: str) -> None:
    assert (korquad_normal(text), squad_normal(text), klue_normal(text)) == (korquad, squad, klue)


@pytest.mark.parametrize(
    ("answers", "predicted", "expected"),
    [
        # Characters 서울특별시 and 서울시: 3 in common of 5 and 3. The longest common part is 서울.
        (("서울특별시",), "서울시", (0, 6 / 8, 0, 0, 4 / 8)),
        # KorQuAD counts no spaces; the other two see two words, and a part 이순 with a part 신 장군.
        (("이순신 장군",), "이순신장군", (0, 1, 0, 0, 6 / 11)),
        (("1392년", "1392"), "1392년에", (0, 10 / 11, 0, 0, 10 / 11)),
        (("the Ring",), "a ring!", (0, 8 / 12, 1, 1, 10 / 14)),
        (("가나다라",), "라다나가", (0, 1, 0, 0, 2 / 8)),
        (("《토지》",), "토지", (1, 1, 0, 0, 4 / 6)),
        (("서울 시청", "시청"), "시청", (1, 1, 1, 1, 1)),
        (("서울 시청",), "서울 시청 앞", (0, 8 / 9, 0, 4 / 5, 10 / 12)),
        (("가",), "", (0, 0, 0, 0, 0)),
        ((), "", (1, 1, 1, 1, 1)),
        ((), ".", (1, 1, 1, 1, 1)),  # nothing, once normalised: as all three scripts have it
        ((), "가", (0, 0, 0, 0, 0)),
        (("%", "5%"), "", (0, 0, 0, 0, 0)),
    ],
)
def test_scores_by_hand(answers: tuple[str, ...], predicted: str, expected: tuple[float, ...]) -> None:
    assert scores_of(answers, predicted) == pytest.approx(dict(zip(NAMES, expected, strict=True)))


def longest_part(one: str, other: str) -> int:
    parts = {one[i:j] for i in range(len(one)) for j in range(i, len(one) + 1)}
    return max((len(part) for part in parts if part in other), default=0)


@given(st.text("가나다 ", max_size=14), st.text("가나다 ", max_size=14))
def test_rouge_w_is_that_of_a_loop(one: str, other: str) -> None:
    size = longest_part(one, other)
    if not size:
        assert rouge_w(one, other) == float(one == other)
        return
    precision, recall = size / len(other), size / len(one)
    assert rouge_w(one, other) == pytest.approx(2 * precision * recall / (precision + recall))


def test_rouge_w_sees_what_is_common_in_a_long_answer() -> None:
    """difflib's heuristic would take no note of 가 here."""
    true = "가나" * 150
    assert rouge_w(true, "가나가나") == pytest.approx(8 / 304)


@given(st.lists(st.sampled_from("가나다라"), max_size=10), st.lists(st.sampled_from("가나다라"), max_size=10))
def test_overlap_is_that_of_a_loop(one: list[str], other: list[str]) -> None:
    left, common = list(other), 0
    for item in one:
        if item in left:
            left.remove(item)
            common += 1
    expected = float(not one and not other)
    if common:
        precision, recall = common / len(other), common / len(one)
        expected = 2 * precision * recall / (precision + recall)
    assert overlap_f1(one, other) == pytest.approx(expected)


@given(st.lists(TEXT, max_size=4), TEXT)
def test_properties(answers: list[str], predicted: str) -> None:
    scores = scores_of(tuple(answers), predicted)
    assert all(0 <= value <= 1 for value in scores.values())
    assert scores["em"] <= scores["f1"]
    assert scores["squad_em"] <= scores["squad_f1"]
    assert scores_of(tuple(reversed(answers)), predicted) == scores
    if answers:
        some = tuple(f"가{one}" for one in answers)  # that are not all signs
        fewer, more = scores_of(some, predicted), scores_of((*some, "가 나"), predicted)
        assert all(more[name] >= fewer[name] for name in NAMES)
        single = scores_of((answers[0],), predicted)
        turned = scores_of((predicted,), answers[0])
        assert single == pytest.approx(turned)
    assert set(scores_of((predicted,), predicted).values()) == {1.0}


def simulate(questions: int, seed: int) -> tuple[list[tuple[str, ...]], list[str]]:
    """Answers of a few words, a third of the questions without, and predictions that are often a little off."""
    chance = np.random.default_rng(seed)
    answers: list[tuple[str, ...]] = []
    predicted: list[str] = []
    for _ in range(questions):
        words = ["".join(chance.choice(list("가나다라마바사아"), 3)) for _ in range(4)]
        answers.append((" ".join(words[:2]),) if chance.random() < 0.67 else ())
        predicted.append(" ".join(words[chance.integers(2) : chance.integers(2, 4)]) if chance.random() < 0.7 else "")
    return answers, predicted


def test_evaluation_holds_the_scores_and_those_of_either_kind() -> None:
    answers, predicted = simulate(400, 1)
    evaluation = evaluate_answers(answers, predicted, seed=3)
    values = {name: score.value for name, score in evaluation.scores.items()}
    assert {name: values[name] for name in NAMES} == answer_scores(answers, predicted)
    kinds = [bool(one) for one in answers]
    answered = [(a, p) for a, p in zip(answers, predicted, strict=True) if a]
    assert values["has_answer_f1"] == pytest.approx(answer_scores(*zip(*answered, strict=True))["f1"])
    assert values["has_answer_em"] == pytest.approx(answer_scores(*zip(*answered, strict=True))["em"])
    empty = [not p for a, p in zip(answers, predicted, strict=True) if not a]
    assert values["no_answer_accuracy"] == pytest.approx(sum(empty) / len(empty))
    assert evaluation.tables["questions"] == {"has_answer": sum(kinds), "no_answer": 400 - sum(kinds)}
    for score in evaluation.scores.values():
        assert 0 <= score.low < score.value < score.high <= 1
    assert all(name in evaluation.text for name in evaluation.scores)
    assert evaluation == evaluate_answers(answers, predicted, seed=3)
    assert evaluation != evaluate_answers(answers, predicted, seed=4)


def test_one_kind_of_question_has_no_split() -> None:
    evaluation = evaluate_answers([("가",), ("나",)], ["가", "다"], seed=0)
    assert set(evaluation.scores) == set(NAMES)
    assert evaluation.scores["em"].value == 0.5
    assert evaluate_answers([], [], seed=0).rows == 0
    with pytest.raises(ValueError, match="zip"):
        answer_scores([()], [])


def test_intervals_hold_the_truth_about_as_often_as_they_say(monkeypatch) -> None:
    monkeypatch.setattr(bootstrap, "RESAMPLES", 400)
    answers, predicted = simulate(10_000, 999)
    true = {name: score.value for name, score in evaluate_answers(answers, predicted, seed=0).scores.items()}
    held = dict.fromkeys(true, 0)
    for seed in range(150):
        for name, score in evaluate_answers(*simulate(100, seed), seed=seed).scores.items():
            held[name] += score.low <= true[name] <= score.high
    for name, count in held.items():
        assert 132 <= count <= 149, (name, count)  # 142 expected
