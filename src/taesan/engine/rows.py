"""Texts in progress, whatever model goes on with them. No torch here."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from taesan.text.tokenizer import Ids

Scores = NDArray[np.float32]
Indices = NDArray[np.int64]
BLOCK = 32  # attention over a multiple of 32 keys gives the same bits however many empty ones follow (measured)
PREFILL_TOKENS = 1024


class Rows(Protocol):
    """R texts, each with its keys and values."""

    @property
    def logits(self) -> Scores:
        """What follows each (R, V), of the prompts alone."""
        ...

    def step(self, tokens: Indices) -> Scores:
        """What follows when each text goes on with its token (R,): logits (R, V)."""
        ...

    def keep(self, index: Indices, start: int = 0) -> None:
        """Text i goes on from what was text index[i], (N,); up to `start` the two are known to be equal."""
        ...


class Decoder(Protocol):
    """A causal language model as `Rows` are had from it."""

    @property
    def vocabulary_size(self) -> int: ...

    @property
    def side_by_side(self) -> bool:
        """Whether texts of several prompts may be in progress together."""
        ...

    def read(self, prompts: Sequence[Ids], copies: int) -> Rows:
        """So many texts of each prompt, a prompt's one behind the other."""
        ...


def in_blocks(places: int) -> int:
    """The least multiple of a block that holds them."""
    return -(-places // BLOCK) * BLOCK


def of_one_length(prompts: Sequence[Ids]) -> list[list[int]]:
    """The prompts' numbers, those of one length together, so that none is padded."""
    by_length: dict[int, list[int]] = {}
    for number, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(number)
    groups: list[list[int]] = []
    for length, members in by_length.items():
        most = max(1, PREFILL_TOKENS // length)
        groups += [members[start : start + most] for start in range(0, len(members), most)]
    return groups
