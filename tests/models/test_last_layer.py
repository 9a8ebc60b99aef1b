"""The shortened last layer against the whole one of transformers: same loss, same gradients, same logits after."""

import copy

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from taesan.methods import METHODS
from taesan.methods.base import adapt
from taesan.models.last_layer import take, train_first_token_only, train_last_layer_at

KINDS = ("bert", "camembert", "electra", "roberta", "roberta-prelayernorm", "xlm-roberta")
IDS = torch.randint(5, 40, (3, 9), generator=torch.Generator().manual_seed(0))


def model_of(kind: str, **more: object) -> torch.nn.Module:
    config = AutoConfig.for_model(
        kind,
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        type_vocab_size=2,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
        num_labels=3,
        **more,
    )
    if kind == "electra":
        config.embedding_size = 16
    torch.manual_seed(1)
    return AutoModelForSequenceClassification.from_config(config)


def batch_of(lengths: tuple[int, ...]) -> dict[str, torch.Tensor]:
    mask = (torch.arange(9) < torch.tensor(lengths)[:, None]).long()
    return {
        "input_ids": IDS * mask,
        "token_type_ids": torch.zeros_like(IDS),
        "attention_mask": mask,
        "labels": torch.tensor([0, 2, 1]),
    }


@pytest.mark.parametrize("lengths", [(9, 9, 9), (9, 4, 6)])
@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_are_those_of_the_whole_layer(kind: str, lengths: tuple[int, ...]) -> None:
    model = model_of(kind, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, classifier_dropout=0.0)
    short = copy.deepcopy(model)
    assert train_first_token_only(short)
    batch = batch_of(lengths)
    expected = model.train()(**batch).loss * 3
    expected.backward()
    adapted = adapt(METHODS["finetune"], short).train()
    hidden = adapted.encoder(batch)
    loss = adapted.head.loss(hidden, batch)
    loss.backward()
    assert hidden.shape[1] == 1  # or nothing was saved
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)
    wanted = {name: p.grad for name, p in model.named_parameters()}
    for name, parameter in (
        *short.named_parameters(),
        *adapted.encoder.backbone.named_parameters(model.base_model_prefix),
    ):
        if wanted[name] is not None:
            torch.testing.assert_close(parameter.grad, wanted[name], rtol=1e-5, atol=1e-6, msg=name)
    assert {name for name, gradient in wanted.items() if gradient is not None}


@pytest.mark.parametrize("kind", KINDS)
def test_outside_training_the_whole_layer_runs_with_the_same_bits(kind: str) -> None:
    model = model_of(kind).eval()
    short = copy.deepcopy(model)
    assert train_first_token_only(short)
    batch = batch_of((9, 4, 6))
    del batch["labels"]
    with torch.inference_mode():
        assert torch.equal(short(**batch).logits, model(**batch).logits)


def test_other_models_are_left_alone() -> None:
    assert not train_first_token_only(model_of("bert", is_decoder=True))


@pytest.mark.parametrize("places", [[[8, 0], [1, 1], [3, 5]], [[0, 1, 2, 3, 4, 5, 6, 7, 8]] * 3])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_states_at_given_places_are_those_of_the_whole_layer(
    kind: str, attention: str, places: list[list[int]]
) -> None:
    without = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = model_of(kind, attn_implementation=attention, **without).train()
    short, wanted = copy.deepcopy(model), torch.tensor(places)
    assert train_last_layer_at(short, lambda hidden: wanted if hidden.shape == (3, 9, 16) else None)
    batch = batch_of((9, 4, 6))
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    whole = take(model.base_model(**inputs).last_hidden_state, wanted)
    some = short.base_model(**inputs).last_hidden_state
    torch.testing.assert_close(some, whole)
    weights = torch.randn(whole.shape, generator=torch.Generator().manual_seed(2))
    (whole * weights).sum().backward()
    (some * weights).sum().backward()
    for (name, expected), parameter in zip(
        model.base_model.named_parameters(), short.base_model.parameters(), strict=True
    ):
        if expected.grad is not None:
            torch.testing.assert_close(parameter.grad, expected.grad, rtol=1e-4, atol=1e-5, msg=name)
