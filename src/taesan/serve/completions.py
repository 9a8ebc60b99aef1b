"""`POST /v1/completions` as OpenAI's clients know it, for models that write."""

import math
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response

from taesan.config import GenerationOptions
from taesan.engine.decoding import Candidate, Chosen, Generated
from taesan.engine.infer import Writes
from taesan.serve.faults import Fault
from taesan.serve.models import Served
from taesan.serve.requests import Complete
from taesan.serve.worker import Abandoned, Going
from taesan.serve.writing import event, first_then, stream, write
from taesan.tasks.base import Example
from taesan.text.tokenizer import Tokenizer
from taesan.verbs.generate import Step, Written, as_candidates

# How a token reads, its log-probability (nats), those of the likeliest in its place, where it begins.
Token = tuple[str, float | None, dict[str, float] | None, int]


def completions(app: FastAPI, find: Callable[[str], Served]) -> None:
    """Adds the address to the application."""

    @app.post("/v1/completions")
    async def complete(body: Complete) -> Response:
        """Texts that go on from prompts; with `logprobs` how likely each token is, with `echo` the prompt's too."""
        model = find(body.model)
        if not model.writes or (body.echo and body.logprobs is not None and model.language_model is None):
            what = "does not write" if not model.writes else "knows no probabilities of a prompt; serve its backbone"
            raise Fault(400, "no-writer", f"This model {what}.")
        frame = {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time())}
        frame["model"] = model.name
        if body.stream:
            assert isinstance(body.prompt, str)
            steps = await first_then(write(model, body.prompt, _options(body)))
            return stream(_lines(frame, steps, logprobs=body.logprobs is not None))
        prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
        choices, usage = await model.worker.run(lambda going: _complete(model, prompts, body, going))
        return JSONResponse({**frame, "choices": choices, "usage": usage})


def _options(body: Complete) -> GenerationOptions:
    sampled = {"sample": True, "temperature": max(body.temperature, 0.001), "top_p": body.top_p, "sequences": body.n}
    return GenerationOptions(
        max_tokens=body.max_tokens,
        candidates=body.logprobs or 0,
        seed=body.seed,
        **(sampled if body.temperature else {}),
    )


def _complete(
    model: Served, prompts: Sequence[str], body: Complete, going: Going
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The choices, each prompt's `n` after another, and how many tokens were read and written."""
    assert isinstance(model.asked, Writes)
    tokenizer = model.asked.tokenizer

    def on_token(prompt: int, sequence: int, one: Chosen) -> None:
        if not going():
            raise Abandoned

    texts = [[Generated((), False, ())] for _ in prompts]
    if body.max_tokens:
        examples = [Example((prompt,)) for prompt in prompts]
        texts = model.asked.write(examples, _options(body), on_token=on_token)
    choices: list[dict[str, Any]] = []
    for prompt, own in zip(prompts, texts, strict=True):
        given = _given(model, prompt, body.logprobs) if body.echo and body.logprobs is not None else []
        for text in own if len(own) == body.n else own * body.n:  # the likeliest text is the same each time
            tokens = given + _written(text, tokenizer, start=len(prompt) if body.echo else 0)
            choices.append(
                {
                    "index": len(choices),
                    "text": (prompt if body.echo else "") + tokenizer.text(text.ids),
                    "logprobs": None if body.logprobs is None else _logprobs(tokens),
                    "finish_reason": "stop" if text.finished else "length",
                }
            )
    read = sum(len(ids) for ids in tokenizer.ids(list(prompts)))
    wrote = sum(len(text.ids) for own in texts for text in own)
    return choices, {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}


def _given(model: Served, prompt: str, top: int) -> list[Token]:
    """The tokens of a prompt. Where nothing stands before the first, nothing is known of it."""
    assert model.language_model is not None
    tokenizer = model.language_model.tokenizer
    (encoding,) = tokenizer.encode([prompt])
    before, count = len(tokenizer.layout.prefix), len(encoding.ids)
    ids = tokenizer.join(encoding.ids)[0][: before + count]
    chances: list[float | None] = [None]
    likely: list[dict[str, float] | None] = [None]
    if len(ids) > 1:
        own, candidates = model.language_model.log_probabilities(ids, top=top)
        chances += own.tolist()
        likely += map(_top, candidates) if top else [None] * len(own)
    pieces = [tokenizer.piece(number) for number in encoding.ids.tolist()]
    return list(zip(pieces, chances[before:], likely[before:], encoding.offsets[:, 0].tolist(), strict=False))


def _written(text: Generated, tokenizer: Tokenizer, *, start: int) -> list[Token]:
    found: list[Token] = []
    for place, number in enumerate(text.ids):
        top = _top(as_candidates(text.candidates[place], tokenizer)) if text.candidates else None
        offset = start + len(tokenizer.text(text.ids[:place]))
        found.append((tokenizer.piece(number), text.token_log_probabilities[place], top, offset))
    return found


def _top(candidates: Sequence[Candidate]) -> dict[str, float]:
    return {one.text: math.log(max(one.probability, 1e-300)) for one in candidates}


def _logprobs(tokens: Sequence[Token]) -> dict[str, Any]:
    names = ("tokens", "token_logprobs", "top_logprobs", "text_offset")
    return {name: [token[place] for token in tokens] for place, name in enumerate(names)}


async def _lines(
    frame: dict[str, Any], steps: AsyncIterator[Step | Written], *, logprobs: bool
) -> AsyncIterator[bytes]:
    """A text as it comes, an event a token, in OpenAI's shape."""
    offset = 0
    async for one in steps:
        if isinstance(one, Step):
            token = (one.text, one.log_probability, _top(one.candidates), offset)
            offset += len(one.text)
            yield event(_chunk(frame, one.text, _logprobs([token]) if logprobs else None, None))
        else:
            yield event(_chunk(frame, "", None, "stop" if one.finished else "length"))
    yield b"data: [DONE]\n\n"


def _chunk(frame: dict[str, Any], text: str, logprobs: dict[str, Any] | None, reason: str | None) -> dict[str, Any]:
    return {**frame, "choices": [{"index": 0, "text": text, "logprobs": logprobs, "finish_reason": reason}]}
