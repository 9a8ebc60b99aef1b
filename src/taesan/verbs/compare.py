"""`taesan compare TASK TRAIN --output DIR`: which technique for these rows? All are tried on the same ones.

What is to be done is fixed in plan.py from the estimates of costs.py, and done by comparison.py: the cells of cells.py,
where executors.py says. What comes out is read, and said, in report/.
"""

import contextlib
import json
import math
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from taesan import __version__, store
from taesan.data import Report as Problems
from taesan.data import Row, check_same_file, read_rows
from taesan.errors import OutputError, StorageError, UsageError, escape
from taesan.models.backbone import Backbone, find
from taesan.models.locate import default_backbone
from taesan.progress import Progress
from taesan.report import CONSTRAINTS, Report, write
from taesan.report.records import PlannedCell
from taesan.tasks.base import Task
from taesan.verbs.cells import measure_speed, shots_of
from taesan.verbs.comparison import Comparison, is_done
from taesan.verbs.costs import cost_of
from taesan.verbs.executors import Executor, LocalProcesses, RayCluster
from taesan.verbs.fit import asks_in_words
from taesan.verbs.plan import ALL, Data, Planner, Request
from taesan.verbs.reading import Source, file_record, find_task, lookup
from taesan.verbs.techniques import TECHNIQUES
from taesan.verbs.training import Say

SIZES: tuple[int | str, ...] = (0, 8, 32, 128, 512, ALL)
BUDGET_SECONDS = 1800.0
TEST_FRACTION, TEST_SEED = 0.2, 0  # what is held out where no file to measure on is named
PLAN = "plan.json"
# What may not change in a folder; and what, where it changes, is planned anew.
DATA = ("task", "train", "test")
REQUEST = ("version", "methods", "backbones", "backbone_sha256", "requested", "budget_seconds", "label_words")


@dataclass(frozen=True)
class Compared:
    """The folder, the report on it, and the scores as a table; what failed and what was left out, and why."""

    folder: Path
    report: Report
    table: str
    failed: Mapping[str, str]  # by the name of a cell or a fold
    pruned: Mapping[str, str]  # by the name of a cell


def compare(
    task: str,
    train: str | Path,
    *,
    output: str | Path,
    test: str | Path | None = None,
    methods: Sequence[str] = (),
    backbones: Sequence[str] = (),
    sizes: Sequence[int | str] = SIZES,
    seeds: int = 3,
    budget_seconds: float = BUDGET_SECONDS,
    constraints: Mapping[str, float] | None = None,
    label_words: Mapping[str, str] | None = None,
    keep: bool = False,
    jobs: int = 0,
    ray: str = "",
    overwrite: bool = False,
    encoding: str = "utf-8",
    columns: Mapping[str, str] | None = None,
    quiet: bool = False,
) -> Compared:
    """Fits every method on every backbone from `sizes` rows of `train`, `seeds` times, as far as the budget goes.

    All are measured on `test`, which chooses nothing; without it on a fifth of `train` that is held out. A size is a
    number of labelled rows, or `all`; each seed draws other rows and other weights. `jobs` cells run side by side (0:
    as many as there are cores), or as tasks of the Ray cluster at the address `ray`. The same call again goes on with
    what is missing; with other methods, sizes or seeds it keeps the cells that it has. Of each method on each backbone
    the model that saw most rows stays; with `keep`, all do.
    Raises: UsageError, DataError, InputMissing, OutputError, LockedError, StorageError.
    """
    the_task, out = find_task(task), Path(os.path.realpath(output))
    request = _request(the_task, methods, backbones, sizes, seeds, budget_seconds, label_words, jobs)
    for name in constraints or {}:
        lookup(CONSTRAINTS, name, "constraint")
    say = Progress("", enabled=not quiet).say
    source = Source(encoding, columns or {})
    data, files = _read(the_task, train, test, source, say)
    bases = {name: find(name) for name in request.backbones}
    with contextlib.ExitStack() as stack:
        local = stack.enter_context(contextlib.closing(LocalProcesses(jobs or _cores())))
        executor: Executor = stack.enter_context(contextlib.closing(RayCluster(ray))) if ray else local
        request = replace(request, at_once=jobs or executor.at_once)
        stack.enter_context(store.Lock(out))
        wanted: dict[str, Any] = (
            _wanted(the_task, request, jobs, bases) | files | {"sizes": request.numbers(len(data.rows))}
        )
        old = _known_plan(out, wanted, overwrite=overwrite)
        speeds = old.get("speeds", {}) | _speeds(local, the_task, bases, old.get("speeds", {}))
        costs = {
            name: cost_of(the_task, base, speeds[_key(base)], data.examples, data.test_examples, data.labels)
            for name, base in bases.items()
        }
        planner = Planner(request, data, costs, say)
        if any(old.get(key) != wanted[key] for key in REQUEST):
            cells, pruned = planner.cells(lambda cell: bool(old) and is_done(out, cell, planner.inputs(cell)))
            if not cells:
                raise UsageError(f"there is nothing to compare: {_why_nothing(pruned)}")
            planned = {"cells": cells, "pruned": pruned}
            wanted |= {name: [asdict(cell) for cell in own] for name, own in planned.items()}
            wanted |= {"speeds": speeds, "folds": planner.folds(), "jobs": request.at_once}
        given = ["--test", test] if test is not None else []
        command = ["taesan", "compare", task, train, *given, *_reading(source), *_asked(request), "--output", output]
        plan: dict[str, Any] = {"jobs": request.at_once} | old | wanted
        plan |= {"constraints": dict(constraints or {}), "command": shlex.join(map(str, command))}
        if overwrite:
            store.remove_folder(out)
        with store.storage_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        store.replace_file(out / PLAN, json.dumps(plan, ensure_ascii=False, indent=1).encode() + b"\n")
        commands = {cell["name"]: _fit_command(cell, the_task, train, source, request) for cell in plan["cells"]}
        comparison = Comparison(out, plan, planner, data, commands, keep=keep, quiet=quiet)
        comparison.write_data()
        failed = comparison.run_cells(executor)
        failed |= comparison.run_folds(executor)
        comparison.time_models(local)
        comparison.drop_models()
        pruned = {cell["name"]: cell["reason"] for cell in plan["pruned"]}
        return Compared(Path(output), write(Path(output)), comparison.table(), failed, pruned)


