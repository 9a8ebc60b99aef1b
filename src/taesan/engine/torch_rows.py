"""Texts in progress on a torch model, with their keys and values: one token more for all of them at a time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

from taesan.engine import gpt2_step
from taesan.engine.rows import Indices, Scores, in_blocks, of_one_length
from taesan.models.cache import KeysValues, cache_of
from taesan.text.tokenizer import Ids

# A product of fewer rows than this runs through another kernel, with other bits (measured: 1, 2 and 3 rows differ).
LEAST_ROWS = 4
_LOWEST = torch.finfo(torch.float32).min


class LoneRows:
    """Texts of one prompt, all of one length: nothing is padded, which every architecture can do."""

    @torch.inference_mode()
    def __init__(self, model: PreTrainedModel, prompt: Ids, copies: int, before: KeysValues):
        self._model, self._length = model, _size(before) + len(prompt)
        self._cache, logits = _read(model, [prompt], before)
        self.keep(np.zeros(copies, dtype=np.int64))
        self.logits = _scores(logits[:1].repeat_interleave(copies, dim=0))

    @torch.inference_mode()
    def step(self, tokens: Indices) -> Scores:
        self._length += 1
        ids = torch.from_numpy(tokens).to(self._model.device)[:, None]
        mask = torch.ones(len(tokens), self._length, dtype=torch.long, device=ids.device)
        model: Any = self._model
        output = model(input_ids=ids, attention_mask=mask, past_key_values=self._cache, use_cache=True)
        return _scores(output.logits[:, -1])

    @torch.inference_mode()
    def keep(self, index: Indices, start: int = 0) -> None:
        self._cache.reorder_cache(torch.from_numpy(index).to(self._model.device))


class JointRows:
    """Texts of many prompts, whatever their lengths: each one's keys and values stand from place 0 on.

    So a text's own are at the same places, and its sums in the same order, whoever its neighbours are.
    """

    @torch.inference_mode()
    def __init__(
        self, model: PreTrainedModel, prompts: Sequence[Ids], copies: int, before: KeysValues, *, direct: bool = False
    ):
        """`direct`: past the model's forward, where `gpt2_step` knows the model."""
        self._model, self._direct = model, direct
        self._live = len(prompts) * copies
        size = max(self._live, LEAST_ROWS)
        device = model.device
        self._lengths = torch.zeros(size, dtype=torch.long, device=device)  # 0: an empty row, there to make up 4
        layers: list[_Layer] = []
        logits: list[Tensor] = [torch.empty(0)] * self._live
        width = in_blocks(_size(before) + max(map(len, prompts)))
        for group in of_one_length(prompts):
            cache, following = _read(model, [prompts[number] for number in group], before)
            rows = torch.tensor([number * copies + copy for number in group for copy in range(copies)], device=device)
            self._lengths[rows] = _size(before) + len(prompts[group[0]])
            layers = layers or [_Layer(one, size, width) for one in cache.layers]
            for layer, read in zip(layers, cache.layers, strict=True):
                layer.fill(rows, read, len(group), copies)
            for row, one in zip(rows.tolist(), following.repeat_interleave(copies, dim=0), strict=False):
                logits[row] = one
        self.logits = _scores(torch.stack(logits))
        self._layers, self._width, self._cache = layers, width, Cache(layers=[*layers])

    @torch.inference_mode()
    def step(self, tokens: Indices) -> Scores:
        device = self._lengths.device
        if (longest := int(self._lengths.max())) == self._width:
            self._width = in_blocks(longest + 1)
        size = len(self._lengths)
        places: dict[int, Tensor] = {}  # by number of heads: each row's next place, counted over all rows and heads
        for layer in self._layers:
            if (heads := layer.heads) not in places:
                first = torch.arange(0, size * heads * self._width, self._width, device=device)
                places[heads] = first + self._lengths.repeat_interleave(heads)
            layer.open(self._width, places[heads])
        empty = torch.arange(self._width, device=device) > self._lengths[:, None]  # (R, T)
        mask = torch.zeros(empty.shape, device=device).masked_fill_(empty, _LOWEST)[:, None, None]
        ids = pad(torch.from_numpy(tokens).to(device), (0, size - self._live))
        if self._direct:
            logits = gpt2_step.step(self._model, ids, self._lengths, mask, self._layers)
        else:
            model: Any = self._model
            positions, cache = self._lengths[:, None], self._cache
            logits = model(
                input_ids=ids[:, None],
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            ).logits[:, -1]
        self._lengths[: self._live] += 1
        return _scores(logits[: self._live])

    @torch.inference_mode()
    def keep(self, index: Indices, start: int = 0) -> None:
        self._live = len(index)
        size = max(self._live, LEAST_ROWS)
        sources = torch.from_numpy(index).to(self._lengths.device)
        places = (sources != torch.arange(len(sources), device=sources.device)).nonzero()[:, 0]
        end = int(self._lengths.max())
        for layer in self._layers:
            layer.move(sources[places], places, start, end, size)
        self._lengths = pad(self._lengths[sources], (0, size - self._live))


