"""What is learnt from raw text: guess the masked tokens, or the next ones."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy, linear
from transformers import PreTrainedModel

from taesan.engine.batches import Batch, pad
from taesan.engine.cross_entropy import linear_cross_entropy
from taesan.errors import UsageError
from taesan.models.last_layer import take, train_last_layer_at
from taesan.text.tokenizer import Ids, Tokenizer

IGNORED = -100
Objective = Literal["masked", "causal"]
Collate = Callable[[NDArray[np.int64], np.random.Generator], Batch]
Flags = NDArray[np.bool_]


def mask(
    ids: NDArray[np.int64],
    maskable: Flags,
    tokenizer: Tokenizer,
    fraction: float,
    random: np.random.Generator,
    opens: Flags | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Inputs with `fraction` of the maskable tokens hidden, and labels that are -100 elsewhere. (B, T) both.

    Of the chosen, 80% become the mask, 10% another token, 10% stay (Devlin et al. 2019, appendix A.2); every row with
    a maskable token has at least one. With `opens` (B, T), whole eojeols are chosen, from one opening token to the
    next, as whole-word masking does.
    """
    noise = random.random(ids.shape)
    if opens is not None:
        place = np.where(opens, np.arange(ids.shape[1]), 0)
        noise = np.take_along_axis(noise, np.maximum.accumulate(place, axis=1), axis=1)
    noise = np.where(maskable, noise, 2.0)
    if tokenizer.mask_id is None:
        raise TypeError("the tokenizer has no mask token")
    chosen = noise < fraction
    none = maskable.any(axis=1, keepdims=True) & ~chosen.any(axis=1, keepdims=True)
    chosen |= none & maskable & (noise == noise.min(axis=1, keepdims=True))
    labels = np.where(chosen, ids, IGNORED)
    fate = random.random(ids.shape)
    other = random.integers(0, tokenizer.vocabulary_size, ids.shape)
    inputs = np.where(chosen & (fate < 0.8), tokenizer.mask_id, ids)
    inputs = np.where(chosen & (fate >= 0.9), other, inputs)
    return inputs, labels


def masked_collate(
    sequence: Callable[[int], Ids],
    tokenizer: Tokenizer,
    fraction: float,
    opens: Callable[[int], Flags] | None = None,
) -> Collate:
    """A collate function for `EpochBatches`: row numbers to a masked batch.

    `opens` says which tokens of a row open an eojeol; then whole eojeols are masked.
    """
    controls = np.array(sorted(tokenizer.control_ids), dtype=np.int64)

    def collate(rows: NDArray[np.int64], random: np.random.Generator) -> Batch:
        sequences = [sequence(int(row)) for row in rows]
        ids = pad(sequences, tokenizer.pad_id)
        flags = None if opens is None else pad([opens(int(row)) for row in rows], 1, ids.shape[1]).astype(np.bool_)
        inputs, labels = mask(ids, ~np.isin(ids, controls), tokenizer, fraction, random, flags)
        lengths = np.array([len(one) for one in sequences])
        attention = (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)
        return {"input_ids": inputs, "attention_mask": attention, "labels": labels}

    return collate


def causal_collate(row: Callable[[int], tuple[Ids, Ids, Ids]], tokenizer: Tokenizer) -> Collate:
    """The same for the next tokens: `labels` stand where they are guessed, not where they are read."""

    def collate(rows: NDArray[np.int64], _random: np.random.Generator) -> Batch:
        inputs, labels, positions = zip(*(row(int(number)) for number in rows), strict=True)
        return {
            "input_ids": pad(inputs, tokenizer.pad_id),
            "labels": pad(labels, IGNORED),
            "position_ids": pad(positions, 0),  # padding: texts of one token
        }

    return collate


