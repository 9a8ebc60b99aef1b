"""Where jobs run: an executor has one call, `map`. Processes of this machine, or the nodes of a Ray cluster.

A job is JSON in and JSON out, and alone in its process; one that fails or is killed costs only itself. What a job is to
leave on disk it writes beside its place and renames, so that one that was lost half way, or runs twice, does no harm.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

from taesan.errors import TaesanError, UsageError, escape

RETRIES = 3  # of a job whose Ray worker was lost
ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    "TOKENIZERS_PARALLELISM": "false",
}
Work = Callable[[Any], Any]


@dataclass(frozen=True)
class Ended:
    """A job that is over: its number, and its value, or in a line why it has none."""

    number: int
    value: Any = None
    error: str | None = None


class Executor(Protocol):
    at_once: int  # jobs that run side by side

    def map(self, work: Work, jobs: Sequence[Any]) -> Iterator[Ended]:
        """`work` of every job, in the order in which they end; `work` is a function of a module."""
        ...

    def close(self) -> None: ...


def answered(work: Work, job: Any) -> dict[str, Any]:
    """The job's `value`, or its `error` in one line."""
    try:
        return {"value": work(job)}
    except TaesanError as error:
        return {"error": str(error).splitlines()[0]}
    except BaseException as error:
        if os.environ.get("TAESAN_DEBUG"):
            traceback.print_exc()
        return {"error": escape(f"{type(error).__name__}: {error}", 300)}


class LocalProcesses:
    """Processes of one thread each, `at_once` of them side by side, forked by one that has loaded everything."""

    def __init__(self, at_once: int):
        self.at_once = at_once
        self._worker: subprocess.Popen[bytes] | None = None

    def map(self, work: Work, jobs: Sequence[Any], *, at_once: int = 0) -> Iterator[Ended]:
        if not jobs:
            return
        if self._worker is None:
            self._worker = _start_worker()
        assert self._worker.stdin is not None
        assert self._worker.stdout is not None
        batch = {"work": _name(work), "jobs": list(jobs), "at_once": at_once or self.at_once}
        self._worker.stdin.write(json.dumps(batch).encode() + b"\n")
        self._worker.stdin.flush()
        left = set(range(len(jobs)))
        while left and (line := self._worker.stdout.readline()):
            answer = json.loads(line)
            left.remove(answer["number"])
            yield Ended(**answer)
        if left:
            self.close()
        for number in sorted(left):
            yield Ended(number, error="the process that starts jobs is gone; was it killed?")

    def close(self) -> None:
        """Ends what still runs."""
        if self._worker is not None:
            assert self._worker.stdin is not None
            assert self._worker.stdout is not None
            self._worker.stdin.close()
            self._worker.stdout.read()  # to its end, which is the worker's
            with contextlib.suppress(ProcessLookupError):  # its jobs, where it was killed and could not end them
                os.killpg(self._worker.pid, signal.SIGKILL)  # before `wait`, which gives the number away
            self._worker.wait()
            self._worker.stdout.close()
            self._worker = None


def _start_worker() -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C is for the process that asked, whose end ends the jobs.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "taesan.verbs.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | ONE_THREAD | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
    )


def _name(work: Work) -> str:
    return f"{work.__module__}:{work.__qualname__}"


class RayCluster:
    """Tasks of one CPU each on the nodes of a Ray cluster; a lost worker's run again. An extra: taesan[ray]."""

    def __init__(self, address: str):
        """`address` of a cluster, or `auto` for the one that this machine belongs to. Raises: UsageError."""
        if find_spec("ray") is None:
            raise UsageError("Ray is not installed: pip install 'taesan[ray]', or leave --ray out")
        import ray  # noqa: PLC0415  an extra  # pyright: ignore[reportMissingImports]

        self._ray, self._own = ray, not ray.is_initialized()
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError(
                f"there is no Ray cluster at {escape(address)}: {escape(error)}. Start one by `ray start --head`, or "
                "leave --ray out"
            ) from None

        self.at_once = max(1, int(ray.cluster_resources().get("CPU", 1)))

    def map(self, work: Work, jobs: Sequence[Any]) -> Iterator[Ended]:
        # A worker that takes one job and ends: then a job's peak memory is its own.
        task = self._ray.remote(num_cpus=1, max_calls=1, max_retries=RETRIES)(answered)
        numbers = {task.remote(work, job): number for number, job in enumerate(jobs)}
        while numbers:
            (reference,), _ = self._ray.wait(list(numbers), num_returns=1)
            number = numbers.pop(reference)
            try:
                yield Ended(number, **self._ray.get(reference))
            except self._ray.exceptions.RayError as error:
                yield Ended(number, error=escape(f"{type(error).__name__}: {str(error).splitlines()[0]}", 300))

    def close(self) -> None:
        if self._own:
            self._ray.shutdown()
