"""The worker: who comes together is answered together, who goes leaves no trace, and one bad item harms nobody."""

import asyncio
import threading
import time
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from taesan.errors import UsageError
from taesan.serve.faults import Fault
from taesan.serve.worker import Abandoned, Worker
from taesan.tasks.base import Example


class Model:
    """Answers its text; says no to "bad"; waits at the gate before each call."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def predict(self, examples: Iterable[Example], *, advance: Any = None) -> Iterator[Any]:
        texts = [example.texts[0] for example in examples]
        self.calls.append(texts)
        self.entered.set()
        while not self.gate.wait(0.01):
            advance(0)
        if "bad" in texts:
            raise UsageError("no")
        if "bug" in texts:
            raise ValueError("a secret")
        return iter([SimpleNamespace(text=text) for text in texts])


def examples(*texts: str) -> list[Example]:
    return [Example((text,)) for text in texts]


async def shut(model: Model, worker: Worker) -> "asyncio.Task[Any]":
    """A request that is being answered, and stays so until the gate opens."""
    model.gate.clear()
    model.entered.clear()
    task = asyncio.create_task(worker.predict(examples("first")))
    await asyncio.to_thread(model.entered.wait, 10)
    return task


def test_what_waits_is_answered_together_each_with_its_own() -> None:
    model = Model()

    async def main() -> None:
        worker = Worker(model.predict, queue_items=100)
        first = await shut(model, worker)
        waiting = [asyncio.create_task(worker.predict(examples(*(f"{n}{k}" for k in range(n))))) for n in range(1, 9)]
        await asyncio.sleep(0)
        assert worker.waiting_items == sum(range(1, 9))
        model.gate.set()
        await first
        for number, task in enumerate(waiting, 1):
            assert [one.text for one in await task] == [f"{number}{k}" for k in range(number)]
        assert worker.waiting_items == 0
        assert (worker.batches, worker.batched_items) == (2, 37)

    asyncio.run(main())
    assert [len(call) for call in model.calls] == [1, 36]


def test_a_batch_waits_to_be_as_large_as_the_last_but_not_for_long(monkeypatch) -> None:
    model = Model()

    async def main() -> None:
        worker = Worker(model.predict, queue_items=100)
        monkeypatch.setattr("taesan.serve.worker.WAIT_SECONDS", 60)
        await asyncio.wait_for(worker.predict(examples("alone")), 30)
        await asyncio.wait_for(worker.predict(examples("a", "b", "c")), 30)
        tasks = []
        for text in ("d", "e", "f"):
            tasks.append(asyncio.create_task(worker.predict(examples(text))))
            await asyncio.sleep(0.05)
        await asyncio.wait_for(asyncio.gather(*tasks), 30)
        monkeypatch.setattr("taesan.serve.worker.WAIT_SECONDS", 0.01)
        await asyncio.wait_for(worker.predict(examples("alone again")), 30)

    asyncio.run(main())
    assert model.calls == [["alone"], ["a", "b", "c"], ["d", "e", "f"], ["alone again"]]


def test_no_batch_is_larger_than_it_may_be() -> None:
    model = Model()

    async def main() -> None:
        worker = Worker(model.predict, queue_items=1000)
        first = await shut(model, worker)
        waiting = [asyncio.create_task(worker.predict(examples(*["x"] * 50))) for _ in range(5)]
        await asyncio.sleep(0)
        model.gate.set()
        await asyncio.gather(first, *waiting)

    asyncio.run(main())
    assert [len(call) for call in model.calls] == [1, 100, 100, 50]


def test_a_bad_item_has_its_own_error_and_few_calls_are_made_again() -> None:
    model = Model()

    async def main() -> list[Any]:
        return await Worker(model.predict, queue_items=100).predict(examples(*"abcdefgh", "bad", *"ijklmno"))

    answers = asyncio.run(main())
    assert [getattr(one, "text", "error") for one in answers] == [*"abcdefgh", "error", *"ijklmno"]
    assert isinstance(answers[8], UsageError)
    assert len(model.calls) <= 2 * 4 + 1  # by halves: two for each of the four levels of 16


def test_a_full_queue_says_so_at_once() -> None:
    model = Model()

    async def main() -> None:
        worker = Worker(model.predict, queue_items=3)
        first = await shut(model, worker)
        waiting = asyncio.create_task(worker.predict(examples("a", "b")))
        await asyncio.sleep(0)
        with pytest.raises(Fault) as caught:
            await worker.predict(examples("c", "d"))
        assert (caught.value.status_code, caught.value.code) == (429, "busy")
        assert caught.value.headers == {"Retry-After": "1"}
        one = asyncio.create_task(worker.predict(examples("e")))
        model.gate.set()
        await asyncio.gather(first, waiting, one)

    asyncio.run(main())


def test_requests_that_are_cancelled_leave_the_queue() -> None:
    model = Model()

    async def main() -> None:
        worker = Worker(model.predict, queue_items=100)
        first = await shut(model, worker)
        waiting = [asyncio.create_task(worker.predict(examples("x"))) for _ in range(100)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert worker.waiting_items == 0
        after = asyncio.create_task(worker.predict(examples("after")))
        await asyncio.sleep(0)
        model.gate.set()
        assert [one.text for one in await after] == ["after"]
        await first

    asyncio.run(main())
    assert model.calls == [["first"], ["after"]]


def test_what_nobody_waits_for_any_more_is_given_up() -> None:
    """In the midst of it: the gate stays shut, and yet the next request is answered."""
    model = Model()

    async def main() -> None:
        worker = Worker(model.predict, queue_items=100)
        first = await shut(model, worker)
        first.cancel()
        called = await worker.run(lambda going: going())
        assert called is True

    asyncio.run(main())


def test_calls_run_alone_in_order_and_are_told_to_stop() -> None:
    async def main() -> None:
        worker = Worker(queue_items=100)
        stopped = threading.Event()

        def endless(going: Any) -> None:
            while going():
                time.sleep(0.001)
            stopped.set()
            raise Abandoned

        task = asyncio.create_task(worker.run(endless))
        await asyncio.sleep(0.05)
        task.cancel()
        assert await worker.run(lambda going: threading.current_thread().name) != threading.current_thread().name
        assert stopped.is_set()
        with pytest.raises(UsageError):
            await worker.run(lambda going: (_ for _ in ()).throw(UsageError("no")).send(None))

    asyncio.run(main())
