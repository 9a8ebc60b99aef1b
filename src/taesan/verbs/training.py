"""How `fit` trains: a task's rows, by a method on a backbone, into what a model folder holds."""

import contextlib
import re
import resource
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from taesan import store
from taesan.config import FitConfig
from taesan.engine.batches import Batch, EpochBatches, pack, pad
from taesan.engine.infer import Predictor
from taesan.engine.objectives import packing_leaks
from taesan.engine.process import Process
from taesan.engine.session import TorchSession
from taesan.engine.train import Result, Validation
from taesan.engine.train import train as train_loop
from taesan.errors import TaesanError, UsageError, escape
from taesan.methods.base import Adapted, Adapter, Additions, Method, adapt
from taesan.methods.defaults import with_defaults
from taesan.models.adapters import FILES as ADAPTER_FILES
from taesan.models.adapters import adapter_config, head_arrays
from taesan.models.backbone import Backbone, config_bytes, model_arrays
from taesan.models.last_layer import train_first_token_only
from taesan.tasks.base import IGNORED, Encoded, EncodeOptions, Example, Item, Task
from taesan.tasks.cloze import Cloze
from taesan.tasks.templates import is_word
from taesan.text.tokenizer import Tokenizer
from taesan.verbs.attempts import attempt_folder, attempts_of, floor_of, read_tried, write_tried

Say = Callable[[str], None]
PACKED_TOKENS = 256  # texts of a row that a language model learns from; longer rows cost more attention
COMMON_IDS = 5000  # of the vocabulary, where virtual tokens are drawn from (Lester et al. 2021, section 3.2)


@dataclass(frozen=True)
class Rows:
    """The rows as they are used. `test` is never used to choose anything."""

    train: list[Example]
    validation: list[Example]
    test: list[Example]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Trained:
    """`details` are what the manifest says of the training."""

    predictor: Predictor
    adapted: Adapted
    config: FitConfig
    additions: Additions
    details: dict[str, Any]


def resolved(config: FitConfig, task: Task, method: str, base: Backbone, rows: int, *, from_scratch: bool) -> FitConfig:
    """Every setting that was left to the defaults."""
    return replace(
        with_defaults(
            config,
            head=task.head,
            method=method,
            width=base.config.hidden_size,
            rows=rows,
            from_scratch=from_scratch,
        ),
        threads=config.threads or torch.get_num_threads(),
        max_length=_max_length(config, base),
    )


