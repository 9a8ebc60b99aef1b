"""The server under load: healthy clients beside slow ones, cancelled requests, and an end with half-sent bodies.

    python benchmarks/serve_load.py DIR --seconds 300 --output benchmarks/results/serve-load.json

DIR is a folder fitted for classification. Loopback only; the clients run on the same machine, in this process.
First the healthy clients alone, then the same ones among slow headers and slow bodies; then requests whose clients go
away at once; then a signal, with half a body on its way.
"""

import argparse
import asyncio
import contextlib
import time
from collections import Counter
from typing import Any

import psutil

from http_load import HOST, Heard, ask, load, request, sample_texts, taesan_server
from measure import table, write_json

CANCELLING = 50  # clients that cancel, at once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--slow", type=int, default=40, help="of these, half with slow headers, half with slow bodies")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between a healthy client's requests")
    parser.add_argument("--cancelled", type=int, default=10_000)
    parser.add_argument("--output", help="JSON of all measurements")
    arguments = parser.parse_args()
    with taesan_server([f"model={arguments.model}"]) as (port, process):
        found = asyncio.run(measure(arguments, port, psutil.Process(process.pid)))
        found["end_seconds"] = asyncio.run(end(port, process))
        found["end_status"] = process.returncode
    rows = [
        (name, f"{one['requests']:,}", *(f"{1000 * one[key]:.0f}" for key in ("p50", "p99")), str(one["statuses"]))
        for name in ("undisturbed", "disturbed")
        for one in (found[name],)
    ]
    print(table(("healthy clients", "requests", "p50 ms", "p99 ms", "statuses"), rows))
    ratio = found["disturbed"]["p99"] / found["undisturbed"]["p99"]
    growth = found["memory_end_bytes"] / found["memory_begin_bytes"] - 1
    print(
        f"\np99 {ratio:.2f} times the undisturbed one; memory {found['memory_begin_bytes'] / 1e6:.0f} MB, {growth:+.1%}"
    )
    print(f"slow clients were told: {found['slow']}")
    print(f"after {arguments.cancelled:,} cancelled requests {found['waiting']:.0f} items wait; then {found['after']}")
    print(f"ended {found['end_seconds']:.1f} s after the signal, with status {found['end_status']}")
    write_json(arguments.output, {**vars(arguments), **found})


async def measure(arguments: argparse.Namespace, port: int, process: psutil.Process) -> dict[str, Any]:
    requests = [request("/v1/models/model:predict", {"item": {"text": text}}) for text in sample_texts()]
    clients = arguments.connections - arguments.slow
    how = {"clients": clients, "pause": arguments.pause}
    await load(port, requests, **how, seconds=min(5, arguments.seconds))  # warm
    alone = await load(port, requests, **how, seconds=max(10, arguments.seconds / 5))
    begin = process.memory_info().rss
    told: Counter[str] = Counter()
    until = time.perf_counter() + arguments.seconds
    kinds = [slow(port, requests[0], until, told, whole=number % 2 == 0) for number in range(arguments.slow)]
    among, *_ = await asyncio.gather(load(port, requests, **how, seconds=arguments.seconds), *kinds)
    found = {"undisturbed": summary(alone), "disturbed": summary(among), "slow": dict(told)}
    found |= {"memory_begin_bytes": begin, "memory_end_bytes": process.memory_info().rss}
    for _ in range(arguments.cancelled // CANCELLING):
        await asyncio.gather(*(cancelled(port, requests[0]) for _ in range(CANCELLING)))
    await asyncio.sleep(2)
    reader, writer = await asyncio.open_connection(HOST, port)
    _, metrics = await ask(reader, writer, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    lines = dict(line.rsplit(" ", 1) for line in metrics.decode().splitlines() if not line.startswith("#"))
    found["waiting"] = float(lines['taesan_waiting_items{model="model"}'])
    found["bugs"] = sum(float(value) for line, value in lines.items() if 'status="500"' in line)
    found["after"], _ = await ask(reader, writer, requests[0])
    writer.close()
    return found


def summary(heard: Heard) -> dict[str, Any]:
    counts = {"requests": len(heard.seconds), "statuses": dict(heard.statuses)}
    return counts | {"p50": heard.percentile(0.5), "p99": heard.percentile(0.99)}


async def slow(port: int, content: bytes, until: float, told: Counter[str], *, whole: bool) -> None:
    """A byte a second; of a request whose headers are `whole`, of the body alone."""
    begins = content.index(b"\r\n\r\n") + 4 if whole else 0
    while time.perf_counter() < until:
        reader, writer = await asyncio.open_connection(HOST, port)
        answer = asyncio.create_task(reader.read(65536))
        with contextlib.suppress(ConnectionError):
            writer.write(content[:begins])
            for place in range(begins, len(content)):
                writer.write(content[place : place + 1])
                await asyncio.wait([answer], timeout=min(1, max(0, until - time.perf_counter())))
                if answer.done() or time.perf_counter() >= until:
                    break
        if answer.done():
            heard = b"" if answer.exception() else answer.result()
            told[heard.split()[1].decode() if heard else "closed"] += 1
        answer.cancel()
        writer.close()


async def cancelled(port: int, content: bytes) -> None:
    _, writer = await asyncio.open_connection(HOST, port)
    writer.write(content)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    writer.transport.abort()


async def end(port: int, process: Any) -> float:
    """Seconds from the signal to the end, while clients have sent half a body."""
    content = request("/v1/models/model:predict", {"item": {"text": "가" * 1000}})
    writers = []
    for _ in range(20):
        _, writer = await asyncio.open_connection(HOST, port)
        writer.write(content[:-100])
        writers.append(writer)
    await asyncio.sleep(0.5)
    begun = time.perf_counter()
    process.terminate()
    await asyncio.to_thread(process.wait)
    for writer in writers:
        writer.close()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
