"""Texts as they are written: the worker's thread writes, the event loop sends."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any, TypeVar

from fastapi.responses import StreamingResponse

from taesan.config import GenerationOptions
from taesan.serve.faults import Fault
from taesan.serve.models import Served
from taesan.serve.worker import Abandoned, Going
from taesan.verbs.generate import Step, Written, generate

T = TypeVar("T")


async def write(model: Served, prompt: str, options: GenerationOptions) -> AsyncIterator[Step | Written]:
    """The first text's steps as they come, then every text. Raises: Fault, TaesanError."""
    asked, loop = model.asked, asyncio.get_running_loop()
    if asked is None or not model.writes:
        raise Fault(400, "no-writer", "This model does not write.")
    heard: asyncio.Queue[Step | None] = asyncio.Queue()

    def call(going: Going) -> list[Written]:
        def on_step(step: Step) -> None:
            if not going():
                raise Abandoned
            loop.call_soon_threadsafe(heard.put_nowait, step)

        (texts,) = generate(asked, [prompt], options=options, on_step=on_step)
        return texts

    task = asyncio.create_task(model.worker.run(call))
    task.add_done_callback(lambda _: heard.put_nowait(None))
    try:
        while (step := await heard.get()) is not None:
            yield step
        for text in await task:
            yield text
    finally:
        task.cancel()


async def first_then(source: AsyncIterator[T]) -> AsyncIterator[T]:
    """The same, once its first has come: what is wrong with a request is known then, and answered by its status."""
    first = await anext(source)

    async def chained() -> AsyncIterator[T]:
        yield first
        async for one in source:
            yield one

    return chained()


def events(source: AsyncIterator[Step | Written], started: float) -> StreamingResponse:
    """Server-sent events: one a step, and one when all is done."""

    async def lines() -> AsyncIterator[bytes]:
        done = False
        async for one in source:
            if isinstance(one, Step):
                yield event(one.as_dict())
            elif not done:  # of several texts the first was told of
                done = True
                whole = {name: value for name, value in one.as_dict().items() if name not in ("prompt", "steps")}
                yield event({"done": True, **whole, "seconds": time.perf_counter() - started})

    return stream(lines())


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n\n"


def stream(lines: AsyncIterator[bytes]) -> StreamingResponse:
    return StreamingResponse(lines, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
