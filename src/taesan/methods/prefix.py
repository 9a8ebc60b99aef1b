"""Prefix tuning: keys and values before every text, in every layer (Li and Liang 2021; Liu et al. 2022)."""

from typing import Any, Literal, cast

import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from taesan.methods.base import Additions, Arrays, Attempt, Whole
from taesan.models.cache import KeysValues, cache_of, keys_values
from taesan.models.heads import Batch

PROMPT_EMBEDDINGS = "prompt_embeddings"  # PEFT's name for what is learnt


class Prefix:
    """They begin as those of real tokens: random ones learn later or not at all (Li and Liang 2021, section 7.4)."""

    name = "prefix"
    view: Literal["head", "text"] = "head"
    trains = True
    attempts = (Attempt(), Attempt("label-words", 3.0), Attempt("vocabulary", 0.3))

    def room_tokens(self, additions: Additions) -> int:
        return additions.virtual_tokens

    def adapt(self, backbone: PreTrainedModel, additions: Additions) -> nn.Module:
        return _Prefixed(backbone.requires_grad_(False), additions)

    def peft_config(self, encoder: nn.Module, additions: Additions) -> dict[str, Any]:
        config = cast(Whole, encoder).backbone.config
        return virtual_tokens_config("PREFIX_TUNING", config, additions) | {
            "prefix_projection": False,  # what is stored is what it projected to
            "encoder_hidden_size": config.hidden_size,
        }

    def arrays(self, encoder: nn.Module, prefix: str) -> dict[str, NDArray[Any]]:
        with torch.no_grad():
            return {PROMPT_EMBEDDINGS: cast(_Prefixed, encoder).embeddings().cpu().numpy()}

    def load(self, encoder: nn.Module, prefix: str, arrays: Arrays) -> None:
        cast(_Prefixed, encoder).prefix.load_prompt_embeddings(torch.from_numpy(arrays[PROMPT_EMBEDDINGS]))


class _Prefixed(Whole):
    def __init__(self, backbone: PreTrainedModel, additions: Additions):
        super().__init__(backbone)
        from peft import PrefixEncoder, PrefixTuningConfig  # noqa: PLC0415

        config = backbone.config
        self._tokens, self._layers, self._heads = (
            additions.virtual_tokens,
            config.num_hidden_layers,
            config.num_attention_heads,
        )
        fresh = bool(additions.initial_ids)
        torch.manual_seed(additions.seed)
        self.prefix = PrefixEncoder(
            PrefixTuningConfig(
                num_virtual_tokens=self._tokens,
                token_dim=config.hidden_size,
                num_layers=self._layers,
                encoder_hidden_size=config.hidden_size,
                prefix_projection=additions.reparametrization and fresh,
            )
        )
        if fresh:
            self._begin(additions)

    def embeddings(self) -> torch.Tensor:
        """All layers' keys and values of each virtual token, (V, L * 2 * D), as PEFT has them."""
        return self.prefix(torch.arange(self._tokens, device=next(self.prefix.parameters()).device))

    def before(self) -> KeysValues:
        states = self.embeddings().view(self._tokens, 2 * self._layers, self._heads, -1)
        states = states.permute(1, 2, 0, 3)[:, None]  # (2L, 1, H, V, D/H)
        return list(zip(states[0::2], states[1::2], strict=True))

    def forward(self, batch: Batch) -> torch.Tensor:
        ids, mask = batch["input_ids"], batch["attention_mask"]
        rows = ids.shape[0]  # len() would fix it when the model is exported
        cache = cache_of(self.before(), rows)
        mask = torch.cat([mask.new_ones(rows, self._tokens), mask], dim=1)  # (B, V + T)
        backbone: Any = self.backbone
        return backbone(
            input_ids=ids, attention_mask=mask, past_key_values=cache, **self.types(batch)
        ).last_hidden_state  # (B, T, D)

    def _begin(self, additions: Additions) -> None:
        """From the keys and values that the backbone itself has at the initial tokens."""
        if additions.reparametrization:
            with torch.no_grad():
                words = self.backbone.get_input_embeddings()(torch.tensor(additions.initial_ids))
                self.prefix.embedding.weight.copy_(words)
            return
        with torch.no_grad():
            states = [one[0] for pair in keys_values(self.backbone, additions.initial_ids) for one in pair]
            flat = torch.stack(states).permute(2, 0, 1, 3).reshape(self._tokens, -1)  # (2L, H, V, D/H) to (V, 2L * D)
            self.prefix.load_prompt_embeddings(flat)


def virtual_tokens_config(kind: str, config: Any, additions: Additions) -> dict[str, Any]:
    """What PEFT calls the sizes of a prompt or a prefix."""
    return {
        "peft_type": kind,
        "num_virtual_tokens": additions.virtual_tokens,
        "token_dim": config.hidden_size,
        "num_transformer_submodules": 1,
        "num_attention_heads": config.num_attention_heads,
        "num_layers": config.num_hidden_layers,
    }
