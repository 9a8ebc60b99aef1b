"""uvicorn, with an end to everything that it would wait for without one."""

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import Callable
from types import FrameType

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from taesan.config import ServeLimits
from taesan.serve.guard import Guard

LINGER_SECONDS = 2.0  # for a client to read the last answer, or to send the rest of what was refused


class Protocol(H11Protocol):
    """HTTP/1.1 where a connection always has a deadline: for headers, for a request, for the client to go away.

    The deadline for a request is a second line: the application ends it before, but for a client that does not read.
    """

    limits: ServeLimits
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect(self.limits.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before and not self.cycle.response_complete:
            self._expect(self.limits.body_seconds + self.limits.request_seconds + LINGER_SECONDS)

    def on_response_complete(self) -> None:
        unread = self.conn.their_state is not h11.DONE  # a body that was refused, or a connection that is to close
        self._expect(LINGER_SECONDS if unread else self.limits.header_seconds)
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "http", "This is no HTTP/1.1 request.")

    def _expect(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        waiting = self.cycle is None or self.cycle.response_complete
        if waiting and self.conn.our_state is h11.IDLE and self.conn.their_state is h11.IDLE:
            self._refuse(
                408, "headers-slow", f"The headers did not come within {self.limits.header_seconds:g} seconds."
            )
        else:
            self.transport.abort()

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answers what never became a request, and ends the connection."""
        body = json.dumps({"error": {"code": code, "message": message}}).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Connection", "close")]
        try:
            for event in (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:  # an answer is on its way already
            self.transport.abort()
            return
        self.transport.close()
        self._expect(LINGER_SECONDS)


class Server(uvicorn.Server):
    """A server that says when it is `listening`, and ends well after a signal."""

    def __init__(self, guard: Guard, limits: ServeLimits, *, listening: Callable[[], object]):
        self._guard, self._listening = guard, listening
        protocol = type("Protocol", (Protocol,), {"limits": limits})
        super().__init__(
            uvicorn.Config(
                guard,
                http=protocol,
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=limits.connections,
                h11_max_incomplete_event_size=limits.header_bytes,
                timeout_keep_alive=min(5, int(limits.header_seconds) or 1),
                timeout_graceful_shutdown=max(1, int(limits.drain_seconds)),
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """uvicorn's own raises the signal once more at the end: having been asked to stop is no failure."""
        self.force_exit = self.force_exit or (self.should_exit and sig == signal.SIGINT)
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._guard.drain()
        await super().shutdown(sockets)
        with contextlib.suppress(asyncio.TimeoutError):  # what was cancelled still says so
            if self.server_state.tasks:
                await asyncio.wait(self.server_state.tasks, timeout=0.5)