class LanguageModelLoss(nn.Module):
    """Cross-entropy at the labelled positions, summed. The output head reads those positions and no others.

    A masked model's last layer, too, is computed where the labels are, while it trains; measured against computing all
    of it: docs/lab.md. Where an architecture does more to its logits than its head says (a soft cap, a scale), it is
    run whole.
    """

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model = model
        self._head, self._output = _find_head(model)
        self._places = torch.empty(0)  # (B, K), of the labels, and some others to fill the row up
        masked = self._output is not None and "MaskedLM" in type(model).__name__
        self._shortened = masked and train_last_layer_at(model, lambda _: self._places)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """(B, T) ids, labels and a mask or positions to the sum of nats over the labels."""
        labels, inputs = batch["labels"], _inputs(batch)
        where = labels != IGNORED
        if self._output is None:
            return cross_entropy(self.model(**inputs).logits[where].float(), labels[where], reduction="sum")
        self._places = _places(where)
        hidden = self.model.base_model(**inputs).last_hidden_state  # (B, K, D) where shortened, else (B, T, D)
        if self._shortened and self.model.training:
            labels, where = take(labels, self._places), take(where, self._places)
        hidden, labels = hidden[where], labels[where]  # (N, D), (N,)
        if self._head is not None:
            with _passing(self._output):
                hidden = self._head(hidden)
        return linear_cross_entropy(hidden, self._output.weight, self._output.bias, labels)


def _places(where: torch.Tensor) -> torch.Tensor:
    """The true places of each row (B, T), false ones after them, as many as the fullest row has true ones. (B, K)"""
    most = max(1, int(where.sum(dim=1).max()))
    return where.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]


def _inputs(batch: dict[str, torch.Tensor]) -> dict[str, Any]:
    if "position_ids" in batch:  # several texts in a row: without a cache and a mask, positions tell them apart
        return {"input_ids": batch["input_ids"], "position_ids": batch["position_ids"], "use_cache": False}
    if bool(batch["attention_mask"].all()):  # nothing to mask out, and attention is faster without
        return {"input_ids": batch["input_ids"]}
    return {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}


def _find_head(model: PreTrainedModel) -> tuple[nn.Module | None, nn.Linear | None]:
    """The module between hidden states and the output layer (if there is one), and the output layer.

    The model is asked whether the two make its logits; (None, None) where they do not.
    """
    output = model.get_output_embeddings()
    if not isinstance(output, nn.Linear):
        return None, None
    named = (getattr(model, name, None) for name in ("cls", "lm_head", "predictions"))
    head = next((module for module in named if isinstance(module, nn.Module) and module is not output), None)
    with _asked(model) as ids, contextlib.suppress(RuntimeError):
        hidden = model.base_model(input_ids=ids).last_hidden_state
        if head is not None:
            with _passing(output):
                hidden = head(hidden)
        if torch.allclose(linear(hidden, output.weight, output.bias), model(input_ids=ids).logits, atol=1e-4):
            return head, output
    return None, None


@contextlib.contextmanager
def _passing(layer: nn.Linear) -> Iterator[None]:
    """Within, `layer` gives its input back: what the module around it would have handed to it comes out."""
    layer.forward = lambda input: input
    try:
        yield
    finally:
        del layer.forward


def check_packing(model: PreTrainedModel) -> None:
    """Raises: UsageError where packed texts see each other in this model."""
    if packing_leaks(model):
        name = type(model).__name__
        raise UsageError(f"in {name}, texts packed into one row see each other; taesan cannot pretrain it further")


def packing_leaks(model: PreTrainedModel) -> bool:
    """Whether two texts in one row, told apart by their positions, see each other in this model."""
    with _asked(model) as ids:
        positions = torch.arange(ids.shape[1], device=ids.device).remainder(3)[None]
        packed = model(input_ids=ids, position_ids=positions, use_cache=False).logits[:, 3:]
        alone = model(input_ids=ids[:, 3:]).logits
    return not torch.allclose(packed, alone, atol=1e-4)


@contextlib.contextmanager
def _asked(model: PreTrainedModel) -> Iterator[torch.Tensor]:
    """Six token ids (1, 6) to ask the model about; dropout is off within."""
    training = model.training
    model.eval()
    with torch.inference_mode():
        yield torch.arange(1, 7, device=model.device).remainder(model.config.vocab_size)[None]
    model.train(training)
