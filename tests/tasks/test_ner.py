"""Entities: tags on subwords and back, whatever the tokens and the windows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import ENTITIES
from taesan.data import Span
from taesan.tasks.base import EncodeOptions, Example
from taesan.tasks.ner import NER


def examples(rows=ENTITIES) -> list[Example]:
    return [Example((text,), tuple(Span(*span) for span in spans)) for text, spans in rows]


def perfect(encoded, learnt) -> list[list[np.ndarray]]:
    """The outputs of a head that is sure of the labels."""
    tags = len(NER.outputs(learnt))
    return [
        [20.0 * np.eye(tags, dtype=np.float32)[np.maximum(item.labels, 0)] for item in one.items] for one in encoded
    ]


@pytest.mark.parametrize("which", ["tokenizer", "byte_tokenizer"])
@pytest.mark.parametrize("length", [8, 12, 64])
def test_what_is_learnt_comes_back(request, which, length) -> None:
    """Through tokens that do not end where entities do, and windows that overlap: every span, to the character."""
    tokenizer = request.getfixturevalue(which)
    rows = examples()
    learnt = NER.learn(rows, NER.labels(rows), tokenizer)
    encoded = NER.encode(rows, tokenizer, learnt, EncodeOptions(max_length=length))
    assert sum(one.lost for one in encoded) == 0
    assert any(len(one.items) > 1 for one in encoded) == (length < 20)
    for item in (item for one in encoded for item in one.items):
        assert len(item.input_ids) <= length
        assert item.labels.shape == item.input_ids.shape
    found = NER.decode(rows, encoded, perfect(encoded, learnt), learnt)
    assert [prediction.spans for prediction in found] == [row.label for row in rows]
    assert NER.scores(rows, found, learnt)["entity_f1"] == 1.0
    for row, prediction in zip(rows, found, strict=True):
        words = prediction.as_dict()["words"]
        assert [word["text"] for word in words] == row.texts[0].split()
        for word in words:  # its first character's class is the likeliest
            inside = [span.label for span in row.label if span.start <= word["start"] < span.end]
            assert max(word["probabilities"], key=word["probabilities"].get) == (inside or ["O"])[0]


def test_an_entity_ends_before_its_josa(byte_tokenizer) -> None:
    """13일까지: however the tokens lie, the date ends at its last character."""
    texts = ["13일까지 받는다", "7일까지 쉰다", "30일까지 한다", "9일에 온다", "25일에 간다"]
    rows = [Example((text,), (Span(0, text.index("일") + 1, "날짜"),)) for text in texts]
    learnt = NER.learn(rows, ("날짜",), byte_tokenizer)
    encoded = NER.encode(rows, byte_tokenizer, learnt, EncodeOptions(max_length=64))
    found = NER.decode(rows, encoded, perfect(encoded, learnt), learnt)
    assert [one.as_dict()["entities"][0]["text"] for one in found] == ["13일", "7일", "30일", "9일", "25일"]


def test_two_in_one_token_are_counted(tokenizer) -> None:
    text = "서울부산"
    token = tokenizer.encode([text])[0]
    rows = [Example((text,), (Span(0, 1, "장소"), Span(1, 2, "장소")))]
    shared = any(start < 1 < end for start, end in token.offsets.tolist())
    learnt = NER.learn(rows, ("장소",), tokenizer)
    (encoded,) = NER.encode(rows, tokenizer, learnt, EncodeOptions(max_length=64))
    assert encoded.lost == int(shared)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.integers(9, 20))
def test_any_text_has_an_answer(tokenizer, text, length) -> None:
    learnt = NER.learn([], ("사람", "장소"), tokenizer)
    row = Example((text,))
    encoded = NER.encode([row], tokenizer, learnt, EncodeOptions(max_length=length))
    draw = np.random.default_rng(len(text))
    outputs = [[draw.normal(0, 5, (len(item.input_ids), 5)).astype(np.float32) for item in encoded[0].items]]
    (found,) = NER.decode([row], encoded, outputs, learnt)
    end = 0
    for span in found.spans:
        assert end <= span.start < span.end <= len(text)
        end = span.end
    answer = found.as_dict()
    assert [word["text"] for word in answer["words"]] == [text[w["start"] : w["end"]] for w in answer["words"]]


def test_a_sentence_of_the_same_text_twice_is_split_by_kind() -> None:
    rows = examples(ENTITIES * 4)
    kept, held = NER.split(rows, 0.25, seed=1)
    assert sorted(kept + held) == list(range(len(rows)))
    assert {bool(rows[place].label) for place in held} == {True, False}


def test_an_entity_without_a_token_is_counted(tokenizer) -> None:
    """What the tokenizer's normalisation takes away has no token to be labelled at (a soft hyphen, a control mark)."""
    text = "서울\u00ad 갔다"
    nothing = not any(start <= 2 < end for start, end in tokenizer.encode([text])[0].offsets.tolist())
    learnt = NER.learn([], ("장소",), tokenizer)
    row = Example((text,), (Span(0, 2, "장소"), Span(2, 3, "장소")))
    (encoded,) = NER.encode([row], tokenizer, learnt, EncodeOptions(max_length=64))
    assert encoded.lost == int(nothing)
    assert (encoded.items[0].labels > 0).any()
