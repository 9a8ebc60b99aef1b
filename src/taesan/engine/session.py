"""A torch model as a `Session`."""

import contextlib
from collections.abc import Sequence

import numpy as np
import torch

from taesan.config import GenerationOptions
from taesan.engine.decoding import Generated
from taesan.engine.generate import Generator
from taesan.engine.infer import Arrays, OnToken, Writing, bucket
from taesan.methods.base import Adapted
from taesan.tasks.base import Logits
from taesan.text.tokenizer import Ids


class TorchSession:
    """Asks an adapted model for its answers. Dropout is off within, and as it was after."""

    workers = 1  # torch itself uses all cores

    def __init__(self, model: Adapted, device: torch.device | str = "cpu", autocast: torch.dtype | None = None):
        self.model, self._device, self._autocast = model, torch.device(device), autocast
        self._generator: Generator | None = None

    def batch_shape(self, length: int, max_length: int) -> tuple[int, int]:
        return bucket(length, max_length)

    def run(self, batch: Arrays) -> Logits:
        tensors = {name: torch.from_numpy(array).to(self._device) for name, array in batch.items()}
        training = self.model.training
        self.model.eval()
        mixed = torch.autocast(self._device.type, self._autocast) if self._autocast else contextlib.nullcontext()
        with torch.inference_mode(), mixed:
            answers = self.model.answer(tensors)
        self.model.train(training)
        return answers.float().cpu().numpy().astype(np.float32, copy=False)

    def generate(
        self, prompts: Sequence[Ids], options: GenerationOptions, writing: Writing, *, on_token: OnToken | None = None
    ) -> list[list[Generated]]:
        """With the weights as they were at the first call."""
        if self._generator is None:
            with self.model.whole() as model:
                self._generator = Generator(
                    model,
                    end_id=writing.end_id,
                    max_length=writing.max_length,
                    banned=writing.banned,
                    before=self.model.before(),
                )
        return self._generator.generate(prompts, options, on_token=on_token)
