"""While training a classifier, the last layer of a BERT-like encoder is computed for the first token alone.

Its head reads no other. Every token still gives a key and a value; the query, the attention's projection and the
feed-forward layer, ten of a layer's twelve matrices, need one row a text. Outside training nothing changes.
"""

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedModel

# Those whose sequence classification head reads position 0, and whose attention is BERT's.
_KINDS = ("bert", "camembert", "electra", "roberta", "roberta-prelayernorm", "xlm-roberta")


def train_first_token_only(model: PreTrainedModel) -> bool:
    """Whether `model`, a sequence classifier, now trains so; its losses and gradients are the same to rounding.

    It may not be copied (`copy.deepcopy`) afterwards: the copy's last layer would still be the original's.

    Measured at 4 layers of 256: 1.2 times the texts a second, with less memory (docs/lab.md).
    """
    config = model.config
    absolute = getattr(config, "position_embedding_type", "absolute") == "absolute"
    plain = absolute and config._attn_implementation == "sdpa" and not getattr(config, "is_decoder", False)
    if config.model_type not in _KINDS or not plain:
        return False
    encoder: Any = model.base_model.encoder
    attention = encoder.layer[-1].attention
    whole, inner = attention.self.forward, attention.self

    def first(hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **others: Any) -> Any:
        if not inner.training or others.get("past_key_values") is not None:
            return whole(hidden_states, attention_mask, **others)
        rows = len(hidden_states)
        query, key, value = (
            projected.view(rows, -1, inner.num_attention_heads, inner.attention_head_size).transpose(1, 2)
            for projected in (inner.query(hidden_states[:, :1]), inner.key(hidden_states), inner.value(hidden_states))
        )  # (B, H, 1, D/H), twice (B, H, T, D/H)
        mask = None if attention_mask is None else attention_mask[:, :, :1]
        context = scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=inner.dropout.p)
        return context.transpose(1, 2).reshape(rows, 1, -1), None

    def residual(_module: Any, inputs: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        context, hidden = inputs
        return context, hidden[:, : context.shape[1]]

    inner.forward = first
    attention.output.register_forward_pre_hook(residual)
    return True
