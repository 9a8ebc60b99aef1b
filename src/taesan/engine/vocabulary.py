"""A backbone asked for words: the distribution over its vocabulary at a place of a text."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from taesan import store
from taesan.engine.decoding import Candidate
from taesan.errors import UsageError, escape
from taesan.models.backbone import Backbone, find
from taesan.models.shared import SharedBackbone
from taesan.text.tokenizer import Ids


class LanguageModel:
    """A backbone with its own output head, in float32, without dropout."""

    def __init__(self, name: str, kind: str, *, device: str = "cpu", base: SharedBackbone | None = None):
        """`base` is the backbone where others have it too.

        Raises: UsageError where the backbone is not of that kind; InputMissing, StorageError.
        """
        self.backbone: Backbone = find(name)
        if self.backbone.kind != kind:
            verb = {"masked": "fill", "causal": "next"}[self.backbone.kind]
            raise UsageError(f"{escape(name)} is a {self.backbone.kind} language model; ask it by: taesan {verb}")
        if (self.backbone.path / store.MANIFEST).exists():
            store.Folder(self.backbone.path).read_all()
        self.tokenizer = self.backbone.tokenizer
        model = self.backbone.load("language_model") if base is None else base.model("language_model")
        self._model: Any = model.eval()
        self._model.to(torch.device(device))

    @property
    def parameters(self) -> int:
        return self._model.num_parameters()

    def candidates(self, ids: Ids, places: Sequence[int], *, top: int) -> list[list[Candidate]]:
        """The `top` likeliest pieces at each of the places of one input (T,), likeliest first.

        Raises: UsageError for an input that is longer than the backbone reads.
        """
        if top < 1:
            raise UsageError(f"top is {top}; expected at least 1")
        return [self._best(row, top) for row in torch.softmax(self._logits(ids, places), dim=-1).cpu().numpy()]

    def log_probabilities(self, ids: Ids, *, top: int = 0) -> tuple[NDArray[np.float64], list[list[Candidate]]]:
        """The log-probability (nats) of each token of one input (T,) after those before it, but for the first. (T - 1,)

        And the `top` likeliest pieces in its place. Of a causal model. Raises: UsageError as `candidates` does.
        """
        logits = self._logits(ids[:-1], range(len(ids) - 1))
        following = torch.from_numpy(ids[1:].astype(np.int64)).to(logits.device)
        own = torch.log_softmax(logits, dim=-1).gather(1, following[:, None])[:, 0].cpu().numpy()
        likely = torch.softmax(logits, dim=-1).cpu().numpy() if top else ()
        return own, [self._best(row, top) for row in likely]

    def _logits(self, ids: Ids, places: Sequence[int]) -> torch.Tensor:
        """(places, vocabulary)"""
        limit = self.backbone.max_length
        if len(ids) > limit:
            raise UsageError(
                f"the text has {len(ids):,} tokens, and {escape(self.backbone.name)} reads at most {limit:,}. "
                "Shorten it; nothing is cut in silence."
            )
        tensor = torch.from_numpy(ids.astype(np.int64))[None].to(self._model.device)
        with torch.inference_mode():
            # A mask of ones is what every architecture takes, also those that warn without.
            logits = self._model(input_ids=tensor, attention_mask=torch.ones_like(tensor)).logits[0, list(places)]
        return logits.double()

    def _best(self, probabilities: NDArray[np.float64], top: int) -> list[Candidate]:
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [
            Candidate(self.tokenizer.token(number), self.tokenizer.piece(number), float(probabilities[number]))
            for number in map(int, order)
        ]
