"""What a method is: how a backbone is adapted. It never knows which task it serves."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast, runtime_checkable

import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from taesan.config import FitConfig
from taesan.models.cache import KeysValues
from taesan.models.heads import Batch, Head

Arrays = Mapping[str, NDArray[Any]]


class Encoder(Protocol):
    """An adapted backbone: (B, T) ids and mask to hidden states (B, T, D) aligned with them.

    Whatever the method added inside (virtual tokens, adapters) is gone from them again.
    """

    def __call__(self, batch: Batch) -> torch.Tensor: ...


@dataclass(frozen=True)
class Additions:
    """What is added to a backbone: sizes, and the tokens whose embeddings virtual tokens begin as."""

    virtual_tokens: int = 16
    initial_ids: tuple[int, ...] = ()  # as many as there are virtual tokens; none: they are about to be loaded
    reparametrization: bool = False
    rank: int = 4
    alpha: float = 16.0
    seed: int = 42

    @classmethod
    def of(cls, config: FitConfig, initial_ids: tuple[int, ...] = ()) -> "Additions":
        own = {name: getattr(config, name) for name in ("virtual_tokens", "reparametrization", "rank", "alpha", "seed")}
        return cls(initial_ids=initial_ids, **own)


@dataclass(frozen=True)
class Attempt:
    """One way to begin: what virtual tokens start as (nothing: as the settings say), and the rate's factor."""

    initialization: str = ""
    rate: float = 1.0


class Method(Protocol):
    """One way to learn a task."""

    name: str
    view: Literal["head", "text"]  # text: where the answer is one of a few labels
    trains: bool
    attempts: tuple[Attempt, ...]  # what is tried, in this order, until something is learnt

    def room_tokens(self, additions: Additions) -> int:
        """Tokens that it takes from the usable length before a text is encoded."""
        ...

    def adapt(self, backbone: PreTrainedModel, additions: Additions) -> nn.Module:
        """The backbone as an `Encoder`; what `requires_grad` in it is what this method trains."""
        ...


@runtime_checkable
class Adapter(Protocol):
    """A method that leaves the backbone as it is and adds a few weights, in PEFT's file format."""

    def peft_config(self, encoder: nn.Module, additions: Additions) -> dict[str, Any]:
        """What `adapter_config.json` says beyond the task."""
        ...

    def arrays(self, encoder: nn.Module, prefix: str) -> dict[str, NDArray[Any]]:
        """The added weights under PEFT's names, in a model whose backbone is called `prefix`."""
        ...

    def load(self, encoder: nn.Module, prefix: str, arrays: Arrays) -> None:
        """Raises: KeyError, ValueError where they are not this adapter's."""
        ...


class Whole(nn.Module):
    """A backbone as it is."""

    def __init__(self, backbone: PreTrainedModel):
        super().__init__()
        self.backbone = backbone
        # Only BERT's kin tell a second text by its token type; the others have no or one type.
        self._types = getattr(backbone.config, "type_vocab_size", 0) > 1

    def forward(self, batch: Batch) -> torch.Tensor:
        if "position_ids" in batch:  # several texts in a row: without a cache and a mask, positions tell them apart
            more = {"position_ids": batch["position_ids"], "use_cache": False}
        else:
            more = {"attention_mask": batch["attention_mask"], **self.types(batch)}
        return self.backbone(input_ids=batch["input_ids"], **more).last_hidden_state  # (B, T, D)

    def types(self, batch: Batch) -> Batch:
        return {"token_type_ids": batch["token_type_ids"]} if self._types else {}

    def before(self) -> KeysValues:
        """A layer's keys and values (1, H, V, D/H) that stand before every text, where the method has put some."""
        return []


class Adapted(nn.Module):
    """An encoder and a head: what the loop trains (`forward` is the summed loss) and a session asks (`answer`)."""

    def __init__(self, encoder: nn.Module, head: Head):
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, batch: Batch) -> torch.Tensor:
        return self.head.loss(self.encoder(batch), batch)

    def answer(self, batch: Batch) -> torch.Tensor:
        """The head's logits (B, …); of a language model, the log-probability of each row's labels (B,).

        A head that reads one state of a text is asked one text at a time: in a matrix product of few rows, what comes
        out of a row depends, in its last bits, on which row it is. That of all tokens has many.
        """
        hidden = self.encoder(batch)
        if self.head.language_model:
            return self.head.label_log_probabilities(hidden, batch)
        if not self.head.reads_one_state:
            return self.head.logits(hidden, batch)
        parts = [{name: array[row : row + 1] for name, array in batch.items()} for row in range(len(hidden))]
        return torch.cat([self.head.logits(hidden[row : row + 1], part) for row, part in enumerate(parts)])

    def likely(self, hidden: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Of a language model, every token's log-probability at places (B, M) of hidden states (B, T, D). (B, M, V)"""
        asked = hidden.gather(1, places[..., None].expand(-1, -1, hidden.shape[2]))
        return self.head.logits(asked, {"input_ids": places}).float().log_softmax(dim=-1)

    @contextlib.contextmanager
    def whole(self) -> Iterator[PreTrainedModel]:
        """The model of transformers that encoder and head are together, as long as the context lasts."""
        with self.head.on(cast(PreTrainedModel, self.encoder.get_submodule("backbone"))) as model:
            yield model

    def before(self) -> KeysValues:
        """What a language model's texts are preceded by."""
        return cast(Whole, self.encoder).before()


def adapt(
    method: Method,
    model: PreTrainedModel,
    additions: Additions | None = None,
    *,
    choices: tuple[tuple[int, ...], ...] = (),
    mask_id: int | None = None,
) -> Adapted:
    """`model` of transformers, taken apart into its adapted backbone and its head.

    With `choices` (token ids of each label's words) the model is a language model that is asked which of them comes at
    the mask, or, without `mask_id`, next.
    """
    backbone = cast(PreTrainedModel, model.base_model)
    # First: what is the head's is no longer the backbone's when a method freezes that.
    head = Head(model, choices=choices, mask_id=mask_id)
    encoder = method.adapt(backbone, additions or Additions())
    if isinstance(method, Adapter) and head.pretrained:
        head.requires_grad_(False)
    return Adapted(encoder, head)