# What was asked for -------------------------------------------------------------------------------------------------


def _request(
    task: Task,
    methods: Sequence[str],
    backbones: Sequence[str],
    sizes: Sequence[int | str],
    seeds: int,
    budget_seconds: float,
    label_words: Mapping[str, str] | None,
    jobs: int,
) -> Request:
    """Raises: UsageError for what is unknown or absurd."""
    for method in methods:
        lookup(TECHNIQUES, method, "method")
    for size in sizes:
        if size != ALL and not (isinstance(size, int) and size >= 0):
            raise UsageError(f"a size is {escape(size)}; expected a number of rows, or {ALL}")
    if not sizes:
        raise UsageError(f"there is no size; expected numbers of rows, or {ALL}")
    if seeds < 1:
        raise UsageError(f"seeds is {seeds}; expected 1 or more")
    if not 0 < budget_seconds < math.inf:
        raise UsageError(f"the budget is {budget_seconds:g} s; expected more than nothing, as 30m")
    if jobs < 0:
        raise UsageError(f"jobs is {jobs}; expected 1 or more, or 0 for as many as there are cores")
    return Request(
        tuple(dict.fromkeys(methods)) or tuple(TECHNIQUES),
        tuple(dict.fromkeys(backbones)) or (default_backbone(task.head),),
        tuple(dict.fromkeys(sizes)),
        seeds,
        budget_seconds,
        label_words or {},
        jobs or 1,
    )


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _wanted(task: Task, request: Request, jobs: int, bases: Mapping[str, Backbone]) -> dict[str, Any]:
    """The part of a plan that says what was asked for."""
    return {
        "verb": "compare",
        "version": __version__,
        "task": task.name,
        "metric": task.metric,
        "methods": list(request.methods),
        "backbones": list(request.backbones),
        "backbone_sha256": [base.sha256 for base in bases.values()],
        "requested": {"sizes": list(request.sizes), "seeds": request.seeds, "jobs": jobs},
        "seeds": list(range(1, request.seeds + 1)),
        "budget_seconds": request.budget_seconds,
        "label_words": dict(request.label_words),
    }


def _why_nothing(pruned: Sequence[PlannedCell]) -> str:
    """The reasons, each once, with one cell for it, and what helps against a short budget."""
    reasons = {cell.reason: cell.name for cell in reversed(pruned)}
    shown = "; ".join(f"{name}: {reason}" for reason, name in reversed(list(reasons.items())[-3:]))
    return shown + (". Type a longer one: --budget 30m" if any("budget" in reason for reason in reasons) else "")


def _reading(source: Source) -> list[str]:
    """The flags for reading files as they were read."""
    flags = ["--encoding", source.encoding] if source.encoding != "utf-8" else []
    return flags + [flag for field, name in source.columns.items() for flag in ("--column", f"{field}={name}")]


def _asked(request: Request) -> list[str]:
    words = _word_flags(request.label_words)
    sizes = ",".join(map(str, request.sizes))
    return [
        *("--methods", ",".join(request.methods), "--backbones", ",".join(request.backbones), "--sizes", sizes),
        *("--seeds", str(request.seeds), "--budget", f"{request.budget_seconds:g}s", *words),
    ]


def _word_flags(words: Mapping[str, str]) -> list[str]:
    return ["--label-words", ",".join(f"{label}={word}" for label, word in words.items())] if words else []


