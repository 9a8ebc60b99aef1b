"""What a cell of `compare` will cost, before it runs: a plan is made of estimates, so that it can be kept.

CPU seconds = START
            + learn  x tokens of the training batches x epochs x LEARNING
            + answer x (tokens of the validation batches x epochs + tokens of the test rows x ANSWERING)
in context  = START + answer x tokens asked x ASKING

`learn` and `answer` are seconds a token of the backbone, measured on this machine for the plan (cells.measure_speed)
and stored in it. A batch costs what a full one does: of few rows it is the step that takes time. The factors were set
by cells of bert-mini on the sample reviews, KLUE-NER and KorQuAD (docs/lab.md); those of `language_model` are guesses.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from taesan.config import FitConfig
from taesan.engine.infer import BATCH_TOKENS
from taesan.methods.baseline import Baseline
from taesan.methods.defaults import with_defaults
from taesan.models.backbone import Backbone
from taesan.tasks.base import EncodeOptions, Example, Task
from taesan.verbs.cells import shots_of
from taesan.verbs.techniques import Technique

START_SECONDS = 0.7
LEARNING = {"finetune": 1.0, "lora": 1.0, "prefix": 0.9, "prompt": 1.4}
LONG = {"span": 1.4}  # times the same, where windows are as long as the model reads: attention takes its share
ANSWERING = {"sequence": 1.3, "token": 1.5, "span": 1.5, "language_model": 10.0}
ASKING = {"sequence": 1.6, "token": 45.0, "span": 8.0, "language_model": 15.0}
CHOOSING = 8.0  # times that a shot is asked after the others, for all templates
SHARED = 0.05  # what shots cost a causal model, which reads them once for all items
BASELINES = {"majority": 1e-4, "tfidf": 2e-3}  # seconds a row, learnt from or measured on
PAIRED = 3.5  # times the same, where a row has two texts
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
    labels: int  # 0 where an answer is no label

    def seconds(self, technique: Technique, rows: int, test_rows: int) -> float:
        """CPU seconds of a cell on this backbone."""
        method, head = technique.method, self.task.head
        assert not isinstance(method, Baseline)
        if not method.trains:
            shots = shots_of(technique.name, rows)
            shown = min(shots * self.train_tokens, self.base.max_length)
            masked = self.base.kind == "masked"
            each = self.test_tokens + shown * (1.0 if masked else SHARED)
            if masked and self.labels:
                each *= self.labels / 2  # a causal model reads an item once for all of them
            return START_SECONDS + self.answer * ASKING[head] * each * (test_rows + CHOOSING * shots)
        fraction = FitConfig().validation_fraction
        config = with_defaults(
            FitConfig(),
            head=head,
            method=method.name,
            width=self.base.config.hidden_size,
            rows=round(rows * (1 - fraction)),
            from_scratch=technique.from_scratch,
        )
        batch = config.batch_tokens * config.accumulation
        train = math.ceil(rows * (1 - fraction) * self.train_tokens / batch) * batch
        held = math.ceil(rows * fraction * self.train_tokens / BATCH_TOKENS) * BATCH_TOKENS
        learning = self.learn * train * config.epochs * LEARNING[method.name] * LONG.get(head, 1.0)
        test = self.test_tokens * test_rows * ANSWERING[head]
        return START_SECONDS + learning + self.answer * (held * config.epochs + test)


def baseline_seconds(name: str, task: Task, rows: int, test_rows: int) -> float:
    """CPU seconds of a cell without a backbone."""
    return START_SECONDS + BASELINES[name] * (PAIRED if task.name == "pair" else 1.0) * (rows + test_rows)


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
        len(labels),
    )


def _mean_tokens(task: Task, base: Backbone, examples: Sequence[Example], labels: tuple[str, ...]) -> float:
    """Of a row, all of its windows together."""
    step = max(1, len(examples) // SAMPLE_ROWS)  # from all over the file, which may be sorted
    sample, tokenizer = examples[::step], base.tokenizer
    options = EncodeOptions(max_length=base.max_length, long_text="windows" if task.windowed else "head-tail")
    encoded = task.encode(sample, tokenizer, task.learn(sample, labels, tokenizer), options)
    return float(np.mean([sum(len(item.input_ids) for item in one.items) for one in encoded]))
