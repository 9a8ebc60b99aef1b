"""Keys and values that stand before a text: read off a backbone, and put into a cache of transformers."""

from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

KeysValues = list[tuple[torch.Tensor, torch.Tensor]]  # a layer's (1, H, T, D/H) each


def keys_values(backbone: PreTrainedModel, ids: tuple[int, ...]) -> KeysValues:
    """What the layers know of a text, without gradients."""
    training = backbone.training
    tensor = torch.tensor([ids], device=backbone.device)
    cache: Any = DynamicCache()
    model: Any = backbone.eval()
    with torch.no_grad():
        model(input_ids=tensor, attention_mask=torch.ones_like(tensor), past_key_values=cache, use_cache=True)
    backbone.train(training)
    return [(layer.keys, layer.values) for layer in cache.layers]


def cache_of(states: KeysValues, rows: int) -> Cache:
    """A cache that holds them for each of so many rows, without a copy for each."""
    layers: list[DynamicLayer] = []
    for keys, values in states:
        layer = DynamicLayer()
        layer.dtype, layer.device, layer.is_initialized = keys.dtype, keys.device, True
        layer.keys, layer.values = keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1)
        layers.append(layer)
    return Cache(layers=[*layers])


def keeps_everything(model: PreTrainedModel) -> bool:
    """Whether every layer keeps all keys: one that forgets, or has none, cannot share them between texts."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)
