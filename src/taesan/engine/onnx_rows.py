"""Texts in progress on the graph of `models/onnx_decoder.py`: NumPy around a session of onnxruntime. No torch here.

A row's bits depend neither on how many rows there are, one alone included, nor on how many blocks of empty places its
past has (measured): nothing is filled up but the past.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from taesan.engine.decoding import log_sum_exp
from taesan.engine.rows import Indices, Rows, Scores, in_blocks, of_one_length
from taesan.text.tokenizer import Ids

IGNORED = -100


class Graph(Protocol):
    """An `onnxruntime.InferenceSession`."""

    def get_inputs(self) -> Sequence[Any]: ...

    def get_outputs(self) -> Sequence[Any]: ...

    def run(self, output_names: None, input_feed: dict[str, NDArray[Any]]) -> Sequence[Any]: ...


class OnnxDecoder:
    """The graph, asked: a `Decoder`, and the log-probabilities of texts that are there already."""

    side_by_side = True

    def __init__(self, graph: Graph):
        self._graph = graph
        past = [one for one in graph.get_inputs() if one.name.startswith("past_")]
        self.names = [one.name for one in past]  # keys and values of a layer, of the next, …
        _, self.heads, self.width, _ = past[0].shape
        self.vocabulary_size: int = graph.get_outputs()[0].shape[1]

    def read(self, prompts: Sequence[Ids], copies: int) -> Rows:
        return OnnxRows(self, prompts, copies)

    def log_probabilities(self, ids: Indices, labels: Indices) -> Scores:
        """Of each row's labels together, (B,), where a label (B, T) that is not -100 follows its id (B, T)."""
        row, column = np.nonzero(labels != IGNORED)
        if not len(row):
            return np.zeros(len(ids), dtype=np.float32)
        logits, _ = self.ask(
            ids, row * ids.shape[1] + column, np.zeros(len(ids), dtype=np.int64), self.past(len(ids), 0)
        )
        own = logits[np.arange(len(row)), labels[row, column]] - log_sum_exp(logits)[:, 0]
        return np.bincount(row, own, minlength=len(ids)).astype(np.float32)

    def past(self, rows: int, places: int) -> list[Scores]:
        """Empty keys (R, H, D/H, W) and values (R, H, W, D/H) of all layers."""
        keys, values = (rows, self.heads, self.width, places), (rows, self.heads, places, self.width)
        return [np.zeros(shape, dtype=np.float32) for shape in (keys, values) * (len(self.names) // 2)]

    def ask(self, ids: Indices, places: Indices, lengths: Indices, past: list[Scores]) -> tuple[Scores, list[Scores]]:
        """Logits (M, V) at places in the ids (B, T), their keys and values; of the past, `lengths` (B,) are there."""
        feed = {
            "input_ids": ids,
            "position_ids": lengths[:, None] + np.arange(ids.shape[1]),
            "mask": _mask(lengths, past[1].shape[2], ids.shape[1]),
            "logit_places": places,
        }
        logits, *new = self._graph.run(None, feed | dict(zip(self.names, past, strict=True)))
        return logits, new


class OnnxRows:
    """Texts of many prompts; each one's keys and values stand from place 0 on, in arrays of whole blocks."""

    def __init__(self, decoder: OnnxDecoder, prompts: Sequence[Ids], copies: int):
        self._decoder = decoder
        self._lengths = np.repeat([len(prompt) for prompt in prompts], copies)
        self._past = decoder.past(len(self._lengths), in_blocks(int(self._lengths.max())))
        self.logits = np.empty((len(self._lengths), decoder.vocabulary_size), dtype=np.float32)
        for group in of_one_length(prompts):
            ids = np.stack([prompts[number] for number in group]).astype(np.int64)
            count, length = ids.shape
            last = np.arange(1, count + 1) * length - 1
            logits, new = decoder.ask(ids, last, np.zeros(count, dtype=np.int64), decoder.past(count, 0))
            for place, number in enumerate(group):
                own = slice(number * copies, (number + 1) * copies)
                self.logits[own] = logits[place]
                for states, read in zip(_by_place(self._past), _by_place(new), strict=True):
                    states[own, :, :length] = read[place]

    def step(self, tokens: Indices) -> Scores:
        rows = np.arange(len(tokens))
        if (longest := int(self._lengths.max())) == self._past[1].shape[2]:
            wider = self._decoder.past(len(tokens), in_blocks(longest + 1))
            for states, old in zip(_by_place(wider), _by_place(self._past), strict=True):
                states[:, :, :longest] = old
            self._past = wider
        logits, new = self._decoder.ask(tokens[:, None], rows, self._lengths, self._past)
        for states, one in zip(_by_place(self._past), _by_place(new), strict=True):
            states[rows, :, self._lengths] = one[:, :, 0]
        self._lengths = self._lengths + 1
        return logits

    def keep(self, index: Indices, start: int = 0) -> None:
        places, end = np.flatnonzero(index != np.arange(len(index))), int(self._lengths.max())
        for states in _by_place(self._past):
            states[places, :, start:end] = states[index[places], :, start:end]
        self._past = [states[: len(index)] for states in self._past]
        self._lengths = self._lengths[index]


def _by_place(states: list[Scores]) -> list[Scores]:
    """Keys and values alike as (R, H, W, D/H), the same memory."""
    return [one if number % 2 else one.swapaxes(2, 3) for number, one in enumerate(states)]


def _mask(lengths: Indices, places: int, tokens: int) -> Scores:
    """What is added to a token's scores for its past and for the new tokens up to itself, (B, 1, T, W + T)."""
    mask = np.empty((len(lengths), 1, tokens, places + tokens), dtype=np.float32)
    mask[..., :places] = np.where(np.arange(places) < lengths[:, None], 0, -np.inf)[:, None, None]
    mask[..., places:] = np.where(np.tri(tokens, dtype=np.bool_), 0, -np.inf)
    return mask
