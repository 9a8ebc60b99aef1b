"""`POST /v1/completions` as OpenAI's clients know it, for models that write."""

from collections.abc import Callable

from fastapi import FastAPI

from taesan.serve.models import Served


def completions(app: FastAPI, find: Callable[[str], Served]) -> None:
    """Adds the address to the application."""
