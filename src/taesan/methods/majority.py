"""The baseline that looks at nothing: to every text the shares of the classes among the training rows."""

from typing import Literal

import numpy as np

from taesan.config import FitConfig
from taesan.methods.baseline import Labelled, Learned
from taesan.models.linear import Linear
from taesan.tasks.base import HeadKind


class Majority:
    name = "majority"
    view: Literal["head", "text"] = "text"
    trains = True
    heads: tuple[HeadKind, ...] = ("sequence",)

    def learn(self, train: Labelled, validation: Labelled, classes: int, config: FitConfig) -> Learned:
        shares = np.bincount(train.targets, minlength=classes) / len(train.targets)
        bias = np.log(np.maximum(shares, 1e-300))  # --drop-overlap may have taken all rows of a class
        return Learned(Linear((), np.zeros((classes, 0), np.float32), bias))