def _fit_command(cell: Mapping[str, Any], task: Task, train: str | Path, source: Source, request: Request) -> str:
    """What makes the model of a cell from all rows."""
    technique = TECHNIQUES[cell["method"]]
    flags = ["--backbone", cell["backbone"]] if cell["backbone"] else []
    flags += ["--method", technique.method.name]
    flags += ["--from-scratch"] if technique.from_scratch else []
    if shots := shots_of(cell["method"], cell["size"]):
        flags += ["--shots", str(shots), "--set", "long_shots=fewer"]
    if asks_in_words(task, technique.method):
        flags += _word_flags(request.label_words)
    return shlex.join(["taesan", "fit", task.name, str(train), *_reading(source), *flags, "--output", "DIR"])


# Files --------------------------------------------------------------------------------------------------------------


def _read(
    task: Task, train: str | Path, test: str | Path | None, source: Source, say: Say
) -> tuple[Data, dict[str, Any]]:
    """The rows, checked as `fit` checks them, and the records of both files."""
    problems = Problems()
    how: dict[str, Any] = {"encoding": source.encoding, "columns": source.columns, "report": problems}
    if test is not None:
        check_same_file(train, test, problems)
    rows = list(read_rows(train, task.fields, **how))
    examples = [task.example(row) for row in rows]
    labels = task.labels(examples)
    task.check(examples, str(train), problems)
    held: list[Row] = []
    if test is not None:
        held = list(read_rows(test, task.fields, **how, labels=labels or None))
        task.check_overlap(examples, [task.example(row) for row in held], str(train), str(test), problems)
    problems.raise_for_errors()
    for warning in problems.warnings:
        if warning.severity == "warning":
            say(str(warning))
    record = file_record(train if test is None else test)
    if test is None:
        kept, places = task.split(examples, TEST_FRACTION, TEST_SEED)
        if not places:
            raise UsageError(f"{train} is too small to hold rows out of; name a file to measure on: --test FILE")
        rows, held = [rows[place] for place in kept], [rows[place] for place in places]
        say(
            f"NO --test: {len(held):,} of the {len(examples):,} rows of {train}, the same ones every time, are held "
            "out to measure on, and nothing learns from them"
        )
        record["held_out"] = TEST_FRACTION
    read = {"encoding": source.encoding, "columns": dict(source.columns)}  # read otherwise, it is other data
    files = {"train": file_record(train) | {"rows": len(rows)} | read, "test": record | {"rows": len(held)} | read}
    return Data(task, rows, held, labels), files


def _known_plan(out: Path, wanted: Mapping[str, Any], *, overwrite: bool) -> dict[str, Any]:
    """The plan of the comparison that the folder holds, empty for one to begin. The caller holds the folder's lock.

    Raises: OutputError where it holds something else, UsageError where that is of other data.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; --output takes a folder")
    old = _old_plan(out)
    if old is None and out.exists() and any(not path.name.startswith(".") for path in out.iterdir()):
        raise OutputError(f"{out} is not empty, and no comparison is in it. Choose another --output.")
    if old is None or overwrite:
        return {}
    for key in DATA:
        if old.get(key) != wanted[key]:
            raise UsageError(
                f"{out} is a comparison of other data ({key}: {_said(old.get(key))}, now {_said(wanted[key])}). Choose "
                "another --output, or replace it by --overwrite."
            )
    return old


def _old_plan(out: Path) -> dict[str, Any] | None:
    try:
        plan = json.loads((out / PLAN).read_bytes())
        return plan if plan["verb"] == "compare" else None
    except (FileNotFoundError, KeyError, TypeError):
        return None
    except ValueError:
        raise StorageError(f"{out / PLAN} is damaged. Begin anew with another --output.") from None


def _said(value: Any) -> str:
    """A file by its name and the beginning of its SHA-256."""
    if not isinstance(value, dict):
        return escape(value)
    how = "a part of it, " if "held_out" in value else ""
    return escape(f"{value['name']}, {how}{value['rows']:,} rows, SHA-256 {value['sha256'][:12]}")


# Speeds -------------------------------------------------------------------------------------------------------------


def _key(base: Backbone) -> str:
    return base.sha256[:16]


def _speeds(
    local: LocalProcesses, task: Task, bases: Mapping[str, Backbone], known: Mapping[str, Any]
) -> dict[str, dict[str, float]]:
    """Seconds a token of the backbones that are not known yet. Raises: UsageError where one cannot be measured."""
    new = {name: base for name, base in bases.items() if _key(base) not in known}
    jobs = [{"task": task.name, "backbone": name} for name in new]
    speeds: dict[str, dict[str, float]] = {}
    for ended in local.map(measure_speed, jobs, at_once=1):
        name = jobs[ended.number]["backbone"]
        if ended.error is not None:
            raise UsageError(f"the backbone {escape(name)} cannot be tried: {ended.error}")
        speeds[_key(new[name])] = ended.value
    return speeds
