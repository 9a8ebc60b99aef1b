"""In-context learning: no weight moves; labelled rows are shown before the question (Brown et al. 2020)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from taesan.methods.base import Additions, Attempt, Whole

Floats = NDArray[np.float64]
CONTENT_FREE = ("N/A", "", "[MASK]")  # Zhao et al. 2021, section 5


class InContext:
    name = "in-context"
    view: Literal["head", "text"] = "text"
    trains = False
    attempts: tuple[Attempt, ...] = ()

    def room_tokens(self, additions: Additions) -> int:
        return 0

    def adapt(self, backbone: PreTrainedModel, additions: Additions) -> nn.Module:
        return Whole(backbone.requires_grad_(False))


def draw_shots(labels: Sequence[object], count: int, *, balanced: bool, seed: int) -> list[int]:
    """Places of so many rows, in a random order; `balanced`: as many of each label as there are, in turn."""
    order = np.random.default_rng((seed, 5)).permutation(len(labels)).tolist()
    if not balanced:
        return order[:count]
    waiting: dict[object, list[int]] = {}
    for place in order:
        waiting.setdefault(labels[place], []).append(place)
    drawn: list[int] = []
    while len(drawn) < count and any(waiting.values()):
        for places in waiting.values():
            if places and len(drawn) < count:
                drawn.append(places.pop(0))
    return [drawn[place] for place in np.random.default_rng((seed, 6)).permutation(len(drawn))]


def shares(scores: Floats) -> Floats:
    """Log-probabilities of choices (N, C) as probabilities of one of them."""
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def mutual_information(scores: Floats) -> float:
    """Nats that an answer tells of its text, over unlabelled texts: sure answers, evenly spread (Sorensen et al. 2022).

    `scores` are log-probabilities of the choices (N, C).
    """
    chances = shares(scores)
    return float(_entropy(chances.mean(axis=0)) - _entropy(chances).mean())


def batch_offsets(scores: Floats) -> Floats:
    """What makes the mean over unlabelled texts even: the log of their mean probabilities (Zhou et al. 2024)."""
    return np.log(shares(scores).mean(axis=0))


def _entropy(chances: Floats) -> Floats:
    return -(chances * np.log(np.maximum(chances, 1e-300))).sum(axis=-1)
