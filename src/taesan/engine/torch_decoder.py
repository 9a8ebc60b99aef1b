"""A causal model of transformers as a `Decoder`, by the fastest way that gives its own logits."""

from collections.abc import Sequence
from enum import Enum

import numpy as np
from transformers import PreTrainedModel

from taesan.engine import gpt2_step
from taesan.engine.packed import frozen, packed
from taesan.engine.rows import Rows, Scores
from taesan.engine.torch_rows import JointRows, LoneRows
from taesan.models.cache import KeysValues, keeps_everything
from taesan.text.tokenizer import Ids


class Way(Enum):
    """How the texts of a batch are decoded."""

    DIRECT = "side by side, past the model's own forward"
    JOINT = "side by side"
    LONE = "the texts of one prompt at a time, by what every architecture can do"


class TorchDecoder:
    """It keeps the weights as they are now, and never touches the model itself."""

    def __init__(self, model: PreTrainedModel, before: KeysValues | None = None):
        """`before`: each layer's keys and values (1, H, V, D/H) that stand before every text."""
        self.vocabulary_size = model.get_input_embeddings().get_parameter("weight").shape[0]
        self._before = [(keys.detach(), values.detach()) for keys, values in before or []]
        self.model, self.way = self._fastest(model)

    @property
    def side_by_side(self) -> bool:
        return self.way is not Way.LONE

    def read(self, prompts: Sequence[Ids], copies: int) -> Rows:
        return self._rows(self.model, self.way, prompts, copies)

    def _rows(self, model: PreTrainedModel, way: Way, prompts: Sequence[Ids], copies: int) -> Rows:
        if way is Way.LONE:
            (prompt,) = prompts
            return LoneRows(model, prompt, copies, self._before)
        return JointRows(model, prompts, copies, self._before, direct=way is Way.DIRECT)

    def _fastest(self, model: PreTrainedModel) -> tuple[PreTrainedModel, Way]:
        """The model as it decodes fastest, and how.

        Found by asking: whatever does not give the logits of the model itself, one text at a time, is not used.
        """
        plain = frozen(model)
        prompts = [np.arange(1, 1 + length, dtype=np.int32) % self.vocabulary_size for length in (3, 6)]
        whole = keeps_everything(model)  # else texts cannot be put side by side, even if two short ones agree
        direct = (Way.DIRECT,) if whole and gpt2_step.applies(plain) else ()
        ways = (*direct, Way.JOINT, Way.LONE) if whole else (Way.LONE,)
        expected = np.concatenate([_second(self._rows(plain, Way.LONE, [prompt], 1)) for prompt in prompts])
        for candidate in (packed(model), plain):
            for way in ways if candidate is not None else ():
                if candidate is not None and self._agrees(candidate, way, prompts, expected):
                    return candidate, way
        return plain, Way.LONE

    def _agrees(self, model: PreTrainedModel, way: Way, prompts: list[Ids], expected: Scores) -> bool:
        together = [[prompt] for prompt in prompts] if way is Way.LONE else [prompts]
        try:
            found = np.concatenate([_second(self._rows(model, way, some, 1)) for some in together])
        except Exception:  # whatever an architecture says that takes no such mask, positions or cache
            return False
        if found.shape != expected.shape:
            return False
        return bool(np.abs(found - expected).max() <= 1e-3 * np.abs(expected).max())


def _second(rows: Rows) -> Scores:
    """The logits after the likeliest token (R, V)."""
    return rows.step(rows.logits.argmax(axis=1))