class _Layer(DynamicLayer):
    """One layer's keys and values (R, H, T, D), written where each row ends instead of put behind all rows."""

    def __init__(self, read: Any, size: int, width: int):
        super().__init__()
        self.dtype, self.device, self.is_initialized = read.keys.dtype, read.keys.device, True
        self.keys, self.values = (
            torch.zeros(size, states.shape[1], width, states.shape[3], dtype=states.dtype, device=states.device)
            for states in (read.keys, read.values)
        )
        self._places = torch.empty(0)

    def fill(self, rows: Tensor, read: Any, prompts: int, copies: int) -> None:
        length = read.keys.shape[2]
        for own, states in zip(self._both(), (read.keys, read.values), strict=True):
            own[rows, :, :length] = states[:prompts].repeat_interleave(copies, dim=0)

    @property
    def heads(self) -> int:
        return self._both()[0].shape[1]

    def open(self, width: int, places: Tensor) -> None:
        """Makes room for `width` keys a row, the next of which go to `places` (R * H,)."""
        self._places = places
        self.keys, self.values = (
            states if (more := width - states.shape[2]) == 0 else pad(states, (0, 0, 0, more))
            for states in self._both()
        )

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        own, new = self._both(), (key_states, value_states)
        for states, one in zip(own, new, strict=True):
            states.view(-1, states.shape[3]).index_copy_(0, self._places, one.reshape(-1, one.shape[3]))
        return own

    def move(self, source: Tensor, places: Tensor, start: int, end: int, size: int) -> None:
        for states in self._both() if len(places) else ():
            states[places, :, start:end] = states[source, :, start:end]
        self.keys, self.values = (states[:size] for states in self._both())

    def get_seq_length(self) -> int:
        return self._both()[0].shape[2]

    def _both(self) -> tuple[Tensor, Tensor]:
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values


def _scores(logits: Tensor) -> Scores:
    return logits.float().cpu().numpy()


def _size(before: KeysValues) -> int:
    return before[0][0].shape[2] if before else 0


def _read(model: PreTrainedModel, prompts: list[Ids], before: KeysValues) -> tuple[Any, Tensor]:
    """The cache of prompts of one length, and what follows each (B, V); B is more where they are very short.

    What stands `before` every text is in the cache too.
    """
    length = len(prompts[0])
    ids = np.stack(prompts).astype(np.int64)
    if ids.size < LEAST_ROWS:
        ids = np.tile(ids, (-(-LEAST_ROWS // ids.size), 1))
    tensor = torch.from_numpy(ids).to(model.device)
    cache: Any = cache_of(before, len(tensor)) if before else DynamicCache(config=model.config)
    attended = torch.ones(len(tensor), _size(before) + length, dtype=torch.long, device=model.device)
    last = {"logits_to_keep": min(LEAST_ROWS, length)} if _keeps_logits(model) else {}
    network: Any = model
    output = network(input_ids=tensor, attention_mask=attended, past_key_values=cache, use_cache=True, **last)
    return cache, output.logits[:, -1].float()


def _keeps_logits(model: PreTrainedModel) -> bool:
    """Whether the model can leave out the logits of a prompt's other tokens."""
    supports = getattr(model, "_supports_logits_to_keep", None)  # what transformers' own `generate` asks
    return supports is not None and supports()
