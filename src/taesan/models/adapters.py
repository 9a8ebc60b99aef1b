"""Adapters on disk, as PEFT has them: `adapter_config.json` and `adapter_model.safetensors`."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load as load_tensors

from taesan.errors import StorageError, escape
from taesan.models.heads import Head

FILES = ("adapter_config.json", "adapter_model.safetensors")
_TASKS = {"sequence": "SEQ_CLS", "token": "TOKEN_CLS", "span": "QUESTION_ANS", "language_model": "CAUSAL_LM"}
Arrays = dict[str, NDArray[Any]]


def adapter_config(own: Mapping[str, Any], head: Head, *, kind: str, masked: bool, backbone: str) -> bytes:
    """`own` is what the method says, `kind` the head's. PEFT knows no task for a blank: features stand for it."""
    task = _TASKS.get(kind, "FEATURE_EXTRACTION" if masked else "CAUSAL_LM")
    saved = sorted({_top(name, head.prefix) for name, _ in trained(head)})
    content = {"base_model_name_or_path": backbone, "inference_mode": True, "task_type": task, **own}
    if own["peft_type"] == "LORA":
        content["modules_to_save"] = saved or None
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def head_arrays(head: Head, own: Mapping[str, Any]) -> Arrays:
    """What the head has learnt, under PEFT's names."""
    before = _before(own)
    return {before + name: parameter.detach().cpu().numpy() for name, parameter in trained(head)}


def load_head(head: Head, own: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raises: KeyError, RuntimeError where the arrays are of another head."""
    before = _before(own)
    with torch.no_grad():
        for name, parameter in trained(head):
            parameter.copy_(torch.from_numpy(arrays[before + name]))


def trained(head: Head) -> list[tuple[str, torch.nn.Parameter]]:
    """The parameters that the head learns; a language model's come with the backbone."""
    return [(name, parameter) for name, parameter in head.model.named_parameters() if parameter.requires_grad]


def read_arrays(content: bytes, name: str) -> Arrays:
    """Raises: StorageError for a file that is no safetensors, or holds what is no number."""
    try:
        arrays = load_tensors(content)
    except Exception as error:  # safetensors raises its own and others
        raise StorageError(f"{name} cannot be read: {error}") from None
    bad = next((key for key, array in arrays.items() if not np.isfinite(array).all()), None)
    if bad is not None:
        raise StorageError(f"{name} holds numbers that are none, in {escape(bad)}")
    return arrays


def _before(own: Mapping[str, Any]) -> str:
    """LoRA lies inside the model, virtual tokens around it."""
    return "base_model.model." if own["peft_type"] == "LORA" else "base_model."


def _top(name: str, prefix: str) -> str:
    """The module to save that a head's parameter is in: its first, or the pooler, which lies in the backbone."""
    parts = name.split(".")
    return parts[1] if parts[0] == prefix else parts[0]
