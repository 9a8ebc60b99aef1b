"""`taesan fill BACKBONE "티끌 [MASK] 태산"`: what a masked language model puts into the blanks."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from taesan.data.characters import is_blank
from taesan.engine.decoding import Candidate
from taesan.engine.vocabulary import LanguageModel
from taesan.errors import UsageError, escape

BLANK = "[MASK]"


@dataclass(frozen=True)
class Filled:
    """A text's blanks. `blanks` are (start, candidates): where the blank stands in the text, in code points."""

    text: str
    blanks: list[tuple[int, list[Candidate]]]

    def as_dict(self) -> dict[str, Any]:
        blanks = [
            {"start": start, "candidates": [candidate.as_dict() for candidate in candidates]}
            for start, candidates in self.blanks
        ]
        return {"text": self.text, "blanks": blanks}

    @property
    def filled(self) -> str:
        """The text with the likeliest piece in every blank."""
        parts = self.text.split(BLANK)
        out = parts[0]
        for (_, candidates), part in zip(self.blanks, parts[1:], strict=True):
            best = candidates[0].text
            out = out + (best.lstrip() if out[-1:].isspace() or not out else best) + part
        return out


def fill(backbone: str | LanguageModel, text: str, *, top: int = 5, device: str = "cpu") -> Filled:
    """The `top` likeliest pieces for every `[MASK]` in `text`, each blank one token of the vocabulary.

    `backbone` is a name, or an opened one where many calls are to share it.
    This verb alone reads a literal `[MASK]` as the blank; anywhere else it is plain text.

    Raises: UsageError for a text without a blank or longer than the backbone reads, or a causal backbone; InputMissing,
    StorageError.
    """
    if BLANK not in text:
        raise UsageError(f"there is no blank in the text: write {BLANK} where a word is to be filled in")
    if is_blank(text.replace(BLANK, "")):
        raise UsageError(f"there is nothing but blanks in the text: write some words around {BLANK}")
    model = LanguageModel(backbone, "masked", device=device) if isinstance(backbone, str) else backbone
    tokenizer = model.tokenizer
    if tokenizer.mask_id is None:
        raise UsageError(
            f"the tokenizer of {escape(model.backbone.name)} has no mask token, so it has no blank to fill"
        )
    pieces: list[Any] = []
    for number, part in enumerate(text.split(BLANK)):
        if number:
            pieces.append([tokenizer.mask_id])
        pieces.append(tokenizer.ids_after(part) if number else tokenizer.ids([part])[0])
    ids, _ = tokenizer.join(np.concatenate(pieces).astype(np.int32))
    places = np.flatnonzero(ids == tokenizer.mask_id).tolist()
    starts = [start for start in range(len(text)) if text.startswith(BLANK, start)]
    return Filled(text, list(zip(starts, model.candidates(ids, places, top=top), strict=True)))
