"""Crash safety, measured: python benchmarks/crash_safety.py (--only NAME for a part, --quick for the tests).

A two-layer `taesan fit` is made to exit, to find the disk full and to get an I/O error at every write, fsync, rename,
mkdir and removal that it makes; it is killed; its files are damaged bit by bit; two of them are started on one folder.
Each time the old or the new model must stand, and resuming must end in the SHA-256 of the undisturbed run. The same of
`taesan predict` of a file, whole and in shards: resumed, it must end in the very bytes of an undisturbed one.
"""

import argparse
import contextlib
import errno
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: the model is too small for two, and processes are forked
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import taesan.engine.infer
import taesan.engine.load
import taesan.verbs.fit
import taesan.verbs.predict
import taesan.verbs.pretrain
from taesan import cli, store
from taesan.engine import checkpoint
from taesan.errors import InputMissing, StorageError, TaesanError
from taesan.models.backbone import find

KINDS = ("exit", "full", "error")
OPERATIONS = ("write", "fsync", "rename", "mkdir", "unlink", "rmdir")
EXITED = 77
SHOWN = 10  # failures of a part
TEXTS = ("아주 좋은 영화", "지루한 이야기", "음악")
OBJECTIVES = ("masked", "causal")
PARTS = (
    *("fault-fit", "fault-overwrite", "fault-resume", "fault-pretrain"),
    *("kill-fit", "kill-overwrite", "kill-pretrain"),
    *("damage-model", "damage-checkpoint", "damage-run", "two-at-once"),
    *("fault-predict", "kill-predict"),
)
CHUNK_ROWS = 16  # of the predictions here: rows become safe so many at a time
SHARDS = 3


@dataclass
class Part:
    """A line of the table: how often it was tried, what was found afterwards, what went wrong."""

    name: str
    tried: int = 0
    found: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def expect(self, good: bool, what: str) -> None:
        if not good:
            self.failures.append(what)

    def __str__(self) -> str:
        found = ", ".join(f"{name} {count:,}" for name, count in self.found.items())
        return f"{self.name:<34} {self.tried:>6,} {len(self.failures):>7,}   {found}"


# Runs ---------------------------------------------------------------------------------------------------------------


