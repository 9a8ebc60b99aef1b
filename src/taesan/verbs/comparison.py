"""A comparison in its folder: does what the plan says and is not done yet, and keeps what it has."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from taesan import store
from taesan.data import row_lines, stratified_folds
from taesan.progress import Progress
from taesan.report.records import PlannedCell
from taesan.verbs.cells import run_cell, run_fold, time_model
from taesan.verbs.executors import Executor, LocalProcesses
from taesan.verbs.plan import Data, Planner, kept_models
from taesan.verbs.scoreboard import Scoreboard

FOLD_SEED = 1


class Comparison:
    """`commands` says for a cell what makes its model of all rows."""

    def __init__(
        self,
        out: Path,
        plan: Mapping[str, Any],
        planner: Planner,
        data: Data,
        commands: Mapping[str, str],
        *,
        keep: bool,
        quiet: bool,
    ):
        self.out, self._plan, self._planner, self._data, self._commands = out, plan, planner, data, commands
        self.cells = [PlannedCell(**cell) for cell in plan["cells"]]
        self._keep = keep
        self._kept = {cell.name for cell in self.cells} if keep else kept_models(self.cells)
        self._quiet = quiet

    def write_data(self) -> None:
        """The files that cells read: the rows to measure on, all rows to learn from, and samples of them."""
        for left in [*self.out.glob("cells/.*"), *self.out.glob("folds/.*")]:  # of jobs that were killed
            shutil.rmtree(left, ignore_errors=True)
        self._write("test.jsonl", b"".join(row_lines(self._data.test)))
        self._write("train.jsonl", self._data.lines(range(len(self._data.rows))))
        for rows, seed in dict.fromkeys((cell.size, cell.seed) for cell in self.cells):
            if 0 < rows < len(self._data.rows):
                self._write(_sample_name(rows, seed), self._data.lines(self._data.sample(rows, seed)))

    def run_cells(self, executor: Executor) -> dict[str, str]:
        """Those that are not done yet; the errors of those that failed come back, by name."""
        inputs = {cell.name: self._planner.inputs(cell) for cell in self.cells}
        records = {
            cell.name: record
            for cell in self.cells
            if self.is_done(cell) and not self._lacks_model(cell, record := _read(self._file(cell)))
        }
        missing = [cell for cell in self.cells if cell.name not in records]
        for cell in missing:  # those that failed, were made of other data, or whose weights nobody needed until now
            store.remove_folder(self.out / "cells" / cell.name)
        board = self._board(records)
        failed: dict[str, str] = {}
        jobs = [
            self._job(cell, self._train_file(cell.size, cell.seed))
            | {"inputs": inputs[cell.name], "keep": cell.name in self._kept, "command": self._commands[cell.name]}
            for cell in missing
        ]
        board.draw()
        for ended in executor.map(run_cell, jobs):
            cell = missing[ended.number]
            record = ended.value
            if ended.error is not None and self.is_done(cell):  # the answer was lost, and not the work
                record = _read(self._file(cell))
            elif ended.error is not None:
                record = self._failed(cell, ended.error)
                failed[cell.name] = ended.error
            board.done(cell, record)
        return failed

    def run_folds(self, executor: Executor) -> dict[str, str]:
        """Predictions of the training rows by models that have not seen them; the errors come back, by fold."""
        made = self._plan["folds"]
        if "reason" in made:
            return {}
        jobs: list[dict[str, Any]] = []
        folds = stratified_folds(self._data.strata, made["count"], FOLD_SEED)
        for number, places in enumerate(folds, 1):
            held, everything = set(places), range(len(self._data.rows))
            rest = [place for place in everything if place not in held]
            cell = PlannedCell(
                name=str(number), backbone=made["backbone"], method=made["method"], size=len(rest), seed=FOLD_SEED
            )
            contents = {"train": self._data.lines(rest), "test": self._data.lines(places)}
            inputs = self._planner.fold_inputs(cell, contents["train"], contents["test"])
            if _inputs(self.out / "folds" / cell.name / "fold.json") == inputs:
                continue
            store.remove_folder(self.out / "folds" / cell.name)
            files = {part: f"data/fold-{number}-{part}.jsonl" for part in contents}
            for part, name in files.items():
                self._write(name, contents[part])
            more = {"name": cell.name, "test": str(self.out / files["test"]), "places": places, "inputs": inputs}
            jobs.append(self._job(cell, files["train"]) | more)
        failed: dict[str, str] = {}
        with self._progress("training rows by models that have not seen them", len(jobs), "folds") as progress:
            for ended in executor.map(run_fold, jobs):
                progress.advance()
                if ended.error is not None:
                    failed[f"fold {jobs[ended.number]['name']}"] = ended.error
        return failed

    def time_models(self, local: LocalProcesses) -> None:
        """Of every technique and backbone the model that saw most rows, one after another, alone on this machine."""
        names = sorted(kept_models([cell for cell in self.cells if self.is_done(cell)]))
        places = {name: self.out / "cells" / name for name in names}
        untimed = [
            name
            for name, folder in places.items()
            if (folder / "model").exists() and _read(folder / "cell.json")["latency_seconds"] is None
        ]
        jobs = [{"out": str(self.out), "name": name, "test": str(self.out / "test.jsonl")} for name in untimed]
        with self._progress("one prediction at a time, nothing else running", len(jobs), "models") as progress:
            for ended in local.map(time_model, jobs, at_once=1):
                progress.advance()
                if ended.error is None:
                    file = places[untimed[ended.number]] / "cell.json"
                    store.replace_file(file, _json(_read(file) | ended.value))

    def drop_models(self) -> None:
        """The weights of what a later plan has outdone."""
        for model in self.out.glob("cells/*/model"):
            if model.parent.name not in self._kept:
                store.remove_folder(model)

    def table(self) -> str:
        """Mean scores, a technique a line and a size a column."""
        return "\n".join(self._board({cell.name: _read(self._file(cell)) for cell in self.cells}).lines()[:-1])

    def is_done(self, cell: PlannedCell) -> bool:
        return is_done(self.out, cell, self._planner.inputs(cell))

    def _lacks_model(self, cell: PlannedCell, record: Mapping[str, Any]) -> bool:
        """Whether the weights are wanted, to be kept or to be timed, that an earlier plan had no use for."""
        wanted = cell.name in self._kept and (self._keep or record["latency_seconds"] is None)
        return wanted and not (self._file(cell).parent / "model").exists()

    def _file(self, cell: PlannedCell) -> Path:
        return self.out / "cells" / cell.name / "cell.json"

    def _board(self, records: Mapping[str, Mapping[str, Any]]) -> Scoreboard:
        return Scoreboard(
            self.cells,
            records,
            metric=self._plan["metric"],
            sign=self._data.task.sign,
            at_once=self._plan["jobs"],
            enabled=not self._quiet,
        )

    def _progress(self, title: str, total: int, unit: str) -> Progress:
        return Progress(title, total=total, unit=unit, enabled=not self._quiet)

    def _job(self, cell: PlannedCell, train: str | None) -> dict[str, Any]:
        return {
            "out": str(self.out),
            "cell": asdict(cell),
            "task": self._data.task.name,
            "train": None if train is None else str(self.out / train),
            "test": str(self.out / "test.jsonl"),
            "labels": self._data.labels,
            "label_words": self._plan["label_words"],
        }

    def _train_file(self, rows: int, seed: int) -> str | None:
        if rows == 0:
            return None
        return "train.jsonl" if rows == len(self._data.rows) else _sample_name(rows, seed)

    def _failed(self, cell: PlannedCell, error: str) -> dict[str, Any]:
        record = {"name": cell.name, "backbone": cell.backbone, "method": cell.method, "rows": cell.size}
        record |= {"seed": cell.seed, "status": "failed", "error": error}
        folder = self.out / "cells" / cell.name
        with store.storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        store.replace_file(folder / "cell.json", _json(record))
        return record

    def _write(self, name: str, content: bytes) -> None:
        path = self.out / name
        if not path.exists() or path.read_bytes() != content:
            with store.storage_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            store.replace_file(path, content)


def is_done(out: Path, cell: PlannedCell, inputs: str) -> bool:
    """Whether the folder has this very cell: made of the same rows by the same settings, backbone and taesan."""
    return _inputs(out / "cells" / cell.name / "cell.json") == inputs


def _sample_name(rows: int, seed: int) -> str:
    return f"data/train-{rows}-seed{seed}.jsonl"


def _inputs(file: Path) -> str | None:
    """None of what failed, is not there or was damaged."""
    try:
        return _read(file).get("inputs")
    except (OSError, ValueError):
        return None


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_bytes())


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
