"""What the bodies of requests hold. Nothing is coerced, and an unknown key is an error."""

import dataclasses
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from taesan.config import GenerationOptions

MAX_ITEMS = 128
MAX_TOP = 100
MOST = {"max_tokens": 1024, "min_tokens": 1024, "beams": 8, "sequences": 8, "candidates": 20, "seed": 2**53}
Text = Annotated[str, Field(min_length=1, pattern=r"\S")]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Predict(Body):
    """Items, each an object with the inputs that `GET /v1/models` names."""

    items: list[Any] | None = Field(None, min_length=1, max_length=MAX_ITEMS)
    item: Any = None
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
    text: Text
    top: int = Field(10, ge=1, le=MAX_TOP)


class Blanks(Next):
    pass


class ErrorDetail(BaseModel):
    code: str
    message: str


class ErrorAnswer(BaseModel):
    error: ErrorDetail


def _option(field: dataclasses.Field[Any]) -> tuple[type[Any], Any]:
    most = {"le": MOST[field.name]} if field.name in MOST else {}
    least = {"ge": field.metadata["minimum"]} if field.metadata["minimum"] is not None else {}
    return type(field.default), Field(field.default, description=field.metadata["help"], **least, **most)


class _Prompt(Body):
    prompt: Text
    stream: bool = False


Generate: Any = create_model(
    "Generate", __base__=_Prompt, **{field.name: _option(field) for field in dataclasses.fields(GenerationOptions)}
)


def options(body: _Prompt) -> GenerationOptions:
    """Raises: UsageError for options that do not go together."""
    return GenerationOptions(**body.model_dump(exclude={"prompt", "stream"}))