class Faults:
    """Stands in for what the store and the log ask of the disk; the `at`-th call (from 0) does not go well."""

    def __init__(self, kind: str = "", at: int = -1):
        self.kind, self.at, self.met = kind, at, list[str]()
        self._write = os.write
        os.write = self._torn_write
        for name in OPERATIONS[1:]:
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        self._open, io.open = io.open, self._open_log

    def _meet(self, name: str) -> bool:
        """Whether this call is the one that fails; a full disk stays full for all that takes room."""
        self.met.append(name)
        here = len(self.met) - 1
        return here == self.at or (self.kind == "full" and 0 <= self.at < here and name in ("write", "mkdir"))

    def _fail(self) -> None:
        if self.kind == "exit":
            os._exit(EXITED)
        number = errno.ENOSPC if self.kind == "full" else errno.EIO
        raise OSError(number, os.strerror(number))

    def _wrapped(self, name: str, real: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            if self._meet(name):
                self._fail()
            return real(*arguments, **named)

        return call

    def _torn_write(self, descriptor: int, data: Any) -> int:
        if self._meet("write"):
            self._write(descriptor, data[: len(data) // 2])
            self._fail()
        return self._write(descriptor, data)

    def _open_log(self, path: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        file = self._open(path, mode, *arguments, **named)
        return _Log(file, self) if mode == "ab" else file


class _Log:
    """A file opened for appending whose writes are counted too."""

    def __init__(self, file: Any, faults: Faults):
        self._file, self._faults = file, faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "_Log":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> int:
        self._file.flush()
        return self._faults._torn_write(self._file.fileno(), data)


class Work:
    """A folder with a tiny backbone, rows, lines, and commands that take them."""

    def __init__(self, root: Path):
        self.root = root
        self.talk = root / "talk.txt"
        if forked(make_inputs, root, talk=self.talk) != 0:
            raise SystemExit(self.talk.read_text())
        find(str(root / "backbone")).load("sequence", labels=("bad", "good"))  # transformers' first load is half a run

    def fit(self, output: Path, *, seed: int = 1, epochs: int = 3, checkpoint_steps: int = 2) -> list[str]:
        settings = {"checkpoint_steps": checkpoint_steps, "threads": 1, "epochs": epochs, "batch_tokens": 160}
        return [
            *("fit", "classification", str(self.root / "rows.jsonl"), "--backbone", str(self.root / "backbone")),
            *("--output", str(output), "--seed", str(seed), "--quiet"),
            *(part for key, value in settings.items() for part in ("--set", f"{key}={value}")),
        ]

    def pretrain(self, output: Path, objective: str) -> list[str]:
        settings = {"checkpoint_steps": 2, "threads": 1, "layers": 2, "width": 16, "heads": 2, "feed_forward": 16}
        settings |= {"vocabulary_size": 300, "train_tokens": 9000, "max_length": 32, "validation_fraction": 0.1}
        return [
            *("pretrain", objective, str(self.root / "lines.txt"), "--output", str(output), "--quiet"),
            *(part for key, value in settings.items() for part in ("--set", f"{key}={value}")),
        ]

    def run(self, command: list[str], faults: tuple[str, int] = ("", -1)) -> int:
        return forked(_command, command, faults, talk=self.talk)

    def operations(self, command: list[str]) -> list[str]:
        """What a command asks of the disk, in order."""
        listed = self.root / "operations.json"
        if forked(_list_operations, command, listed, talk=self.talk) != 0:
            raise SystemExit(self.talk.read_text())
        return json.loads(listed.read_bytes())

    def resume(self, command: list[str], output: Path, wanted: str, faults: tuple[str, int] = ("", -1)) -> int:
        """Goes on as a person would: --resume where a run has begun, else the same command."""
        begun = (output / store.RUN_FILE).exists() and not (output / store.MANIFEST).exists()
        done = weights(output) == wanted
        if begun or done:
            command = [*(part for part in command if part not in ("--overwrite", "--resume")), "--resume"]
        status = self.run(command, faults)
        return 0 if done and status == 73 and "is finished already" in self.talk.read_text() else status


def forked(work: Any, *arguments: Any, talk: Path) -> int:
    """`work` in a process of its own, torch loaded already; its exit status, or minus the signal that ended it."""
    process = os.fork()
    if process == 0:
        status = 99
        try:
            descriptor = os.open(talk, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            status = work(*arguments)
            sys.stdout.flush()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _command(command: list[str], faults: tuple[str, int]) -> int:
    Faults(*faults)
    return cli.main(command)


def _list_operations(command: list[str], listed: Path) -> int:
    faults = Faults()
    status = cli.main(command)
    met = list(faults.met)
    listed.write_text(json.dumps(met))
    return status


def make_inputs(root: Path) -> int:
    import torch
    from transformers import BertConfig, BertForMaskedLM

    from taesan.text.train import train_wordpiece

    good, bad = ("좋은", "재미있는", "밝은", "따뜻한"), ("나쁜", "지루한", "어두운", "차가운")
    things = ("영화", "이야기", "음악", "배우", "그림", "날씨", "음식")
    rows = [(f"{word} {thing}", "bad" if word in bad else "good") for word in (*good, *bad) for thing in things]
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=False) for text, label in rows]
    (root / "rows.jsonl").write_text("\n".join(lines) + "\n")
    texts = [
        f"{first}, {second} 그리고 {third}"
        for (first, _), (second, _), (third, _) in zip(rows[::3], rows[1::3], rows[2::3], strict=False)
    ]
    (root / "lines.txt").write_text("\n".join(texts * 8) + "\n")
    tokenizer = train_wordpiece([text for text, _ in rows], size=120)
    torch.manual_seed(7)
    shape = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
    config = BertConfig(**shape, vocab_size=tokenizer.vocabulary_size, max_position_embeddings=32, pad_token_id=0)
    BertForMaskedLM(config).save_pretrained(root / "backbone")
    for name, content in tokenizer.files(max_length=32, token_types=True).items():
        (root / "backbone" / name).write_bytes(content)
    return 0


# What stands --------------------------------------------------------------------------------------------------------


def weights(folder: Path) -> str:
    """SHA-256 of the model that a reader of `folder` gets, all of it verified; "" where there is none."""
    try:
        return hashlib.sha256(store.open_model(folder).read_all()["model.safetensors"]).hexdigest()
    except InputMissing:
        return ""


def answers(folder: Path) -> list[Any]:
    predictor, _ = taesan.engine.load.open_predictor(folder)
    from taesan.verbs.predict import predict

    return [prediction.as_dict() for prediction in predict(predictor, TEXTS)]


def beside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.parent.glob(f".{folder.name}.*"))


def check_end(part: Part, output: Path, wanted: str, what: str) -> None:
    """The undisturbed weights, exactly the files of the manifest, nothing left beside, no step logged twice."""
    part.expect(weights(output) == wanted, f"{what}: other weights than the undisturbed run's")
    part.expect(beside(output) == [], f"{what}: left beside: {beside(output)}")
    if (output / store.MANIFEST).exists():
        names = {str(path.relative_to(output)) for path in output.rglob("*")}
        part.expect(names == {*store.Folder(output).names, store.MANIFEST}, f"{what}: other files: {sorted(names)}")
        events = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
        steps = [event["step"] for event in events if "loss" in event]
        part.expect(steps == list(range(1, len(steps) + 1)), f"{what}: steps in the log: {steps}")


# (a) A fault at every call -----------------------------------------------------------------------------------------


def fault_points(
    work: Work,
    command: list[str],
    before: Path | None,
    old: str,
    new: str,
    *,
    name: str,
    every: tuple[int, int],
    draw: random.Random,
) -> Iterator[Part]:
    """For each kind of fault, at every n-th write and every m-th other call (`every`): what stands then, what
    resuming comes to.

    `command` writes to `out`, which holds a copy of `before`; `old` and `new` are the weights before and afterwards.
    """
    output = work.root / "place" / "out"

    def place() -> None:
        shutil.rmtree(output.parent, ignore_errors=True)
        if before is None:
            output.parent.mkdir()
        else:
            shutil.copytree(before.parent, output.parent)

    place()
    known = {old: answers(output) if old else None}
    operations = work.operations(command)
    known[new] = answers(output) if command[0] == "fit" else None
    written = [at for at, operation in enumerate(operations) if operation == "write"]
    others = [at for at, operation in enumerate(operations) if operation != "write"]
    points = sorted(written[:: every[0]] + others[:: every[1]])
    for kind in KINDS:
        part = Part(f"{name}, {kind}")
        for at in points:
            operation = operations[at]
            if kind == "full" and operation in ("unlink", "rmdir"):
                continue
            what = f"{part.name} at {operation} {at} of {len(operations)}"
            place()
            status = work.run(command, (kind, at))
            said = work.talk.read_text().strip().splitlines()
            part.tried += 1
            shutil.rmtree(work.root / "copy", ignore_errors=True)
            shutil.copytree(output.parent, work.root / "copy")  # a reader may mend: let the resumed run do it itself
            seen = work.root / "copy" / "out"
            try:
                stands = weights(seen)
                part.found["new" if stands == new else "old" if stands and stands == old else "none"] += 1
                part.expect(stands in (old, new), f"{what}: neither the old nor the new stands")
                if stands and command[0] == "fit":
                    part.expect(answers(seen) == known[stands], f"{what}: it answers otherwise")
            except TaesanError as error:
                part.expect(False, f"{what}: {error}")
            if kind == "exit":
                part.expect(status == EXITED, f"{what}: ended with {status}: {said[-1:]}")
                # And once more, while it mends what the first left.
                work.resume(command, output, new, (kind, draw.randrange(len(operations))))
            else:
                clear = status == 74 and len(said) == 1 and said[0].startswith("taesan: ")
                part.expect(clear or (status == 0 and stands == new), f"{what}: ended with {status}: {said[-1:]}")
            status = work.resume(command, output, new)
            part.expect(status == 0, f"{what}: resuming ended with {status}: {work.talk.read_text()[-300:]}")
            check_end(part, output, new, what)
        yield part


# (b) kill -9 -------------------------------------------------------------------------------------------------------


def start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "taesan", *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def wait_for_lock(process: subprocess.Popen[str], output: Path) -> None:
    """Until `process` holds the lock of `output`, or has ended."""
    lock = output.with_name(f".{output.name}.lock")
    while process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            if lock.read_text().startswith(f"process {process.pid} "):
                return
        time.sleep(0.002)


def kills(work: Work, command: list[str], output: Path, *, name: str, count: int, draw: random.Random) -> Part:
    """`kill -9` of a real process at a random moment after it took the lock, resumed until it is done, and again."""
    part, options = Part(name), (["--overwrite"] if output.exists() else [])
    if not count:
        return part
    old, spare = weights(output), work.root / "spare"
    if old:
        shutil.copytree(output, spare)
    undisturbed = start([*command, *options])
    wait_for_lock(undisturbed, output)
    begun = time.monotonic()
    undisturbed.communicate()
    seconds, new = time.monotonic() - begun, weights(output)
    fresh = True
    while part.tried < count or not fresh:
        if fresh:
            shutil.rmtree(output)
            if old:
                shutil.copytree(spare, output)
        resumes = (output / store.RUN_FILE).exists() and not (output / store.MANIFEST).exists()
        process = start([*command, *(["--resume"] if resumes else options)])
        if part.tried < count:
            wait_for_lock(process, output)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(draw.random() * seconds)
        fresh = False
        if part.tried < count and process.poll() is None:
            process.kill()
            process.communicate()
            stands = weights(output)
            part.tried += 1
            part.found["new" if stands == new else "old" if stands and stands == old else "none"] += 1
            part.expect(stands in (old, new), f"{name}: neither the old nor the new stands")
            fresh = stands == new
        else:
            said = process.communicate()[1]
            part.expect(process.returncode == 0, f"{name}: ended with {process.returncode}: {said[-300:]}")
            check_end(part, output, new, name)
            part.found["runs resumed to the end"] += 1
            fresh = True
    shutil.rmtree(spare, ignore_errors=True)
    return part


# (c) Damage --------------------------------------------------------------------------------------------------------


def damage(folder: Path, names: Sequence[str], flips: int, truncations: int, draw: random.Random) -> Iterator[str]:
    """Damages one file at a time, says how, and mends it again."""
    for number in range(flips + truncations):
        path = folder / names[number % len(names)]
        content = path.read_bytes()
        if number < flips:
            bit = draw.randrange(len(content) * 8)
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            what = f"bit {bit} of {path.name}"
        else:
            changed = content[: draw.randrange(len(content))]
            what = f"{path.name} cut to {len(changed)} bytes"
        path.write_bytes(changed)
        yield what
        path.write_bytes(content)


def damaged_model(model: Path, flips: int, truncations: int, draw: random.Random) -> Part:
    part = Part("damage of a model folder")
    names = [*store.Folder(model).names, store.MANIFEST]
    for what in damage(model, names, flips, truncations, draw):
        part.tried += 1
        try:
            taesan.engine.load.open_predictor(model)
            part.expect(False, f"{what} was not noticed")
        except StorageError:
            part.found["refused"] += 1
    part.found["files"] = len(names)
    return part


def damaged_checkpoint(run: Path, flips: int, truncations: int, draw: random.Random) -> Part:
    part = Part("damage of a checkpoint")
    previous, last = sorted((run / "checkpoints").glob("step-*"), key=lambda path: int(path.name[5:]))
    names = [path.name for path in last.iterdir()]
    for what in damage(last, names, flips, truncations, draw):
        part.tried += 1
        said: list[str] = []
        found = checkpoint.newest(run, said.append)
        used = found is not None and f"step-{found[0].step}" == previous.name
        part.found["said, the previous one used"] += used and last.name in " ".join(said)
        part.expect(used, f"{what} was not noticed, or not passed over")
    part.found["files"] = len(names)
    return part


def damaged_run(work: Work, command: list[str], run: Path, new: Path, count: int, draw: random.Random) -> Part:
    """The record and the log of an unfinished run: refused, or said and of no consequence."""
    part = Part("damage of a run's record and log")
    saved, log = work.root / "saved", (new / "log.jsonl").read_bytes()
    shutil.copytree(run, saved)
    for what in damage(saved, (store.RUN_FILE, "log.jsonl"), count, count // 5, draw):
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(saved, run)
        status = work.run([*command, "--resume"])
        said = work.talk.read_text()
        part.tried += 1
        whole = status == 0 and weights(run) == weights(new)
        same = whole and (run / "log.jsonl").read_bytes() == log  # what is damaged was to be written again
        part.found["refused" if status in (2, 74) else "written again" if same else "said, resumed"] += 1
        part.expect(status in (2, 74) or same or (whole and "damaged" in said), f"{what}: {status}: {said[-300:]}")
    return part


# (d) Two at once ---------------------------------------------------------------------------------------------------


def two_at_once(work: Work, rounds: int, draw: random.Random) -> Part:
    """The second begins when the first is seen to hold the lock, and has ended long before the first has."""
    part, output = Part("two fits on one folder"), work.root / "race" / "out"
    if not rounds:
        return part
    command = work.fit(output, epochs=1000, checkpoint_steps=500)
    status = work.run(command)
    part.expect(status == 0, f"undisturbed: {status}")
    new = weights(output)
    while part.tried < rounds:
        shutil.rmtree(output.parent)
        first = start(command)
        wait_for_lock(first, output)
        second = start(command)
        said = second.communicate()[1]
        part.tried += 1
        part.expect(first.poll() is None, "the first ended before the second had asked for the lock: nothing is shown")
        named = f"process {first.pid} on " in said and second.returncode == 75
        part.expect(named, f"the second ended with {second.returncode}: {said}")
        part.found["the second: 75, naming the first"] += named
        if draw.random() < 0.5:
            first.kill()
            first.communicate()
            status = work.resume(command, output, new)
            part.expect(status == 0, f"after kill -9 of the first: {status}: {work.talk.read_text()}")
            part.found["the first killed, its lock free"] += status == 0
        else:
            said = first.communicate()[1]
            part.expect(first.returncode == 0, f"the first ended with {first.returncode}: {said}")
            part.found["the first done"] += first.returncode == 0
        check_end(part, output, new, part.name)  # no lock file either
    return part


# (e) Predictions ---------------------------------------------------------------------------------------------------


def predictions(model: Path, rows: Path, output: Path, shards: int) -> list[list[str]]:
    """The commands that answer a file, one a shard."""
    command = ["predict", str(model), "--input", str(rows), "--output", str(output), "--quiet"]
    return [command] if shards == 1 else [[*command, "--shard", f"{i}/{shards}"] for i in range(1, shards + 1)]


def resume_predictions(part: Part, work: Work, commands: list[list[str]], what: str) -> None:
    """Types the commands again as a person would. What is finished already is not made again."""
    output = Path(commands[0][commands[0].index("--output") + 1])
    begun = any(path.suffix in (".part", ".record", ".parts") for path in output.parent.iterdir())
    for command in commands:
        status = work.run([*command, *(["--resume"] if begun or output.exists() else [])])
        done = status == 73 and "is finished already" in work.talk.read_text() and output.exists()
        part.expect(status == 0 or done, f"{what}: resuming ended with {status}: {work.talk.read_text()[-300:]}")


def check_predictions(part: Part, output: Path, wanted: bytes, what: str) -> None:
    part.expect(output.exists() and output.read_bytes() == wanted, f"{what}: other bytes than the undisturbed run's")
    left = {path.name for path in output.parent.iterdir()} - {output.name, f".{output.name}.lock"}
    part.expect(left <= {f".{output.name}.parts.dropped"}, f"{what}: left beside: {left}")


def predict_faults(work: Work, model: Path, rows: Path, *, shards: int, every: tuple[int, int]) -> Iterator[Part]:
    """A fault at every n-th write and every m-th other call of the last shard, the others being done."""
    output = work.root / "answers" / "out.jsonl"
    *before, last = commands = predictions(model, rows, output, shards)

    def place() -> None:
        shutil.rmtree(output.parent, ignore_errors=True)
        output.parent.mkdir()
        for command in before:
            work.run(command)

    place()
    operations = work.operations(last)
    wanted = output.read_bytes()
    written = [at for at, operation in enumerate(operations) if operation == "write"]
    others = [at for at, operation in enumerate(operations) if operation != "write"]
    for kind in KINDS:
        part = Part(f"predict, {shards} shard{'s'[: shards - 1]}, {kind}")
        for at in sorted(written[:: every[0]] + others[:: every[1]]):
            operation = operations[at]
            if kind == "full" and operation in ("unlink", "rmdir"):
                continue
            what = f"{part.name} at {operation} {at} of {len(operations)}"
            place()
            status = work.run(last, (kind, at))
            said = work.talk.read_text().strip().splitlines()
            part.tried += 1
            part.found["new" if output.exists() else "none"] += 1
            part.expect(not output.exists() or output.read_bytes() == wanted, f"{what}: a half stands")
            clear = status in (73, 74) and any(line.startswith("taesan: ") for line in said)
            part.expect(
                status == EXITED if kind == "exit" else clear or status == 0, f"{what}: ended with {status}: {said}"
            )
            resume_predictions(part, work, commands, what)
            check_predictions(part, output, wanted, what)
        yield part


def predict_kills(work: Work, model: Path, rows: Path, *, shards: int, count: int, draw: random.Random) -> Part:
    """`kill -9` of each shard's process at a random moment, resumed and killed again, until all are through."""
    part = Part(f"kill -9 of a predict, {shards} shard{'s'[: shards - 1]}")
    output = work.root / "answers" / "out.jsonl"
    commands = predictions(model, rows, output, shards)
    shutil.rmtree(output.parent, ignore_errors=True)
    output.parent.mkdir()
    begun = time.monotonic()
    for command in commands:
        work.run(command)
    seconds, wanted = (time.monotonic() - begun) / shards, output.read_bytes()
    output.unlink()
    while part.tried < count:
        process = os.fork()
        command = draw.choice(commands)
        if process == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            os._exit(cli.main([*command, "--resume"]))
        time.sleep(draw.random() * seconds)
        os.kill(process, signal.SIGKILL)
        killed = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
        part.tried += killed
        if output.exists():
            check_predictions(part, output, wanted, part.name)
            part.found["came through"] += 1
            output.unlink()
            shutil.rmtree(output.parent / f"{output.name}.parts", ignore_errors=True)
    resume_predictions(part, work, commands, part.name)
    check_predictions(part, output, wanted, part.name)
    return part


# The table ---------------------------------------------------------------------------------------------------------


def measure(work: Work, options: argparse.Namespace) -> Iterator[Part]:
    draw, every = random.Random(options.seed), (options.writes, options.others)
    old, new, stopped = (work.root / name / "out" for name in ("old", "new", "stopped"))
    for folder, seed in ((old, 2), (new, 1)):
        work.run(work.fit(folder, seed=seed))
    place = work.root / "place" / "out"
    shas = {"old": weights(old), "new": weights(new)}
    if "" in shas.values() or len(set(shas.values())) == 1:
        raise SystemExit(f"the undisturbed runs did not come out: {shas}\n{work.talk.read_text()}")
    # A run that was stopped with two checkpoints.
    command = work.fit(stopped)
    operations = work.operations(command)
    shutil.rmtree(stopped.parent)
    renames = [at for at, name in enumerate(operations) if name == "rename"]
    work.run(command, ("exit", renames[3]))
    fit, parts = work.fit(place), options.only
    if "fault-fit" in parts:
        yield from fault_points(work, fit, None, "", shas["new"], name="fit", every=every, draw=draw)
    if "fault-overwrite" in parts:
        command, name = [*fit, "--overwrite"], "fit --overwrite"
        yield from fault_points(work, command, old, shas["old"], shas["new"], name=name, every=every, draw=draw)
    if "fault-resume" in parts:
        command, name = [*fit, "--resume"], "fit --resume"
        yield from fault_points(work, command, stopped, "", shas["new"], name=name, every=every, draw=draw)
    if "fault-pretrain" in parts:
        for objective in OBJECTIVES:
            shutil.rmtree(place.parent, ignore_errors=True)
            pretrain, name = work.pretrain(place, objective), f"pretrain {objective}"
            work.run(pretrain)
            points = 9 * every[0], every[1]
            yield from fault_points(work, pretrain, None, "", weights(place), name=name, every=points, draw=draw)
    killed = work.root / "killed" / "out"
    long = work.fit(killed, epochs=100, checkpoint_steps=20)
    half = -(-options.kills // 2)
    if "kill-fit" in parts:
        yield kills(work, long, killed, name="kill -9 of a fit", count=half, draw=draw)
    if "kill-overwrite" in parts:
        shutil.rmtree(killed, ignore_errors=True)
        shutil.copytree(old, killed)
        yield kills(work, long, killed, name="kill -9 of a fit --overwrite", count=options.kills - half, draw=draw)
    if "kill-pretrain" in parts:
        for objective in OBJECTIVES:
            shutil.rmtree(killed, ignore_errors=True)
            command, name = work.pretrain(killed, objective), f"kill -9 of a pretraining, {objective}"
            count = (options.pretrain_kills + (objective == "masked")) // 2
            yield kills(work, command, killed, name=name, count=count, draw=draw)
    flips, truncations = options.flips // 2, options.truncations // 2
    if "damage-model" in parts:
        yield damaged_model(new, flips, truncations, draw)
    if "damage-checkpoint" in parts:
        yield damaged_checkpoint(stopped, flips, truncations, draw)
    if "damage-run" in parts:
        yield damaged_run(work, work.fit(stopped), stopped, new, options.flips // 20, draw)
    if "two-at-once" in parts:
        yield two_at_once(work, options.races, draw)
    taesan.engine.infer.CHUNK_ROWS = taesan.verbs.predict.CHUNK_ROWS = CHUNK_ROWS  # the processes are forked
    for shards in (1, SHARDS):
        if "fault-predict" in parts:
            yield from predict_faults(work, new, work.root / "rows.jsonl", shards=shards, every=every)
        if "kill-predict" in parts:
            count, rows = options.predict_kills // 2, work.root / "rows.jsonl"
            yield predict_kills(work, new, rows, shards=shards, count=count, draw=draw)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--writes", type=int, default=5, help="faults at every n-th write (5)")
    parser.add_argument("--others", type=int, default=1, help="faults at every n-th fsync, rename, removal (1)")
    parser.add_argument("--kills", type=int, default=15, help="kill -9 of a fit (15)")
    parser.add_argument("--pretrain-kills", type=int, default=15, help="kill -9 of a pretraining (15)")
    parser.add_argument("--predict-kills", type=int, default=100, help="kill -9 of a prediction (100)")
    parser.add_argument("--flips", type=int, default=2000, help="single bits flipped (2,000)")
    parser.add_argument("--truncations", type=int, default=200, help="files cut short (200)")
    parser.add_argument("--races", type=int, default=10, help="two fits on one folder (10)")
    parser.add_argument("--seed", type=int, default=0, help="seed of every random choice (0)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="NAME", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="few of each, for the tests")
    options = parser.parse_args()
    if options.quick:
        options.writes, options.others = 999, 47
        options.kills, options.pretrain_kills, options.predict_kills, options.races = 0, 0, 0, 0
        options.flips, options.truncations = 100, 10
    failures = 0
    begun = time.monotonic()
    print(f"{'':<34} {'tried':>6} {'failed':>7}   found afterwards", flush=True)
    with tempfile.TemporaryDirectory() as root:
        for part in measure(Work(Path(root)), options):
            if not part.tried:
                continue
            print(part, *(f"    {failure}" for failure in part.failures[:SHOWN]), sep="\n", flush=True)
            failures += len(part.failures)
    print(f"{time.monotonic() - begun:,.0f} seconds; {failures:,} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
