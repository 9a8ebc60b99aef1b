"""What a cell of `compare` will cost, before it runs: a plan is made of estimates, so that it can be kept.

CPU seconds = START
            + learn  x tokens of the training rows x epochs x LEARNING
            + answer x (tokens of the validation rows x epochs + tokens of the test rows x ANSWERING)

`learn` and `answer` are seconds a token of the backbone, measured on this machine for the plan (cells.measure_speed)
and stored in it; the factors are of methods and heads, measured on the embedded backbones (docs/lab.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from taesan.config import FitConfig
from taesan.methods.defaults import with_defaults
from taesan.models.backbone import Backbone
from taesan.tasks.base import EncodeOptions, Example, Task
from taesan.verbs.cells import shots_of
from taesan.verbs.techniques import Technique

START_SECONDS = 1.0
LEARNING = {"finetune": 1.3, "lora": 1.3, "prefix": 1.3, "prompt": 1.8}
ANSWERING = {"sequence": 1.3, "token": 1.5, "span": 1.5, "language_model": 10.0}
ASKING = {"sequence": 4.0, "token": 60.0, "span": 60.0, "language_model": 40.0}  # in context, without shots
SAMPLE_ROWS = 200  # of each file, that the mean of tokens is taken over


@dataclass(frozen=True)
class Cost:
    """Of one backbone: seconds a token, and mean tokens of a row to learn from and of a row to measure on."""

    task: Task
    base: Backbone
    answer: float
    learn: float
    train_tokens: float
    test_tokens: float

    def seconds(self, technique: Technique, rows: int, test_rows: int) -> float:
        """CPU seconds of a cell."""
        method, head = technique.method, self.task.head
        if not method.trains:
            shown = shots_of(technique.name, rows) * self.train_tokens
            # Templates are chosen by asking every shot after the others.
            choosing = 2 * shots_of(technique.name, rows) * shown
            each = self.test_tokens * ASKING[head] * (1 + shown / 1000)
            return START_SECONDS + self.answer * (choosing + each * test_rows)
        fraction = FitConfig().validation_fraction
        train, held = rows * (1 - fraction) * self.train_tokens, rows * fraction * self.train_tokens
        config = with_defaults(
            FitConfig(),
            head=head,
            method=method.name,
            width=self.base.config.hidden_size,
            rows=round(rows * (1 - fraction)),
            from_scratch=technique.from_scratch,
        )
        learning = self.learn * train * config.epochs * LEARNING.get(method.name, 0.0)
        return (
            START_SECONDS
            + learning
            + self.answer * (held * config.epochs + self.test_tokens * test_rows * ANSWERING[head])
        )


def cost_of(
    task: Task,
    base: Backbone,
    speed: Mapping[str, float],
    train: Sequence[Example],
    test: Sequence[Example],
    labels: tuple[str, ...],
) -> Cost:
    return Cost(
        task,
        base,
        speed["answer"],
        speed["learn"],
        _mean_tokens(task, base, train, labels),
        _mean_tokens(task, base, test, labels),
    )


def _mean_tokens(task: Task, base: Backbone, examples: Sequence[Example], labels: tuple[str, ...]) -> float:
    """Of a row, all of its windows together."""
    step = max(1, len(examples) // SAMPLE_ROWS)  # from all over the file, which may be sorted
    sample, tokenizer = examples[::step], base.tokenizer
    options = EncodeOptions(max_length=base.max_length, long_text="windows" if task.windowed else "head-tail")
    encoded = task.encode(sample, tokenizer, task.learn(sample, labels, tokenizer), options)
    return float(np.mean([sum(len(item.input_ids) for item in one.items) for one in encoded]))
