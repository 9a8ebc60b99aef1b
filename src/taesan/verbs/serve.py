"""`taesan serve DIR...`: models behind HTTP, and a page that shows what they think."""

import uvicorn

from taesan.serve.app import create_app
from taesan.serve.models import open_models


def serve(models, *, host="127.0.0.1", port=8000, device="cpu") -> None:
    app = create_app(open_models(models, device=device), ready=lambda: True, metrics=lambda: b"")
    uvicorn.run(app, host=host, port=port, http="h11", ws="none")
