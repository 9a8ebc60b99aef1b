"""The guard alone, around applications that end as no server can be made to end at will."""

import asyncio
from typing import Any

import pytest

from taesan.config import ServeLimits
from taesan.serve.guard import Guard
from taesan.serve.metrics import Metrics

SCOPE: dict[str, Any] = {
    "type": "http",
    "http_version": "1.1",
    "method": "GET",
    "path": "/",
    "raw_path": b"/",
    "headers": [(b"host", b"localhost")],
}


@pytest.mark.parametrize("turns", range(8))
def test_who_goes_while_the_application_ends_disturbs_nothing(turns: int) -> None:
    """However many turns of the loop lie between the answer's last byte and the application's end."""
    complaints: list[Any] = []
    sent: list[str] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        answered, asked = asyncio.Event(), iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> Any:
            if message := next(asked, None):
                return message
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message["type"])
            if message["type"] == "http.response.body":
                answered.set()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"whole"})
            for _ in range(turns):
                await asyncio.sleep(0)

        about = {"limits": ServeLimits(), "hosts": ["localhost"], "key": None, "metrics": Metrics({})}
        await Guard(app, **about, say=complaints.append, quiet=True)(SCOPE, receive, send)
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert complaints == []
    assert sent == ["http.response.start", "http.response.body"]
