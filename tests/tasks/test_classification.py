"""A row becomes inputs that fit the model and hold its texts, and outputs become an answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import PAIRS, REVIEWS, SENTENCES
from taesan.data import Row
from taesan.tasks import TASKS
from taesan.tasks.base import IGNORED, EncodeOptions, Example, Found, Learnt
from taesan.tasks.templates import read
from taesan.text.tokenizer import Tokenizer

CLASSIFICATION, PAIR = TASKS["classification"], TASKS["pair"]
POLICIES = ("head", "head-tail", "windows")
WORDS = " ".join(SENTENCES).split()
text = st.lists(st.sampled_from(WORDS), min_size=1, max_size=60).map(" ".join)


@pytest.fixture(scope="session", params=["wordpiece", "byte_bpe"])
def each(request, tokenizer, byte_tokenizer) -> Tokenizer:
    return tokenizer if request.param == "wordpiece" else byte_tokenizer


def split(tokenizer: Tokenizer, item, texts: int) -> list[list[int]]:
    """The texts inside an item, by the layout; fails where the control tokens do not stand where they should."""
    layout, ids = tokenizer.layout, item.input_ids.tolist()
    assert ids[: len(layout.prefix)] == list(layout.prefix)
    end = len(ids) - len(layout.suffix)
    assert ids[end:] == list(layout.suffix)
    body = ids[len(layout.prefix) : end]
    if texts == 1:
        assert not set(item.token_type_ids.tolist()) - {0}
        return [body]
    middle = list(layout.middle)
    places = [i for i in range(len(body) - len(middle) + 1) if body[i : i + len(middle)] == middle]
    assert len(places) == 1
    second = places[0] + len(middle)
    types = item.token_type_ids[len(layout.prefix) : end].tolist()
    assert types == [0] * second + [layout.pair_type] * (len(body) - second)
    return [body[: places[0]], body[second:]]


def contains(whole: list[int], part: list[int]) -> bool:
    """Whether `part` is `whole` with one run of tokens left out at most."""
    if not part:
        return True
    same = next((i for i, (a, b) in enumerate(zip(whole, part, strict=False)) if a != b), min(len(whole), len(part)))
    rest = part[same:]
    return (
        not rest
        or whole[len(whole) - len(rest) :] == rest
        or any(whole[i : i + len(part)] == part for i in range(len(whole)))
    )


@given(text, text, st.integers(12, 48), st.sampled_from(POLICIES))
def test_pairs_fit_and_keep_both_texts(each, premise, hypothesis, max_length, policy) -> None:
    options = EncodeOptions(max_length=max_length, long_text=policy)
    (encoded,) = PAIR.encode([Example((premise, hypothesis), "b")], each, Learnt(("a", "b")), options)
    wholes = [ids.tolist() for ids in each.ids([premise, hypothesis])]
    room = max_length - each.layout.pair_tokens
    fits = sum(map(len, wholes)) <= room
    assert encoded.cut is not fits
    kept = [split(each, item, 2) for item in encoded.items]
    for item, parts in zip(encoded.items, kept, strict=True):
        assert len(item.input_ids) <= max_length
        assert len(item.input_ids) == len(item.token_type_ids)
        assert item.labels == 1
        for whole, part in zip(wholes, parts, strict=True):
            assert part
            assert contains(whole, part)
    if fits:
        assert kept == [wholes]
    elif policy != "windows":
        # Nothing that there was room for is left out, and a text no longer than its half is whole.
        assert len(kept) == 1
        assert sum(map(len, kept[0])) == room
        for whole, part in zip(wholes, kept[0], strict=True):
            assert len(part) == len(whole) or len(part) >= room // 2
    else:
        longest = max((0, 1), key=lambda index: len(wholes[index]))
        other = {tuple(parts[1 - longest]) for parts in kept}
        assert len(other) == 1
        assert len(next(iter(other))) == min(len(wholes[1 - longest]), room // 2)
        assert {one for parts in kept for one in parts[longest]} == set(wholes[longest])


@given(text, st.integers(8, 48), st.sampled_from(POLICIES))
def test_single_texts_fit_and_are_read_as_the_policy_says(each, sentence, max_length, policy) -> None:
    options = EncodeOptions(max_length=max_length, long_text=policy)
    (encoded,) = CLASSIFICATION.encode([Example((sentence,))], each, Learnt(("a", "b")), options)
    whole = each.ids([sentence])[0].tolist()
    room = max_length - each.layout.single_tokens
    kept = [split(each, item, 1)[0] for item in encoded.items]
    assert all(item.labels == IGNORED for item in encoded.items)
    assert encoded.cut is (len(whole) > room)
    if len(whole) <= room:
        assert kept == [whole]
    elif policy == "head":
        assert kept == [whole[:room]]
    elif policy == "head-tail":
        assert kept == [whole[: room - room // 2] + whole[len(whole) - room // 2 :]]
    else:
        assert all(len(part) == room for part in kept)
        assert kept[0] == whole[:room]
        assert kept[-1] == whole[len(whole) - room :]


def test_an_item_does_not_hang_on_its_neighbours(each) -> None:
    options = EncodeOptions(max_length=24)
    for task, rows in ((CLASSIFICATION, REVIEWS), (PAIR, PAIRS)):
        examples = [Example(row[:-1], row[-1]) for row in rows]
        labels = task.labels(examples)
        together = task.encode(examples, each, Learnt(labels), options)
        for example, encoded in zip(examples, together, strict=True):
            (alone,) = task.encode([example], each, Learnt(labels), options)
            assert [i.input_ids.tolist() for i in alone.items] == [i.input_ids.tolist() for i in encoded.items]
            assert labels[int(alone.items[0].labels)] == example.label


def test_labels_are_sorted_whole_numbers_by_value() -> None:
    def labels(*values: str | None) -> tuple[str, ...]:
        return CLASSIFICATION.labels([Example(("글",), value) for value in values])

    assert labels("10", "9", "1", "10", None) == ("1", "9", "10")
    assert labels("나", "가", "다") == labels("다", "나", "가") == ("가", "나", "다")
    assert labels("b", "2", "10", "a") == ("2", "10", "a", "b")
    assert labels() == ()


@given(st.lists(st.lists(st.floats(-30, 30, width=32), min_size=3, max_size=3), min_size=1, max_size=5))
def test_decode_is_the_mean_of_softmaxes(windows) -> None:
    outputs = [np.array(window, dtype=np.float32) for window in windows]
    prediction = CLASSIFICATION.decode([Example(("글",))], [], [outputs], Learnt(("a", "b", "c")))[0]
    answer = prediction.as_dict()
    exact = [np.exp(one.astype(np.float64)) for one in outputs]
    expected = np.mean([one / one.sum() for one in exact], axis=0)
    np.testing.assert_allclose(list(answer["probabilities"].values()), expected, rtol=1e-9, atol=1e-300)
    assert answer["probabilities"][answer["label"]] == max(answer["probabilities"].values())


def test_extreme_logits_stay_numbers() -> None:
    found = [Found(np.array([-1e4, 1e4, 0.0]))]
    answer = CLASSIFICATION.parse(Example(("글",)), found, Learnt(("a", "b", "c"))).as_dict()
    assert answer == {"label": "b", "probabilities": {"a": 0.0, "b": 1.0, "c": 0.0}}


def test_a_prompt_holds_the_texts_as_they_are() -> None:
    file = b'[[template]]\ntext = "{{\xec\x95\x9e}} {premise} / {hypothesis} = {answer}."'
    (template,) = read(file, "mine.toml", PAIR.slots).templates
    example = Example(("{hypothesis} {answer} \0x", "{text} %s"), "a")
    (ask,) = PAIR.ask(example, {"a": "그렇다", "b": "아니다"}, "")
    assert ask.choices == ("그렇다", "아니다")
    prompt = template.prompt(ask.slots)
    assert (prompt.before, prompt.after) == ("{앞} {hypothesis} {answer} \0x / {text} %s = ", ".")
    (told,) = PAIR.told(example, {"a": "그렇다", "b": "아니다"}, "", ", ")
    assert template.shot(ask.slots, told) == "{앞} {hypothesis} {answer} \0x / {text} %s = 그렇다.\n\n"


def test_a_row_becomes_an_example() -> None:
    row = Row(7, {"label": "a", "hypothesis": "둘째", "premise": "첫째"})
    assert PAIR.example(row) == Example(("첫째", "둘째"), "a", 7)
    assert CLASSIFICATION.example(Row(3, {"text": "글"})) == Example(("글",), None, 3)


def test_scores_and_evaluation_go_by_the_labels() -> None:
    labels = ("a", "b")
    examples = [Example(("글",), label) for label in "abab"]
    outputs = [np.array(one, np.float32) for one in ([2, 0], [2, 0], [0, 2], [0, 2])]
    predictions = CLASSIFICATION.decode(examples, [], [[out] for out in outputs], Learnt(labels))
    assert CLASSIFICATION.scores(examples, predictions, Learnt(labels)) == {"accuracy": 0.5, "macro_f1": 0.5}
    evaluation = CLASSIFICATION.evaluate(examples, predictions, Learnt(labels), seed=0)
    assert evaluation.tables["confusion"] == [[1, 1], [1, 1]]
    assert CLASSIFICATION.metric in evaluation.scores
