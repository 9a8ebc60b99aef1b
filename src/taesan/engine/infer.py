"""The one inference path: items in, a head's outputs out, the same bits whoever the neighbours are. No torch here.

A session says which batches an item goes into by its length alone. On torch that is the bucket of that length, and a
bucket's batches always have the same shape, filled up with empty rows: then no matrix product changes its size, and no
sum its order, with the company an item is in. On ONNX it is a batch of its own.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from taesan.config import GenerationOptions
from taesan.engine.decoding import Chosen, Generated
from taesan.tasks.base import Encoded, EncodeOptions, Example, Item, Learnt, Logits, Prediction, Task
from taesan.text.tokenizer import Ids, Tokenizer

BATCH_TOKENS = 128  # a lone item pays for no more than this; with 512 bulk is a third faster (docs/lab.md)
CHUNK_ROWS = 2048
LENGTHS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192)
Arrays = dict[str, NDArray[np.int64]]
Advance = Callable[[int], object]  # is told how many items are done
OnToken = Callable[[int, int, Chosen], object]  # is told number of the prompt, number of its text, and the new token
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Writing:
    """How a model's texts end: the token that ends one, the longest with its prompt, and what is never written."""

    end_id: int | None
    max_length: int
    banned: tuple[int, ...]


class Session(Protocol):
    """A model that answers: arrays in, arrays out."""

    workers: int  # batches that may be in work at once

    def batch_shape(self, length: int, max_length: int) -> tuple[int, int]:
        """Length and rows of the batches that an item of `length` tokens goes into: always the same ones."""
        ...

    def run(self, batch: Arrays) -> Logits:
        """`input_ids`, `token_type_ids`, `attention_mask`, `labels` where items have some, all with first dimension B.

        Comes back: a head's logits (B, …), or, of a language model, the log-probability of the labels, (B,).
        """
        ...

    def generate(
        self, prompts: Sequence[Ids], options: GenerationOptions, writing: Writing, *, on_token: OnToken | None = None
    ) -> list[list[Generated]]:
        """Each prompt's texts; a causal language model alone has this."""
        ...


