"""Answers: every one of them trainable, and found again to the character, whatever the windows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import QUESTIONS
from taesan.data import Answer
from taesan.errors import DataError
from taesan.tasks.base import EncodeOptions, Example
from taesan.tasks.qa import QA


def example(question: str, context: str, answers) -> Example:
    return Example((question, context), tuple(Answer(answer, context.index(answer)) for answer in answers))


def perfect(encoded) -> list[list[np.ndarray]]:
    return [[np.where(item.labels == 1, 20.0, 0.0).astype(np.float32) for item in one.items] for one in encoded]


ROWS = [example(*row) for row in QUESTIONS]


@pytest.mark.parametrize("which", ["tokenizer", "byte_tokenizer"])
@pytest.mark.parametrize("length", [34, 64])
def test_what_is_learnt_comes_back(request, which, length) -> None:
    tokenizer = request.getfixturevalue(which)
    rows = [*ROWS, example("처음은?", "부산까지 갔다.", ["부산"]), example("끝은?", "우리가 간 곳은 서울", ["서울"])]
    learnt = QA.learn(rows, (), tokenizer)
    encoded = QA.encode(rows, tokenizer, learnt, EncodeOptions(max_length=length))
    assert sum(one.lost for one in encoded) == 0
    assert any(len(one.items) > 1 for one in encoded)
    for one in encoded:
        for item in one.items:
            assert len(item.input_ids) == len(item.token_type_ids) == len(item.labels) <= length
            assert ((item.labels == 1).sum(axis=0) >= 1).all()  # in each window the answer, or that there is none
    found = QA.decode(rows, encoded, perfect(encoded), learnt)
    for row, prediction in zip(rows, found, strict=True):
        texts = [answer.text for answer in row.label]
        assert prediction.answer in (texts or [""])
        if texts:
            best = prediction.candidates[0]
            assert row.texts[1][best.start : best.end] == best.text
            assert best.start in [answer.start for answer in row.label]
    words = found[0].details()["words"]
    assert [word["text"] for word in words] == rows[0].texts[1].split()
    assert max(words, key=lambda word: word["starts"])["text"] == "부산까지"
    assert QA.scores(rows, found, learnt)["em"] == 1.0


@given(st.data())
def test_any_answer_that_a_window_holds_is_trainable(tokenizer, data) -> None:
    """At character 0, at the end, inside a word or a token: its tokens are labelled in some window."""
    context = data.draw(st.text("서울부산 까지에서.가나1👍", min_size=1, max_size=80).filter(str.strip))
    start = data.draw(st.integers(0, len(context) - 1))
    end = data.draw(st.integers(start + 1, min(len(context), start + 6)))
    offsets = tokenizer.encode([context])[0].offsets
    inside = np.flatnonzero((offsets[:, 1] > start) & (offsets[:, 0] < end))
    row = Example(("무엇?", context), (Answer(context[start:end], start),))
    learnt = QA.learn([row], (), tokenizer)
    (encoded,) = QA.encode([row], tokenizer, learnt, EncodeOptions(max_length=34))
    assert encoded.lost == int(len(inside) == 0)  # nothing but white space has no token
    labelled = [
        (item, piece, at) for item, piece, at in zip(encoded.items, encoded.pieces, encoded.starts, strict=True)
    ]
    for item, piece, at in labelled:
        holds = bool(len(inside)) and inside[0] in piece and inside[-1] in piece
        assert (item.labels[encoded.nothing, 0] == 1) == (not holds)
        if holds:
            assert item.labels[at + inside[0] - piece[0], 0] == item.labels[at + inside[-1] - piece[0], 1] == 1


def test_a_question_that_leaves_no_room_is_refused(tokenizer) -> None:
    rows = [Example(("무엇을 샀는가? " * 20, "사과를 샀다."), (), 7)]
    with pytest.raises(DataError, match="question-long") as raised:
        QA.encode(rows, tokenizer, QA.learn(rows, (), tokenizer), EncodeOptions(max_length=40))
    assert raised.value.problems[0].line == 7


def test_the_threshold_is_the_best_of_the_validation_rows(tokenizer) -> None:
    """Counted another way: the F1 of every threshold that can matter."""
    draw = np.random.default_rng(5)
    learnt = QA.learn(ROWS, (), tokenizer)
    assert learnt.counts["unanswerable"]
    rows = ROWS * 5
    encoded = QA.encode(rows, tokenizer, learnt, EncodeOptions(max_length=64))
    outputs = [
        [output + draw.normal(0, 8, output.shape).astype(np.float32) for output in one] for one in perfect(encoded)
    ]
    tuned = QA.tune(rows, QA.decode(rows, encoded, outputs, learnt), learnt)

    def f1(threshold: float) -> float:
        counts = {**learnt.counts, "threshold": threshold}
        found = QA.decode(rows, encoded, outputs, type(learnt)((), counts))
        return QA.scores(rows, found, learnt)["f1"]

    best = max(f1(threshold) for threshold in [*np.linspace(0, 1, 201), *np.geomspace(1e-9, 1, 50)])
    assert f1(tuned.counts["threshold"]) >= best - 1e-12


def test_paragraphs_are_held_out_whole() -> None:
    rows = [
        example(f"{number}?", context, [context[:2]])
        for context in ("가나다", "라마바", "사아자")
        for number in range(4)
    ]
    kept, held = QA.split(rows, 0.2, seed=0)
    assert sorted(kept + held) == list(range(12))
    assert not {rows[place].texts[1] for place in kept} & {rows[place].texts[1] for place in held}
    assert len(held) == 4
