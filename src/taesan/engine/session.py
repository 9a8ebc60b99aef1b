"""A torch model as a `Session`."""

import contextlib

import numpy as np
import torch

from taesan.engine.infer import Arrays
from taesan.methods.base import Adapted
from taesan.tasks.base import Logits


class TorchSession:
    """Asks an adapted model for its answers. Dropout is off within, and as it was after."""

    def __init__(self, model: Adapted, device: torch.device | str = "cpu", autocast: torch.dtype | None = None):
        self._model, self._device, self._autocast = model, torch.device(device), autocast

    def run(self, batch: Arrays) -> Logits:
        tensors = {name: torch.from_numpy(array).to(self._device) for name, array in batch.items()}
        training = self._model.training
        self._model.eval()
        mixed = torch.autocast(self._device.type, self._autocast) if self._autocast else contextlib.nullcontext()
        with torch.inference_mode(), mixed:
            answers = self._model.answer(tensors)
        self._model.train(training)
        return answers.float().cpu().numpy().astype(np.float32, copy=False)
