"""`taesan fit TASK TRAIN --output DIR`: a labelled file in, a model folder out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from taesan import store
from taesan.config import FitConfig
from taesan.data import Report, check_same_file, shared_positions
from taesan.engine.batches import Batch, EpochBatches, pack, pad
from taesan.engine.infer import Predictor
from taesan.engine.objectives import packing_leaks
from taesan.engine.process import Process
from taesan.engine.run import Run
from taesan.engine.session import TorchSession
from taesan.engine.train import Validation
from taesan.engine.train import train as train_loop
from taesan.errors import UsageError, escape
from taesan.methods import METHODS, refuse_combination
from taesan.methods.base import Adapted, adapt
from taesan.methods.defaults import with_defaults
from taesan.models.backbone import Backbone, config_bytes, find, model_arrays
from taesan.models.last_layer import train_first_token_only
from taesan.models.locate import default_backbone
from taesan.progress import Progress
from taesan.tasks.base import IGNORED, Encoded, EncodeOptions, Evaluation, Example, Item, Task
from taesan.text.tokenizer import Tokenizer
from taesan.verbs.card import model_card
from taesan.verbs.reading import Source, file_record, find_task, lookup, read_examples

Say = Callable[[str], None]
PACKED_TOKENS = 256  # texts of a row that a language model learns from; longer rows cost more attention


@dataclass(frozen=True)
class Fitted:
    """What `fit` made: the folder, and how well it does on held-out rows and on the test file, if one was given."""

    folder: Path
    validation: Evaluation
    test: Evaluation | None
    seconds: float


@dataclass(frozen=True)
class _Data:
    """The rows as they are used. `test` is never used to choose anything."""

    train: list[Example]
    validation: list[Example]
    test: list[Example]
    labels: tuple[str, ...]


def fit(
    task: str,
    train: str | Path,
    *,
    output: str | Path,
    validation: str | Path | None = None,
    test: str | Path | None = None,
    backbone: str | None = None,
    method: str = "finetune",
    from_scratch: bool = False,
    config: FitConfig | None = None,
    resume: bool = False,
    overwrite: bool = False,
    drop_overlap: bool = False,
    encoding: str = "utf-8",
    columns: Mapping[str, str] | None = None,
    quiet: bool = False,
) -> Fitted:
    """A model that answers `task`, learnt from the rows of `train`, in the folder `output`.

    Rows to choose the checkpoint by are held out of `train` unless `validation` names a file; `test` is measured once,
    at the end. Without a `backbone` it is the embedded one that fits the task. Raises: UsageError, DataError,
    InputMissing, OutputError, LockedError, StorageError; Stopped after a signal, with a checkpoint saved.
    """
    config = config or FitConfig()
    the_task, the_method = find_task(task), lookup(METHODS, method, "method")
    backbone = backbone or default_backbone(the_task.head)
    process = Process(device=config.device, precision=config.precision, threads=config.threads)
    say = Progress("", enabled=process.is_main and not quiet).say
    data = _read(
        the_task, train, validation, test, Source(encoding, columns or {}), config, drop_overlap=drop_overlap, say=say
    )
    base = find(backbone)
    refuse_combination(the_task, the_method, backbone, base.kind)
    if (base.path / store.MANIFEST).exists():  # one of ours: a damaged one is refused before anything is learnt from it
        store.Folder(base.path).read_all()
    config = replace(
        with_defaults(
            config,
            head=the_task.head,
            width=base.config.hidden_size,
            rows=len(data.train),
            from_scratch=from_scratch,
        ),
        threads=config.threads or torch.get_num_threads(),
        max_length=_max_length(config, base),
    )
    named = {"train": train, "validation": validation, "test": test}
    files = {name: file_record(path) for name, path in named.items() if path is not None}
    identity = {
        "verb": "fit",
        "task": task,
        "method": method,
        "backbone": {"name": backbone, "sha256": base.sha256, "from_scratch": from_scratch},
        "config": asdict(config),
        "data": files,
        "drop_overlap": drop_overlap,
    }
    with Run(Path(output), identity, process, resume=resume, overwrite=overwrite) as run:
        options = EncodeOptions(
            max_length=config.max_length - the_method.room_tokens,
            long_text="windows" if the_task.windowed else config.long_text,
        )
        tokenizer = base.tokenizer
        learnt = the_task.learn(data.train, data.labels, tokenizer)
        encoded = the_task.encode(data.train, tokenizer, learnt, options)
        _say_cut(encoded, options, the_task, say)
        outputs = the_task.outputs(learnt)
        model = base.load(the_task.head, labels=outputs, from_scratch=from_scratch, seed=config.seed)
        packed = the_task.head == "language_model" and not packing_leaks(model)
        if the_task.head == "sequence" and not the_method.room_tokens:  # else the first token is not the text's
            train_first_token_only(model)
        adapted = adapt(the_method, model)
        session = TorchSession(adapted, process.device)
        predictor = Predictor(the_task, session, tokenizer, learnt, options)
        say(
            f"{task} by {method} of {'the shape of ' if from_scratch else ''}{backbone}: {len(data.train):,} rows to "
            f"train on, {len(data.validation):,} to choose by"
            f"{f', {len(data.labels)} labels' if data.labels else ''}; "
            f"learning rate {config.learning_rate:g}, {config.epochs:g} epochs"
        )
        result = _train(adapted, encoded, data, predictor, config, process, run.path, packed=packed, quiet=quiet)
        chosen_by = list(predictor.predict(data.validation))
        predictor.learnt = learnt = the_task.tune(data.validation, chosen_by, learnt)
        evaluations = {"validation": _evaluate(predictor, data.validation, config.seed)}
        if data.test:
            evaluations["test"] = _evaluate(predictor, data.test, config.seed)
        manifest = {
            "kind": "model",
            "task": task,
            "method": method,
            "labels": list(learnt.labels),
            "counts": dict(learnt.counts),
            "encode": asdict(options),
            "backbone": identity["backbone"],
            "config": asdict(config),
            "data": files,
            "rows": {"train": len(data.train), "validation": len(data.validation), "test": len(data.test)},
            "scores": {name: evaluation.as_dict()["scores"] for name, evaluation in evaluations.items()},
            "best_step": result.state.best_step,
            "steps": result.state.step,
            "seconds": round(result.state.seconds, 1),
            "parameters": sum(parameter.numel() for parameter in adapted.parameters()),
            "trained_parameters": sum(p.numel() for p in adapted.parameters() if p.requires_grad),
        }
        if process.is_main:
            run.finish(_files(base, adapted, manifest), manifest)
        process.wait()
    return Fitted(Path(output), evaluations["validation"], evaluations.get("test"), result.state.seconds)


def _read(
    task: Task,
    train: str | Path,
    validation: str | Path | None,
    test: str | Path | None,
    source: Source,
    config: FitConfig,
    *,
    drop_overlap: bool,
    say: Say,
) -> _Data:
    """The rows of all files, checked against each other; every error of every file in one go."""
    report = Report()
    for other in (validation, test):
        if other is not None:
            check_same_file(train, other, report)
    rows = list(read_examples(train, task, source, report))
    labels = task.labels(rows)
    task.check(rows, str(train), report)
    others = {
        str(path): list(read_examples(path, task, source, report, labels=labels or None))
        for path in (validation, test)
        if path is not None
    }
    for path, examples in others.items():
        task.check_overlap(rows, examples, str(train), path, report)
    if validation is not None and test is not None:
        check_same_file(validation, test, report)
        task.check_overlap(others[str(validation)], others[str(test)], str(validation), str(test), report)
    report.raise_for_errors()
    for warning in report.warnings:
        if warning.severity == "warning":  # notes are for `check`
            say(str(warning))
    if drop_overlap:
        dropped = set(shared_positions(rows, [example for examples in others.values() for example in examples]))
        rows = [example for position, example in enumerate(rows) if position not in dropped]
        say(f"{len(dropped):,} rows of {train} are left out because they are in the other files")
        labels = task.labels(rows)
    held_out = others.get(str(validation), [])
    if validation is None:
        if not 0 < config.validation_fraction < 1:
            raise UsageError(f"validation_fraction is {config.validation_fraction}; expected between 0 and 1")
        kept, held = task.split(rows, config.validation_fraction, config.seed)
        rows, held_out = [rows[i] for i in kept], [rows[i] for i in held]
        if not held_out:
            raise UsageError(f"{train} is too small to hold rows out: every label has one row. Add rows.")
    return _Data(rows, held_out, others.get(str(test), []), labels)


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
    data: _Data,
    predictor: Predictor,
    config: FitConfig,
    process: Process,
    folder: Path,
    *,
    packed: bool,
    quiet: bool,
) -> Any:
    task = predictor.task
    items = [item for one in encoded for item in one.items]
    lengths = np.array([len(item.input_ids) for item in items], dtype=np.int32)
    if packed:
        groups = pack(lengths, PACKED_TOKENS, config.seed)
        lengths = np.array([lengths[group].sum() for group in groups], dtype=np.int32)
        collate = _collate_packed(items, groups, predictor.tokenizer.pad_id)
    else:
        collate = _collate(items, predictor.tokenizer.pad_id, _class_weights(items, config, task))
    batches = EpochBatches(
        lengths,
        collate,
        budget_tokens=config.batch_tokens,
        accumulation=config.accumulation,
        seed=config.seed,
        epochs=config.epochs,
    )

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
            every_steps=max(1, round(batches.steps_per_epoch / config.validations)),
            patience=config.patience,
        ),
        title="fit",
        quiet=quiet,
    )


def _collate(
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
    if task.head not in ("sequence", "token"):
        raise UsageError(f"class_weights is {config.class_weights}; {task.name} has no classes. Leave it out.")
    labels = np.concatenate([item.labels.ravel() for item in items])
    counts = np.bincount(labels[labels != IGNORED])
    return (counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))).astype(np.float32)


def _evaluate(predictor: Predictor, examples: list[Example], seed: int) -> Evaluation:
    predictions = list(predictor.predict(examples))
    return predictor.task.evaluate(examples, predictions, predictor.learnt, seed=seed)


def _files(base: Backbone, adapted: Adapted, manifest: dict[str, Any]) -> dict[str, store.Content]:
    with adapted.whole() as model:
        model.config.architectures = [type(model).__name__]
        config, weights = config_bytes(model), model_arrays(model)
    tokenizer = Tokenizer.from_bytes(base.tokenizer_files, base.name)
    return {
        "config.json": config,
        "model.safetensors": store.tensor_chunks(weights, {"format": "pt"}),
        **tokenizer.files(max_length=manifest["config"]["max_length"], token_types=base.token_types),
        "README.md": model_card(manifest).encode(errors="backslashreplace"),
    }
