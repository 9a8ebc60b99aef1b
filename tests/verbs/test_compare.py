"""`taesan compare`: the same rows for all, a plan that is kept, cells that cost only themselves when they fail."""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import taesan
from conftest import REVIEWS, WORDS
from taesan.cli import main
from taesan.data import Report, read_rows
from taesan.errors import LockedError, OutputError, UsageError
from taesan.report import records
from taesan.store import Lock
from taesan.tasks import TASKS
from taesan.verbs.costs import START_SECONDS
from taesan.verbs.executors import Ended, LocalProcesses, answered
from taesan.verbs.plan import RESERVE, TIMING_SECONDS, Data, Planner, Request
from taesan.verbs.reading import read_all

METHODS = ("finetune", "scratch", "in-context")
BASELINES = ("majority", "tfidf")


def write_reviews(path: Path, numbers: range) -> Path:
    """Other rows for every range of numbers, half of them glad."""
    rows = [{"text": f"{number} {text}", "label": label} for number in numbers for text, label in REVIEWS]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("rows")
    return {
        "train": write_reviews(folder / "train.jsonl", range(4)),
        "test": write_reviews(folder / "test.jsonl", range(10, 12)),
    }


@pytest.fixture(scope="module")
def given(files, masked_backbone) -> dict:
    """What all calls here have in common."""
    return {
        "test": files["test"],
        "backbones": [str(masked_backbone)],
        "label_words": WORDS["classification"],
        "seeds": 1,
        "jobs": 2,
        "quiet": True,
    }


@pytest.fixture(scope="module")
def made(files, given, tmp_path_factory) -> Path:
    """A comparison, run once."""
    out = tmp_path_factory.mktemp("compare") / "out"
    compared = taesan.compare(
        "classification", files["train"], methods=METHODS, sizes=(0, 2, 8, 24, 500), output=out, **given
    )
    assert compared.failed == {}
    return out


def cells_of(out: Path) -> dict[str, dict]:
    return {path.parent.name: json.loads(path.read_bytes()) for path in out.glob("cells/*/cell.json")}


def plan_of(out: Path) -> dict:
    return json.loads((out / "plan.json").read_bytes())


def quality(out: Path) -> dict[str, tuple]:
    """What must not depend on where and how often a cell ran."""
    return {
        name: (cell["scores"], (out / "cells" / name / "predictions.jsonl").read_bytes())
        for name, cell in cells_of(out).items()
    }


# What is planned ----------------------------------------------------------------------------------------------------


def test_the_plan_names_every_cell_or_why_there_is_none(made) -> None:
    plan = plan_of(made)
    assert [(cell["method"], cell["size"]) for cell in plan["cells"] if cell["size"] in (0, 2)] == [
        ("in-context", 0),
        ("in-context", 2),
    ]
    assert {(cell["method"], cell["size"]) for cell in plan["cells"] if cell["size"] > 2} == {
        (method, size) for method in METHODS for size in (8, 24)
    }
    sizes = [cell["size"] for cell in plan["cells"]]
    assert sizes == sorted(sizes)
    reasons = {(cell["method"], cell["size"]): cell["reason"] for cell in plan["pruned"]}
    assert "labelled rows, and there are none" in reasons["finetune", 0]
    assert "of 2 rows a class has 1; it needs 2" in reasons["scratch", 2]
    assert reasons["in-context", 500] == "there are 48 rows to learn from"
    assert len(reasons) == len(plan["pruned"]) == 2 + 2 + 3
    assert plan["train"]["rows"] == 48
    assert plan["test"]["rows"] == 24


def test_a_short_budget_goes_to_most_rows_and_to_all_seeds_of_them(files) -> None:
    task = TASKS["classification"]
    rows, held = (list(read_rows(files[name], task.fields, report=Report())) for name in ("train", "test"))
    data = Data(task, rows, held, ("긍정", "부정"))

    def planned(budget: float) -> list[tuple[int, int]]:
        request = Request(("majority",), (), (8, 24, "all"), 3, budget, {}, 1)
        cells, pruned = Planner(request, data, {}, print).cells(lambda cell: False)
        assert len(cells) + len(pruned) == 9
        return [(cell.seed, cell.size) for cell in cells]

    def fits(cells: float) -> list[tuple[int, int]]:
        return planned((TIMING_SECONDS + cells * START_SECONDS) / (1 - RESERVE))

    assert planned(100) == [(seed, size) for seed in (1, 2, 3) for size in (8, 24, 48)]
    assert fits(2.5) == [(1, 24), (1, 48)]
    assert fits(3.5) == [(1, 8), (1, 24), (1, 48)]
    assert fits(5.5) == [(1, 8), (1, 24), (1, 48), (2, 48), (3, 48)]


