"""THE loop. Pretraining and fitting share it; it knows neither: a model that sums a loss, batches, a validation."""

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from taesan.config import LoopConfig
from taesan.engine import checkpoint
from taesan.engine.batches import Batch, Batches
from taesan.engine.board import Board
from taesan.engine.checkpoint import Log, State, Tensors
from taesan.engine.process import Process
from taesan.errors import Stopped
from taesan.progress import Progress

IGNORED = -100


@dataclass(frozen=True, kw_only=True)
class Validation:
    """How a run is judged: `scores()` now and then, the higher `scores()[metric]` the better (lower: `sign` -1).

    Where the metric is a share of so many `rows`, they cannot tell scores apart that one standard error lies between:
    of those the latest weights are kept. A run whose best is not above `floor` (times `sign`) at a validation from
    `floor_step` on is given up.
    """

    scores: Callable[[], dict[str, float]]
    metric: str
    every_steps: int
    sign: int = 1
    patience: int = 0
    keep_best: bool = True
    rows: int = 0
    floor: float | None = None
    floor_step: int = 0


@dataclass(frozen=True)
class Result:
    """What a run came to. `seconds` counts earlier parts of a resumed run too; `tensors` are the weights kept."""

    state: State
    tensors: Tensors


def train(
    model: nn.Module,
    batches: Batches,
    config: LoopConfig,
    process: Process,
    *,
    run: Path,
    validation: Validation,
    title: str,
    quiet: bool = False,
) -> Result:
    """Trains `model`, whose forward gives a batch's summed loss, and leaves the weights of the best validation in it.

    The mean is taken over the true count of labels in the whole step: over micro-batches and over processes.
    Randomness is drawn anew from (seed, step, rank) at every step, so a resumed run is the undisturbed one.
    Raises: Stopped after a signal, with a checkpoint saved; StorageError.
    """
    optimizer = _optimizer(model, config)
    state, best = State(), None
    resumed = checkpoint.newest(run, lambda line: print_line(line, process))
    if resumed is not None:
        state, tensors = resumed
        _restore(model, optimizer, tensors, state)
        best = tensors.get("best")
    wrapped, prepared = process.accelerator.prepare(model, optimizer)
    _restore_scaler(process, state)
    log = None
    if process.is_main:
        board = Board(config.tensorboard, state.step) if config.tensorboard else None
        log = Log(run / "log.jsonl", state, lambda line: print_line(line, process), board)
    begun = saved = time.monotonic()
    earlier_seconds = state.seconds
    progress = Progress(
        title, total=batches.steps, unit="steps", start=state.step, enabled=process.is_main and not quiet
    )
    with progress, log or contextlib.nullcontext(), _signals() as stop_signal:
        while state.step < batches.steps and not state.stopped_early:
            _seed(config.seed, state.step, process.rank)
            micro_batches = batches.step(state.step)
            count = max(sum(_count(batch) for batch in micro_batches), 1e-9)
            wrapped.train()
            loss = 0.0
            for index, batch in enumerate(micro_batches):
                last = index == len(micro_batches) - 1
                with contextlib.nullcontext() if last else process.accelerator.no_sync(wrapped):
                    total = wrapped(_tensors(_own(batch, process), process.device))
                    # DDP takes the mean over processes; the sum over them is what we divide by the count.
                    process.accelerator.backward(total * (process.count / count))
                loss += float(total.detach())
            if config.gradient_clip:
                process.accelerator.clip_grad_norm_(wrapped.parameters(), config.gradient_clip)
            rate = config.learning_rate * schedule(state.step, batches.steps, config.warmup)
            for group in prepared.param_groups:
                group["lr"] = rate
            prepared.step()
            prepared.zero_grad()
            state.step += 1
            loss = process.total(loss) / count
            progress.advance(note=f"loss {loss:.3f}")
            if log:
                log.write(step=state.step, loss=round(loss, 6), learning_rate=rate, labels=count)
            if state.step % validation.every_steps == 0 or state.step == batches.steps:
                scores = process.share(validation.scores() if process.is_main else None) or {}
                better = _judge(state, validation, scores[validation.metric] * validation.sign)
                if better and validation.keep_best:
                    best = _arrays(process.unwrap(wrapped))
                if log:
                    log.write(step=state.step, validation=scores, best=better)
                    progress.say(_report(state.step, batches.steps, scores))
            state.seconds = earlier_seconds + time.monotonic() - begun
            stopped = process.share(stop_signal())
            if stopped or process.share(_due(config, state.step, time.monotonic() - saved)):
                if log:
                    log.sync(state)
                    _save(run, process.unwrap(wrapped), prepared, best, state, process)
                process.wait()
                saved = time.monotonic()
            if stopped:
                raise Stopped(
                    f"stopped by signal {stopped} at step {state.step} of {batches.steps}; a checkpoint was saved. "
                    "Repeat the command with --resume to go on.",
                    signal_number=stopped,
                )
    final = process.unwrap(wrapped)
    if best is not None:
        _load(final, best)
    return Result(state, _arrays(final))


