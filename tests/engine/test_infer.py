"""An answer is the same bits whoever its neighbours are, comes in its place, and does not wait for the whole input."""

import contextlib
import itertools
import random
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from conftest import MAX_LENGTH, REVIEWS
from taesan.engine.infer import BATCH_TOKENS, CHUNK_ROWS, LENGTHS, Predictor, ahead, bucket, run_items
from taesan.engine.session import TorchSession
from taesan.methods import METHODS
from taesan.methods.base import adapt
from taesan.models.backbone import find
from taesan.tasks import TASKS
from taesan.tasks.base import EncodeOptions, Example, Item, Learnt, Logits
from taesan.text.tokenizer import Tokenizer

ARCHITECTURES = ("bert", "roberta-prelayernorm", "gpt2")
# Both sides of every bucket's edge that the tiny models reach, and the whole model.
EDGES = sorted({n for size in LENGTHS if size <= MAX_LENGTH for n in (size - 1, size, size + 1)} | {2, 3, MAX_LENGTH})


def items(vocabulary: int, max_length: int, seed: int) -> list[Item]:
    """Items of every length that matters, most of them several times."""
    chance = np.random.default_rng(seed)
    lengths = [n for n in EDGES if n <= max_length] * 3 + chance.integers(2, max_length + 1, 40).tolist()
    return [
        Item(chance.integers(5, vocabulary, n).astype(np.int32), np.zeros(n, np.int32), np.array(0)) for n in lengths
    ]


@pytest.mark.parametrize("head", ["sequence", "token", "span"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_bits_whatever_the_company(backbones, architecture, head) -> None:
    backbone = find(str(backbones[architecture]))
    labels = () if head == "span" else ("a", "b", "c")
    session = TorchSession(adapt(METHODS["finetune"], backbone.load(head, labels=labels, seed=1)))
    every = items(backbone.tokenizer.vocabulary_size, MAX_LENGTH, seed=0)

    def run(some: list[Item]) -> list[bytes]:
        outputs = run_items(session, some, max_length=MAX_LENGTH, pad_id=backbone.tokenizer.pad_id)
        shapes = {"sequence": lambda item: (3,), "token": lambda item: (len(item.input_ids), 3)}
        for item, output in zip(some, outputs, strict=True):
            assert output.shape == shapes.get(head, lambda item: (len(item.input_ids), 2))(item)
            assert np.isfinite(output).all()
        return [output.tobytes() for output in outputs]

    alone = [run([item])[0] for item in every]
    assert run(every) == alone
    chance = random.Random(0)
    for _ in range(200 if head == "sequence" else 30):
        chosen = chance.sample(range(len(every)), chance.randint(1, 6))
        assert run([every[index] for index in chosen]) == [alone[index] for index in chosen]
    twins = [every[7]] * 9
    assert run(twins) == [alone[7]] * 9


def test_an_output_is_that_of_the_model_without_padding(backbones) -> None:
    import torch

    for architecture in ARCHITECTURES:
        backbone = find(str(backbones[architecture]))
        model = backbone.load("sequence", labels=("a", "b", "c"), seed=1)
        every = items(backbone.tokenizer.vocabulary_size, MAX_LENGTH, seed=2)
        with torch.inference_mode():
            model.eval()
            inputs = [torch.from_numpy(item.input_ids[None].astype(np.int64)) for item in every]
            expected = [model(one).logits[0].numpy() for one in inputs]
        session = TorchSession(adapt(METHODS["finetune"], model))
        outputs = run_items(session, every, max_length=MAX_LENGTH, pad_id=backbone.tokenizer.pad_id)
        for output, wanted in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(output, wanted, atol=1e-5)


def test_buckets_hold_their_items_and_waste_little() -> None:
    for max_length in (8, 64, 100, 512, 1000, 8192, 20_000):
        for length in range(1, max_length + 1, 1 if max_length < 600 else 7):
            size, rows = bucket(length, max_length)
            assert length <= size <= max_length
            assert size * rows <= max(BATCH_TOKENS, size)
            # A place stays empty, so that the mask is never left out, or the item is always alone.
            assert length < size or rows == 1
            assert size <= max(16, 2 * length)


class Recorder:
    """A session that remembers what it was asked, and answers each item with its sum."""

    workers = 1

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int]] = []
        self.rows = 0

    def batch_shape(self, length: int, max_length: int) -> tuple[int, int]:
        return bucket(length, max_length)

    def run(self, batch: dict[str, np.ndarray]) -> Logits:
        self.shapes.append(batch["input_ids"].shape)
        assert {array.shape for array in batch.values()} == {self.shapes[-1]}
        assert (batch["attention_mask"].sum(axis=1) > 0).all()
        self.rows += int((batch["input_ids"] != 0).any(axis=1).sum())
        total = (batch["input_ids"] * batch["attention_mask"]).sum(axis=1)
        return np.stack([total, -total], axis=1).astype(np.float32)


