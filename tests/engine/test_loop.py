"""The loop against a plain one: the same steps, the best weights, the checkpoints."""

import json
import math
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import get_linear_schedule_with_warmup

from taesan.config import LoopConfig
from taesan.engine import checkpoint
from taesan.engine.process import Process
from taesan.engine.train import IGNORED, Validation, schedule, train
from taesan.errors import Stopped, StorageError

CONFIG = LoopConfig(
    learning_rate=0.05, warmup=0.3, weight_decay=0.1, gradient_clip=0.5, device="cpu", threads=1, checkpoint_seconds=0
)
FEATURES, CLASSES = 6, 3


class Table:
    """A logistic regression's data as `Batches`: micro-batches of the given sizes, step by step."""

    def __init__(self, sizes, *, weights=False, seed=0):
        draw = np.random.default_rng(seed)
        self.steps = len(sizes)
        self.parts = [[self._part(draw, size, weights) for size in step] for step in sizes]

    @staticmethod
    def _part(draw, size, weights):
        labels = draw.integers(0, CLASSES, size)
        labels[draw.random(size) < 0.2] = IGNORED
        part = {"x": draw.normal(size=(size, FEATURES)).astype(np.float32), "labels": labels}
        if weights:
            part["weights"] = np.where(labels == IGNORED, 0, draw.random(size)).astype(np.float32)
        return part

    def step(self, number):
        return self.parts[number]


class Regression(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.linear = nn.Linear(FEATURES, CLASSES)

    def forward(self, batch):
        losses = cross_entropy(self.linear(batch["x"]), batch["labels"], ignore_index=IGNORED, reduction="none")
        return (losses * batch["weights"]).sum() if "weights" in batch else losses.sum()


@pytest.fixture
def process():
    return Process(device="cpu", threads=1)


def unjudged(every=10**6):
    return Validation(scores=lambda: {"score": 0.0}, metric="score", every_steps=every, keep_best=False)


def judged(values, **options):
    """A validation after every step whose scores are given."""
    rest = iter(values)
    return Validation(scores=lambda: {"score": next(rest)}, metric="score", every_steps=1, **options)


def run(tmp_path, process, table, config=CONFIG, validation=None):
    model = Regression()
    result = train(
        model, table, config, process, run=tmp_path, validation=validation or unjudged(), title="test", quiet=True
    )
    return model, result


@pytest.mark.parametrize("weights", [False, True])
def test_the_steps_are_those_of_plain_adamw_on_the_mean_loss(tmp_path, process, weights):
    table = Table([[4], [3, 5], [1], [2, 2, 6], [7], [1, 1]], weights=weights)
    model, result = run(tmp_path, process, table)
    plain = Regression().linear
    optimizer = torch.optim.AdamW(
        [{"params": [plain.weight], "weight_decay": 0.1}, {"params": [plain.bias], "weight_decay": 0.0}],
        lr=0.05,
        foreach=False,
    )
    (factor,) = get_linear_schedule_with_warmup(optimizer, 2, 7).lr_lambdas[:1]
    losses = []
    for number, parts in enumerate(table.parts):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * factor(number + 1)  # theirs has a step at a rate of zero first
        optimizer.zero_grad()
        x, labels = (torch.from_numpy(np.concatenate([part[name] for part in parts])) for name in ("x", "labels"))
        known = labels != IGNORED
        each = cross_entropy(plain(x)[known], labels[known], reduction="none")
        scale = torch.from_numpy(np.concatenate([part["weights"] for part in parts]))[known] if weights else 1.0
        loss = (each * scale).sum() / (scale.sum() if weights else known.sum())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        optimizer.step()
        losses.append(loss.item())
    assert torch.allclose(model.linear.weight, plain.weight, atol=1e-6)
    assert torch.allclose(model.linear.bias, plain.bias, atol=1e-6)
    assert result.state.step == 6
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [event["loss"] for event in events if "loss" in event] == pytest.approx(losses, abs=2e-6)


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.1), (2, 0.5), (10, 0.0), (10, 0.1), (97, 0.06), (50, 1.0)])
def test_the_rate_rises_to_its_peak_and_falls_to_nothing(steps, warmup):
    rates = [schedule(step, steps, warmup) for step in range(steps)]
    peak = rates.index(max(rates))
    assert max(rates) == 1.0
    assert peak == max(1, round(steps * warmup)) - 1
    assert all(rate > 0 for rate in rates)
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])


@pytest.mark.parametrize(("last", "best"), [(0.6, 2), (0.7, 5), (math.nan, 2)])
def test_the_best_weights_are_left_of_equal_ones_the_last(tmp_path, process, last, best):
    seen = []
    table = Table([[4]] * 5)
    scores = iter([0.1, 0.7, 0.3, math.nan, last])
    model = Regression()

    def score():
        seen.append(model.linear.weight.detach().clone())
        return {"score": next(scores)}

    validation = Validation(scores=score, metric="score", every_steps=1)
    result = train(model, table, CONFIG, process, run=tmp_path, validation=validation, title="test", quiet=True)
    assert result.state.best_step == best
    assert torch.equal(model.linear.weight, seen[best - 1])
    np.testing.assert_array_equal(result.tensors["linear.weight"], seen[best - 1].numpy())


