"""The baseline that reads: logistic regression on runs of characters, weighted by TF-IDF."""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from taesan.config import FitConfig
from taesan.methods.baseline import Labelled, Learned
from taesan.models.linear import Linear, learn_features, log_softmax
from taesan.tasks.base import HeadKind
from taesan.text.sparse import Floats, Sparse

STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # C: what the rows count beside the size of the weights
TOLERANCE = 3e-5  # of the largest part of the gradient
MOST_STEPS = 300
_BLOCK_ROWS = 8192  # so that what is computed on the way stays small


class Tfidf:
    name = "tfidf"
    view: Literal["head", "text"] = "text"
    trains = True
    heads: tuple[HeadKind, ...] = ("sequence",)

    def learn(self, train: Labelled, validation: Labelled, classes: int, config: FitConfig) -> Learned:
        """Of ever weaker regularization, each begun where the last one ended, the best on the validation rows."""
        ngrams, features = learn_features(train.texts)
        weights = np.ones(len(train.targets))
        if config.class_weights == "balanced":  # as scikit-learn's: rows over classes times the class's rows
            counts = np.bincount(train.targets, minlength=classes)
            weights = len(weights) / (np.count_nonzero(counts) * counts[train.targets])
        best, lowest = Learned(Linear((), np.zeros((classes, 0), np.float32), np.zeros(classes))), np.inf
        tried, point, held_out = list[dict[str, Any]](), None, None
        for strength in STRENGTHS:
            point, steps = fit_logistic(features, train.targets, weights, classes, strength=strength, start=point)
            linear = Linear(ngrams, point[:, :-1].astype(np.float32), point[:, -1].copy())
            held_out = linear.features(validation.texts) if held_out is None else held_out
            chances = linear.of_features(held_out)
            loss = -float(chances[np.arange(len(chances)), validation.targets].mean())
            tried.append({"C": strength, "steps": steps, "validation_loss": loss})
            if loss >= lowest:
                break
            best, lowest = Learned(linear, steps, tried), loss
        return best


def fit_logistic(
    rows: Sparse,
    targets: NDArray[np.int64],
    weights: Floats,
    classes: int,
    *,
    strength: float,
    start: Floats | None = None,
) -> tuple[Floats, int]:
    """Weights with the bias as their last column (K, width + 1), and the steps that it took; K is 1 for two classes.

    They minimise half their squared norm, the bias left out, plus `strength` times the sum of the rows' weighted
    losses, the objective of scikit-learn's `LogisticRegression`, by L-BFGS. Each weight is measured by the curvature
    that it has where all classes are as likely: half as many steps, and one tolerance for rare runs and common ones.
    """
    columns, total = classes if classes > 2 else 1, weights.sum()
    places = [(at, min(at + _BLOCK_ROWS, len(rows))) for at in range(0, len(rows), _BLOCK_ROWS)]
    blocks = [(rows.rows(*place), targets[slice(*place)], weights[slice(*place)]) for place in places]
    squares = np.sum([part.with_values(part.values**2).summed(own[:, None])[0] for part, _, own in blocks], axis=0)
    curvature = np.append(squares, total) * (classes - 1) / classes**2 + np.append(np.full(rows.width, 1 / strength), 0)
    scale = np.sqrt(total / curvature)
    point = torch.zeros(columns * len(scale), dtype=torch.float64)
    if start is not None:
        point.copy_(torch.from_numpy((start / scale).ravel()))

    def closure() -> torch.Tensor:
        now = point.numpy().reshape(columns, -1) * scale
        weight, bias = now[:, :-1], now[:, -1]
        loss = (weight * weight).sum() / (2 * strength)
        gradient = np.concatenate([weight / strength, np.zeros((columns, 1))], axis=1)
        for part, labels, own in blocks:
            chances = log_softmax(part.times(weight) + bias)  # (N, classes)
            loss -= own @ chances[np.arange(len(own)), labels]
            errors = np.exp(chances)
            errors[np.arange(len(own)), labels] -= 1
            errors = (errors * own[:, None])[:, classes - columns :]  # (N, K)
            gradient[:, :-1] += part.summed(errors)
            gradient[:, -1] += errors.sum(axis=0)
        point.grad = torch.from_numpy((gradient * scale).ravel() / total)
        return torch.tensor(loss / total)

    optimizer = torch.optim.LBFGS(
        [point],
        max_iter=MOST_STEPS,
        history_size=10,
        tolerance_grad=TOLERANCE,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )
    optimizer.step(closure)
    return point.numpy().reshape(columns, -1) * scale, optimizer.state[point]["n_iter"]