def learn(
    task: Task,
    method: Method,
    base: Backbone,
    data: Rows,
    config: FitConfig,
    process: Process,
    folder: Path,
    say: Say,
    *,
    from_scratch: bool,
    quiet: bool,
) -> Trained:
    """Trains until something is learnt, or the method's ways to begin are used up; the best weights are in the model.

    A way that has not moved from the best constant answer after `config.notice` of its steps is given up and said.
    """
    tokenizer = base.tokenizer
    room = config.max_length - method.room_tokens(Additions.of(config))
    if room < 8:
        raise UsageError(
            f"virtual_tokens is {config.virtual_tokens}; of {config.max_length} tokens too few are left for a text"
        )
    options = EncodeOptions(max_length=room, long_text="windows" if task.windowed else config.long_text)
    learnt = task.learn(data.train, data.labels, tokenizer)
    encoded = task.encode(data.train, tokenizer, learnt, options)
    _say_cut(encoded, options, task, say)
    choices, mask_id = (task.choices(tokenizer), task.mask_id(tokenizer)) if isinstance(task, Cloze) else ((), None)
    constant = task.constant(data.validation)
    floor = floor_of(constant, len(data.validation), config)
    tried, attempts = read_tried(folder), attempts_of(method, config)
    say(
        f"{task.name} by {method.name} of {'the shape of ' if from_scratch else ''}{base.name}: {len(data.train):,} "
        f"rows to train on, {len(data.validation):,} to choose by"
        f"{f', {len(data.labels)} labels' if data.labels else ''}; {config.epochs:g} epochs"
    )
    while True:
        number = len(tried)
        attempt, last = attempts[number], number == len(attempts) - 1
        settings = replace(
            config, learning_rate=config.learning_rate * attempt.rate, initialization=attempt.initialization
        )
        virtual = method.room_tokens(Additions.of(config))
        additions = Additions.of(settings, _initial_ids(settings, tokenizer, task, data.labels) if virtual else ())
        how: dict[str, Any] = {"from_scratch": from_scratch, "seed": config.seed, "whole": task.head == "choice"}
        model = base.load(task.head, labels=task.outputs(learnt), **how)
        packed = task.head == "language_model" and not virtual and not packing_leaks(model)
        if task.head == "sequence" and not virtual:  # else the first token is not the text's
            train_first_token_only(model)
        with refused_by_name(f"{method.name} cannot be added to {escape(base.name)}, a {base.config.model_type}"):
            adapted = adapt(method, model, additions, choices=choices, mask_id=mask_id)
            if virtual:
                _probe(adapted, additions)
        predictor = Predictor(task, TorchSession(adapted, process.device), tokenizer, learnt, options)
        start = f"; virtual tokens begin as {attempt.initialization}" if virtual else ""
        say(f"learning rate {settings.learning_rate:g}{start}")
        result = _train(
            adapted,
            encoded,
            data,
            predictor,
            settings,
            process,
            attempt_folder(folder, number),
            packed=packed,
            quiet=quiet,
            floor=None if last or floor is None else floor * task.sign,
        )
        best = (result.state.best_score or 0.0) * task.sign
        moved = floor is None or best > floor
        tried.append(
            {
                "initialization": attempt.initialization if virtual else "",
                "learning_rate": settings.learning_rate,
                "steps": result.state.step,
                "seconds": round(result.state.seconds, 1),
                task.metric: best,
                "constant": constant,
                "learnt": moved,
            }
        )
        if not moved:
            say(
                f"nothing was learnt: {task.metric} {best:.4f} after {result.state.step:,} steps, where the best "
                f"constant answer has {constant:.4f}"
                + ("" if len(attempts) == 1 else "; no other way to begin is left" if last else "; begun anew")
            )
        if moved or last:
            break
        if process.is_main:
            write_tried(folder, tried)
        process.wait()
    if len(tried) > 1 and tried[-1]["learnt"]:
        say(f"learnt at attempt {len(tried)} of {len(attempts)}")
    predictor.learnt = task.tune(data.validation, list(predictor.predict(data.validation)), learnt)
    details = {
        "best_step": result.state.best_step,
        "steps": result.state.step,
        "seconds": round(sum(one["seconds"] for one in tried), 1),  # what was given up was paid for too
        "peak_memory_bytes": peak_memory_bytes(),
        "parameters": sum(parameter.numel() for parameter in adapted.parameters()),
        "trained_parameters": sum(p.numel() for p in adapted.parameters() if p.requires_grad),
        "attempts": tried,
    }
    return Trained(predictor, adapted, settings, additions, details)


