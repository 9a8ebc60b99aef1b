"""What comes back of generation, and the random choice of a token. No torch here."""

import hashlib
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Generated:
    """One text. `ids` are the new ones, without the end token.

    `token_log_probabilities` and `candidates` have an entry a step: one for each id, and one more for the end token
    where it was met (`finished`). Both are of the model's own softmax, before any option changed it.
    """

    ids: tuple[int, ...]
    finished: bool
    token_log_probabilities: tuple[float, ...]
    candidates: list[list[tuple[int, float]]] = field(default_factory=list)  # (id, probability), likeliest first

    @property
    def log_probability(self) -> float:
        """Of the whole text, its end included where it has one."""
        return math.fsum(self.token_log_probabilities)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A piece of the vocabulary. `text` is how it reads, a space before it where it opens a word."""

    token: str
    text: str
    probability: float

    def as_dict(self) -> dict[str, Any]:
        return {"text": self.text, "token": self.token, "probability": self.probability}


@dataclass(frozen=True, slots=True)
class Chosen:
    """A token of a text as it is chosen, as `Generated` will hold it."""

    token: int
    log_probability: float
    candidates: list[tuple[int, float]]


def chances(seed: int, prompt: NDArray[Any], sequence: int, steps: int) -> NDArray[np.float64]:
    """A number in [0, 1) for every step of one text (steps,).

    They depend on seed, prompt and number of the text alone: a text is the same whichever prompts stand beside it, in
    whichever order and batch, and asked for again. For another text of the same prompt, ask for more sequences.
    """
    digest = hashlib.sha256(np.ascontiguousarray(prompt, dtype="<i8").tobytes()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest), sequence]).random(steps)


def draw(scores: NDArray[np.float32], chance: NDArray[np.float64]) -> NDArray[np.int64]:
    """The column in which each row's `chance` falls, by softmax of `scores` (R, M); -inf is never drawn. (R,)"""
    weights = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
    sums = weights.cumsum(axis=1)  # one after another, so that a row's sums do not depend on how wide the rows are
    columns = (sums <= (chance * sums[:, -1])[:, None]).sum(axis=1)
    last = scores.shape[1] - 1 - (weights[:, ::-1] > 0).argmax(axis=1)  # a product may round up to the whole sum
    return np.minimum(columns, last)
