"""One model, one thread, one queue that has an end: what arrives together is answered together."""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from taesan.serve.faults import Fault
from taesan.tasks.base import Example, Prediction

WAIT_SECONDS = 0.002  # how long a batch waits, at most, to be as large as the last
BATCH_ITEMS = 128
T = TypeVar("T")
Answer = Prediction | Exception
Going = Callable[[], bool]  # whether somebody still waits for the answer


class Predict(Protocol):
    """`predict` of a predictor."""

    def __call__(
        self, examples: Iterable[Example], *, advance: Callable[[int], object] | None = None
    ) -> Iterator[Prediction]: ...


class Abandoned(Exception):
    """Nobody waits for this answer any more."""


@dataclass(eq=False, slots=True)
class _Job:
    """Examples that may be predicted in company, or a `call` that is run alone. `items`: its share of the queue."""

    future: asyncio.Future[Any]
    items: int
    examples: Sequence[Example] = ()
    call: Callable[[Going], Any] | None = None


class Worker:
    """Answers for one model. Its methods are called on the event loop, the model in the worker's own thread."""

    def __init__(self, predict: Predict | None = None, *, queue_items: int):
        self._predict, self._queue_items = predict, queue_items
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self.waiting_items = 0
        self._last_items = 0  # who asks again when answered is here soon: nobody else is waited for
        self.batches, self.batched_items = 0, 0  # for /metrics
        threading.Thread(target=self._work, daemon=True).start()

    async def predict(self, examples: Sequence[Example]) -> list[Answer]:
        """Each example's prediction, or the error that it alone has. Raises: Fault 429 where the queue is full."""
        return await self._wait(_Job(_future(), len(examples), examples)) if examples else []

    async def run(self, call: Callable[[Going], T]) -> T:
        """What `call` gives, in the worker's thread. It is told by `going()` whether to go on, and may raise Abandoned.

        Raises: Fault 429 where the queue is full; whatever `call` raises.
        """
        return await self._wait(_Job(_future(), 1, call=call))

    async def _wait(self, job: _Job) -> Any:
        with self._changed:
            if self.waiting_items and self.waiting_items + job.items > self._queue_items:
                raise Fault(429, "busy", "Too much is waiting for this model. Try again.", {"Retry-After": "1"})
            self._jobs.append(job)
            self.waiting_items += job.items
            self._changed.notify()
        try:
            return await job.future
        finally:  # a request that was cancelled takes no room in the queue
            with self._changed:
                if job in self._jobs:
                    self._jobs.remove(job)
                    self.waiting_items -= job.items

    def _work(self) -> None:
        while True:
            jobs = self._next()
            if jobs[0].call is not None:
                _settle([(jobs[0], _run(jobs[0]))])
                continue
            examples = [example for job in jobs for example in job.examples]
            answers = iter(self._answers(examples, jobs))
            _settle([(job, [next(answers, Abandoned()) for _ in job.examples]) for job in jobs])

    def _next(self) -> list[_Job]:
        """The next jobs to be answered together, in order: one that runs alone, or several with examples."""
        with self._changed:
            while not self._jobs:
                self._changed.wait()
            until = time.monotonic() + WAIT_SECONDS
            while self._alike() and self.waiting_items < self._last_items and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            jobs: list[_Job] = []
            items = 0
            while self._jobs and (not jobs or (jobs[0].call is None and self._jobs[0].call is None)):
                if jobs and items + self._jobs[0].items > BATCH_ITEMS:
                    break
                jobs.append(self._jobs.popleft())
                items += jobs[-1].items
            self.waiting_items -= items
            self._last_items = items
        return jobs or self._next()  # all were cancelled meanwhile

    def _alike(self) -> bool:
        return all(job.call is None for job in self._jobs)

    def _answers(self, examples: Sequence[Example], jobs: Sequence[_Job]) -> list[Answer]:
        """One answer an example. Where one makes the model fail, it is found by halves, and the others are answered."""
        assert self._predict is not None

        def advance(count: int) -> None:
            if all(job.future.done() for job in jobs):
                raise Abandoned

        try:
            answers: list[Answer] = list(self._predict(examples, advance=advance))
        except Abandoned:
            return []
        except Exception as error:
            if len(examples) == 1:
                return [error]
            middle = len(examples) // 2
            return self._answers(examples[:middle], jobs) + self._answers(examples[middle:], jobs)
        self.batches, self.batched_items = self.batches + 1, self.batched_items + len(examples)
        return answers


def _settle(results: Sequence[tuple[_Job, object]]) -> None:
    """Gives those who wait on the event loop what they waited for, all in one call: each wakes the loop."""

    def settle() -> None:
        for job, result in results:
            if job.future.done():
                continue
            if job.call is not None and isinstance(result, BaseException):
                job.future.set_exception(result)
            else:
                job.future.set_result(result)

    with contextlib.suppress(RuntimeError):  # the loop was closed: the server has ended
        results[0][0].future.get_loop().call_soon_threadsafe(settle)


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


def _run(job: _Job) -> object:
    """What the call gives, or the exception that it raised."""
    assert job.call is not None
    try:
        return job.call(lambda: not job.future.done())
    except Exception as error:
        return error
