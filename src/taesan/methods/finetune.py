"""Fine-tuning: every weight moves."""

from typing import Literal

import torch
from torch import nn
from transformers import PreTrainedModel

from taesan.models.heads import Batch


class Finetune:
    name = "finetune"
    view: Literal["head", "text"] = "head"
    trains = True
    room_tokens = 0

    def adapt(self, backbone: PreTrainedModel) -> nn.Module:
        return _Whole(backbone)


class _Whole(nn.Module):
    def __init__(self, backbone: PreTrainedModel):
        super().__init__()
        self.backbone = backbone
        # Only BERT's kin tell a second text by its token type; the others have no or one type.
        self._types = getattr(backbone.config, "type_vocab_size", 0) > 1

    def forward(self, batch: Batch) -> torch.Tensor:
        if "position_ids" in batch:  # several texts in a row: without a cache and a mask, positions tell them apart
            more = {"position_ids": batch["position_ids"], "use_cache": False}
        else:
            more = {"attention_mask": batch["attention_mask"]}
            if self._types:
                more["token_type_ids"] = batch["token_type_ids"]
        return self.backbone(input_ids=batch["input_ids"], **more).last_hidden_state  # (B, T, D)
