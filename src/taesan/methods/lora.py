"""LoRA: beside every matrix of the layers, the product of two thin ones (Hu et al. 2022)."""

import re
from typing import Any, Literal, cast

import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from taesan.methods.base import Additions, Arrays, Attempt, Whole

_NUMBERED = re.compile(r"(.*)\.\d+\.(.+)")


class Lora:
    """All matrices of the layers by default: at equal size better than query and value alone (docs/lab.md)."""

    name = "lora"
    view: Literal["head", "text"] = "head"
    trains = True
    attempts = (Attempt(), Attempt(rate=0.3))

    def room_tokens(self, additions: Additions) -> int:
        return 0

    def adapt(self, backbone: PreTrainedModel, additions: Additions) -> nn.Module:
        import peft  # noqa: PLC0415  two seconds that no other method has to wait for

        torch.manual_seed(additions.seed)
        backbone.requires_grad_(False)
        config = peft.LoraConfig(
            r=additions.rank,
            lora_alpha=cast(int, additions.alpha),
            target_modules=_targets(backbone),
            fan_in_fan_out=_transposed(backbone),
        )
        return Whole(cast(PreTrainedModel, peft.inject_adapter_in_model(config, backbone)))

    def peft_config(self, encoder: nn.Module, additions: Additions) -> dict[str, Any]:
        backbone = cast(Whole, encoder).backbone
        return {
            "peft_type": "LORA",
            "r": additions.rank,
            "lora_alpha": additions.alpha,
            "lora_dropout": 0.0,
            "bias": "none",
            "target_modules": _targets(backbone),
            "fan_in_fan_out": _transposed(backbone),
        }

    def arrays(self, encoder: nn.Module, prefix: str) -> dict[str, NDArray[Any]]:
        return {name: parameter.detach().cpu().numpy() for name, parameter in _parameters(cast(Whole, encoder), prefix)}

    def load(self, encoder: nn.Module, prefix: str, arrays: Arrays) -> None:
        with torch.no_grad():
            for name, parameter in _parameters(cast(Whole, encoder), prefix):
                parameter.copy_(torch.from_numpy(arrays[name]))


def merge(backbone: PreTrainedModel) -> None:
    """Adds the products to the matrices, for good: the backbone is one of transformers again."""
    from peft.tuners.lora import LoraLayer  # noqa: PLC0415

    for name, module in list(backbone.named_modules()):
        if isinstance(module, LoraLayer):
            cast(Any, module).merge()
            parent, _, own = name.rpartition(".")
            setattr(backbone.get_submodule(parent), own, module.get_base_layer())


def _parameters(encoder: Whole, prefix: str) -> list[tuple[str, nn.Parameter]]:
    return [
        (f"base_model.model.{prefix}.{name.replace('.default.', '.')}", parameter)
        for name, parameter in encoder.backbone.named_parameters()
        if ".lora_" in name
    ]


def _linear(backbone: PreTrainedModel) -> dict[str, nn.Module]:
    """The matrices of the numbered layers, by name."""
    kinds = (nn.Linear, Conv1D)
    return {
        name.removesuffix(".base_layer"): module
        for name, module in backbone.named_modules()
        if isinstance(module, kinds) and _NUMBERED.fullmatch(name) and ".lora_" not in name
    }


def _targets(backbone: PreTrainedModel) -> str:
    """A pattern that finds them in the backbone and in any model of it: never a head's."""
    found = [match for name in _linear(backbone) if (match := _NUMBERED.fullmatch(name))]
    layers = sorted({re.escape(match[1].rpartition(".")[2]) for match in found})
    ends = sorted({re.escape(match[2]) for match in found})
    return rf"(.*\.)?({'|'.join(layers)})\.\d+\.({'|'.join(ends)})"


def _transposed(backbone: PreTrainedModel) -> bool:
    return all(isinstance(module, Conv1D) for module in _linear(backbone).values())