def bucket(length: int, max_length: int) -> tuple[int, int]:
    """Length and rows of the batches that an item of `length` tokens goes into.

    At least one place stays empty, so that a batch never goes without a mask (attention without one is another
    kernel, with other bits); an item as long as the model takes a batch of its own.
    """
    size = next((size for size in LENGTHS if length < size), length)
    if size >= max_length:
        return (max_length, 1) if length == max_length else (max_length, max(1, BATCH_TOKENS // max_length))
    return size, max(1, BATCH_TOKENS // size)


def run_items(
    session: Session, items: list[Item], *, max_length: int, pad_id: int, advance: Advance | None = None
) -> list[Logits]:
    """Every item's output, in the order of the items; where it is a row a token (T, C), padding is cut off."""
    groups: dict[tuple[int, int], list[int]] = {}
    for index, item in enumerate(items):
        # An item that fills the model has batches without an empty place: no others may join it.
        groups.setdefault(session.batch_shape(len(item.input_ids), max_length), []).append(index)
    batches = [
        (length, rows, members[start : start + rows])
        for (length, rows), members in groups.items()
        for start in range(0, len(members), rows)
    ]

    def run(batch: tuple[int, int, list[int]]) -> Logits:
        length, rows, part = batch
        return session.run(_batch([items[i] for i in part], length, rows, pad_id))

    outputs: list[Logits] = [np.empty(0, np.float32)] * len(items)
    for (_, _, part), result in zip(batches, _side_by_side(run, batches, session.workers), strict=True):
        if advance is not None:
            advance(len(part))
        for index, row in zip(part, result, strict=False):
            outputs[index] = row[: len(items[index].input_ids)].copy() if row.ndim == 2 else np.array(row)
    return outputs


def _side_by_side(function: Callable[[T], U], given: Sequence[T], workers: int) -> Iterator[U]:
    """`map`, several at a time, in order."""
    if workers == 1 or len(given) < 2:
        yield from map(function, given)
        return
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(function, given)


def _batch(items: list[Item], length: int, rows: int, pad_id: int) -> Arrays:
    ids = np.full((rows, length), pad_id, dtype=np.int64)
    types = np.zeros((rows, length), dtype=np.int64)
    mask = np.zeros((rows, length), dtype=np.int64)
    mask[len(items) :, 0] = 1  # an empty row still attends to something
    for row, item in enumerate(items):
        size = len(item.input_ids)
        ids[row, :size], types[row, :size], mask[row, :size] = item.input_ids, item.token_type_ids, 1
    batch = {"input_ids": ids, "token_type_ids": types, "attention_mask": mask}
    if items[0].labels.shape == items[0].input_ids.shape:  # a label a token: what a language model is asked for
        labels = np.full((rows, length), -100, dtype=np.int64)
        for row, item in enumerate(items):
            labels[row, : len(item.labels)] = item.labels
        batch["labels"] = labels
    return batch


class Asked(Protocol):
    """Whatever answers for a task, by a head or in text."""

    task: Task
    learnt: Learnt
    options: EncodeOptions
    cut: int  # how many examples were longer than the model

    def predict(self, examples: Iterable[Example], *, advance: Advance | None = None) -> Iterator[Prediction]:
        """One prediction an example, in order; `advance` is told how many more are done."""
        ...


@runtime_checkable
class Writes(Asked, Protocol):
    """What has a language model, and so can write where the task is to."""

    tokenizer: Tokenizer
    generation: GenerationOptions | None  # with it, a task for which texts are generated has them

    def write(
        self, examples: Sequence[Example], options: GenerationOptions, *, on_token: OnToken | None = None
    ) -> list[list[Generated]]:
        """Each example's texts, where the task is to write."""
        ...

    def read_tokens(self, examples: Sequence[Example]) -> list[int]:
        """How many tokens the model reads for each example: its windows, or its prompts with their shots."""
        ...


class Predictor:
    """A task on a session: examples in, predictions out, in order, in memory that does not grow."""

    def __init__(self, task: Task, session: Session, tokenizer: Tokenizer, learnt: Learnt, options: EncodeOptions):
        self.task, self.session, self.tokenizer, self.learnt, self.options = task, session, tokenizer, learnt, options
        self.cut = 0  # how many examples were longer than the model
        self.generation: GenerationOptions | None = None  # with it, a task for which texts are generated has them

    def predict(self, examples: Iterable[Example], *, advance: Advance | None = None) -> Iterator[Prediction]:
        """One prediction an example; `advance` is told of examples as their items (windows) are done.

        `examples` are read and encoded in a thread, one chunk ahead of the model, unless one chunk is all there is.
        """
        few = isinstance(examples, list) and len(examples) <= CHUNK_ROWS
        for chunk, encoded in self._encoded(examples) if few else ahead(self._encoded(examples)):
            items = [item for one in encoded for item in one.items]
            pad_id, max_length = self.tokenizer.pad_id, self.options.max_length
            done = None if advance is None else _shared(advance, len(chunk), len(items))
            outputs = iter(run_items(self.session, items, max_length=max_length, pad_id=pad_id, advance=done))
            self.cut += sum(one.cut for one in encoded)
            if self.generation is not None:
                encoded = self._continued(encoded, self.generation)
            yield from self.task.decode(
                chunk, encoded, [list(islice(outputs, len(one.items))) for one in encoded], self.learnt
            )

    def _encoded(self, examples: Iterable[Example]) -> Iterator[tuple[list[Example], list[Encoded]]]:
        for chunk in chunks(examples, CHUNK_ROWS):
            yield chunk, self.task.encode(chunk, self.tokenizer, self.learnt, self.options)

    def write(
        self, examples: Sequence[Example], options: GenerationOptions, *, on_token: OnToken | None = None
    ) -> list[list[Generated]]:
        encoded = self.task.encode(examples, self.tokenizer, self.learnt, self.options)
        prompts = [one.prompt for one in encoded if one.prompt is not None]
        return self.session.generate(prompts, options, self.writing(), on_token=on_token)

    def read_tokens(self, examples: Sequence[Example]) -> list[int]:
        encoded = self.task.encode(examples, self.tokenizer, self.learnt, self.options)
        return [sum(len(item.input_ids) for item in one.items) for one in encoded]

    def writing(self) -> Writing:
        """The separator ends a text, and no other control token comes in it."""
        end = self.tokenizer.separator_id
        return Writing(end, self.options.max_length, tuple(sorted(self.tokenizer.control_ids - {end})))

    def _continued(self, encoded: list[Encoded], options: GenerationOptions) -> list[Encoded]:
        prompts = [one.prompt for one in encoded if one.prompt is not None]
        if not prompts:
            return encoded
        written = self.session.generate(prompts, options, self.writing())
        following = iter([(self.tokenizer.text(one[0].ids), one[0].log_probability) for one in written])
        return [one if one.prompt is None else replace(one, continuation=next(following)) for one in encoded]


def chunks(source: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size`, the last one shorter."""
    iterator = iter(source)
    while chunk := list(islice(iterator, size)):
        yield chunk


def ahead(source: Iterable[T]) -> Iterator[T]:
    """The same, in order, the next one being made in a thread while this one is used; never more than one ahead.

    An error of `source` comes where its item would have come. Closing waits for the one that is being made.
    """
    iterator = iter(source)
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, iterator, None)
        while (one := coming.result()) is not None:
            coming = thread.submit(next, iterator, None)
            yield one


def _shared(advance: Advance, rows: int, items: int) -> Advance:
    """Takes counts of items, and tells `advance` of the rows that they are the share of."""
    done = 0

    def take(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        advance(rows * done // items - rows * before // items)

    return take