def peak_memory_bytes() -> int:
    """The most that this process has held at once, whatever it has done so far."""
    # On Linux the resource usage of a process begins at the peak of the one that started it; its status does not.
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        if (found := re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)) is not None:
            return 1024 * int(found[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def model_files(base: Backbone, trained: Trained, method: Method) -> dict[str, store.Content]:
    """What the folder holds of the model: all of it, or what was added to the backbone."""
    task = trained.predictor.task
    files: dict[str, store.Content] = {}
    if isinstance(task, Cloze):
        files["template.toml"] = task.template.toml(task.words)
    if isinstance(method, Adapter):
        head, encoder = trained.adapted.head, trained.adapted.encoder
        own = method.peft_config(encoder, trained.additions)
        arrays = method.arrays(encoder, head.prefix) | head_arrays(head, own)
        config = adapter_config(own, head, kind=task.head, masked=base.kind == "masked", backbone=base.name)
        return files | {ADAPTER_FILES[0]: config, ADAPTER_FILES[1]: store.tensor_chunks(arrays, {"format": "pt"})}
    with trained.adapted.whole() as model:
        model.config.architectures = [type(model).__name__]
        config, weights = config_bytes(model), model_arrays(model)
    tokenizer = Tokenizer.from_bytes(base.tokenizer_files, base.name)
    return files | {
        "config.json": config,
        "model.safetensors": store.tensor_chunks(weights, {"format": "pt"}),
        **tokenizer.files(max_length=trained.config.max_length, token_types=base.token_types),
    }


def check_words(words: Mapping[str, str], choices: Sequence[tuple[int, ...]], base: Backbone) -> None:
    """Raises: UsageError for a word that the vocabulary does not have, or cannot tell from another."""
    for label, own in zip(words, choices, strict=True):
        # In a trained prompt a word is the mean over its tokens, whatever their order.
        same = (
            other for other, its in zip(words, choices, strict=True) if other != label and sorted(its) == sorted(own)
        )
        twin = next(same, None)
        unknown = not own or (base.kind == "masked" and base.tokenizer.unknown_id in own)
        if unknown or twin is not None:
            why = "is not in its vocabulary" if unknown else f"reads as that of {escape(twin)}"
            raise UsageError(
                f"the word {escape(words[label])} for the label {escape(label)} {why}, says {escape(base.name)}; name "
                f"another: --label-words {escape(label)}=…"
            )


def refuse_without_mask(base: Backbone) -> None:
    """Raises: UsageError for a masked backbone that has no blank to fill."""
    if base.kind == "masked" and base.tokenizer.mask_id is None:
        raise UsageError(f"the tokenizer of {escape(base.name)} names no mask token, so there is no blank to fill")


def warn_of_labels(words: dict[str, str], say: Say) -> None:
    """A language model cannot know what a label means that is no word."""
    bare = [word for word in words.values() if not is_word(word)]
    if bare:
        shown = ",".join(f"{escape(label)}=…" for label in words)
        say(
            f"WARNING: {', '.join(map(escape, bare))} say nothing to a language model. Give each label a word: "
            f"--label-words {shown}"
        )


@contextlib.contextmanager
def refused_by_name(what: str) -> Iterator[None]:
    """Whatever an architecture says in here that cannot do what it is asked becomes a UsageError; ours stay."""
    try:
        yield
    except TaesanError:
        raise
    except Exception as error:  # transformers and torch have no common word for it
        raise UsageError(f"{what}: {escape(error)}. Take --method finetune.") from error


def _probe(adapted: Adapted, additions: Additions) -> None:
    """A backbone is asked once whether it takes virtual tokens."""
    ids = torch.tensor([[*additions.initial_ids][:3]])
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    with torch.no_grad():
        hidden = adapted.encoder(batch)
    if hidden.shape[:2] != ids.shape:
        raise ValueError(f"its hidden states are of shape {tuple(hidden.shape)}")


def _initial_ids(config: FitConfig, tokenizer: Tokenizer, task: Task, labels: tuple[str, ...]) -> tuple[int, ...]:
    """As many ids as there are virtual tokens, of a text or the labels' words over and over, or drawn."""
    count = config.virtual_tokens
    if config.initialization == "vocabulary":
        known = [i for i in range(min(COMMON_IDS, tokenizer.vocabulary_size)) if i not in tokenizer.control_ids]
        return tuple(np.random.default_rng((config.seed, 7)).choice(known, count).tolist())
    words = task.words.values() if isinstance(task, Cloze) else labels
    text = config.initial_text if config.initialization == "text" else " ".join(words) or task.name
    ids = tokenizer.ids([text])[0].tolist()
    if not ids:
        raise UsageError("initial_text is empty; expected the text that virtual tokens begin as")
    return tuple((ids * -(-count // len(ids)))[:count])


def _max_length(config: FitConfig, base: Backbone) -> int:
    if config.max_length > base.max_length:
        raise UsageError(
            f"max_length is {config.max_length}; {escape(base.name)} reads at most {base.max_length} tokens"
        )
    if 0 < config.max_length < 8:
        raise UsageError(f"max_length is {config.max_length}; expected at least 8")
    return config.max_length or base.max_length


def _say_cut(encoded: Sequence[Encoded], options: EncodeOptions, task: Task, say: Say) -> None:
    lost = sum(one.lost for one in encoded)
    if lost:
        say(f"{lost:,} labels cannot be learnt: they share a token with another, or are longer than half a window")
    cut = sum(one.cut for one in encoded)
    if cut:
        ways = {
            "head": "only their head is read",
            "head-tail": "their head and tail are read",
            "windows": "they are read in overlapping windows",
        }
        say(
            f"{cut:,} of {len(encoded):,} texts are longer than {options.max_length} tokens: {ways[options.long_text]}"
            + ("" if task.windowed else " (--set long_text=head, head-tail or windows)")
        )


def _train(
    adapted: Adapted,
    encoded: list[Encoded],
    data: Rows,
    predictor: Predictor,
    config: FitConfig,
    process: Process,
    folder: Path,
    *,
    packed: bool,
    quiet: bool,
    floor: float | None,
) -> Result:
    task = predictor.task
    items = [item for one in encoded for item in one.items]
    lengths = np.array([len(item.input_ids) for item in items], dtype=np.int32)
    if packed:
        groups = pack(lengths, PACKED_TOKENS, config.seed)
        lengths = np.array([lengths[group].sum() for group in groups], dtype=np.int32)
        collate = _collate_packed(items, groups, predictor.tokenizer.pad_id)
    else:
        collate = collate_items(items, predictor.tokenizer.pad_id, _class_weights(items, config, task))
    batches = EpochBatches(
        lengths,
        collate,
        budget_tokens=config.batch_tokens,
        accumulation=config.accumulation,
        seed=config.seed,
        epochs=config.epochs,
    )

    folder.mkdir(exist_ok=True)

    def scores() -> dict[str, float]:
        return task.scores(data.validation, list(predictor.predict(data.validation)), predictor.learnt)

    return train_loop(
        adapted,
        batches,
        config,
        process,
        run=folder,
        validation=Validation(
            scores=scores,
            metric=task.metric,
            sign=task.sign,
            rows=len(data.validation) if task.sign > 0 else 0,
            every_steps=max(1, round(batches.steps_per_epoch / config.validations)),
            patience=config.patience,
            floor=floor,
            floor_step=round(config.notice * batches.steps),
        ),
        title="fit",
        quiet=quiet,
    )


def collate_items(
    items: list[Item], pad_id: int, weights: NDArray[np.float32] | None
) -> Callable[[NDArray[np.int64], np.random.Generator], Batch]:
    def collate(rows: NDArray[np.int64], _random: np.random.Generator) -> Batch:
        part = [items[int(row)] for row in rows]
        ids = [item.input_ids for item in part]
        if part[0].labels.ndim:
            labels = pad([item.labels for item in part], IGNORED)
        else:
            labels = np.array([item.labels for item in part])
        batch: Batch = {
            "input_ids": pad(ids, pad_id),
            "token_type_ids": pad([item.token_type_ids for item in part], 0),
            "attention_mask": pad([np.ones_like(one) for one in ids], 0),
            "labels": labels,
        }
        if weights is not None:
            batch["weights"] = np.where(labels == IGNORED, np.float32(0), weights[labels])
        return batch

    return collate


def _collate_packed(
    items: list[Item], groups: list[NDArray[np.int64]], pad_id: int
) -> Callable[[NDArray[np.int64], np.random.Generator], Batch]:
    """The same for groups of items in one row; their positions tell them apart."""

    def collate(rows: NDArray[np.int64], _random: np.random.Generator) -> Batch:
        parts = [[items[int(place)] for place in groups[int(row)]] for row in rows]
        return {
            "input_ids": pad([np.concatenate([item.input_ids for item in part]) for part in parts], pad_id),
            "labels": pad([np.concatenate([item.labels for item in part]) for part in parts], IGNORED),
            "position_ids": pad([np.concatenate([np.arange(len(i.input_ids)) for i in part]) for part in parts], 0),
        }

    return collate


def _class_weights(items: list[Item], config: FitConfig, task: Task) -> NDArray[np.float32] | None:
    """Rows over classes times the class's rows, as scikit-learn's `balanced`."""
    if config.class_weights == "none":
        return None
    if task.head not in ("sequence", "choice", "token"):
        raise UsageError(f"class_weights is {config.class_weights}; {task.name} has no classes. Leave it out.")
    labels = np.concatenate([item.labels.ravel() for item in items])
    counts = np.bincount(labels[labels != IGNORED])
    return (counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))).astype(np.float32)
