"""What the bodies of requests hold. Nothing is coerced, and an unknown key is an error."""

import dataclasses
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from taesan.config import GenerationOptions

MAX_ITEMS = 128
MAX_TOP = 100
MOST = {"max_tokens": 1024, "min_tokens": 1024, "beams": 8, "sequences": 8, "candidates": 20, "seed": 2**53}
Text = Annotated[str, Field(min_length=1, pattern=r"\S")]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def _example(**body: Any) -> ConfigDict:
    """What the description shows of a body."""
    return ConfigDict(json_schema_extra={"examples": [body]})


# What is wrong with an item is that item's own error, so nothing of this is checked with the body.
_INPUTS = ("text", "premise", "hypothesis", "question", "context", "prompt")
_ITEM: dict[str, Any] = {"type": "object", "properties": {name: {"type": "string"} for name in _INPUTS}}


class Predict(Body):
    """Items, each an object with the inputs that `GET /v1/models` names, or one item."""

    model_config = _example(items=[{"text": "배우들의 연기가 좋았다"}, {"text": "지루했다"}])
    items: list[Any] | None = Field(None, min_length=1, max_length=MAX_ITEMS, json_schema_extra={"items": _ITEM})
    item: Any = Field(None, json_schema_extra=_ITEM)
    details: bool = Field(False, description="what more there is to say, as the chances of every word")

    @model_validator(mode="after")
    def _one_of_both(self) -> "Predict":
        if (self.items is None) == (self.item is None):
            raise ValueError("expected items, or one item")
        return self

    @property
    def given(self) -> list[Any]:
        return [self.item] if self.items is None else self.items


class Next(Body):
    model_config = _example(text="티끌 모아", top=5)
    text: Text
    top: int = Field(10, ge=1, le=MAX_TOP, description="how many pieces")


class Blanks(Next):
    model_config = _example(text="티끌 [MASK] 태산", top=5)


class Complete(Body):
    """What OpenAI's `completions.create` sends. `temperature` 0 takes the likeliest token each time."""

    model_config = _example(model="NAME", prompt="티끌 모아", max_tokens=20, temperature=0)
    model: str
    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=16)]
    max_tokens: int = Field(16, ge=0, le=MOST["max_tokens"])
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    n: int = Field(1, ge=1, le=MOST["sequences"])
    logprobs: int | None = Field(None, ge=0, le=MOST["candidates"])
    echo: bool = False
    stream: bool = False
    seed: int = Field(42, ge=0, le=MOST["seed"])

    @model_validator(mode="after")
    def _goes_together(self) -> "Complete":
        if self.stream and (self.n > 1 or isinstance(self.prompt, list) or self.echo):
            raise ValueError("expected one prompt, one text and no echo with stream")
        if self.max_tokens == 0 and not self.echo:
            raise ValueError("max_tokens is 0, which asks for nothing without echo")
        return self


class ErrorDetail(BaseModel):
    code: str
    message: str


class ErrorAnswer(BaseModel):
    error: ErrorDetail


def _option(field: dataclasses.Field[Any]) -> tuple[type[Any], Any]:
    least, most = field.metadata["minimum"], MOST.get(field.name)
    return type(field.default), Field(field.default, description=field.metadata["help"], ge=least, le=most)


class _Prompt(Body):
    prompt: Text
    stream: bool = False


_OPTIONS = {field.name: _option(field) for field in dataclasses.fields(GenerationOptions)}
_Writing: Any = create_model("_Writing", __base__=_Prompt, **cast("dict[str, Any]", _OPTIONS))


class Generate(_Writing):
    """A prompt, and the options of `taesan generate`; with `stream` the answer comes as events."""

    model_config = _example(prompt="오늘은", max_tokens=20, candidates=3)


def options(body: _Prompt) -> GenerationOptions:
    """Raises: UsageError for options that do not go together."""
    return GenerationOptions(**body.model_dump(exclude={"prompt", "stream"}))
