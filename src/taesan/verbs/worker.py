"""A process that has loaded everything once and forks itself for every job; see executors.py.

A job has memory of its own, starts at once, and takes nobody along when it dies. Standard input brings batches, a line
of JSON each, and standard output answers with a line a job. When standard input ends, so does everything here.
"""

import contextlib
import importlib
import json
import os
import select
import signal
from typing import Any, BinaryIO

import taesan.verbs.cells  # noqa: F401  what every job would load for itself
from taesan.verbs.executors import Work, answered

POLL_SECONDS = 0.02


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints is no answer
    running: dict[int, tuple[int, int]] = {}  # process: number of its job, where its value comes from
    try:
        while batch := _read_line():
            _run(json.loads(batch), running, answers)
    except (EOFError, BrokenPipeError):
        pass  # the process that asked is gone
    finally:
        for process in running:
            os.kill(process, signal.SIGKILL)


def _read_line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, 1 << 16)
        if not part:
            return b""
        line += part
    return line


def _run(batch: dict[str, Any], running: dict[int, tuple[int, int]], answers: BinaryIO) -> None:
    """Every job of a batch, `at_once` at a time, each answered as it ends."""
    module, name = batch["work"].split(":")
    work, waiting = getattr(importlib.import_module(module), name), list(enumerate(batch["jobs"]))[::-1]
    while waiting or running:
        while waiting and len(running) < batch["at_once"]:
            number, job = waiting.pop()
            process, value = _start(work, job, answers)
            running[process] = number, value
        process, status = os.waitpid(-1, os.WNOHANG)
        if process:
            number, value = running.pop(process)
            with os.fdopen(value, "rb") as file:
                content = file.read()
            answer = json.loads(content) if content.endswith(b"\n") else {"error": _how(status)}
            answers.write(json.dumps({"number": number, **answer}).encode() + b"\n")
        elif select.select([0], [], [], POLL_SECONDS)[0]:
            raise EOFError


def _start(work: Work, job: Any, answers: BinaryIO) -> tuple[int, int]:
    source, target = os.pipe()
    process = os.fork()
    if process:
        os.close(target)
        return process, source
    try:
        answers.close()  # it ends with the process that answers, and whoever waits for answers is told
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")  # where memory runs out, a job goes, and nobody else
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.write(target, json.dumps(answered(work, job)).encode() + b"\n")
    finally:
        os._exit(0)


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"its process ended with status {code} and said nothing"
    hint = "; was there not enough memory?" if -code == signal.SIGKILL else ""
    return f"its process was killed by {signal.Signals(-code).name}{hint}"


if __name__ == "__main__":
    main()