def test_samples_are_nested_and_balanced(made) -> None:
    fields = TASKS["classification"].fields
    samples = {
        rows: [row.values for row in read_rows(made / f"data/train-{rows}-seed1.jsonl", fields, report=Report())]
        for rows in (2, 8, 24)
    }
    for rows, values in samples.items():
        assert len(values) == rows
        assert sum(value["label"] == "긍정" for value in values) == rows / 2
    assert all(value in samples[8] for value in samples[2])
    assert all(value in samples[24] for value in samples[8])


def test_a_cell_is_what_fit_and_evaluate_make_of_the_same_rows(made, files, masked_backbone, tmp_path) -> None:
    """By hand: the commands that a person would type."""
    common = ["--backbone", str(masked_backbone), "--seed", "1", "--set", "threads=1", "--quiet"]
    train, words = str(made / "data/train-24-seed1.jsonl"), "긍정=좋다,부정=별로"
    hand = {
        "finetune": ["fit", "classification", train, "--method", "finetune", *common],
        "scratch": ["fit", "classification", train, "--from-scratch", *common],
        "in-context": [
            *("fit", "classification", train, "--method", "in-context", "--shots", "16"),
            *("--set", "long_shots=fewer", "--label-words", words, *common),
        ],
    }
    cells = {cell["method"]: cell for cell in cells_of(made).values() if cell["rows"] == 24}
    for method, command in hand.items():
        folder = tmp_path / method
        assert main([*command, "--output", str(folder)]) == 0
        evaluation = taesan.evaluate(folder, files["test"])
        assert cells[method]["scores"] == evaluation.as_dict()["scores"]
        texts = [example.texts[0] for example in read_all(files["test"], "classification")]
        predicted = [one.as_dict() for one in taesan.predict(folder, texts)]
        lines = (made / "cells" / cells[method]["name"] / "predictions.jsonl").read_text("utf-8").splitlines()
        assert [json.loads(line) for line in lines] == [{"row": row, **one} for row, one in enumerate(predicted, 1)]


def test_a_record_says_what_a_cell_cost(made, masked_backbone) -> None:
    cells = {(cell["method"], cell["rows"]): cell for cell in cells_of(made).values()}
    finetuned, scratch, shown = (cells[method, 24] for method in METHODS)
    assert (finetuned["train_rows"], finetuned["validation_rows"]) == (22, 2)
    assert shown["trained_parameters"] == 0 < finetuned["trained_parameters"] == scratch["trained_parameters"]
    assert shown["folder_bytes"] < 20_000 < finetuned["folder_bytes"]
    assert 0 < finetuned["prompt_tokens"] < shown["prompt_tokens"]
    assert all(cell["peak_bytes"] > 50e6 and cell["seconds"] > 0 for cell in cells.values())
    assert "--from-scratch" in scratch["command"]
    assert "--shots 16" in shown["command"]
    # Latency is measured of the model that has seen most, and its weights are the ones that stay.
    timed = {key for key, cell in cells.items() if cell["latency_seconds"]}
    assert timed == {(method, 24) for method in METHODS}
    assert {path.parent.name for path in made.glob("cells/*/model")} == {cells[key]["name"] for key in timed}
    assert 0 < finetuned["latency_seconds"]["p50"] <= finetuned["latency_seconds"]["p99"]


def test_the_report_reads_it_all(made) -> None:
    found = records.read(made)
    assert len(found.done) == len(found.plan.cells) == 8
    assert len(found.test) == 24
    assert len(found.train) == 48
    assert sorted(found.folds) == list(range(1, 49))  # every training row, by a model that has not seen it


# Going on -----------------------------------------------------------------------------------------------------------


