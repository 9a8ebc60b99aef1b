"""A backbone asked for words: the distribution over its vocabulary at a place of a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from taesan import store
from taesan.errors import UsageError, escape
from taesan.models.backbone import Backbone, find
from taesan.text.tokenizer import Ids


@dataclass(frozen=True, slots=True)
class Candidate:
    """A piece of the vocabulary. `text` is how it reads, a space before it where it opens a word."""

    token: str
    text: str
    probability: float

    def as_dict(self) -> dict[str, Any]:
        return {"text": self.text, "token": self.token, "probability": self.probability}


class LanguageModel:
    """A backbone with its own output head, in float32, without dropout."""

    def __init__(self, name: str, kind: str, *, device: str = "cpu"):
        """Raises: UsageError where the backbone is not of that kind; InputMissing, StorageError."""
        self.backbone: Backbone = find(name)
        if self.backbone.kind != kind:
            verb = {"masked": "fill", "causal": "next"}[self.backbone.kind]
            raise UsageError(f"{escape(name)} is a {self.backbone.kind} language model; ask it by: taesan {verb}")
        if (self.backbone.path / store.MANIFEST).exists():
            store.Folder(self.backbone.path).read_all()
        self.tokenizer = self.backbone.tokenizer
        self._model: Any = self.backbone.load("language_model").eval()
        self._model.to(torch.device(device))

    def candidates(self, ids: Ids, places: Sequence[int], *, top: int) -> list[list[Candidate]]:
        """The `top` likeliest pieces at each of the places of one input (T,), likeliest first.

        Raises: UsageError for an input that is longer than the backbone reads.
        """
        limit = self.backbone.max_length
        if len(ids) > limit:
            raise UsageError(
                f"the text has {len(ids):,} tokens, and {escape(self.backbone.name)} reads at most {limit:,}. "
                "Shorten it; nothing is cut in silence."
            )
        if top < 1:
            raise UsageError(f"top is {top}; expected at least 1")
        return [self._best(row, top) for row in self._probabilities(ids, places)]

    def _probabilities(self, ids: Ids, places: Sequence[int]) -> NDArray[np.float64]:
        """(places, vocabulary)"""
        tensor = torch.from_numpy(ids.astype(np.int64))[None].to(self._model.device)
        with torch.inference_mode():
            # A mask of ones is what every architecture takes, also those that warn without.
            logits = self._model(input_ids=tensor, attention_mask=torch.ones_like(tensor)).logits[0, list(places)]
        return torch.softmax(logits.double(), dim=-1).cpu().numpy()

    def _best(self, probabilities: NDArray[np.float64], top: int) -> list[Candidate]:
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [
            Candidate(self.tokenizer.token(number), self.tokenizer.piece(number), float(probabilities[number]))
            for number in map(int, order)
        ]
