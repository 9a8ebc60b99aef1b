"""Soft prompts: virtual tokens before the text, whose embeddings alone are learnt (Lester et al. 2021).

Ours, in PEFT's files: PEFT's own crash for entities, are silently wrong for answers, and fill no blank.
"""

from typing import Any, Literal, cast

import torch
from numpy.typing import NDArray
from torch import nn
from transformers import DynamicCache, PreTrainedModel

from taesan.methods.base import Additions, Arrays, Attempt, Whole
from taesan.methods.prefix import PROMPT_EMBEDDINGS, virtual_tokens_config
from taesan.models.cache import KeysValues
from taesan.models.heads import Batch


class Prompt:
    """For labels in the text view: the words that stand for them fill a blank, and no head has to be learnt.

    The embeddings begin as those of real tokens; with `reparametrization` they come out of two layers that are learnt
    with them and not stored (P-tuning, Liu et al. 2021).
    """

    name = "prompt"
    view: Literal["head", "text"] = "text"
    trains = True
    attempts = (Attempt(), Attempt("label-words", 3.0), Attempt("vocabulary", 0.3))

    def room_tokens(self, additions: Additions) -> int:
        return additions.virtual_tokens

    def adapt(self, backbone: PreTrainedModel, additions: Additions) -> nn.Module:
        return _Prompted(backbone.requires_grad_(False), additions)

    def peft_config(self, encoder: nn.Module, additions: Additions) -> dict[str, Any]:
        config = cast(Whole, encoder).backbone.config
        own = {"prompt_tuning_init": "RANDOM", "token_dim": _width(cast(Whole, encoder).backbone)}
        return virtual_tokens_config("PROMPT_TUNING", config, additions) | own

    def arrays(self, encoder: nn.Module, prefix: str) -> dict[str, NDArray[Any]]:
        with torch.no_grad():
            return {PROMPT_EMBEDDINGS: cast(_Prompted, encoder).embeddings().cpu().numpy()}

    def load(self, encoder: nn.Module, prefix: str, arrays: Arrays) -> None:
        prompt = cast(_Prompted, encoder).prompt
        given = torch.from_numpy(arrays[PROMPT_EMBEDDINGS])
        if given.shape != prompt.shape:
            raise ValueError(f"{PROMPT_EMBEDDINGS} is of shape {tuple(given.shape)}, expected {tuple(prompt.shape)}")
        with torch.no_grad():
            prompt.copy_(given)


def _width(backbone: PreTrainedModel) -> int:
    """Of the embeddings, which in some models is not that of the hidden states."""
    return backbone.get_input_embeddings().get_parameter("weight").shape[1]


class _Prompted(Whole):
    def __init__(self, backbone: PreTrainedModel, additions: Additions):
        super().__init__(backbone)
        width = _width(backbone)
        self.prompt = nn.Parameter(torch.zeros(additions.virtual_tokens, width, device=backbone.device))
        self.mixing: nn.Module | None = None
        if not additions.initial_ids:
            return
        with torch.no_grad():
            words = backbone.get_input_embeddings()(torch.tensor(additions.initial_ids, device=backbone.device))
            self.prompt.copy_(words)
        if additions.reparametrization:
            torch.manual_seed(additions.seed)
            self.mixing = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def train(self, mode: bool = True) -> "_Prompted":
        """The backbone's dropout stays off: its noise drowns what a few embeddings can say (docs/lab.md)."""
        super().train(mode)
        self.backbone.eval()
        return self

    def embeddings(self) -> torch.Tensor:
        """(V, D)"""
        return self.prompt if self.mixing is None else self.prompt + self.mixing(self.prompt)

    def forward(self, batch: Batch) -> torch.Tensor:
        ids, mask = batch["input_ids"], batch["attention_mask"]
        rows, tokens = ids.shape[0], len(self.prompt)  # len() would fix the rows when the model is exported
        words = self.backbone.get_input_embeddings()(ids)
        both = torch.cat([self.embeddings().expand(rows, -1, -1), words], dim=1)  # (B, V + T, D)
        more = {"attention_mask": torch.cat([mask.new_ones(rows, tokens), mask], dim=1)}
        for name, types in self.types(batch).items():
            more[name] = torch.cat([types.new_zeros(rows, tokens), types], dim=1)
        return self.backbone(inputs_embeds=both, **more).last_hidden_state[:, tokens:]  # (B, T, D)

    def before(self) -> KeysValues:
        """Read left to right, the prompt sees no text: its keys and values are the same before all of them."""
        cache: Any = DynamicCache()
        model: Any = self.backbone
        with torch.no_grad():
            model(inputs_embeds=self.embeddings()[None], past_key_values=cache, use_cache=True)
        return [(layer.keys, layer.values) for layer in cache.layers]