def test_the_same_call_again_runs_nothing_and_a_larger_one_what_is_new(made, files, given) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("cells/*/cell.json")}
    plan = (made / "plan.json").read_bytes()
    call = {"methods": METHODS, "output": made, **given}
    taesan.compare("classification", files["train"], sizes=(0, 2, 8, 24, 500), **call)
    assert {path: path.stat().st_mtime_ns for path in made.rglob("cells/*/cell.json")} == before
    assert (made / "plan.json").read_bytes() == plan
    taesan.compare("classification", files["train"], sizes=(8, 24, "all"), **call)
    after = {path: path.stat().st_mtime_ns for path in made.rglob("cells/*/cell.json")}
    assert {path: after[path] for path in before} == before
    assert {path.parent.name.rsplit("-", 2)[1] for path in set(after) - set(before)} == {"48"}
    # What has seen most is now another: the weights of the old one go. In context 24 rows have all shots that it reads.
    models = {path.parent.name for path in made.glob("cells/*/model")}
    assert models == {"finetune-bert-48-seed1", "scratch-bert-48-seed1", "in-context-bert-24-seed1"}
    (pruned,) = (cell for cell in plan_of(made)["pruned"] if cell["method"] == "in-context")
    assert (pruned["size"], pruned["reason"]) == (48, "it reads 16 shots at most, which 24 rows have")


def test_of_fewer_sizes_the_largest_is_timed_too(made, files, given) -> None:
    """Its weights were not kept, as more rows had been seen: the cell is made again, to the same scores."""
    before = quality(made)
    taesan.compare("classification", files["train"], methods=METHODS, sizes=(8,), output=made, **given)
    assert quality(made) == before
    assert all(cell["latency_seconds"] for cell in cells_of(made).values() if cell["rows"] == 8)
    assert {path.parent.name.rsplit("-", 2)[1] for path in made.glob("cells/*/model")} == {"8"}


def test_after_a_kill_it_goes_on_to_the_same_end(made, files, given, tmp_path) -> None:
    """The process that compares is killed as soon as a cell is there; benchmarks/compare_kills.py does so at random."""
    out = tmp_path / "out"
    call = dict(methods=METHODS, sizes=(0, 2, 8, 24, 500), output=out, **given)
    process = os.fork()
    if process == 0:
        try:
            taesan.compare("classification", files["train"], **call)
        finally:
            os._exit(0)
    while not list(out.glob("cells/*/cell.json")) and os.waitpid(process, os.WNOHANG) == (0, 0):
        pass
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    some = cells_of(out)
    assert 0 < len(some) < 8
    taesan.compare("classification", files["train"], **call)
    whole = quality(made)
    assert quality(out) == {name: whole[name] for name in quality(out)}
    assert len(quality(out)) == 8
    assert not list(out.glob("*/.*"))


def test_what_is_broken_is_made_again(made, files, given, tmp_path) -> None:
    name = "in-context-bert-8-seed1"
    file = made / "cells" / name / "cell.json"
    wanted = json.loads(file.read_bytes())["scores"]
    file.write_bytes(file.read_bytes()[:-20])
    plan = plan_of(made)
    sizes = tuple(plan["requested"]["sizes"])
    taesan.compare("classification", files["train"], methods=METHODS, sizes=sizes, output=made, **given)
    assert json.loads(file.read_bytes())["scores"] == wanted


# Refusals -----------------------------------------------------------------------------------------------------------


