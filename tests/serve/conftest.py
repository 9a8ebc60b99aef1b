"""Real servers in processes of their own, and a client that says exactly the bytes that a test gives it."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import taesan
from conftest import WORDS
from taesan.config import FitConfig

pytest.importorskip("fastapi", reason="fastapi is not installed: pip install 'taesan[serve]'")
pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'taesan[serve]'")
SECONDS = 60  # longer than a test waits for anything that is to come


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error"]["code"]


@dataclass
class Running:
    """A server. `said` are the lines that it wrote so far."""

    process: subprocess.Popen[str]
    port: int = 0
    said: list[str] = field(default_factory=list)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)

    def exchange(self, content: bytes) -> Reply:
        """The answer to these bytes, on a connection of their own."""
        with self.connect() as connection:
            with contextlib.suppress(ConnectionError):  # it may answer, and close, before it has read all
                connection.sendall(content)
            return read_reply(connection)

    def post(self, address: str, body: object, **headers: str) -> Reply:
        content = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        return self.exchange(post(address, content, **headers))

    def get(self, address: str) -> Reply:
        return self.exchange(f"GET {address} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    def end(self) -> int:
        """Asks it to end; the exit status comes back."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


def post(address: str, content: bytes, **headers: str) -> bytes:
    """A request as bytes. A header given as "" is left out."""
    given = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(len(content))}
    given |= {"Connection": "close"} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"POST {address} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items() if value)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content


def read_reply(connection: socket.socket, method: str = "GET") -> Reply:
    """One answer; its status is 0 where the connection was closed without one."""
    content = b""
    with contextlib.suppress(ConnectionError):
        while b"\r\n\r\n" not in content:
            if not (part := connection.recv(65536)):
                return Reply(0, {}, content)
            content += part
        head, _, body = content.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        length = None if method == "HEAD" else headers.get("content-length")
        while method != "HEAD" and (length is None or len(body) < int(length)):
            if not (part := connection.recv(65536)):
                break
            body += part
        return Reply(int(first.split()[1]), headers, body)
    return Reply(0, {}, content)


@contextlib.contextmanager
def running(*arguments: str, **environment: str) -> Iterator[Running]:
    command = [sys.executable, "-m", "taesan", "serve", *arguments, "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})
    server, ready = Running(process), threading.Event()

    def listen() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            server.said.append(line)
            if match := re.match(r"Serving .* at http://\S+:(\d+)$", line):
                server.port = int(match[1])
                ready.set()
        ready.set()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        assert ready.wait(SECONDS)
        assert server.port, "".join(server.said)
        yield server
    finally:
        process.kill()
        process.wait()
        listener.join()
        assert process.stderr is not None
        process.stderr.close()


@pytest.fixture(scope="session")
def folders(labelled, masked_backbone, long_backbone, tmp_path_factory) -> dict[str, Path]:
    """A fitted model for each of some tasks, two of them adapters over one backbone."""
    root = tmp_path_factory.mktemp("served")
    trained = FitConfig(epochs=2, device="cpu", threads=1, notice=0)
    asked = FitConfig(shots=2, device="cpu", threads=1)
    fits = {
        "reviews": ("classification", "finetune", masked_backbone, trained),
        "reviews-lora": ("classification", "lora", masked_backbone, trained),
        "entities-lora": ("ner", "lora", masked_backbone, trained),
        "pairs": ("pair", "in-context", long_backbone, asked),
        "questions": ("qa", "finetune", masked_backbone, trained),
        "replies": ("generation", "finetune", long_backbone, trained),
    }
    for name, (task, method, backbone, config) in fits.items():
        words = WORDS.get(task) if method == "in-context" else None
        how: dict[str, Any] = {"method": method, "backbone": str(backbone), "config": config, "label_words": words}
        taesan.fit(task, labelled[task], output=root / name, quiet=True, **how)
    return {name: root / name for name in fits}


@pytest.fixture(scope="session")
def server(folders, masked_backbone, long_backbone) -> Iterator[Running]:
    """A server with all of them and both backbones, which waits for nothing longer than a second or two."""
    given = [f"{name}={path}" for name, path in folders.items()]
    deadlines = ("--header-seconds", "1", "--body-seconds", "1.5")
    with running(*given, f"tiny-bert={masked_backbone}", f"tiny-gpt={long_backbone}", *deadlines) as server:
        yield server
