"""Masking by its fractions, and a loss on the masked positions alone that equals the one over everything."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from conftest import MASKED, SENTENCES
from taesan.engine.objectives import (
    IGNORED,
    LanguageModelLoss,
    causal_collate,
    check_packing,
    mask,
    masked_collate,
)
from taesan.errors import UsageError
from taesan.text.corpus import Corpus, NextTokens
from taesan.text.tokenizer import Tokenizer


def ids_of(tokenizer: Tokenizer, rows: int, length: int, seed: int) -> np.ndarray:
    chance = np.random.default_rng(seed)
    ids = chance.integers(0, tokenizer.vocabulary_size, (rows, length)).astype(np.int64)
    ids[:, 0], ids[:, -1] = tokenizer.layout.prefix[0], tokenizer.separator_id
    return ids


@pytest.mark.parametrize("fraction", [0.15, 0.4])
def test_fractions(tokenizer, fraction) -> None:
    """Devlin et al. 2019: 80% masked, 10% another token, 10% as they were. Bounds of five standard deviations."""
    ids = ids_of(tokenizer, 400, 200, 0)
    maskable = ~np.isin(ids, list(tokenizer.control_ids))
    before = ids.copy()
    inputs, labels = mask(ids, maskable, tokenizer, fraction, np.random.default_rng(1))
    assert (ids == before).all()
    chosen = labels != IGNORED
    assert (labels[chosen] == ids[chosen]).all()
    assert (inputs[~chosen] == ids[~chosen]).all()
    assert not (chosen & ~maskable).any()
    n, m = int(maskable.sum()), int(chosen.sum())

    def near(count: int, total: int, share: float) -> bool:
        return abs(count - total * share) < 5 * math.sqrt(total * share * (1 - share))

    assert near(m, n, fraction)
    masked, kept = inputs == tokenizer.mask_id, inputs == ids
    vocabulary = tokenizer.vocabulary_size
    assert near(int((chosen & masked).sum()), m, 0.8 + 0.1 / vocabulary)
    assert near(int((chosen & kept & ~masked).sum()), m, 0.1 + 0.1 / vocabulary)
    others = inputs[chosen & ~masked & ~kept]
    assert near(len(others), m, 0.1 * (1 - 2 / vocabulary))
    assert len(np.unique(others)) > 0.9 * min(vocabulary, len(others))


def test_every_row_has_one_to_guess(tokenizer) -> None:
    ids = ids_of(tokenizer, 500, 4, 0)
    maskable = ~np.isin(ids, list(tokenizer.control_ids))
    _, labels = mask(ids, maskable, tokenizer, 0.01, np.random.default_rng(2))
    assert ((labels != IGNORED).any(axis=1) == maskable.any(axis=1)).all()
    chosen = np.flatnonzero(labels[maskable.all(axis=1) | maskable.any(axis=1)] != IGNORED)
    assert len(set(chosen % 4)) == 2  # whichever of the two words, not always the first


def test_collate_masks_no_control_token_and_no_padding(tokenizer) -> None:
    rows = [tokenizer.join(ids)[0] for ids in tokenizer.ids(SENTENCES)]
    collate = masked_collate(rows.__getitem__, tokenizer, 0.3)
    numbers = np.array([3, 0, 8, 5])
    for seed in range(20):
        batch = collate(numbers, np.random.default_rng(seed))
        assert batch["attention_mask"].sum(axis=1).tolist() == [len(rows[i]) for i in numbers]
        chosen = batch["labels"] != IGNORED
        assert chosen.any(axis=1).all()
        assert not (chosen & (batch["attention_mask"] == 0)).any()
        assert not set(batch["labels"][chosen].tolist()) & tokenizer.control_ids
        for row, number in enumerate(numbers):
            clean = np.where(chosen[row], batch["labels"][row], batch["input_ids"][row])
            assert clean[: len(rows[number])].tolist() == rows[number].tolist()
        again = collate(numbers, np.random.default_rng(seed))
        assert all((again[name] == batch[name]).all() for name in batch)


@pytest.mark.parametrize("architecture", MASKED)
@pytest.mark.parametrize("padded", [True, False])
def test_the_loss_is_that_of_all_logits(masked_backbones, tokenizer, architecture, padded) -> None:
    """By hand over the full logits, and by transformers' own `labels=`; the gradients are the same too."""
    model = AutoModelForMaskedLM.from_pretrained(masked_backbones[architecture]).eval()
    rows = [tokenizer.join(ids)[0] for ids in tokenizer.ids(SENTENCES)]
    numbers = np.arange(len(rows)) if padded else np.array([2, 2, 2])
    batch = masked_collate(rows.__getitem__, tokenizer, 0.3)(numbers, np.random.default_rng(4))
    tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
    assert bool(tensors["attention_mask"].all()) is not padded
    loss = LanguageModelLoss(model)
    ours = loss(tensors)
    ours.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    for module in model.modules():  # while training, the last layer is computed at the masked places alone
        module.p = 0.0 if isinstance(module, torch.nn.Dropout) else None
    loss.train()
    training = loss(tensors)
    training.backward()
    for name, gradient in gradients.items():
        torch.testing.assert_close(model.get_parameter(name).grad, gradient, rtol=1e-4, atol=1e-5, msg=name)
    assert math.isclose(float(training.detach()), float(ours.detach()), rel_tol=1e-5)
    model.zero_grad()
    loss.eval()

    theirs = model(**tensors)
    logits, total = theirs.logits.detach().double().numpy(), 0.0
    for row, place in zip(*np.nonzero(batch["labels"] != IGNORED), strict=True):
        scores = logits[row, place]
        total += np.log(np.exp(scores - scores.max()).sum()) + scores.max() - scores[batch["labels"][row, place]]
    assert math.isclose(float(ours.detach()), total, rel_tol=1e-5)
    count = int((batch["labels"] != IGNORED).sum())
    assert math.isclose(float(ours.detach()) / count, float(theirs.loss.detach()), rel_tol=1e-5)
    (theirs.loss * count).backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None} == set(gradients)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", MASKED)
