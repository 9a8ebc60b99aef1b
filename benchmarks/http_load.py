"""What the benchmarks of the server share: servers in processes of their own, and clients that count and time."""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from measure import ONE_THREAD

HOST = "127.0.0.1"


@dataclass
class Heard:
    """What clients were told, and how long each answer took (seconds)."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def percentile(self, part: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


@contextlib.contextmanager
def server(command: Sequence[str], announced: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Its port, read from the line that it writes when it listens, and its process."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stderr=said, env=os.environ | ONE_THREAD, text=True)
        try:
            port = 0
            while not port:
                said.seek(0)
                text = said.read()
                if process.poll() is not None:
                    sys.exit(f"the server ended: {text}")
                if match := re.search(announced, text):
                    port = int(match[1])
                else:
                    time.sleep(0.01)
            yield port, process
        finally:
            process.terminate()
            process.wait()


def taesan_server(models: Sequence[str]) -> "contextlib.AbstractContextManager[tuple[int, subprocess.Popen[str]]]":
    command = [sys.executable, "-m", "taesan", "serve", *models, "--port", "0", "--quiet"]
    return server(command, r"Serving .* at http://\S+:(\d+)")


def request(address: str, body: object) -> bytes:
    content = json.dumps(body, ensure_ascii=False).encode()
    head = f"POST {address} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, content: bytes) -> tuple[int, bytes]:
    """Status and body of an answer that has a length."""
    writer.write(content)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    match = re.search(r"content-length: (\d+)", head)
    return int(head.split()[1]), await reader.readexactly(int(match[1])) if match else b""


async def healthy(port: int, requests: Sequence[bytes], until: float, heard: Heard, pause: float) -> None:
    """One request after another on one connection, which is opened anew where the server has closed it."""
    number = 0
    while time.perf_counter() < until:
        reader, writer = await asyncio.open_connection(HOST, port)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while time.perf_counter() < until:
                begun = time.perf_counter()
                status, _ = await ask(reader, writer, requests[number % len(requests)])
                heard.seconds.append(time.perf_counter() - begun)
                heard.statuses[status] += 1
                number += 1
                await asyncio.sleep(pause)
        writer.close()


async def load(port: int, requests: Sequence[bytes], *, clients: int, seconds: float, pause: float) -> Heard:
    heard = Heard()
    until = time.perf_counter() + seconds
    own = [requests[number:] + requests[:number] for number in range(clients)]
    await asyncio.gather(*(healthy(port, one, until, heard, pause) for one in own))
    return heard


def sample_texts() -> list[str]:
    from taesan.data import samples

    lines = Path(samples.REVIEWS_HELD_OUT).read_text("utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]
