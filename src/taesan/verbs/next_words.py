"""`taesan next BACKBONE "티끌 모아"`: how a causal language model goes on."""

from dataclasses import dataclass
from typing import Any

from taesan.data.characters import is_blank
from taesan.engine.decoding import Candidate
from taesan.engine.vocabulary import LanguageModel
from taesan.errors import UsageError


@dataclass(frozen=True)
class Next:
    """What may stand after `text`."""

    text: str
    candidates: list[Candidate]

    def as_dict(self) -> dict[str, Any]:
        return {"text": self.text, "candidates": [candidate.as_dict() for candidate in self.candidates]}


def next_words(backbone: str | LanguageModel, text: str, *, top: int = 5, device: str = "cpu") -> Next:
    """The `top` likeliest next pieces of the vocabulary after `text`. Every token of it is plain text.

    `backbone` is a name, or an opened one where many calls are to share it.
    Raises: UsageError for an empty text, one longer than the backbone reads, or a masked backbone; InputMissing,
    StorageError.
    """
    if is_blank(text):
        raise UsageError('the text is empty: write how it begins, as taesan next BACKBONE "티끌 모아"')
    model = LanguageModel(backbone, "causal", device=device) if isinstance(backbone, str) else backbone
    tokenizer = model.tokenizer
    ids = tokenizer.ids([text])[0]
    before, _ = tokenizer.join(ids)
    ids = before[: len(tokenizer.layout.prefix) + len(ids)]  # what ends a text would end it here
    return Next(text, model.candidates(ids, [len(ids) - 1], top=top)[0])
