"""New backbones: a size in, a model of transformers with random weights out."""

from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    RobertaPreLayerNormConfig,
    RobertaPreLayerNormForMaskedLM,
)

from taesan.config import PretrainConfig
from taesan.errors import UsageError
from taesan.text.tokenizer import Tokenizer

FINE_TUNING_DROPOUT = 0.1
_DROPOUTS = (
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"),  # BERT and its kin
    *("attn_pdrop", "embd_pdrop", "resid_pdrop"),  # GPT-2
    *("dropout", "attention_dropout", "hidden_dropout", "activation_dropout", "embedding_dropout", "mlp_dropout"),
)


def new_backbone(objective: str, config: PretrainConfig, tokenizer: Tokenizer) -> PreTrainedModel:
    """A model of that shape for `objective`, drawn from `config.seed`.

    Raises: UsageError for an architecture that is not for this objective, or heads that do not divide the width.
    """
    architectures = ARCHITECTURES[objective]
    if config.architecture not in architectures:
        there = ", ".join(architectures)
        raise UsageError(f"architecture is {config.architecture!r}; for {objective} pretraining there are: {there}")
    if config.width % config.heads:
        raise UsageError(f"width is {config.width}, which {config.heads} heads do not divide")
    torch.manual_seed(config.seed)
    return architectures[config.architecture](config, tokenizer)


def set_dropout(config: Any, value: float | None = None) -> dict[str, Any]:
    """Sets every dropout that a transformers config has (None: none of them); what they were comes back."""
    before = {name: getattr(config, name) for name in _DROPOUTS if isinstance(getattr(config, name, None), float)}
    if value is not None:
        for name in before:
            setattr(config, name, value)
    return before


def _bert(config: PretrainConfig, tokenizer: Tokenizer) -> PreTrainedModel:
    return BertForMaskedLM(BertConfig(**_encoder(config, tokenizer), max_position_embeddings=config.max_length))


def _roberta_prelayernorm(config: PretrainConfig, tokenizer: Tokenizer) -> PreTrainedModel:
    # Positions count on from the padding token's id, 0.
    positions = config.max_length + tokenizer.pad_id + 1
    shape = _encoder(config, tokenizer)
    return RobertaPreLayerNormForMaskedLM(RobertaPreLayerNormConfig(**shape, max_position_embeddings=positions))


def _encoder(config: PretrainConfig, tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "vocab_size": tokenizer.vocabulary_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.feed_forward,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.dropout,
        "pad_token_id": tokenizer.pad_id,
        "type_vocab_size": 2,
        "bos_token_id": None,
        "eos_token_id": None,
    }


def _gpt2(config: PretrainConfig, tokenizer: Tokenizer) -> PreTrainedModel:
    shape = GPT2Config(
        vocab_size=tokenizer.vocabulary_size,
        n_positions=config.max_length,
        n_embd=config.width,
        n_layer=config.layers,
        n_head=config.heads,
        n_inner=config.feed_forward,
        activation_function="gelu_pytorch_tanh",  # GPT-2's own function, in one kernel instead of eight
        attn_pdrop=config.dropout,
        embd_pdrop=config.dropout,
        resid_pdrop=config.dropout,
        bos_token_id=tokenizer.separator_id,
        eos_token_id=tokenizer.separator_id,
        pad_token_id=tokenizer.pad_id,
    )
    return GPT2LMHeadModel(shape)


ARCHITECTURES: dict[str, dict[str, Callable[[PretrainConfig, Tokenizer], PreTrainedModel]]] = {
    "masked": {"roberta-prelayernorm": _roberta_prelayernorm, "bert": _bert},
    "causal": {"gpt2": _gpt2},
}
