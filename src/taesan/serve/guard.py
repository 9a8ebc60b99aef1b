"""What every request must be before a model sees it: small, whole, in time, for us, and from whom it may be."""

import asyncio
import hmac
import re
import time
import traceback
from collections.abc import Callable, Collection, Iterable

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taesan.config import ServeLimits
from taesan.serve.faults import Fault
from taesan.serve.metrics import Metrics

METHODS = ("GET", "HEAD", "POST")
LAST_BODY_SECONDS = 1.0  # for what is still on its way when the server is to end
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
_JSON = re.compile(r'application/json(\s*;\s*charset="?utf-8"?)?\s*', re.IGNORECASE)
CLOSE = {"Connection": "close"}


class Gone(Exception):
    """The client has closed the connection."""


class Guard:
    """An ASGI application around another. Whatever happens inside, one answer goes out, without anybody's text."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: ServeLimits,
        hosts: Collection[str],
        key: str | None,
        metrics: Metrics,
        say: Callable[[str], object],
        quiet: bool,
    ):
        """`hosts` are the names it may be reached by; with a `key`, `/v1` and `/metrics` are for those who have it."""
        self._app, self._limits, self._hosts, self._key = app, limits, frozenset(hosts), key
        self._metrics, self._say, self._quiet = metrics, say, quiet
        self.draining = False
        self._reading: set[asyncio.Timeout] = set()

    def drain(self) -> None:
        """From now on only what was begun is answered, and a body that is on its way has to be here soon."""
        self.draining = True
        soon = asyncio.get_running_loop().time() + LAST_BODY_SECONDS
        for deadline in self._reading:
            deadline.reschedule(min(soon, deadline.when() or soon))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, answer = time.perf_counter(), _Answer(send)
        try:
            async with asyncio.timeout(self._limits.request_seconds):
                self._check(scope)
                await self._call(scope, await self._body(scope, receive), receive, answer)
        except Fault as fault:
            await answer.refuse(fault)
        except TimeoutError:
            seconds = self._limits.request_seconds
            await answer.refuse(Fault(504, "deadline", f"There was no answer within {seconds:g} seconds.", CLOSE))
        except Gone:
            answer.status = answer.status or 499  # as nginx counts them
        except asyncio.CancelledError:
            if not self.draining:
                raise
            await answer.refuse(_draining())
        except Exception as error:
            self._say(_place(error))
            await answer.refuse(Fault(500, "bug", "This is a bug of ours.", CLOSE))
        seconds = time.perf_counter() - started
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.observe(route, answer.status, seconds)
        if not self._quiet:
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._say(f"{method} {route} {answer.status} {seconds:.3f}s")

    def _check(self, scope: Scope) -> None:
        """Raises: Fault for what is wrong before the body is read."""
        if self.draining:
            raise _draining()
        if scope["http_version"] not in ("1.0", "1.1"):
            raise Fault(505, "version", "Expected HTTP/1.1.", CLOSE)
        if not scope["raw_path"].startswith(b"/"):
            raise Fault(400, "target", "Expected an address that begins with a slash.", CLOSE)
        if scope["method"] not in METHODS:
            raise Fault(405, "method", "That method is not for any address here.", {"Allow": ", ".join(METHODS)})
        size = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        if len(scope["headers"]) > self._limits.header_lines or size > self._limits.header_bytes:
            raise Fault(431, "headers", "The headers are too many or too long.", CLOSE)
        headers = Headers(raw=scope["headers"])
        if "content-length" in headers and "transfer-encoding" in headers:
            raise Fault(400, "length-twice", "Expected a content length or chunks, not both.", CLOSE)
        self._check_host(headers)
        if self._key is not None and (
            scope["path"].startswith("/v1") or scope["path"] in ("/metrics", "/openapi.json")
        ):
            self._check_key(headers, self._key)
        if scope["method"] == "POST":
            if not _JSON.fullmatch(headers.get("content-type", "")):
                raise Fault(415, "content-type", "Expected Content-Type: application/json, in UTF-8.")
            if headers.get("content-encoding", "identity") != "identity":
                raise Fault(415, "content-encoding", "Expected a body that is not compressed.")

    def _check_host(self, headers: Headers) -> None:
        """No other site may speak to us through somebody's browser, under its name or under ours."""
        host = headers.get("host", "").lower()
        match = _HOST.fullmatch(host)
        if match is None or match[1].strip("[]") not in self._hosts:
            raise Fault(421, "host", "This host is not served here; the server names its hosts by --allow-host.")
        if "origin" in headers and headers["origin"].lower().partition("://")[2] != host:
            raise Fault(403, "origin", "Other sites may not ask.")

    def _check_key(self, headers: Headers, key: str) -> None:
        kind, _, given = headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode(), key.encode())  # in a time that tells nothing of the key
        if kind.lower() != "bearer" or not same:
            expected = "Expected Authorization: Bearer KEY, with the server's key."
            raise Fault(401, "key", expected, {"WWW-Authenticate": "Bearer"})

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body. Raises: Fault where it is too large or too slow; Gone."""
        most = self._limits.body_bytes
        large = Fault(413, "body-large", f"The body is larger than {most:,} bytes.")
        length = Headers(raw=scope["headers"]).get("content-length", "0")
        if len(length) > 15 or int(length) > most:
            raise large
        body = bytearray()
        deadline = asyncio.timeout(self._limits.body_seconds)
        self._reading.add(deadline)
        try:
            async with deadline:
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Gone
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise large
                    more = message.get("more_body", False)
        except TimeoutError:
            seconds = self._limits.body_seconds
            slow = Fault(408, "body-slow", f"The body did not come within {seconds:g} seconds.", CLOSE)
            raise (_draining() if self.draining else slow) from None
        finally:
            self._reading.discard(deadline)
        if not body and scope["method"] == "POST":
            raise Fault(400, "body-empty", "The body is empty; expected a JSON object.")
        return bytes(body)

    async def _call(self, scope: Scope, body: bytes, receive: Receive, answer: "_Answer") -> None:
        """Lets the application answer, for as long as somebody waits. Raises: Gone; whatever it raises."""
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            if not messages:
                await asyncio.Event().wait()  # that the client has gone is seen here, not by the application
            return messages.pop()

        waited_for = asyncio.timeout(None)

        async def watch() -> None:
            await receive()  # the next message is that the client has gone
            waited_for.reschedule(0)

        watching = asyncio.ensure_future(watch())
        try:
            async with waited_for:
                await self._app(scope, replay, answer.send)
        except TimeoutError:
            if waited_for.expired():
                raise Gone from None
            raise
        finally:
            watching.cancel()


class _Answer:
    """What goes out, with the headers that everything has. `status` is 0 as long as nothing has."""

    def __init__(self, send: Send):
        self._send, self.status, self._whole = send, 0, False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = [(name.lower().encode(), value.encode()) for name, value in SECURITY.items()]
            message = {**message, "headers": [*message.get("headers", ()), *own]}
        await self._send(message)

    async def refuse(self, fault: Fault) -> None:
        """Says so, where nothing else was said yet; else the answer stays what it is, cut off."""
        if self.status == 0:
            response = JSONResponse(fault.as_dict(), fault.status_code, fault.headers)
            await response({"type": "http"}, _nothing, self.send)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _draining() -> Fault:
    return Fault(503, "draining", "The server is going down. Try again.", {"Retry-After": "5", **CLOSE})


def _place(error: Exception) -> str:
    """Where a bug showed itself, without its message: that may hold somebody's text."""
    frames: Iterable[traceback.FrameSummary] = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(list(frames)))
    return f"bug of ours: {type(error).__name__} at {places}"
