"""Fine-tuning: every weight moves."""

from typing import Literal

from torch import nn
from transformers import PreTrainedModel

from taesan.methods.base import Additions, Attempt, Whole


class Finetune:
    name = "finetune"
    view: Literal["head", "text"] = "head"
    trains = True
    attempts = (Attempt(),)

    def room_tokens(self, additions: Additions) -> int:
        return 0

    def adapt(self, backbone: PreTrainedModel, additions: Additions) -> nn.Module:
        return Whole(backbone)
