"""The server's addresses, and what each answers. What any request may look like is `guard.py`'s business."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from taesan import __version__
from taesan.errors import DataError, StorageError, TaesanError
from taesan.serve.body import read_body
from taesan.serve.completions import completions
from taesan.serve.faults import Fault
from taesan.serve.models import Served
from taesan.serve.pages import page_files
from taesan.serve.reference import reference
from taesan.serve.requests import Blanks, ErrorAnswer, Generate, Next, Predict, options
from taesan.serve.writing import events, first_then, write
from taesan.tasks.base import Example
from taesan.verbs.generate import Written
from taesan.verbs.predict import as_example

MAX_CHARACTERS = 100_000  # of one input
Items = list[Any]


class _StrictRequest(Request):
    async def json(self) -> Any:
        return read_body(await self.body())


class _StrictRoute(APIRoute):
    """A route whose body is read by `read_body`."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        answer = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await answer(_StrictRequest(request.scope, request.receive))

        return strict


def create_app(models: Mapping[str, Served], *, ready: Callable[[], bool], metrics: Callable[[], bytes]) -> FastAPI:
    """The application. `ready` says whether new requests are taken; `metrics` gives them as Prometheus reads them."""
    app = FastAPI(
        title="taesan",
        version=__version__,
        docs_url=None,  # FastAPI's two load their assets from elsewhere; ours is below
        redoc_url=None,
        redirect_slashes=False,
        responses={"4XX": {"model": ErrorAnswer}, "5XX": {"model": ErrorAnswer}},
    )
    app.router.route_class = _StrictRoute
    app.add_exception_handler(Fault, _fault)
    app.add_exception_handler(TaesanError, _refused)
    app.add_exception_handler(RequestValidationError, _misshapen)
    app.add_exception_handler(HTTPException, _http_fault)

    named: Any = Path(json_schema_extra={"enum": list(models)})

    def find(name: str) -> Served:
        if name not in models:
            raise Fault(404, "model-unknown", "There is no model of that name; GET /v1/models lists them.")
        return models[name]

    @app.get("/v1/models")
    async def list_models() -> Response:
        """What is served."""
        found = [model.description for model in models.values()]
        return JSONResponse({"object": "list", "models": found, "data": found})

    @app.post("/v1/models/{name}:predict")
    async def predict(body: Predict, name: str = named) -> Response:
        """An answer with its probabilities to each item, or the error that it alone has."""
        model, started = find(name), time.perf_counter()
        if not model.inputs or model.language_model is not None:
            raise Fault(400, "no-task", f"This model was fitted to no task; it answers :{model.task}.")
        return JSONResponse(
            {
                "model": name,
                "predictions": await _predictions(model, body.given, details=body.details),
                "seconds": time.perf_counter() - started,
            }
        )

    @app.post("/v1/models/{name}:generate")
    async def generate(body: Generate, name: str = named) -> Response:
        """Texts after a prompt; with `stream` the first of them, token by token, as server-sent events."""
        model, started = find(name), time.perf_counter()
        steps = await first_then(write(model, body.prompt, options(body)))
        if body.stream:
            return events(steps, started)
        texts: list[Written] = [one async for one in steps if isinstance(one, Written)]
        seconds = time.perf_counter() - started
        return JSONResponse({"model": name, "texts": [text.as_dict() for text in texts], "seconds": seconds})

    @app.post("/v1/models/{name}:next")
    async def next_words(body: Next, name: str = named) -> Response:
        """The likeliest next pieces of the vocabulary."""
        return await vocabulary(name, "next", body.text, body.top)

    @app.post("/v1/models/{name}:fill")
    async def fill(body: Blanks, name: str = named) -> Response:
        """The likeliest pieces for every [MASK]."""
        return await vocabulary(name, "fill", body.text, body.top)

    async def vocabulary(name: str, verb: str, text: str, top: int) -> Response:
        model, started = find(name), time.perf_counter()
        if model.language_model is None or model.task != verb:
            raise Fault(400, "no-vocabulary", f"This model does not answer :{verb}.")
        found = await model.worker.run(lambda going: model.say(text, top))
        return JSONResponse({"model": name, **found, "seconds": time.perf_counter() - started})

    completions(app, find)

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> Response:
        return JSONResponse({"status": "ok"})

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        if not ready():
            raise Fault(503, "draining", "The server is going down.")
        return JSONResponse({"status": "ready"})

    @app.get("/metrics", include_in_schema=False)
    async def show_metrics() -> Response:
        return Response(metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/docs", include_in_schema=False)
    async def show_reference() -> Response:
        return Response(reference(app.openapi()), media_type="text/html; charset=utf-8")

    for address, (content, kind) in page_files().items():
        app.add_route(address, _file(content, kind), methods=["GET"], include_in_schema=False)
    return app


async def _predictions(model: Served, items: Items, *, details: bool) -> list[dict[str, Any]]:
    asked = [_example(item, model.inputs) for item in items]
    answers = iter(await model.worker.predict([one for one in asked if isinstance(one, Example)]))
    found: list[dict[str, Any]] = []
    for one in asked:
        answer = next(answers) if isinstance(one, Example) else one
        if isinstance(answer, Exception):
            found.append(_as_fault(answer).as_dict())
        else:
            found.append(answer.as_dict() | (answer.details() if details else {}))
    return found


def _example(item: Any, inputs: tuple[str, ...]) -> Example | Fault:
    """What is to be predicted, or what is wrong with it."""
    wanted = ", ".join(inputs)
    if not isinstance(item, dict):
        return Fault(422, "item-type", f"Expected an object with {wanted}.")
    if missing := [name for name in inputs if name not in item]:
        return Fault(422, "key-missing", f"There is no {missing[0]}; expected {wanted}.")
    if len(item) > len(inputs):
        return Fault(422, "key-unknown", f"There is a key that is none of {wanted}.")
    texts = [item[name] for name in inputs]
    for name, text in zip(inputs, texts, strict=True):
        if not isinstance(text, str):
            return Fault(422, "text-type", f"{name} is no text.")
        if len(text) > MAX_CHARACTERS:
            return Fault(422, "text-long", f"{name} is longer than {MAX_CHARACTERS:,} characters.")
    try:
        return as_example(texts, 0, len(inputs))
    except DataError as error:
        return _as_fault(error)


def _as_fault(error: Exception) -> Fault:
    """An error of ours, without what was found: that may be somebody's text. Raises: the error where it is a bug."""
    match error:
        case Fault():
            return error
        case DataError():
            (problem, *_) = error.problems
            fix = f" {problem.fix}" if problem.fix else ""
            return Fault(422, problem.code, f"Expected {problem.expected}.{fix}")
        case StorageError():
            return Fault(500, "model-broken", "The model cannot answer.")
        case TaesanError():
            return Fault(422, "refused", str(error))
    raise error


def _json(fault: Fault) -> Response:
    return JSONResponse(fault.as_dict(), fault.status_code, fault.headers)


async def _fault(request: Request, error: Exception) -> Response:
    assert isinstance(error, Fault)
    return _json(error)


async def _refused(request: Request, error: Exception) -> Response:
    return _json(_as_fault(error))


async def _misshapen(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    (first, *_) = error.errors()
    if first["type"] == "extra_forbidden":  # its name is the sender's own
        return _json(Fault(422, "key-unknown", "There is a key that is not known here; /openapi.json lists them."))
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    return _json(Fault(422, "body-shape", f"{place or 'The body'}: {first['msg']}."))


async def _http_fault(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = {404: ("not-found", "There is nothing here."), 405: ("method", "That method is not for this address.")}
    code, message = known.get(error.status_code, ("http", "The request cannot be answered."))
    return _json(Fault(error.status_code, code, message, error.headers))


def _file(content: bytes, kind: str) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        return Response(content, headers={"Content-Type": kind, "Cache-Control": "no-cache"})

    return answer