@pytest.mark.parametrize(
    ("scores", "rows", "kept"),
    [
        ([0.5, 0.8, 0.6, 0.7, 0.69], 17, 2),  # one standard error is 0.097
        ([0.5, 0.8, 0.6, 0.7, 0.69], 15, 4),  # 0.103
        ([0.5, 0.8, 0.6, 0.7, 0.69], 13, 5),  # 0.111
        (
            [0.75, 0.6, 0.9, 0.7],
            25,
            3,
        ),  # the first is within reach of the best so far, and then of a better one no more
        ([1.0, 0.9, 0.9], 100, 1),  # a faultless score has no error
        ([0.0, math.nan, 0.0], 4, 3),
        ([math.nan, math.nan], 4, 1),
    ],
)
def test_of_scores_within_one_standard_error_the_latest_is_kept(tmp_path, process, scores, rows, kept):
    validation = judged(scores, rows=rows)
    _, result = run(tmp_path, process, Table([[4]] * len(scores)), validation=validation)
    assert result.state.best_step == kept
    assert not result.state.best_score or result.state.best_score == np.nanmax([*scores, -math.inf])


def test_patience_ends_a_run(tmp_path, process):
    _, result = run(tmp_path, process, Table([[4]] * 9), validation=judged([3, 2, 1, 1, 1, 0, 0], sign=-1, patience=2))
    assert (result.state.step, result.state.best_step, result.state.stopped_early) == (5, 5, True)


def test_a_run_that_never_scores_keeps_its_first_validation(tmp_path, process):
    _, result = run(tmp_path, process, Table([[4]] * 3), validation=judged([math.nan] * 3))
    assert result.state.best_step == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_heeded_after_the_step_with_a_checkpoint(tmp_path, process, number):
    table = Table([[4]] * 9)

    class Signalled(Regression):
        def forward(self, batch):
            if batch["x"] is not None and not any(tmp_path.glob("checkpoints/*")):
                signal.raise_signal(number)
            return super().forward(batch)

    before = signal.getsignal(number)
    with pytest.raises(
        Stopped, match=r"at step 1 of 9; a checkpoint was saved\. Repeat the command with --resume"
    ) as end:
        train(Signalled(), table, CONFIG, process, run=tmp_path, validation=unjudged(), title="test", quiet=True)
    assert end.value.exit_status == 128 + number
    assert signal.getsignal(number) is before
    model, _ = run(tmp_path, process, table)
    undisturbed, _ = run(tmp_path / "..", process, table)
    assert torch.equal(model.linear.weight, undisturbed.linear.weight)


def test_a_run_outside_the_main_thread_leaves_signals_alone(tmp_path, process):
    ended = []
    thread = threading.Thread(target=lambda: ended.append(run(tmp_path, process, Table([[4]] * 2))))
    thread.start()
    thread.join()
    assert ended


def test_two_checkpoints_are_kept_and_nothing_else(tmp_path, process):
    folder = tmp_path / "checkpoints"
    (folder / ".step-2.new").mkdir(parents=True)  # what a killed process left
    (folder / "notes").write_text("mine")
    run(tmp_path, process, Table([[4]] * 7), replace(CONFIG, checkpoint_steps=2))
    assert sorted(path.name for path in folder.iterdir()) == ["notes", "step-4", "step-6"]


def stopped_run(tmp_path, process):
    table = Table([[3, 2]] * 8)
    config = replace(CONFIG, checkpoint_steps=2)
    for name in ("whole", "undisturbed"):
        (tmp_path / name).mkdir()
    run(tmp_path / "whole", process, table, config)
    model, _ = run(tmp_path / "whole", process, table, config)  # resumes its last checkpoint, at the end
    undisturbed, _ = run(tmp_path / "undisturbed", process, table, replace(config, checkpoint_steps=0))
    assert torch.equal(model.linear.weight, undisturbed.linear.weight)
    return table, config, undisturbed


def test_a_damaged_checkpoint_is_said_and_the_one_before_it_used(tmp_path, process, capsys):
    table, config, undisturbed = stopped_run(tmp_path, process)
    last = tmp_path / "whole" / "checkpoints" / "step-8"
    path = last / "optimizer.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    state, _ = checkpoint.newest(tmp_path / "whole", lambda line: None)
    assert state.step == 6
    model, _ = run(tmp_path / "whole", process, table, config)
    assert "checkpoint step-8 is passed over: " in capsys.readouterr().err
    assert torch.equal(model.linear.weight, undisturbed.linear.weight)
    state, _ = checkpoint.newest(tmp_path / "whole", pytest.fail)
    assert state.step == 8  # the damaged one was replaced


def test_a_later_damaged_checkpoint_does_not_push_out_a_good_one(tmp_path, process):
    table, config, _ = stopped_run(tmp_path, process)
    (tmp_path / "whole" / "checkpoints" / "step-8" / "checkpoint.json").write_bytes(b"")
    run(tmp_path / "whole", process, table, replace(config, checkpoint_steps=7))
    steps = {path.name for path in (tmp_path / "whole" / "checkpoints").iterdir()}
    assert steps == {"step-6", "step-7"}


def test_a_damaged_log_is_said_and_changes_nothing(tmp_path, process, capsys):
    table, config, undisturbed = stopped_run(tmp_path, process)
    log = tmp_path / "whole" / "log.jsonl"
    log.write_bytes(b"[" + log.read_bytes()[1:])
    model, _ = run(tmp_path / "whole", process, table, config)
    assert f"{log} is damaged or was changed" in capsys.readouterr().err
    assert torch.equal(model.linear.weight, undisturbed.linear.weight)


def test_a_log_that_cannot_be_written_ends_the_run(tmp_path, process):
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(StorageError, match=r"log\.jsonl could not be written"):
        run(tmp_path, process, Table([[4]]))