def test_order_is_kept_and_shapes_are_few() -> None:
    recorder = Recorder()
    every = items(400, MAX_LENGTH, seed=3)
    outputs = run_items(recorder, every, max_length=MAX_LENGTH, pad_id=0)
    assert [output[0] for output in outputs] == [item.input_ids.sum() for item in every]
    assert set(recorder.shapes) <= {bucket(n, MAX_LENGTH)[::-1] for n in range(1, MAX_LENGTH + 1)}
    assert run_items(recorder, [], max_length=MAX_LENGTH, pad_id=0) == []


def predictor(tokenizer: Tokenizer, session, **options) -> Predictor:
    return Predictor(
        TASKS["classification"], session, tokenizer, Learnt(("a", "b")), EncodeOptions(max_length=16, **options)
    )


def test_prediction_is_lazy_and_holds_one_chunk_at_a_time(tokenizer) -> None:
    recorder, taken = Recorder(), itertools.count()
    model = predictor(tokenizer, recorder)

    def source() -> Iterator[Example]:
        for number in range(5 * CHUNK_ROWS):
            next(taken)
            yield Example((REVIEWS[number % len(REVIEWS)][0],))

    done = []
    answers = model.predict(source(), advance=done.append)
    assert recorder.rows == 0
    next(answers)
    assert recorder.rows == CHUNK_ROWS == sum(done)
    for _ in range(CHUNK_ROWS - 1):
        next(answers)
    assert recorder.rows == CHUNK_ROWS
    next(answers)
    assert recorder.rows == 2 * CHUNK_ROWS
    answers.close()  # waits for the chunk that is being read ahead
    assert next(taken) == 3 * CHUNK_ROWS


def test_one_is_made_ahead_and_no_more() -> None:
    made, going = [], threading.Event()

    def source() -> Iterator[int]:
        for number in range(1, 6):
            going.wait(60)
            made.append(number)
            yield number

    coming = ahead(source())
    going.set()
    for number in range(1, 4):
        assert next(coming) == number
        assert len(made) <= number + 1
    coming.close()
    assert made == [1, 2, 3, 4]
    assert list(ahead(iter(()))) == []


def test_the_next_one_is_made_while_this_one_is_used() -> None:
    """The source waits for the user of what came before: one after the other would never end."""
    used = threading.Event()

    def source() -> Iterator[str]:
        yield "first"
        assert used.wait(60)
        yield "second"

    found = []
    for one in ahead(source()):
        found.append(one)
        used.set()
    assert found == ["first", "second"]


def test_an_error_comes_in_its_place_and_no_thread_stays() -> None:
    def source() -> Iterator[int]:
        yield from (1, 2)
        raise KeyError("third")

    before, coming = threading.active_count(), ahead(source())
    assert [next(coming), next(coming)] == [1, 2]
    with pytest.raises(KeyError, match="third"):
        next(coming)
    for error in (GeneratorExit, ZeroDivisionError):
        coming = ahead(itertools.count(1))
        assert next(coming) == 1
        with contextlib.suppress(error):
            coming.throw(error)
    assert threading.active_count() == before


def test_progress_is_told_of_rows_not_of_windows(tokenizer) -> None:
    texts = [REVIEWS[0][0], " ".join(text for text, _ in REVIEWS), REVIEWS[1][0]]
    model, told = predictor(tokenizer, Recorder(), long_text="windows"), []
    assert len(list(model.predict([Example((text,)) for text in texts], advance=told.append))) == 3
    assert sum(told) == 3
    assert len(told) > 1


def test_windows_are_averaged(tokenizer) -> None:
    """The mean of the windows' probabilities, each by brute force."""

    class Parity(Recorder):
        def run(self, batch: dict[str, np.ndarray]) -> Logits:
            odd = ((batch["input_ids"] % 2) * batch["attention_mask"]).sum(axis=1)
            return np.stack([odd, np.full_like(odd, 3)], axis=1).astype(np.float32)

    text = " ".join(text for text, _ in REVIEWS)
    short = REVIEWS[1][0]
    model = predictor(tokenizer, Parity(), long_text="windows")
    long_answer, short_answer = model.predict([Example((text,)), Example((short,))])
    assert model.cut == 1
    ids = tokenizer.ids([text])[0]
    starts = [*range(0, len(ids) - 14, 7), len(ids) - 14]  # 16 places, two for control tokens, overlapping by half
    chances = []
    for start in starts:
        joined = [*tokenizer.layout.prefix, *ids[start : start + 14], *tokenizer.layout.suffix]
        odd = np.array([sum(one % 2 for one in joined), 3.0])
        chances.append(np.exp(odd) / np.exp(odd).sum())
    np.testing.assert_allclose(list(long_answer.probabilities.values()), np.mean(chances, axis=0), rtol=1e-9)
    head = predictor(tokenizer, Parity(), long_text="head")
    assert next(iter(head.predict([Example((short,))]))) == short_answer
