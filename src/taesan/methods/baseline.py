"""What a baseline is: a method without a language model, which others have to beat. It knows no task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from taesan.config import FitConfig
from taesan.models.linear import Linear, Texts
from taesan.tasks.base import HeadKind


@dataclass(frozen=True)
class Labelled:
    """Rows with the number of their class (N,)."""

    texts: Sequence[Texts]
    targets: NDArray[np.int64]


@dataclass(frozen=True)
class Learned:
    """The model, the steps that it took, and what was `tried` on the way to it, JSON-ready."""

    linear: Linear
    steps: int = 0
    tried: Sequence[Mapping[str, Any]] = ()


@runtime_checkable
class Baseline(Protocol):
    """One way to learn classes from texts alone, in seconds."""

    name: str
    view: Literal["head", "text"]
    trains: bool
    heads: tuple[HeadKind, ...]  # of the tasks that it can serve

    def learn(self, train: Labelled, validation: Labelled, classes: int, config: FitConfig) -> Learned:
        """Learnt from the one, and chosen by the other where there is something to choose."""
        ...
