"""`taesan fit TASK TRAIN --output DIR`: a labelled file in, a model folder out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from taesan import store
from taesan.config import FitConfig
from taesan.data import Report, check_same_file, shared_positions
from taesan.engine.process import Process
from taesan.engine.run import Run
from taesan.errors import UsageError, escape
from taesan.methods import BASELINES, METHODS, refuse_combination, refuse_settings
from taesan.methods.base import Method
from taesan.methods.baseline import Baseline
from taesan.models.backbone import Backbone, find
from taesan.models.locate import default_backbone
from taesan.progress import Progress
from taesan.tasks.base import Evaluation, Example, Task
from taesan.tasks.classification import Classification
from taesan.tasks.cloze import Cloze
from taesan.verbs.asking import Wishes, ask_in_context, templates_for
from taesan.verbs.attempts import log_of
from taesan.verbs.baseline import learn_baseline
from taesan.verbs.card import model_card
from taesan.verbs.evaluate import measure
from taesan.verbs.reading import Source, file_record, find_task, lookup, read_examples
from taesan.verbs.training import (
    Rows,
    Say,
    check_words,
    learn,
    model_files,
    refuse_without_mask,
    resolved,
    warn_of_labels,
)


@dataclass(frozen=True)
class Fitted:
    """What `fit` made: the folder, and how well it does on held-out rows and on the test file, if one was given.

    In context there are held-out rows only where a file of them was given.
    """

    folder: Path
    validation: Evaluation | None
    test: Evaluation | None
    seconds: float


def fit(
    task: str,
    train: str | Path | None = None,
    *,
    output: str | Path,
    validation: str | Path | None = None,
    test: str | Path | None = None,
    backbone: str | None = None,
    method: str = "finetune",
    from_scratch: bool = False,
    labels: Sequence[str] = (),
    label_words: Mapping[str, str] | None = None,
    templates: str | Path | None = None,
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
    at the end. Without a `backbone` it is the embedded one that fits the task and the method; a baseline has none.

    Where labels are asked for as words (`prompt`, `in-context`), `label_words` says which word stands for a label, and
    `templates` names a file of the user's own. In context `train` may be left out: then `labels` names the label set.
    Raises: UsageError, DataError, InputMissing, OutputError, LockedError, StorageError; Stopped after a signal, with a
    checkpoint saved.
    """
    config = config or FitConfig()
    the_task, the_method = find_task(task), lookup({**METHODS, **BASELINES}, method, "method")
    refuse_settings(the_method, config, from_scratch=from_scratch)
    if drop_overlap and train is None:
        raise UsageError("--drop-overlap leaves rows out of a file to learn from, and none is named")
    _check_labels(the_task, labels)
    if the_method.trains and (train is None or labels):
        raise UsageError(
            f"{method} learns from labelled rows: name a file, and no labels. Without one: --method in-context"
        )
    process = Process(device=config.device, precision=config.precision, threads=config.threads)
    say = Progress("", enabled=process.is_main and not quiet).say
    data = _read(
        the_task,
        the_method,
        train,
        validation,
        test,
        Source(encoding, columns or {}),
        config,
        labels=tuple(labels),
        drop_overlap=drop_overlap,
        say=say,
    )
    if (label_words or templates) and not asks_in_words(the_task, the_method):
        raise UsageError(f"{method} asks {task} without a template or words; leave --label-words and --template out")
    base = None if isinstance(the_method, Baseline) else find(backbone or default_backbone(the_task.head))
    wishes = Wishes(label_words or {}, templates)
    if base is None:
        refuse_combination(the_task, the_method, backbone, None)
    else:
        if (base.path / store.MANIFEST).exists():  # one of ours: a damaged one is refused before it is learnt from
            store.Folder(base.path).read_all()
        the_task = adapted_task(the_task, the_method, base, data.labels, wishes, config, say)
        config = resolved(config, the_task, method, base, len(data.train), from_scratch=from_scratch)
    named = {"train": train, "validation": validation, "test": test, "templates": templates}
    files = {name: file_record(path) for name, path in named.items() if path is not None}
    identity = {
        "verb": "fit",
        "task": task,
        "method": method,
        "backbone": base.record | {"from_scratch": from_scratch} if base else None,
        "config": asdict(config),
        "data": files,
        "drop_overlap": drop_overlap,
    }
    if labels or label_words:
        identity |= {"labels": list(labels), "label_words": dict(label_words or {})}
    with Run(Path(output), identity, process, resume=resume, overwrite=overwrite) as run:
        if isinstance(the_method, Baseline):
            learned = learn_baseline(the_task, the_method, data, config, say)
            predictor, contents, log = learned.predictor, learned.files, None
            details, seconds = learned.details, learned.details["seconds"]
        elif base and the_method.trains:
            how: dict[str, Any] = {"from_scratch": from_scratch, "quiet": quiet}
            trained = learn(the_task, the_method, base, data, config, process, run.path, say, **how)
            predictor, contents = trained.predictor, model_files(base, trained, the_method)
            details, seconds, log = trained.details, trained.details["seconds"], log_of(run.path)
            config = trained.config
        else:
            assert base  # a baseline alone has none
            asked = ask_in_context(the_task, the_method, base, data, config, wishes, process, say)
            predictor, contents, log = asked.predictor, asked.files, None
            details, seconds = asked.details, asked.seconds
        evaluations = {
            name: measure(predictor, examples, seed=config.seed)[1]
            for name, examples in (("validation", data.validation), ("test", data.test))
            if examples
        }
        manifest = {
            "kind": "model",
            "task": task,
            "method": method,
            "labels": list(predictor.learnt.labels),
            "counts": dict(predictor.learnt.counts),
            "encode": asdict(predictor.options),
            "backbone": identity["backbone"],
            "config": asdict(config),
            "data": files,
            "rows": {"train": len(data.train), "validation": len(data.validation), "test": len(data.test)},
            "scores": {name: evaluation.as_dict()["scores"] for name, evaluation in evaluations.items()},
            **details,
        }
        if process.is_main:
            contents["README.md"] = model_card(manifest).encode(errors="backslashreplace")
            run.finish(contents, manifest, log=log)
        process.wait()
    return Fitted(Path(output), evaluations.get("validation"), evaluations.get("test"), seconds)


