"""What a pretraining run reads, step by step, and what it is judged by."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from taesan.config import PretrainConfig
from taesan.engine.batches import Batch, EpochBatches, GroupBatches
from taesan.engine.objectives import (
    IGNORED,
    LanguageModelLoss,
    Objective,
    causal_collate,
    masked_collate,
)
from taesan.engine.process import Process
from taesan.text.corpus import Corpus, NextTokens, Sequences, Shard
from taesan.text.tokenizer import Tokenizer

GROUP_SHARDS = 8  # shuffled together: 32 million tokens, whose lengths and places take some 50 MB
VALIDATION_BATCHES = 64
VALIDATION_TOKENS = 4096
VALIDATION_MASK = 0.15


class Phases:
    """Short inputs for most of the run, then inputs of the full length. A step is numbered; see `Batches`."""

    def __init__(self, objective: Objective, config: PretrainConfig, tokenizer: Tokenizer, corpus: Corpus):
        full_tokens = round(config.train_tokens * config.full_length_fraction)
        parts = (
            (min(config.short_length, config.max_length), False, config.train_tokens - full_tokens),
            (config.max_length, True, full_tokens),
        )
        self._parts = [
            GroupBatches(
                [
                    partial(_open, objective, config, tokenizer, corpus, group, length, packed, config.seed + index)
                    for group in _groups(corpus.shards, config.seed)
                ],
                tokens=tokens,
                seed=config.seed + index,
            )
            for index, (length, packed, tokens) in enumerate(parts)
            if tokens > 0
        ]
        self.steps = sum(part.steps for part in self._parts)

    def step(self, number: int) -> list[Batch]:
        for part in self._parts:
            if number < part.steps:
                return part.step(number)
            number -= part.steps
        raise IndexError(number)


def _groups(shards: int, seed: int) -> list[list[int]]:
    """Shard numbers, those of a group from all over the corpus: a file of its own kind is not read in one go."""
    if shards <= GROUP_SHARDS:
        return [list(range(shards))]
    order = np.random.default_rng((seed, 4)).permutation(shards).tolist()
    return [sorted(order[start : start + GROUP_SHARDS]) for start in range(0, shards, GROUP_SHARDS)]


def _open(
    objective: Objective,
    config: PretrainConfig,
    tokenizer: Tokenizer,
    corpus: Corpus,
    group: list[int],
    length: int,
    packed: bool,
    seed: int,
) -> EpochBatches:
    shards = [corpus.shard(number) for number in group]
    if objective == "causal":
        rows = NextTokens(shards, tokenizer, length=length)
        lengths, collate = rows.lengths, causal_collate(rows.row, tokenizer)
    else:
        texts = Sequences(shards, tokenizer, length=length, packed=packed)
        opens = texts.opens if config.masking == "eojeol" else None
        lengths = texts.lengths
        collate = masked_collate(texts.__getitem__, tokenizer, config.mask_fraction, opens)
    return EpochBatches(
        lengths, collate, budget_tokens=config.batch_tokens, accumulation=config.accumulation, seed=seed
    )


def held_out_scores(
    objective: Objective,
    loss: LanguageModelLoss,
    corpus: Corpus,
    tokenizer: Tokenizer,
    config: PretrainConfig,
    process: Process,
) -> Callable[[], dict[str, float]]:
    """A function that gives `held_out_loss` (nats a token), `perplexity` and `bits_per_byte` of the model as it is.

    They are those of the same held-out batches every time, masked the same way (15% of the tokens). Bits per byte are
    comparable between tokenizers; a masked model's, as if every token were as hard as the masked ones.
    """
    shards: list[Shard] = [corpus.shard(number) for number in range(corpus.shards)]
    if objective == "causal":
        rows = NextTokens(shards, tokenizer, length=config.max_length)
        lengths, collate = rows.lengths, causal_collate(rows.row, tokenizer)
        tokens_a_byte = corpus.tokens / max(1, corpus.text_bytes)
    else:
        length = min(config.short_length, config.max_length)
        texts = Sequences(shards, tokenizer, length=length, packed=False)
        lengths, collate = texts.lengths, masked_collate(texts.__getitem__, tokenizer, VALIDATION_MASK)
        tokens_a_byte = (corpus.tokens - corpus.lines) / max(1, corpus.text_bytes - corpus.lines)  # no separators
    batches = EpochBatches(lengths, collate, budget_tokens=VALIDATION_TOKENS, accumulation=1, seed=0)

    def scores() -> dict[str, float]:
        total, count = 0.0, 0
        training = loss.training
        loss.eval()
        with torch.inference_mode():
            for step in range(min(VALIDATION_BATCHES, batches.steps)):
                for batch in batches.step(step):
                    tensors = {name: torch.from_numpy(array).to(process.device) for name, array in batch.items()}
                    total += float(loss(tensors))
                    count += int(np.sum(batch["labels"] != IGNORED))
        loss.train(training)
        mean = total / max(1, count)
        return {
            "held_out_loss": mean,
            "perplexity": math.exp(min(mean, 50.0)),
            "bits_per_byte": mean / math.log(2) * tokens_a_byte,
        }

    return scores
