"""What is answered to a request that is not: a status, a stable code, a line that repeats nothing of the request."""

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException


class Fault(HTTPException):
    """Ends a request. `message` says what was expected, never what was sent: it may be somebody's text."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None):
        super().__init__(status, code, headers)
        self.code, self.message = code, message

    def as_dict(self) -> dict[str, Any]:
        return {"error": {"code": self.code, "message": self.message}}
