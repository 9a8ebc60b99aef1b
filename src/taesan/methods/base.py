"""What a method is: how a backbone is adapted. It never knows which task it serves."""

import contextlib
from collections.abc import Iterator
from typing import Literal, Protocol, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from taesan.models.heads import Batch, Head


class Encoder(Protocol):
    """An adapted backbone: (B, T) ids and mask to hidden states (B, T, D) aligned with them.

    Whatever the method added inside (virtual tokens, adapters) is gone from them again.
    """

    def __call__(self, batch: Batch) -> torch.Tensor: ...


class Method(Protocol):
    """One way to learn a task."""

    name: str
    view: Literal["head", "text"]
    trains: bool
    room_tokens: int  # taken from the usable length before a text is encoded

    def adapt(self, backbone: PreTrainedModel) -> nn.Module:
        """The backbone as an `Encoder`; what `requires_grad` in it is what this method trains."""
        ...


class Adapted(nn.Module):
    """An encoder and a head: what the loop trains (`forward` is the summed loss) and a session asks (`answer`)."""

    def __init__(self, encoder: nn.Module, head: Head):
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, batch: Batch) -> torch.Tensor:
        return self.head.loss(self.encoder(batch), batch)

    def answer(self, batch: Batch) -> torch.Tensor:
        """The head's logits (B, …); of a language model, the log-probability of each row's labels (B,)."""
        hidden = self.encoder(batch)
        if self.head.language_model:
            return self.head.label_log_probabilities(hidden, batch)
        return self.head.logits(hidden, batch)

    @contextlib.contextmanager
    def whole(self) -> Iterator[PreTrainedModel]:
        """The model of transformers that encoder and head are together, as long as the context lasts."""
        with self.head.on(cast(PreTrainedModel, self.encoder.get_submodule("backbone"))) as model:
            yield model


def adapt(method: Method, model: PreTrainedModel) -> Adapted:
    """`model` of transformers, taken apart into its adapted backbone and its head."""
    backbone = cast(PreTrainedModel, model.base_model)
    head = Head(model)  # first: what is the head's is no longer the backbone's when a method freezes that
    return Adapted(method.adapt(backbone), head)