def test_folders_of_others_are_left_alone(made, files, given, labelled, tmp_path) -> None:
    call = {"methods": ("in-context",), "sizes": (0,), **given}
    with pytest.raises(UsageError, match=r"comparison of other data \(train: train.jsonl, 48 rows"):
        taesan.compare("classification", files["test"], output=made, **{**call, "test": files["train"]})
    (tmp_path / "note.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="no comparison is in it"):
            taesan.compare("classification", files["train"], output=tmp_path, overwrite=overwrite, **call)
    assert (tmp_path / "note.txt").read_text() == "mine"
    with Lock(tmp_path / "out"), pytest.raises(LockedError, match="being written by process"):
        taesan.compare("classification", files["train"], output=tmp_path / "out", **call)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--methods", "finetun"], "did you mean finetune?"),
        (["--methods", "lora,,prefix"], "has an empty part"),
        (["--sizes", "8,-1"], "a size is -1; expected a number of rows, or all"),
        (["--sizes", "8,most"], "a size is most"),
        (["--seeds", "0"], "seeds is 0; expected 1 or more"),
        (["--jobs", "-1"], "jobs is -1"),
        (["--budget", "soon"], "--budget soon: expected a time, as 90s, 30m or 2h"),
        (["--budget", "0m"], "the budget is 0 s"),
        (["--budget", "nan"], "--budget nan: expected a time"),
        (["--constraints", "latency_ms"], "expected NAME=NUMBER"),
        (["--constraints", "latency=5"], "did you mean latency_ms?"),
        (["--constraints", "latency_ms=-1"], "expected NAME=NUMBER"),
        (["--backbones", "taesan:bert-huge"], "there is no embedded backbone taesan:bert-huge"),
        (["--label-words", "긍정"], "expected LABEL=WORD"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(files, tmp_path, capsys, flags, said) -> None:
    command = ["compare", "classification", str(files["train"]), "--output", str(tmp_path / "out"), *flags]
    assert main(command) in (2, 66)
    err = capsys.readouterr().err
    assert said in err
    assert len([line for line in err.splitlines() if line.startswith("taesan: ")]) == 1
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


# Executors ----------------------------------------------------------------------------------------------------------


def test_a_job_that_dies_costs_only_itself() -> None:
    local = LocalProcesses(2)
    try:
        assert list(local.map(abs, [-1, -2])) in ([Ended(0, 1), Ended(1, 2)], [Ended(1, 2), Ended(0, 1)])
        ended = {one.number: one for one in local.map(signal.raise_signal, [9, 0])}
        assert ended[0].error == "its process was killed by SIGKILL; was there not enough memory?"
        assert ended[1] == Ended(1)
        (left,) = local.map(os._exit, [3])
        assert left.error == "its process ended with status 3 and said nothing"
        (failed,) = local.map(json.loads, ["{"])
        assert failed.error is not None
        assert failed.error.startswith("JSONDecodeError: Expecting property name")
        assert list(local.map(abs, [-5])) == [Ended(0, 5)]
    finally:
        local.close()


def test_jobs_end_with_the_process_that_asked() -> None:
    local = LocalProcesses(1)
    assert list(local.map(abs, [-1])) == [Ended(0, 1)]
    worker = local._worker
    assert worker is not None
    # As if this process were killed: the kernel closes what it wrote to.
    threading.Timer(0.5, worker.stdin.close).start()
    ended = list(local.map(time.sleep, [600, 600]))
    assert [one.error for one in ended] == ["the process that starts jobs is gone; was it killed?"] * 2
    assert list(local.map(abs, [-2])) == [Ended(0, 2)]  # by another worker
    local.close()


def test_jobs_end_with_the_process_that_starts_them(tmp_path) -> None:
    local = LocalProcesses(1)
    assert list(local.map(abs, [-1])) == [Ended(0, 1)]
    worker = local._worker
    assert worker is not None
    threading.Timer(0.5, worker.kill).start()
    (ended,) = local.map(time.sleep, [600])
    assert ended.error == "the process that starts jobs is gone; was it killed?"
    for _ in range(100):
        if not _alive(worker.pid):
            return
        time.sleep(0.1)
    pytest.fail("a job outlived the process that had started it")


def _alive(group: int) -> bool:
    """Whether a process of that group still runs; one that has ended and waits for its parent does not."""
    states = (stat.rpartition(")")[2].split() for stat in _stats())
    return any(int(state[2]) == group and state[0] != "Z" for state in states)


def _stats() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            yield path.read_text()


def test_ray_is_an_extra(files, given, tmp_path, monkeypatch) -> None:
    """On a cluster that loses a node: benchmarks/compare_ray.py."""
    monkeypatch.setattr("taesan.verbs.executors.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"Ray is not installed: pip install 'taesan\[ray\]'"):
        taesan.compare("classification", files["train"], output=tmp_path / "out", ray="auto", **given)
    assert not (tmp_path / "out").exists()


# Every task ---------------------------------------------------------------------------------------------------------


class Inline:
    """The executor of one process, this one: quick, and what it runs is the same."""

    def __init__(self, at_once: int):
        self.at_once = at_once

    def map(self, work, jobs, *, at_once: int = 0):
        for number, job in enumerate(jobs):
            yield Ended(number, **answered(work, job))

    def close(self) -> None:
        pass


@pytest.mark.parametrize("task", ["pair", "ner", "qa", "generation"])
def test_every_task_goes_the_same_way(labelled, backbones, long_backbone, tmp_path, monkeypatch, task) -> None:
    monkeypatch.setattr("taesan.verbs.compare.LocalProcesses", Inline)
    backbone = long_backbone if task in ("qa", "generation") else backbones["bert"]
    compared = taesan.compare(
        task,
        labelled[task],
        methods=("finetune", "in-context"),
        backbones=[str(backbone)],
        sizes=(0, "all"),
        seeds=1,
        label_words=WORDS.get(task),
        output=tmp_path / "out",
        quiet=True,
    )
    assert compared.failed == {}
    cells = cells_of(tmp_path / "out")
    plan = plan_of(tmp_path / "out")
    assert {(cell["method"], cell["rows"]) for cell in cells.values()} == {
        ("in-context", 0),
        ("in-context", plan["train"]["rows"]),
        ("finetune", plan["train"]["rows"]),
    }
    # Nothing was learnt from what was held out.
    rows = {part: (tmp_path / "out" / f"{part}.jsonl").read_text("utf-8").splitlines() for part in ("train", "test")}
    assert not set(rows["train"]) & set(rows["test"])
    assert len(rows["train"]) + len(rows["test"]) == len(read_all(labelled[task], task))
    assert all(TASKS[task].metric in cell["scores"] for cell in cells.values())
    assert ("reason" in plan["folds"]) == (task != "pair") or plan["folds"]["reason"].startswith("a class has fewer")


def test_baselines_are_tried_once_whatever_the_backbones(files, given, backbones, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("taesan.verbs.compare.LocalProcesses", Inline)
    call = {**given, "backbones": [str(path) for path in backbones.values()]}
    compared = taesan.compare(
        "classification", files["train"], methods=BASELINES, sizes=(8, "all"), output=tmp_path / "out", **call
    )
    assert compared.failed == {}
    cells = cells_of(tmp_path / "out")
    assert sorted(cells) == ["majority-48-seed1", "majority-8-seed1", "tfidf-48-seed1", "tfidf-8-seed1"]
    assert all(cell["backbone"] == "" and cell["prompt_tokens"] == 0 for cell in cells.values())
    assert all("--backbone" not in cell["command"] for cell in cells.values())
    assert cells["majority-48-seed1"]["scores"]["accuracy"]["value"] == 0.5
    assert plan_of(tmp_path / "out")["folds"]["method"] == "tfidf"
    assert len(records.read(tmp_path / "out").folds) == 48
    assert compared.report.page.exists()


def test_a_technique_that_does_not_go_with_the_task_is_left_out_by_name(
    files, given, labelled, backbones, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("taesan.verbs.compare.LocalProcesses", Inline)
    call = {**given, "label_words": {"긍정": "좋다", "부정": "좋다"}}
    with pytest.raises(
        UsageError, match="nothing to compare: prompt-bert-0-seed1: the labels 긍정 and 부정 have the same word"
    ):
        taesan.compare("classification", files["train"], methods=("prompt",), output=tmp_path / "a", **call)
    with pytest.raises(UsageError, match="needs a causal backbone"):
        taesan.compare(
            "generation", labelled["generation"], backbones=[str(backbones["bert"])], output=tmp_path / "b", quiet=True
        )


def test_what_does_not_fit_into_the_budget_is_left_out_before_anything_runs(
    files, given, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("taesan.verbs.compare.LocalProcesses", Inline)
    call = {**given, "methods": ("in-context",), "sizes": (0, 8, "all"), "jobs": 1}
    with pytest.raises(UsageError, match=r"nothing to compare: .* than is left of the budget\. Type .* --budget"):
        taesan.compare("classification", files["train"], output=tmp_path / "out", budget_seconds=6.0, **call)
    assert not (tmp_path / "out").exists()
    # A fifth is kept in reserve, 8 s are put by to time a model; what is left is for less than three cells, which take
    # 0.7 s each at least.
    taesan.compare("classification", files["train"], output=tmp_path / "out", budget_seconds=12.5, **call)
    plan = plan_of(tmp_path / "out")
    sizes = [cell["size"] for cell in plan["cells"]]
    assert 0 < len(sizes) < 3
    assert sizes == sorted(sizes)
    assert sum(cell["estimated_seconds"] for cell in plan["cells"]) <= 2.0
    assert {cell["reason"] for cell in plan["pruned"]} == {"it would take more than is left of the budget"}
    before = cells_of(tmp_path / "out")
    taesan.compare("classification", files["train"], output=tmp_path / "out", budget_seconds=60.0, **call)
    after = cells_of(tmp_path / "out")  # what is there costs nothing
    assert len(after) == 3
    assert {name: after[name]["started_at"] for name in before} == {
        name: cell["started_at"] for name, cell in before.items()
    }