def _check_labels(task: Task, labels: Sequence[str]) -> None:
    if labels and task.head not in ("sequence", "token"):
        raise UsageError(f"{task.name} has no labels; leave --labels out")
    for place, label in enumerate(labels):
        if not label.strip() or label in labels[:place]:
            what = f"{escape(label)} twice" if label.strip() else "an empty label"
            raise UsageError(f"--labels has {what}")


def asks_in_words(task: Task, method: Method | Baseline) -> bool:
    """Whether a method asks for the answer in words, so that there is something to say of them."""
    if isinstance(method, Baseline):
        return False
    return not method.trains or (method.view == "text" and isinstance(task, Classification))


def adapted_task(
    task: Task,
    method: Method | Baseline,
    base: Backbone | None,
    labels: tuple[str, ...],
    wishes: Wishes,
    config: FitConfig,
    say: Say,
) -> Task:
    """The task as a method learns it: where that fills a blank, a template whose blank the labels' words fill.

    Raises: UsageError where task, method, backbone and words do not go together.
    """
    refuse_combination(task, method, base.name if base else None, base.kind if base else None)
    if base is None or isinstance(method, Baseline):
        return task
    if not (method.trains and method.view == "text" and isinstance(task, Classification)):
        return task
    refuse_without_mask(base)
    masked = base.kind == "masked"
    (template, words), *_ = templates_for(task, labels, wishes, config, masked=masked, name=base.name)
    warn_of_labels(words, say)
    cloze = Cloze(task, template, words, masked=masked)
    check_words(words, cloze.choices(base.tokenizer), base)
    return cloze


def _read(
    task: Task,
    method: Method | Baseline,
    train: str | Path | None,
    validation: str | Path | None,
    test: str | Path | None,
    source: Source,
    config: FitConfig,
    *,
    labels: tuple[str, ...],
    drop_overlap: bool,
    say: Say,
) -> Rows:
    """The rows of all files, checked against each other; every error of every file in one go."""
    report = Report()
    for other in (validation, test):
        if other is not None and train is not None:
            check_same_file(train, other, report)
    rows: list[Example] = []
    if train is not None:
        rows = list(read_examples(train, task, source, report, labels=labels or None))
        labels = labels or task.labels(rows)
        if method.trains:  # few rows, or one label alone, will do for shots
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
    held_out = others.get(str(validation), [])
    if validation is None and method.trains:
        if not 0 < config.validation_fraction < 1:
            raise UsageError(f"validation_fraction is {config.validation_fraction}; expected between 0 and 1")
        kept, held = task.split(rows, config.validation_fraction, config.seed)
        rows, held_out = [rows[i] for i in kept], [rows[i] for i in held]
        if not held_out:
            raise UsageError(f"{train} is too small to hold rows out: every label has one row. Add rows.")
    return Rows(rows, held_out, others.get(str(test), []), labels)
