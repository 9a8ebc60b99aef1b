"""How `fit` learns a baseline, without a backbone."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from taesan import store
from taesan.config import FitConfig
from taesan.engine.linear import LinearPredictor
from taesan.methods.baseline import Baseline, Labelled
from taesan.models.linear import FILES
from taesan.tasks.base import Example, Learnt, Task
from taesan.verbs.training import Rows, Say, peak_memory_bytes


@dataclass(frozen=True)
class BaselineModel:
    """What `fit` made."""

    predictor: LinearPredictor
    files: dict[str, store.Content]
    details: dict[str, Any]


def learn_baseline(task: Task, method: Baseline, data: Rows, config: FitConfig, say: Say) -> BaselineModel:
    """Learnt from the training rows; what there is to choose, the validation rows choose."""
    begun = time.monotonic()
    say(
        f"{task.name} by {method.name}: {len(data.train):,} rows to train on, {len(data.validation):,} held out, "
        f"{len(data.labels)} labels"
    )
    learned = method.learn(
        _labelled(data.train, data.labels), _labelled(data.validation, data.labels), len(data.labels), config
    )
    for one in learned.tried:
        say(f"C {one['C']:g}: validation loss {one['validation_loss']:.4f} after {one['steps']} steps")
    linear = learned.linear
    parameters = linear.weight.size + linear.bias.size
    details = {
        "best_step": learned.steps,
        "steps": learned.steps,
        "seconds": round(time.monotonic() - begun, 1),
        "peak_memory_bytes": peak_memory_bytes(),
        "parameters": parameters,
        "trained_parameters": parameters,
        "regularization": list(learned.tried),
    }
    files: dict[str, store.Content] = {
        FILES[0]: linear.ngrams_json(),
        FILES[1]: store.tensor_chunks({"weight": linear.weight, "bias": linear.bias}),
    }
    return BaselineModel(LinearPredictor(task, linear, Learnt(data.labels)), files, details)


def _labelled(examples: list[Example], labels: tuple[str, ...]) -> Labelled:
    number = {label: index for index, label in enumerate(labels)}
    return Labelled([one.texts for one in examples], np.array([number[one.label] for one in examples], dtype=np.int64))
