"""`taesan serve DIR...`: models behind HTTP, and a page that shows what they think."""

import gc
import ipaddress
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from taesan.config import ServeLimits
from taesan.engine.load import DEVICE
from taesan.errors import InputMissing, OutputError, UsageError, escape

try:
    from taesan.serve.app import create_app
    from taesan.serve.guard import Guard
    from taesan.serve.metrics import Metrics
    from taesan.serve.models import open_models
    from taesan.serve.server import Server
except ModuleNotFoundError as error:
    raise UsageError(f"serving needs {error.name}, which is not installed: pip install 'taesan[serve]'") from None

KEY_NAME = "TAESAN_API_KEY"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
MIN_KEY = 16  # characters
SWITCH_SECONDS = 0.0002  # how long a model may keep the event loop waiting for the interpreter, and the other way round


def serve(
    models: Sequence[str | Path],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    api_key_file: str | Path | None = None,
    allow_hosts: Sequence[str] = (),
    device: str = DEVICE,
    limits: ServeLimits | None = None,
    say: Callable[[str], object] = lambda line: None,
    quiet: bool = False,
) -> None:
    """Serves until a signal comes, then answers what it has begun, for at most `limits.drain_seconds`.

    `models` are folders, `NAME=DIR`, or backbones. `say` is told of the address, then, not `quiet`, of requests.
    Another address than this machine's own needs a key, in a file or in TAESAN_API_KEY, and `allow_hosts`, the names
    by which it is reached.

    Raises: UsageError, InputMissing, StorageError; OutputError where it cannot listen there.
    """
    limits = limits or ServeLimits()
    key = _key(api_key_file)
    hosts = _hosts(host, allow_hosts, key)
    with _bind(host, port) as listener:
        served = open_models([str(one) for one in models], device=device, queue_items=limits.queue_items)
        metrics = Metrics(served)
        app = create_app(served, ready=lambda: not guard.draining, metrics=metrics.text)
        guard = Guard(app, limits=limits, hosts=hosts, key=key, metrics=metrics, say=say, quiet=quiet)
        place, number = listener.getsockname()[:2]
        address = f"http://{f'[{place}]' if ':' in place else place}:{number}"
        server = Server(guard, limits, listening=lambda: say(f"Serving {', '.join(served)} at {address}"))
        sys.setswitchinterval(SWITCH_SECONDS)
        gc.freeze()  # what lies here for good is not looked through while somebody waits
        server.run([listener])


def _key(path: str | Path | None) -> str | None:
    try:
        key = os.environ.get(KEY_NAME) if path is None else Path(path).read_text("ascii").strip()
    except UnicodeDecodeError:
        raise UsageError(f"the key in {path} has characters beyond ASCII") from None
    except OSError as error:
        raise InputMissing(f"the key file {path} cannot be read: {error.strerror}") from None
    if key is not None and (len(key) < MIN_KEY or not key.isascii() or not key.isprintable() or " " in key):
        where = KEY_NAME if path is None else str(path)
        raise UsageError(
            f"the key in {where} is too weak: expected at least {MIN_KEY} letters and digits without spaces"
        )
    return key


def _hosts(host: str, allowed: Sequence[str], key: str | None) -> set[str]:
    """The names that a request may be for. Raises: UsageError."""
    if _is_loopback(host):
        return {*LOOPBACK, host.lower(), *(name.lower() for name in allowed)}
    if key is None:
        raise UsageError(
            f"{escape(host)} can be reached by others: give it a key, by --api-key-file FILE or in {KEY_NAME}"
        )
    if not allowed:
        raise UsageError(f"name the hosts by which {escape(host)} is reached: --allow-host models.example.org")
    return {*LOOPBACK, *(name.lower() for name in allowed)}


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bind(host: str, port: int) -> socket.socket:
    """A socket that is taken and does not listen yet. Raises: OutputError."""
    # Named TCP, asyncio sends at once; else the second part of an answer waits 40 ms for the first's acknowledgement.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except socket.gaierror as error:
        listener.close()
        raise OutputError(f"there is no address {escape(host)}: {error.strerror}. Choose another --host.") from None
    except (OSError, OverflowError) as error:
        listener.close()
        reason = error.strerror if isinstance(error, OSError) else "there is no such port"
        raise OutputError(f"cannot listen at {escape(host)}, port {port}: {reason}. Choose another --port.") from None
    return listener