def test_a_row_of_nothing_but_labels_beside_another(masked_backbones, architecture) -> None:
    """Then the last layer is computed at as many places as there are, in another order in the other row."""
    model = AutoModelForMaskedLM.from_pretrained(masked_backbones[architecture])
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    ids = torch.arange(10, 22).view(2, 6)
    labels = ids.clone()
    labels[1, [0, 1, 4]] = IGNORED
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    loss = LanguageModelLoss(model)
    with torch.no_grad():
        torch.testing.assert_close(loss.train()(batch), loss.eval()(batch))


def test_a_tokenizer_without_a_mask_is_refused(byte_tokenizer) -> None:
    with pytest.raises(TypeError, match="no mask token"):
        mask(np.ones((1, 3), int), np.ones((1, 3), bool), byte_tokenizer, 0.2, np.random.default_rng(0))


@pytest.mark.parametrize("fraction", [0.15, 0.3])
def test_whole_eojeols_are_masked(tokenizer, fraction) -> None:
    ids = ids_of(tokenizer, 400, 100, 0)
    maskable = ~np.isin(ids, list(tokenizer.control_ids))
    opens = np.random.default_rng(3).random(ids.shape) < 0.5
    opens[:, 0] = True
    _, labels = mask(ids, maskable, tokenizer, fraction, np.random.default_rng(1), opens)
    chosen = labels != IGNORED
    for row in range(len(ids)):
        for word in np.split(np.arange(ids.shape[1]), np.flatnonzero(opens[row]))[1:]:
            inside = chosen[row, word][maskable[row, word]]
            assert inside.all() or not inside.any()
    assert abs(chosen.sum() / maskable.sum() - fraction) < 0.03  # as many tokens as without, on average
    assert chosen.any(axis=1).all()


@pytest.fixture
def causal_batch(byte_tokenizer, tmp_path) -> dict[str, torch.Tensor]:
    """All sentences in rows of 40 tokens, several in a row, some cut."""
    corpus = Corpus.write(SENTENCES, byte_tokenizer, tmp_path)
    rows = NextTokens([corpus.shard(0)], byte_tokenizer, length=40)
    batch = causal_collate(rows.row, byte_tokenizer)(np.arange(len(rows.lengths)), np.random.default_rng(0))
    assert (batch["position_ids"][:, 1:] == 0).any()
    return {name: torch.from_numpy(array) for name, array in batch.items()}


