"""New backbones: a size in, a model of transformers with random weights out."""

import torch
from transformers import BertConfig, BertForMaskedLM, PreTrainedModel, RobertaPreLayerNormConfig
from transformers import RobertaPreLayerNormForMaskedLM as RobertaPreLayerNorm

from taesan.config import PretrainConfig
from taesan.text.tokenizer import Tokenizer

FINE_TUNING_DROPOUT = 0.1


def new_masked(config: PretrainConfig, tokenizer: Tokenizer) -> PreTrainedModel:
    """A masked model of that shape, drawn from `config.seed`."""
    shape = {
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
    torch.manual_seed(config.seed)
    if config.architecture == "bert":
        return BertForMaskedLM(BertConfig(**shape, max_position_embeddings=config.max_length))
    # Positions count on from the padding token's id, 0.
    positions = config.max_length + tokenizer.pad_id + 1
    return RobertaPreLayerNorm(RobertaPreLayerNormConfig(**shape, max_position_embeddings=positions))
