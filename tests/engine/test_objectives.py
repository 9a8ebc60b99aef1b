"""Masking by its fractions, and a loss on the masked positions alone that equals the one over everything."""

import math

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from conftest import MASKED, SENTENCES
from taesan.engine.objectives import IGNORED, LanguageModelLoss, mask, masked_collate
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
    ours = LanguageModelLoss(model)(tensors)
    ours.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()

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


def test_a_tokenizer_without_a_mask_is_refused(byte_tokenizer) -> None:
    with pytest.raises(TypeError, match="no mask token"):
        mask(np.ones((1, 3), int), np.ones((1, 3), bool), byte_tokenizer, 0.2, np.random.default_rng(0))
