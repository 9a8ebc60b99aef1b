"""A masked backbone as a `Scorer`: an answer of k tokens is what it puts into k masks.

Rows go into buckets, so that an item's scores are the same bits whoever its neighbours are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from taesan.engine.decoding import Generated
from taesan.engine.infer import OnToken, bucket
from taesan.engine.parts import begins, closes, found_parts, says
from taesan.engine.scoring import Free, Parts
from taesan.errors import UsageError
from taesan.methods.base import Adapted
from taesan.tasks.base import Found
from taesan.tasks.templates import Prompt
from taesan.text.tokenizer import Encoding, Ids, Tokenizer

PART_TOKENS = 6  # the longest part that may be an answer: one of k tokens takes a pass with k masks
PROMPTS = 64  # answered at a time


@dataclass(frozen=True)
class _Blank:
    """So many masks in a prompt; `wanted` are the ids whose chances are asked for."""

    number: int
    prompt: Prompt
    size: int
    wanted: Ids


@dataclass(frozen=True)
class _Likely:
    """Log-probabilities (k, N) of some ids (N,), which are sorted, at k masks."""

    ids: Ids
    values: NDArray[np.float32]

    def of(self, ids: Ids) -> float:
        """Of k ids in a row."""
        return float(self.values[np.arange(len(ids)), np.searchsorted(self.ids, ids)].astype(np.float64).sum())


class MaskedScorer:
    """A masked backbone with its own output head, which it never changes."""

    def __init__(self, model: Adapted, tokenizer: Tokenizer, *, max_length: int):
        self._model, self._tokenizer, self._max_length = model.eval(), tokenizer, max_length
        self._backbone = cast(PreTrainedModel, model.encoder.get_submodule("backbone"))

    def score(self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]]) -> list[Found]:
        """A choice of k tokens is what the model puts into k masks at once (Salazar et al. 2020, one after another)."""
        asked = [self._tokenizer.ids(list(own)) for own in choices]
        rows = [
            _Blank(number, prompts[number], size, np.concatenate([ids for ids in own if len(ids) == size]))
            for number, own in enumerate(asked)
            for size in sorted({len(ids) for ids in own})
        ]
        likely = {(row.number, row.size): one for row, one in zip(rows, self._filled(rows), strict=True)}
        return [
            Found(
                np.array([likely[number, len(ids)].of(ids) for ids in own]),
                np.array([len(ids) for ids in own], dtype=np.int64),
            )
            for number, own in enumerate(asked)
        ]

    def generate(self, prompts: Sequence[Prompt], constraints: Sequence[Parts]) -> list[Found]:
        """The same of every part of a text, as a mean over its tokens: else one token would beat any two."""
        found: list[Found] = []
        for start in range(0, len(prompts), PROMPTS):
            part = list(zip(prompts[start : start + PROMPTS], constraints[start : start + PROMPTS], strict=True))
            encodings = self._tokenizer.encode([constraint.text for _, constraint in part])
            others = [self._tokenizer.ids(list(constraint.others)) for _, constraint in part]
            rows: list[_Blank] = []
            for number, ((prompt, _), encoding, own) in enumerate(zip(part, encodings, others, strict=True)):
                sizes = {*range(1, min(PART_TOKENS, len(encoding.ids)) + 1), *map(len, own)}
                wanted = np.concatenate([encoding.ids, *own])
                rows += [_Blank(number, prompt, size, wanted) for size in sorted(sizes)]
            likely = {(row.number, row.size): one for row, one in zip(rows, self._filled(rows), strict=True)}
            for number, ((_, constraint), encoding, own) in enumerate(zip(part, encodings, others, strict=True)):
                spans, scores = [], []
                for first, last in _masked_parts(constraint.text, encoding):
                    ids = encoding.ids[first : last + 1]
                    spans.append((int(encoding.offsets[first, 0]), int(encoding.offsets[last, 1])))
                    scores.append(likely[number, len(ids)].of(ids) / len(ids))
                told = [likely[number, len(ids)].of(ids) / len(ids) for ids in own]
                found.append(found_parts(told, [len(ids) for ids in own], spans, scores))
        return found

    def write(
        self, prompts: Sequence[Prompt], constraint: Free, *, on_token: OnToken | None = None
    ) -> list[list[Generated]]:
        raise UsageError("a masked model fills in blanks, and does not go on with a text")

    def _filled(self, asked: Sequence[_Blank]) -> list[_Likely]:
        """What the model puts into each blank."""
        befores = self._tokenizer.ids([blank.prompt.before for blank in asked])
        afters = self._tokenizer.ids([blank.prompt.after for blank in asked])
        mask_id, pad_id = self._tokenizer.mask_id, self._tokenizer.pad_id
        rows = [
            self._tokenizer.join(np.concatenate([before, np.full(blank.size, mask_id), after]).astype(np.int32))[0]
            for blank, before, after in zip(asked, befores, afters, strict=True)
        ]
        groups: dict[tuple[int, int, int], list[int]] = {}
        for number, (blank, ids) in enumerate(zip(asked, rows, strict=True)):
            groups.setdefault((*bucket(len(ids), self._max_length), blank.size), []).append(number)
        results: dict[int, _Likely] = {}
        device = self._backbone.device
        for (length, count, size), members in groups.items():
            for start in range(0, len(members), count):
                part = members[start : start + count]
                ids = np.full((count, length), pad_id, dtype=np.int64)
                attended = np.zeros((count, length), dtype=np.int64)
                attended[:, 0] = 1
                places = np.zeros((count, size), dtype=np.int64)
                for row, number in enumerate(part):
                    own = rows[number]
                    ids[row, : len(own)], attended[row, : len(own)] = own, 1
                    places[row] = np.flatnonzero(own == mask_id)
                batch = {"input_ids": ids, "attention_mask": attended, "token_type_ids": np.zeros_like(ids)}
                tensors = {name: torch.from_numpy(array).to(device) for name, array in batch.items()}
                with torch.inference_mode():
                    hidden = self._model.encoder(tensors)
                    likely = self._model.likely(hidden, torch.from_numpy(places).to(device)).cpu().numpy()
                for row, number in enumerate(part):
                    wanted = np.unique(asked[number].wanted)
                    results[number] = _Likely(wanted, likely[row][:, wanted])
        return [results[number] for number in range(len(asked))]


def _masked_parts(text: str, encoding: Encoding) -> Iterator[tuple[int, int]]:
    """First and last token of every part that may be an answer; the same words elsewhere are the same answer."""
    ids, offsets = encoding.ids, encoding.offsets
    seen: set[tuple[int, ...]] = set()
    for first in range(len(ids)):
        if not begins(text, offsets, first):
            continue
        for last in range(first, min(first + PART_TOKENS, len(ids))):
            same = tuple(ids[first : last + 1].tolist())
            meant = says(text[offsets[first, 0] : offsets[last, 1]])
            if same not in seen and meant and closes(offsets, last):
                seen.add(same)
                yield first, last