def schedule(step: int, steps: int, warmup: float) -> float:
    """Linear rise over the first `warmup` of the steps, linear fall to zero at the end; 0 < factor <= 1."""
    rise = max(1, round(steps * warmup))
    return min((step + 1) / rise, (steps - step) / max(1, steps - rise + 1), 1.0)


def print_line(line: str, process: Process) -> None:
    Progress("", enabled=process.is_main).say(line)


def _optimizer(model: nn.Module, config: LoopConfig) -> torch.optim.AdamW:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=(0.9, config.beta2),
        eps=1e-8,
        fused=True,
    )


def _seed(seed: int, step: int, rank: int) -> None:
    words = np.random.SeedSequence((seed, step, rank, 2)).generate_state(2, np.uint32)
    torch.manual_seed(int(words[0]) << 32 | int(words[1]))


def _count(batch: Batch) -> float:
    if "weights" in batch:
        return float(batch["weights"].sum())
    labels = batch["labels"]
    if labels.ndim == 3:  # one start and one end a row
        return float((labels == 1).any(axis=1).sum())
    return float((labels != IGNORED).sum())


def _own(batch: Batch, process: Process) -> Batch:
    """This process's rows; where a batch has fewer rows than there are processes, a row without labels."""
    if process.count == 1:
        return batch
    rows = len(batch["labels"])
    own = {name: array[process.part(rows)] for name, array in batch.items()}
    if process.rank >= rows:
        own = {name: array[:1] for name, array in batch.items()}
        own["labels"] = np.full_like(own["labels"], IGNORED)
        if "weights" in own:
            own["weights"] = np.zeros_like(own["weights"])
    return own


def _tensors(batch: Batch, device: torch.device) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in batch.items()}


def _judge(state: State, validation: Validation, score: float) -> bool:
    """Notes a validation in the state: whether its weights are to be kept, and whether patience has run out.

    Of equally good ones the later is the better: the learning rate has fallen since (docs/lab.md).
    """
    if math.isnan(score):
        score = -math.inf
    gain = state.best_score is None or score > state.best_score
    best = state.best_score = max(score, -math.inf if state.best_score is None else state.best_score)
    error = math.sqrt(best * (1 - best) / validation.rows) if validation.rows and 0 <= best <= 1 else 0.0
    better = gain or -math.inf < best - error <= score
    if better:
        state.best_step = state.step
    state.validations_without_gain = 0 if gain else state.validations_without_gain + 1
    impatient = 0 < validation.patience <= state.validations_without_gain
    low = validation.floor is not None and (state.best_score is None or state.best_score <= validation.floor)
    state.stopped_early = impatient or (low and state.step >= validation.floor_step)
    return better


def _report(step: int, steps: int, scores: dict[str, float]) -> str:
    shown = "  ".join(f"{name} {value:.4f}" for name, value in scores.items())
    return f"step {step:,}/{steps:,}  {shown}"


def _due(config: LoopConfig, step: int, seconds: float) -> bool:
    by_steps = config.checkpoint_steps > 0 and step % config.checkpoint_steps == 0
    return by_steps or (config.checkpoint_seconds > 0 and seconds >= config.checkpoint_seconds)


# Tensors of a run, by name, as NumPy arrays -------------------------------------------------------------------------


def _arrays(model: nn.Module) -> Tensors:
    """A copy of every trained parameter. Tied parameters stand once, under their first name."""
    return {
        name: parameter.detach().cpu().numpy().copy()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def _load(model: nn.Module, tensors: Tensors) -> None:
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, array in tensors.items():
            parameters[name].copy_(torch.from_numpy(array))


def _save(run: Path, model: nn.Module, prepared: Any, best: Tensors | None, state: State, process: Process) -> None:
    optimizer: torch.optim.Optimizer = prepared.optimizer
    moments: Tensors = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            moments[f"{key}.{name}"] = value.detach().cpu().numpy()
    scaler = process.accelerator.scaler
    state.scaler = scaler.state_dict() if scaler is not None else {}
    tensors = {"model": _arrays(model), "optimizer": moments}
    if best is not None:
        tensors["best"] = best
    checkpoint.save(run, state, tensors)


def _restore(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensors], state: State) -> None:
    _load(model, tensors["model"])
    parameters = dict(model.named_parameters())
    for name, array in tensors["optimizer"].items():
        key, parameter_name = name.split(".", 1)
        optimizer.state[parameters[parameter_name]][key] = torch.from_numpy(array.copy())


def _restore_scaler(process: Process, state: State) -> None:
    if process.accelerator.scaler is not None and state.scaler:
        process.accelerator.scaler.load_state_dict(state.scaler)


# Signals ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[], int]]:
    """Within, SIGINT and SIGTERM are noted instead of ending the process; a second one ends it at once."""
    received: list[int] = []

    def note(number: int, _frame: Any) -> None:
        if received:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        received.append(number)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: the caller's signals are not ours
        yield lambda: 0
        return
    try:
        yield lambda: received[0] if received else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
