"""A head on handed-in hidden states is the whole model of transformers, for every family that it may come from."""

import copy
import math

import numpy as np
import pytest
import torch
import transformers

from taesan.methods import METHODS
from taesan.methods.base import adapt
from taesan.models.backbone import HEAD_CLASSES

WORDS, MAX = 60, 40
BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": MAX,
}
LLAMA = {**BERT, "num_key_value_heads": 2}
CONFIGS = {
    "bert": BERT | {"type_vocab_size": 2},
    "roberta": BERT | {"pad_token_id": 1, "max_position_embeddings": MAX + 2},
    "roberta-prelayernorm": BERT | {"pad_token_id": 1, "max_position_embeddings": MAX + 2, "type_vocab_size": 2},
    "xlm-roberta": BERT | {"pad_token_id": 1, "max_position_embeddings": MAX + 2},
    "electra": BERT | {"embedding_size": 12, "type_vocab_size": 2},
    "albert": BERT | {"embedding_size": 12},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": MAX},
    "deberta-v2": BERT | {"type_vocab_size": 0, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "modernbert": BERT | {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": MAX},
    "gpt_neox": BERT,
    "llama": LLAMA,
    "qwen2": LLAMA,
    "opt": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "ffn_dim": 24,
        "word_embed_proj_dim": 16,
    },
}


def model_of(kind: str, head: str) -> transformers.PreTrainedModel:
    defaults = {"vocab_size": WORDS, "pad_token_id": 0, "num_labels": 3, "initializer_range": 0.3}
    shape = defaults | {"bos_token_id": 2, "eos_token_id": 3} | CONFIGS[kind]
    if head == "span":
        shape["num_labels"] = 2
    torch.manual_seed(0)
    return HEAD_CLASSES[head].from_config(transformers.AutoConfig.for_model(kind, **shape)).float().eval()


def batch_of(kind: str, pad_id: int) -> dict[str, torch.Tensor]:
    chance = np.random.default_rng(1)
    lengths, width = [9, 4, 12], 14
    ids = np.full((3, width), pad_id)
    types, mask = np.zeros((3, width), int), np.zeros((3, width), int)
    for row, length in enumerate(lengths):
        ids[row, :length] = chance.integers(4, WORDS, length)
        mask[row, :length] = 1
        types[row, length // 2 : length] = 1
    batch = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    return {name: torch.from_numpy(array) for name, array in batch.items()}


def has(kind: str, head: str) -> bool:
    """Whether transformers has such a model."""
    return type(transformers.AutoConfig.for_model(kind)) in HEAD_CLASSES[head]._model_mapping


HEADS = [(kind, head) for kind in CONFIGS for head in ("sequence", "token", "span") if has(kind, head)]


@pytest.mark.parametrize(("kind", "head"), HEADS)
def test_a_head_is_the_whole_model(kind, head) -> None:
    whole = model_of(kind, head)
    model = copy.deepcopy(whole)
    names = {name for name, _ in model.named_parameters()}
    adapted = adapt(METHODS["finetune"], model).eval()
    batch = batch_of(kind, whole.config.pad_token_id)
    given = dict(batch)
    if getattr(whole.config, "type_vocab_size", 0) < 2:
        del given["token_type_ids"]
    out = whole(**given)
    expected = out.logits if head != "span" else torch.stack((out.start_logits, out.end_logits), dim=-1)
    ours = adapted.answer(batch)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    # Nothing is lost or doubled: the encoder's and the head's parameters are the model's.
    prefix = adapted.head.prefix
    found = [f"{prefix}.{name}" for name, _ in adapted.encoder.backbone.named_parameters()]
    found += [name for name, _ in adapted.head.model.named_parameters()]
    assert sorted(found) == sorted(names)


@pytest.mark.parametrize("head", ["sequence", "token"])
@pytest.mark.parametrize("kind", ["bert", "albert", "gpt2", "llama"])
def test_the_loss_and_its_gradients_are_those_of_the_whole_model(kind, head) -> None:
    """Also the pooler's, which is the head's; and with weights, scikit-learn's weighted sum by hand."""
    whole = model_of(kind, head)
    model = copy.deepcopy(whole)
    adapted = adapt(METHODS["finetune"], model).eval()
    batch = batch_of(kind, whole.config.pad_token_id)
    labels = torch.tensor([2, 0, 1])
    if head == "token":
        labels = torch.where(batch["attention_mask"].bool(), batch["input_ids"] % 3, -100)
        labels[:, 0] = -100
    given = dict(batch)
    if getattr(whole.config, "type_vocab_size", 0) < 2:
        del given["token_type_ids"]
    theirs = whole(**given, labels=labels).loss
    count = int((labels != -100).sum())
    ours = adapted(batch | {"labels": labels})
    assert math.isclose(float(ours.detach()) / count, float(theirs.detach()), rel_tol=1e-5)
    theirs.backward()
    (ours / count).backward()
    prefix = adapted.head.prefix
    gradients = {f"{prefix}.{name}": p.grad for name, p in adapted.encoder.backbone.named_parameters()}
    gradients |= {name: p.grad for name, p in adapted.head.model.named_parameters()}
    for name, parameter in whole.named_parameters():
        if parameter.grad is None:
            assert gradients[name] is None
        else:
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-3, atol=1e-6)

    weights = torch.where(labels == -100, 0.0, labels.clamp(min=0) + 0.5)
    logits = adapted.answer(batch).detach().double().reshape(-1, 3)
    logs = logits - logits.logsumexp(-1, keepdim=True)
    flat = labels.reshape(-1)
    total = sum(
        -float(logs[i, flat[i]]) * float(weights.reshape(-1)[i]) for i in range(len(flat)) if int(flat[i]) != -100
    )
    weighted = adapted(batch | {"labels": labels, "weights": weights})
    assert math.isclose(float(weighted.detach()), total, rel_tol=1e-5)


def test_a_frozen_backbone_leaves_the_pooler_to_learn() -> None:
    """A masked language model has no pooler, so a classifier's is new: frozen, it would stay random."""

    class Frozen:
        name, view, trains, attempts = "frozen", "head", True, ()

        def room_tokens(self, additions):
            return 0

        def adapt(self, backbone, additions):
            return METHODS["finetune"].adapt(backbone.requires_grad_(False), additions)

    adapted = adapt(Frozen(), model_of("bert", "sequence"))
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    parts = ("classifier.bias", "classifier.weight", "bert.pooler.dense.bias", "bert.pooler.dense.weight")
    assert trained == {f"head.model.{name}" for name in parts}


def test_a_model_that_is_all_head_is_refused() -> None:
    from taesan.models.heads import Head

    with pytest.raises(TypeError, match="no backbone apart"):
        Head(transformers.AutoModel.from_config(transformers.AutoConfig.for_model("bert", **CONFIGS["bert"])))
