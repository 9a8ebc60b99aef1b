"""Generation: what is guessed, from what, and how it is counted."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import PROMPTS
from taesan.errors import DataError
from taesan.tasks.base import IGNORED, EncodeOptions, Example
from taesan.tasks.generation import GENERATION

ROWS = [Example(row) for row in PROMPTS]


@given(st.text(max_size=60), st.text(min_size=1, max_size=120), st.integers(6, 40))
def test_every_token_is_guessed_once(byte_tokenizer, prompt, completion, length) -> None:
    """Each with what stands before it, and with the end that closes it; a prompt is read and never guessed."""
    tokenizer = byte_tokenizer
    row = Example((prompt, completion))
    learnt = GENERATION.learn([row], (), tokenizer)
    given_ids, wanted = tokenizer.ids([prompt, completion])
    before = [*given_ids, *(tokenizer.layout.middle if prompt else ())]
    if prompt and len(before) >= length:
        with pytest.raises(DataError, match="prompt-long"):
            GENERATION.encode([row], tokenizer, learnt, EncodeOptions(max_length=length))
        return
    (encoded,) = GENERATION.encode([row], tokenizer, learnt, EncodeOptions(max_length=length))
    whole = [*before, *wanted.tolist(), tokenizer.separator_id]
    guessed = []
    for item in encoded.items:
        assert len(item.input_ids) <= length
        for place, label in enumerate(item.labels.tolist()):
            if label != IGNORED:
                position = len(before) + len(guessed) + (not before)
                assert label == whole[position]
                seen = item.input_ids[: place + 1].tolist()
                assert seen == whole[position - len(seen) : position]
                assert len(seen) == position or len(seen) >= length // 2
                guessed.append(label)
    assert guessed == whole[max(1, len(before)) :]


def test_scores_by_hand(byte_tokenizer) -> None:
    learnt = GENERATION.learn(ROWS, (), byte_tokenizer)
    encoded = GENERATION.encode(ROWS, byte_tokenizer, learnt, EncodeOptions(max_length=64))
    assert all(len(one.items) == 1 for one in encoded[:4])
    draw = np.random.default_rng(0)
    outputs = [[np.float32(-draw.uniform(5, 50)) for _ in one.items] for one in encoded]
    found = GENERATION.decode(ROWS, encoded, outputs, learnt)
    total = sum(float(value) for one in outputs for value in one)
    tokens = sum(len(byte_tokenizer.ids([completion])[0]) + 1 for _, completion in PROMPTS)
    text_bytes = sum(len(completion.encode()) for _, completion in PROMPTS)
    scores = GENERATION.scores(ROWS, found, learnt)
    assert scores["perplexity"] == pytest.approx(math.exp(-total / tokens))
    assert scores["bits_per_byte"] == pytest.approx(-total / math.log(2) / text_bytes)
    evaluation = GENERATION.evaluate(ROWS, found, learnt, seed=0)
    assert evaluation.scores["perplexity"].value == pytest.approx(scores["perplexity"])
    assert "chrf" not in evaluation.scores  # nothing was generated


def test_texts_without_prompts_go_on_from_their_own_beginning(byte_tokenizer) -> None:
    rows = [Example(("", completion)) for _, completion in PROMPTS]
    learnt = GENERATION.learn(rows, (), byte_tokenizer)
    assert not learnt.counts["prompted"]
    options = EncodeOptions(max_length=64)
    assert {one.prompt for one in GENERATION.encode(rows, byte_tokenizer, learnt, options)} == {None}
    (asked,) = GENERATION.encode([Example(("오늘은",))], byte_tokenizer, learnt, options)
    assert asked.prompt is not None
    assert asked.prompt.tolist() == byte_tokenizer.ids(["오늘은"])[0].tolist()  # no separator: the text goes on
    assert asked.items == []
