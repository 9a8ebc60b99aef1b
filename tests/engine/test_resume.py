"""A fit that is stopped and resumed is the undisturbed one, byte for byte."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from taesan import cli, store
from taesan.engine import checkpoint

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "crash_safety.py"


class Died(BaseException):
    """The process ended here."""


@pytest.fixture
def fit(masked_backbone, labelled):
    def run(output, *more, status=0):
        command = ["fit", "classification", str(labelled["classification"]), "--backbone", str(masked_backbone)]
        command += ["--output", str(output), "--quiet", "--set", "threads=1", "--set", "validation_fraction=0.3"]
        command += ["--epochs", "4", "--batch-tokens", "40", "--set", "checkpoint_steps=2", *more]
        assert cli.main(command) == status

    return run


def settings(*pairs):
    return [part for pair in pairs for part in ("--set", pair)]


@pytest.fixture
def die(monkeypatch):
    """Runs `work` until it has saved so many checkpoints and is about to save another; then its process ends."""

    def run(count, work, *arguments):
        saved, real = [], checkpoint.save

        def save(*given):
            if len(saved) == count:
                raise Died
            saved.append(real(*given))

        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "save", save)
            with pytest.raises(Died):
                work(*arguments)

    return run


@pytest.fixture
def begun(fit, die, tmp_path):
    """A run that was stopped after its second checkpoint."""
    die(2, fit, tmp_path / "model")
    return tmp_path / "model"


def events(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("stops", [(0,), (1, 0, 1)])
@pytest.mark.parametrize(
    "more",
    [
        [],
        settings("patience=2", "validations=3", "learning_rate=0.05", "checkpoint_steps=1"),
        settings("accumulation=2", "class_weights=balanced"),
        ["--method", "lora", *settings("rank=2", "learning_rate=0.02")],
        ["--method", "prefix", *settings("virtual_tokens=2", "learning_rate=0.0", "notice=0.3")],
        [
            "--method",
            "prompt",
            "--label-words",
            "긍정=좋다,부정=별로",
            *settings("virtual_tokens=2", "reparametrization=true"),
        ],
    ],
    ids=["best", "early", "accumulation", "lora", "prefix", "prompt"],
)
def test_resumed_equals_undisturbed(fit, die, tmp_path, more, stops):
    fit(tmp_path / "undisturbed", *more)
    for number, count in enumerate(stops):
        die(count, fit, tmp_path / "model", *more, *(["--resume"] if number else []))
    fit(tmp_path / "model", *more, "--resume")
    whole, resumed = (store.open_model(tmp_path / name) for name in ("undisturbed", "model"))
    assert resumed.names == whole.names
    for name in (name for name in whole.names if name != "README.md"):
        assert resumed.read(name) == whole.read(name), name
    assert resumed.manifest["scores"] == whole.manifest["scores"]
    tried, expected = (
        [{name: value for name, value in attempt.items() if name != "seconds"} for attempt in one.manifest["attempts"]]
        for one in (resumed, whole)
    )
    assert tried == expected
    assert whole.manifest["seconds"] == pytest.approx(
        sum(one["seconds"] for one in whole.manifest["attempts"]), abs=0.1
    )
    steps = [event["step"] for event in events(tmp_path / "model") if "loss" in event]
    assert steps == list(range(1, whole.manifest["steps"] + 1))
    if "patience=2" in more:
        assert whole.manifest["best_step"] <= whole.manifest["steps"] < 4 * 3
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_other_settings_are_refused_by_name(fit, begun, capsys):
    fit(begun, "--resume", "--seed", "7", "--set", "class_weights=balanced", status=2)
    said = capsys.readouterr().err
    assert "was begun with other settings or data" in said
    assert "config.class_weights: none, now balanced; config.seed: 42, now 7." in said


def test_other_data_is_refused_by_name(fit, begun, labelled, tmp_path, capsys):
    other = tmp_path / "other.jsonl"
    other.write_text(labelled["classification"].read_text("utf-8").replace("ㄱ", "ㄴ") + "\n", "utf-8")
    other.write_text(other.read_text("utf-8").replace("good film", "fine film"), "utf-8")
    fit(begun, "--resume", "--validation", str(other), status=2)
    assert "data.validation.sha256: None, now " in capsys.readouterr().err


def test_a_damaged_record_is_refused(fit, begun, capsys):
    record = begun / store.RUN_FILE
    content = record.read_bytes()
    for damaged, status, words in (
        (content[:-20], 74, "is damaged or was changed. Begin anew with --overwrite."),
        (content.replace(b"\n ", b"\n\t", 1), 74, "is damaged or was changed"),
        (content.replace(b'"seed": 42', b'"seed": 43'), 2, "config.seed: 43, now 42"),
    ):
        assert damaged != content
        record.write_bytes(damaged)
        fit(begun, "--resume", status=status)
        assert words in capsys.readouterr().err
        assert record.read_bytes() == damaged
    fit(begun, "--overwrite")


def test_what_stands_in_the_output_folder_is_never_lost_unasked(fit, begun, tmp_path, capsys, monkeypatch):
    fit(begun, status=73)
    assert "is not empty. Go on with what it holds by --resume, replace it by --overwrite" in capsys.readouterr().err
    fit(begun, "--resume", "--overwrite", status=2)
    fit(begun, "--resume")
    fit(begun, "--resume", status=73)
    assert "is finished already; there is nothing to resume" in capsys.readouterr().err

    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("three years")
    for more, words in (
        ([], "is not empty"),
        (["--resume"], "is not empty and holds no run to resume"),
        (["--overwrite"], "was not made by taesan, so --overwrite leaves it alone"),
    ):
        fit(mine, *more, status=73)
        assert words in capsys.readouterr().err
        assert os.listdir(mine) == ["thesis.txt"]
    fit(mine / "thesis.txt", status=73)
    assert "is a file; --output takes a folder" in capsys.readouterr().err
    monkeypatch.setattr(os.path, "ismount", lambda path: True)
    fit(tmp_path / "volume", status=73)
    assert (
        f"is a mount point, and cannot be replaced in one step. Choose a folder in it: --output {tmp_path}/volume"
        in (capsys.readouterr().err)
    )


def test_a_damaged_backbone_of_ours_is_refused(fit, tmp_path, capsys):
    fit(tmp_path / "backbone")
    path = tmp_path / "backbone" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-9] ^= 4
    path.write_bytes(content)
    fit(tmp_path / "model", "--backbone", str(tmp_path / "backbone"), status=74)
    assert "model.safetensors is damaged or was changed" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["backbone"]


def test_a_link_to_the_output_folder_stays_a_link(fit, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    fit(tmp_path / "link")
    fit(tmp_path / "link", "--overwrite", "--seed", "3")
    assert (tmp_path / "link").is_symlink()
    assert (
        store.open_model(tmp_path / "link").read_all().keys() == store.open_model(tmp_path / "disk").read_all().keys()
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "link"]


def test_the_old_model_answers_until_the_new_one_is_done(fit, die, tmp_path):
    fit(tmp_path / "model")
    old = store.open_model(tmp_path / "model").read("model.safetensors")
    die(1, fit, tmp_path / "model", "--overwrite", "--seed", "3")
    assert store.open_model(tmp_path / "model").read("model.safetensors") == old
    fit(tmp_path / "model", "--resume", "--seed", "3")
    assert store.open_model(tmp_path / "model").read("model.safetensors") != old
    assert os.listdir(tmp_path) == ["model"]


def test_signals_to_a_real_process(fit, tmp_path, masked_backbone, labelled, capsys):
    """`kill -9`, SIGTERM and SIGINT, each to the run that resumes the last; while it runs, a second one is refused."""
    output, more = tmp_path / "model", ["--epochs", "4000"]
    command = [sys.executable, "-m", "taesan", "fit", "classification", str(labelled["classification"]), "--quiet"]
    command += ["--backbone", str(masked_backbone), "--output", str(output), *settings("validation_fraction=0.3")]
    command += [*settings("threads=1", "checkpoint_steps=2"), "--batch-tokens", "40", *more]
    for number, option in ((signal.SIGKILL, []), (signal.SIGTERM, ["--resume"]), (signal.SIGINT, ["--resume"])):
        process = subprocess.Popen([*command, *option], stderr=subprocess.PIPE, text=True)
        steps = len(events(output)) if option else 0
        while process.poll() is None and not ((output / "log.jsonl").exists() and len(events(output)) > steps + 3):
            time.sleep(0.01)
        fit(output, *more, "--resume", status=75)
        assert f"is being written by process {process.pid} on " in capsys.readouterr().err
        process.send_signal(number)
        said = process.communicate()[1]
        if number == signal.SIGKILL:
            continue
        assert process.returncode == 128 + number
        assert f"stopped by signal {int(number)} at step " in said
        assert len(said.splitlines()) == 1
        state, _ = checkpoint.newest(output, pytest.fail)
        logged = [event["step"] for event in events(output) if "loss" in event]
        assert logged == list(range(1, state.step + 1))


def test_the_benchmark_finds_nothing():
    """A few of each: faults at the disk's calls, bits flipped, files cut short."""
    done = subprocess.run([sys.executable, str(BENCHMARK), "--quick"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failures" in done.stdout