def test_packed_texts_do_not_see_each_other(causal_backbone, causal_batch) -> None:
    """The loss of every piece of a text equals transformers' own on that piece by itself, and so do the gradients."""
    model = AutoModelForCausalLM.from_pretrained(causal_backbone).eval()
    check_packing(model)
    ours = LanguageModelLoss(model)(causal_batch)
    ours.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    total, pieces = torch.zeros(()), 0
    for ids, labels, positions in zip(*(causal_batch[n] for n in ("input_ids", "labels", "position_ids")), strict=True):
        starts = [*np.flatnonzero(positions.numpy() == 0).tolist(), len(ids)]
        for start, end in pairwise(starts):
            if (labels[start:end] == IGNORED).all():
                continue
            logits = model(input_ids=ids[None, start:end]).logits[0]
            total = total + torch.nn.functional.cross_entropy(logits, labels[start:end], reduction="sum")
            pieces += 1
    assert pieces > 10
    assert math.isclose(float(ours.detach()), float(total.detach()), rel_tol=1e-5)
    total.backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-4, atol=1e-5)


def test_a_text_alone_has_the_loss_that_transformers_gives(causal_backbone, byte_tokenizer, tmp_path) -> None:
    """`labels=` of transformers shifts by itself; its text begins with the opening token."""
    model = AutoModelForCausalLM.from_pretrained(causal_backbone).eval()
    corpus = Corpus.write(SENTENCES[:1], byte_tokenizer, tmp_path)
    rows = NextTokens([corpus.shard(0)], byte_tokenizer, length=64)
    batch = causal_collate(rows.row, byte_tokenizer)(np.array([0]), np.random.default_rng(0))
    end = byte_tokenizer.separator_id
    ids = torch.tensor([[end, *byte_tokenizer.ids(SENTENCES[:1])[0].tolist(), end]])
    theirs = model(input_ids=ids, labels=ids).loss
    ours = LanguageModelLoss(model)({name: torch.from_numpy(array) for name, array in batch.items()})
    assert math.isclose(float(ours.detach()) / (ids.shape[1] - 1), float(theirs.detach()), rel_tol=1e-5)


def test_a_model_that_reads_a_row_as_one_text_is_refused(causal_backbone) -> None:
    """As one that ignored its positions would."""
    model = AutoModelForCausalLM.from_pretrained(causal_backbone)
    whole = model.forward

    def forgetful(position_ids=None, **inputs):
        return whole(**inputs)

    model.forward = forgetful
    with pytest.raises(UsageError, match="see each other"):
        check_packing(model)


@pytest.mark.parametrize("name", ["Electra", "DistilBert", "ModernBert", "Albert"])
def test_other_architectures_are_run_whole_where_their_head_is_not_one_module(tokenizer, name) -> None:
    import transformers

    torch.manual_seed(0)
    shape = {"vocab_size": tokenizer.vocabulary_size, "pad_token_id": tokenizer.pad_id}
    sizes = {
        "Electra": {"hidden_size": 32, "embedding_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
        "DistilBert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48},
        "ModernBert": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48},
        "Albert": {"hidden_size": 32, "embedding_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    }
    config = getattr(transformers, f"{name}Config")(**shape, **sizes[name])
    model = getattr(transformers, f"{name}ForMaskedLM")(config).eval()
    rows = [tokenizer.join(ids)[0] for ids in tokenizer.ids(SENTENCES)]
    batch = masked_collate(rows.__getitem__, tokenizer, 0.3)(np.arange(len(rows)), np.random.default_rng(4))
    tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
    with torch.no_grad():
        ours, theirs = LanguageModelLoss(model)(tensors), model(**tensors).loss
    assert math.isclose(float(ours) / int((batch["labels"] != IGNORED).sum()), float(theirs), rel_tol=1e-4)
