"""Task heads of transformers, run on hidden states that a method made. The head owns the loss."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions as Output

IGNORED = -100
Batch = dict[str, torch.Tensor]
_LANGUAGE_MODEL = re.compile("(LMHeadModel|ForCausalLM|ForMaskedLM)$")
_SEQUENCE = "ForSequenceClassification"


class Head(nn.Module):
    """All of a transformers model but its backbone.

    The model's own `forward` runs, with the backbone's place taken by given hidden states: so pooling, dropout and
    projection are those of any `AutoModelFor…` that transformers has, and what is saved opens there with equal logits.
    """

    def __init__(
        self, model: PreTrainedModel, *, choices: tuple[tuple[int, ...], ...] = (), mask_id: int | None = None
    ):
        """`choices` of a language model: the ids of the words that stand for each label, asked for at `mask_id`."""
        super().__init__()
        self.prefix: str = model.base_model_prefix
        self.pretrained = bool(_LANGUAGE_MODEL.search(type(model).__name__))  # what comes with its weights
        self.language_model = self.pretrained and not choices
        self.reads_one_state = bool(choices) or type(model).__name__.endswith(_SEQUENCE)  # of each text
        self._choices = [torch.tensor(ids) for ids in choices]
        self._mask_id = mask_id
        backbone = model.base_model
        if backbone is model:
            raise TypeError(f"{type(model).__name__} has no backbone apart from its head")
        setattr(model, self.prefix, _Given(backbone))
        self.model = model

    @property
    def _given(self) -> "_Given":
        return getattr(self.model, self.prefix)

    @contextlib.contextmanager
    def on(self, backbone: PreTrainedModel) -> Iterator[PreTrainedModel]:
        """The whole model, with that backbone in the place of given hidden states."""
        given, empty = self._given, getattr(backbone, "pooler", None)
        setattr(self.model, self.prefix, backbone)
        if given.pooler is not None:
            backbone.pooler = given.pooler
        try:
            yield self.model
        finally:
            setattr(self.model, self.prefix, given)
            if empty is not None:
                backbone.pooler = empty

    def logits(self, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Hidden states (B, T, D) to what the head says: (B, C), (B, T, C) or (B, T, 2)."""
        if self._choices:
            return self._chosen(hidden, batch)
        return self._logits(hidden, batch)

    def _chosen(self, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The mean log-probability of each choice's tokens where the answer belongs. (B, C)"""
        if self._mask_id is None:
            places = batch["attention_mask"].sum(dim=1, keepdim=True) - 1
        else:
            places = (batch["input_ids"] == self._mask_id).int().argmax(dim=1, keepdim=True)
        asked = hidden.gather(1, places[..., None].expand(-1, -1, hidden.shape[2]))  # (B, 1, D)
        likely = self._logits(asked, {"input_ids": places})[:, 0].float().log_softmax(dim=-1)  # (B, V)
        return torch.stack([likely[:, ids.to(likely.device)].mean(dim=1) for ids in self._choices], dim=1)

    def _logits(self, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        self._given.hidden = hidden
        try:
            out: Any = self.model(input_ids=batch["input_ids"], attention_mask=batch.get("attention_mask"))
        finally:
            self._given.hidden = None
        return out.logits if hasattr(out, "logits") else torch.stack((out.start_logits, out.end_logits), dim=-1)

    def label_log_probabilities(self, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        """A language model's log-probability of each row's labels together. (B,)"""
        labels = batch["labels"]
        logits = self.logits(hidden, batch).float()
        losses = cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORED, reduction="none")
        return -losses.view_as(labels).sum(dim=1)

    def loss(self, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Cross-entropy summed over the labels that are not -100, each times its weight where there are weights.

        With a label a token, (B, T), only those tokens are asked. With (B, T, 2), the start and the end are a choice
        among the tokens that are not -100, and the likelihood that of all that are 1 together.
        """
        labels, weights = batch["labels"], batch.get("weights")
        if labels.ndim == 3:
            return _span_loss(self.logits(hidden, batch).float(), labels)
        if labels.ndim == 2:  # as one row: these heads look at each token by itself
            where = labels != IGNORED
            hidden, labels = hidden[where][None], labels[where][None]
            weights = None if weights is None else weights[where][None]
        logits = self.logits(hidden, batch).float()
        losses = cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORED, reduction="none")
        return losses.sum() if weights is None else (losses * weights.flatten()).sum()


def _span_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """-log of the summed probability of the right places (B, T, 2), summed (Clark and Gardner 2018, equation 2)."""
    rows = (labels == 1).any(dim=1).all(dim=1)  # not those that only fill a batch up
    logits, labels = logits[rows], labels[rows]
    possible = logits.masked_fill(labels == IGNORED, -torch.inf).logsumexp(dim=1)  # (B, 2)
    return (possible - logits.masked_fill(labels != 1, -torch.inf).logsumexp(dim=1)).sum()


class _Given(nn.Module):
    """Stands where the backbone stood: the hidden states are handed in, and the pooler is taken over.

    Masked language models come without a pooler, so it is new and must learn: also where the backbone is frozen.
    """

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.pooler: nn.Module | None = getattr(backbone, "pooler", None)
        # ALBERT's and BigBird's is a bare projection of the first state; its activation stands beside it.
        self._activation = getattr(backbone, "pooler_activation", None) or getattr(backbone, "activation", None)
        if self.pooler is not None:
            backbone.pooler = nn.Identity()
        self.hidden: torch.Tensor | None = None

    def forward(self, *_: Any, **__: Any) -> Output:
        hidden, pooled = self.hidden, None
        if isinstance(self.pooler, nn.Linear) and hidden is not None and self._activation is not None:
            pooled = self._activation(self.pooler(hidden[:, 0]))
        elif self.pooler is not None:
            pooled = self.pooler(hidden)
        return Output(last_hidden_state=hidden, pooler_output=pooled)
