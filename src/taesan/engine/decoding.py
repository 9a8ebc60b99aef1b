"""How text is to be generated, what comes back, and the random choice of a token. No torch here."""

import hashlib
import math
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taesan.config import option
from taesan.errors import UsageError, escape

# Beyond these, float32 scores overflow or one prompt takes a machine's memory.
_RANGES = {
    "temperature": (0.001, 1000),
    "repetition_penalty": (0.01, 100),
    "length_penalty": (-10, 10),
    "beams": (1, 256),
    "sequences": (1, 256),
}


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """Settings of generation. Greedy where neither `sample` nor `beams` says otherwise.

    Raises: UsageError for a value that is absurd, or that only another way of choosing would use.
    """

    max_tokens: int = option(64, "most new tokens", minimum=1)
    min_tokens: int = option(0, "new tokens before the text may end", minimum=0)
    beams: int = option(1, "texts searched side by side; 1: no beam search", minimum=1)
    sample: bool = option(False, "draw each token by its probability")
    temperature: float = option(1.0, "sampling: below 1 sharper, above 1 flatter")
    top_k: int = option(0, "sampling: from the k likeliest tokens alone; 0: all", minimum=0)
    top_p: float = option(1.0, "sampling: from the likeliest tokens that hold this probability; 1: all")
    repetition_penalty: float = option(1.0, "above 1, tokens that came before are less likely")
    no_repeat_ngram: int = option(0, "no run of so many tokens comes twice, prompt included; 0: off", minimum=0)
    length_penalty: float = option(1.0, "beam search: above 0 for longer texts, below 0 for shorter ones")
    sequences: int = option(1, "texts for each prompt; needs sampling or beams", minimum=1)
    seed: int = option(42, "seed of sampling", minimum=0)
    candidates: int = option(0, "likeliest tokens to report at each step", minimum=0)

    def __post_init__(self) -> None:
        for one in fields(self):
            _check(one.name, getattr(self, one.name), type(one.default), one.metadata["minimum"])
        for name, (least, most) in _RANGES.items():
            if not least <= (value := getattr(self, name)) <= most:
                hint = "; for the likeliest token each time, do not sample" if name == "temperature" else ""
                _refuse(name, value, f"{least:g} to {most:g}{hint}")
        if not 0 < self.top_p <= 1:
            _refuse("top_p", self.top_p, "a number above 0 and at most 1")
        if self.min_tokens > self.max_tokens:
            _refuse("min_tokens", self.min_tokens, f"at most max_tokens, {self.max_tokens}")
        if self.sample and self.beams > 1:
            _refuse("beams", self.beams, "1 with sampling: search with beams, or sample")
        self._check_company()

    def _check_company(self) -> None:
        """Options that would change nothing are mistakes, not wishes."""
        if self.beams > 1 and self.sequences > self.beams:
            _refuse("sequences", self.sequences, f"at most the {self.beams} beams")
        if self.sequences > 1 and self.beams == 1 and not self.sample:
            _refuse("sequences", self.sequences, "1 where the likeliest token is taken; sample, or search with beams")
        if not self.sample:
            for name, off in (("temperature", 1), ("top_k", 0), ("top_p", 1)):
                if getattr(self, name) != off:
                    _refuse(name, getattr(self, name), f"{off} without sampling, which alone uses it")
        if self.beams == 1 and self.length_penalty != 1:
            _refuse("length_penalty", self.length_penalty, "1 without beams, which alone use it")


def _check(name: str, value: Any, wanted: type, minimum: float | None) -> None:
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted:
        names = {int: "a whole number", float: "a number", bool: "true or false"}
        _refuse(name, repr(value), names[wanted])
    if wanted is float and not math.isfinite(value):
        _refuse(name, value, "a finite number")
    if minimum is not None and value < minimum:
        _refuse(name, value, f"at least {minimum}")


def _refuse(name: str, value: object, expected: str) -> None:
    raise UsageError(f"{name} is {escape(value)}; expected {expected}")


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
