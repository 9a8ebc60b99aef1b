"""A causal backbone as a `Scorer`: what prompts share is computed once, and an item once for all its answers.

An item's answers are a tree behind it: each is a branch that sees the shared prompt, the item and itself (a mask says
so), and all of them go through the model in one row. Rows go into buckets, so that an item's scores are the same bits
whoever its neighbours are.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from taesan.engine.decoding import Generated
from taesan.engine.generate import Generator
from taesan.engine.infer import OnToken, bucket
from taesan.engine.parts import begins, closes, found_parts, says
from taesan.engine.scoring import PART_TOKENS, Free, Parts
from taesan.engine.torch_decoder import TorchDecoder
from taesan.methods.base import Adapted
from taesan.models.cache import KeysValues, cache_of, keeps_everything
from taesan.tasks.base import Found
from taesan.tasks.templates import Prompt
from taesan.text.tokenizer import Tokenizer

Floats = NDArray[np.float64]
BRANCH_TOKENS = 512  # of branches in one row
BATCH_PLACES = 4096  # keys and values that the rows of a batch have together
STARTS = 64  # places of a text where an answer may begin: the likeliest, where there are more
KEPT_PREFIX_TOKENS = 4096  # and at least one prefix
KEPT_BOUNDARIES = 4096


@dataclass(frozen=True)
class _Tree:
    """A row: `shared` ids that other rows begin with too, its own, and what may come then. `ends` close a branch."""

    shared: tuple[int, ...]
    own: tuple[int, ...]
    branches: tuple[tuple[int, ...], ...]
    ends: tuple[int, ...] = ()

    @property
    def nodes(self) -> list[int]:
        """How many tokens of each branch are read: not its last, unless what comes after it is asked for."""
        return [max(0, len(branch) - (not self.ends)) for branch in self.branches]


@dataclass(frozen=True)
class _Branches:
    """For each branch, the log-probability of each of its tokens, and that it ends after each of them."""

    tokens: list[Floats]
    ends: list[Floats]


class CausalScorer:
    """A causal backbone with its own output head, which it never changes."""

    def __init__(self, model: Adapted, tokenizer: Tokenizer, *, max_length: int):
        self._model, self._tokenizer, self._max_length = model.eval(), tokenizer, max_length
        self._backbone = cast(PreTrainedModel, model.encoder.get_submodule("backbone"))
        self._prefixes: OrderedDict[tuple[int, ...], KeysValues] = OrderedDict()
        self._boundaries: dict[tuple[str, str], tuple[int, ...]] = {}
        self._begun: tuple[str, tuple[int, ...]] = "", ()  # the shared text that was read last
        self._closings: dict[str, tuple[int, ...]] = {}
        self._generator: Generator | None = None
        self._shares = keeps_everything(self._backbone) and self._agrees()

    def score(self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]]) -> list[Found]:
        trees = [self._tree(prompt, own) for prompt, own in zip(prompts, choices, strict=True)]
        return [
            Found(np.array([tokens.sum() for tokens in one.tokens]), np.array([len(tokens) for tokens in one.tokens]))
            for one in self._grow(trees)
        ]

    def generate(self, prompts: Sequence[Prompt], constraints: Sequence[Parts]) -> list[Found]:
        return [self._grow_parts(prompt, one) for prompt, one in zip(prompts, constraints, strict=True)]

    def write(
        self, prompts: Sequence[Prompt], constraint: Free, *, on_token: OnToken | None = None
    ) -> list[list[Generated]]:
        mark = constraint.ends[0]
        if self._generator is None:
            alone = self._tokenizer.ids([mark])[0].tolist()
            end = alone[0] if len(alone) == 1 else self._tokenizer.separator_id
            banned = tuple(sorted(self._tokenizer.control_ids - {end}))
            with self._model.whole() as model:
                decoder = TorchDecoder(model)
            self._generator = Generator(decoder, end_id=end, max_length=self._max_length, banned=banned)
        ids = [np.array([*shared, *own], dtype=np.int32) for shared, own, _ in map(self._read, prompts)]
        written = self._generator.generate(ids, constraint.options, on_token=on_token)
        return [[self._until(mark, text) for text in texts] for texts in written]

    def _until(self, mark: str, text: Generated) -> Generated:
        """The text before a mark that the vocabulary also has inside longer tokens."""
        place = next((i for i, number in enumerate(text.ids) if mark in self._tokenizer.piece(number)), None)
        if place is None:
            return text
        return Generated(
            text.ids[:place], True, text.token_log_probabilities[: place + 1], text.candidates[: place + 1]
        )

    def _closing(self, mark: str) -> tuple[int, ...]:
        """Tokens that begin with a mark; the end of a text where the vocabulary has none."""
        if mark not in self._closings:
            tokenizer = self._tokenizer
            own = (number for number in range(tokenizer.vocabulary_size) if number not in tokenizer.control_ids)
            found = tuple(number for number in own if tokenizer.piece(number).startswith(mark))
            ending = () if tokenizer.separator_id is None else (tokenizer.separator_id,)
            self._closings[mark] = found or ending
        return self._closings[mark]

    def _tree(self, prompt: Prompt, choices: Sequence[str]) -> _Tree:
        shared, own, space = self._read(prompt)
        text = prompt.before.rstrip()
        return _Tree(shared, own, tuple(self._behind(text, space + choice) for choice in choices))

    def _read(self, prompt: Prompt) -> tuple[tuple[int, ...], tuple[int, ...], str]:
        """Ids that the prompt shares, its own, and the space that its answer begins with.

        Tokens of what is shared are those of the whole prompt as far as both agree; the last one is always its own.
        """
        text, layout = prompt.before.rstrip(), self._tokenizer.layout
        begun = prompt.before[: prompt.shared].rstrip()
        (whole,) = (tuple(ids.tolist()) for ids in self._tokenizer.ids([text]))
        if begun != self._begun[0]:
            self._begun = begun, tuple(self._tokenizer.ids([begun])[0].tolist())
        part = self._begun[1]
        # Of nothing at all nothing follows: then the text's end, which stands before every other text, begins it.
        start = layout.prefix or (() if whole else layout.suffix[:1] or layout.middle[:1])
        ids = (*start, *whole)
        agrees = 0 < len(part) < len(whole) and whole[: len(part)] == part
        cut = len(start) + len(part) if agrees else 0
        return ids[:cut], ids[cut:], prompt.before[len(text) :]

    def _behind(self, text: str, answer: str) -> tuple[int, ...]:
        """The answer's ids behind a text: those that the two have together beyond the text's own."""
        words = text.split()
        key = (words[-1] if words else "", answer)
        if len(self._boundaries) > KEPT_BOUNDARIES:
            self._boundaries.clear()
        if key not in self._boundaries:
            alone, joined, apart = (tuple(ids.tolist()) for ids in self._tokenizer.ids([text, text + answer, answer]))
            self._boundaries[key] = joined[len(alone) :] if joined[: len(alone)] == alone else apart
        return self._boundaries[key]

    def _grow_parts(self, prompt: Prompt, constraint: Parts) -> Found:
        """Every part that begins where a word does, with the chance that the answer ends after it."""
        shared, own, space = self._read(prompt)
        context = (*shared, *own)
        if self._shares and len(context) > 1:
            self._prefix(context[:-1], begun=shared)
        (encoding,) = self._tokenizer.encode([space[-1:] + constraint.text])
        offsets = np.maximum(encoding.offsets - len(space[-1:]), 0)
        ids, text = encoding.ids.tolist(), constraint.text
        starts = [place for place in range(len(ids)) if begins(text, offsets, place)]
        if len(starts) > STARTS:
            firsts = tuple((ids[place],) for place in starts)
            chances = [float(one[0]) for one in self._grow([_Tree(shared, own, firsts)])[0].tokens]
            order = sorted(range(len(starts)), key=lambda place: (-chances[place], place))[:STARTS]
            starts = [starts[place] for place in sorted(order)]
        others = [self._behind(prompt.before.rstrip(), space + other) for other in constraint.others]
        branches = [tuple(ids[place : place + PART_TOKENS]) for place in starts] + others
        ends = tuple(sorted({number for mark in constraint.ends for number in self._closing(mark)}))
        # The question is a part of what all rows share: several rows hold its branches where one is too short.
        trees = [_Tree(context[:-1], context[-1:], tuple(some), ends) for some in _portions(branches)]
        grown = self._grow(trees)
        tokens = [one for part in grown for one in part.tokens]
        closing = [one for part in grown for one in part.ends] if ends else [np.zeros(len(one)) for one in tokens]
        spans: list[tuple[int, int]] = []
        scores: list[float] = []
        seen: set[tuple[int, ...]] = set()
        for number, place in enumerate(starts):
            running = 0.0
            for step in range(len(tokens[number])):
                running += float(tokens[number][step])
                last = place + step
                same = tuple(ids[place : last + 1])
                if same not in seen and closes(offsets, last):  # the same words elsewhere are the same answer
                    seen.add(same)
                    start = int(offsets[place, 0])
                    start += len(text[start : offsets[last, 1]]) - len(text[start : offsets[last, 1]].lstrip())
                    if says(text[start : offsets[last, 1]]):
                        spans.append((start, int(offsets[last, 1])))
                        scores.append(running + float(closing[number][step]))
        told = [float(tokens[len(starts) + n].sum() + closing[len(starts) + n][-1]) for n in range(len(others))]
        return found_parts(told, [len(one) for one in others], spans, scores)

    def _grow(self, trees: list[_Tree]) -> list[_Branches]:
        if not self._shares:
            return [self._grown_apart(tree) for tree in trees]
        groups: dict[tuple[tuple[int, ...], int, int, int], list[int]] = {}
        for number, tree in enumerate(trees):
            if not tree.branches:
                continue
            room = self._max_length + BRANCH_TOKENS - len(tree.shared)
            length, rows = bucket(len(tree.own) + sum(tree.nodes), room)
            rows = max(1, min(rows, BATCH_PLACES // (len(tree.shared) + length)))
            asked = 1 << (sum(tree.nodes)).bit_length()
            groups.setdefault((tree.shared, length, rows, asked), []).append(number)
        results: list[_Branches] = [_Branches([], [])] * len(trees)
        for (shared, length, rows, asked), members in groups.items():
            for start in range(0, len(members), rows):
                part = members[start : start + rows]
                grown = self._run([trees[n] for n in part], shared, length, rows, asked)
                for number, one in zip(part, grown, strict=True):
                    results[number] = one
        return results

    def _run(
        self, trees: list[_Tree], shared: tuple[int, ...], length: int, rows: int, asked: int
    ) -> Iterator[_Branches]:
        """Trees with the same shared ids, in one batch."""
        before = len(shared)
        ids = np.zeros((rows, length), dtype=np.int64)
        positions = np.zeros((rows, length), dtype=np.int64)
        seen = np.zeros((rows, length, length), dtype=bool)
        places = np.zeros((rows, asked), dtype=np.int64)
        seen[:, np.arange(length), np.arange(length)] = True  # an empty place still attends to something
        for row, tree in enumerate(trees):
            _lay_out(tree, before, ids[row], positions[row], seen[row], places[row])
        mask = np.zeros((rows, 1, length, before + length), dtype=np.float32)
        mask[..., before:][~seen[:, None]] = np.finfo(np.float32).min
        cache = cache_of(self._prefix(shared), rows) if shared else None
        device = self._backbone.device
        given = [torch.from_numpy(array).to(device) for array in (ids, positions, mask, places)]
        with torch.inference_mode():
            model: Any = self._backbone
            hidden = model(
                input_ids=given[0],
                position_ids=given[1],
                attention_mask=given[2],
                past_key_values=cache,
                use_cache=cache is not None,
            ).last_hidden_state  # (B, L, D)
            likely = self._model.likely(hidden, given[3])  # (B, M, V)
            for row, tree in enumerate(trees):
                yield _gathered(tree, likely[row])

    def _prefix(self, shared: tuple[int, ...], *, begun: tuple[int, ...] = ()) -> KeysValues:
        """Keys and values of what is shared, computed once; `begun` is a part of it that others share too."""
        if shared not in self._prefixes:
            before = self._prefix(begun) if begun and self._shares and begun != shared else []
            cache: Any = cache_of(before, 1) if before else DynamicCache(config=self._backbone.config)
            tensor = torch.tensor([shared[len(begun) if before else 0 :]], device=self._backbone.device)
            attended = torch.ones(1, len(shared), dtype=torch.long, device=tensor.device)
            model: Any = self._backbone
            with torch.inference_mode():
                model(input_ids=tensor, attention_mask=attended, past_key_values=cache, use_cache=True)
            while self._prefixes and sum(map(len, self._prefixes)) + len(shared) > KEPT_PREFIX_TOKENS:
                self._prefixes.popitem(last=False)
            self._prefixes[shared] = [(layer.keys, layer.values) for layer in cache.layers]
        self._prefixes.move_to_end(shared)
        return self._prefixes[shared]

    def _grown_apart(self, tree: _Tree) -> _Branches:
        """The same for a model that takes no such mask: every branch in a row of its own."""
        tokens: list[Floats] = []
        ends: list[Floats] = []
        model: Any = self._backbone
        context = (*tree.shared, *tree.own)
        for branch in tree.branches:
            tensor = torch.tensor([(*context, *branch)], device=self._backbone.device)
            with torch.inference_mode():
                hidden = model(input_ids=tensor, attention_mask=torch.ones_like(tensor)).last_hidden_state
                places = torch.arange(len(context) - 1, tensor.shape[1], device=tensor.device)[None]
                one = _Tree((), (), (branch,), tree.ends)
                likely = self._model.likely(hidden, places)[0]
                grown = _gathered(one, likely if tree.ends else likely[:-1])
            tokens += grown.tokens
            ends += grown.ends
        return _Branches(tokens, ends)

    def _agrees(self) -> bool:
        """Whether trees give what rows of their own give: found by asking."""
        size = self._backbone.get_input_embeddings().get_parameter("weight").shape[0]
        some = [number % size for number in range(3, 15)]
        tree = _Tree(tuple(some[:4]), tuple(some[4:7]), (tuple(some[7:10]), tuple(some[10:12])), tuple(some[:1]))
        expected = self._grown_apart(tree)
        try:
            (found,) = self._run([tree], tree.shared, 16, 4, 8)
        except Exception:  # whatever an architecture says that takes no such mask, positions or cache
            return False
        pairs = zip([*found.tokens, *found.ends], [*expected.tokens, *expected.ends], strict=True)
        return all(np.allclose(one, other, rtol=0, atol=1e-3) for one, other in pairs)


def _lay_out(
    tree: _Tree,
    before: int,
    ids: NDArray[np.int64],
    positions: NDArray[np.int64],
    seen: NDArray[np.bool_],
    places: NDArray[np.int64],
) -> None:
    """Writes a tree into its row: the item, then branch after branch, each of which sees the item and itself."""
    size = len(tree.own)
    ids[:size] = tree.own
    positions[:size] = before + np.arange(size)
    seen[:size, :size] = np.tri(size, dtype=bool)
    places[0] = size - 1
    at, asked = size, 1
    for branch, nodes in zip(tree.branches, tree.nodes, strict=True):
        ids[at : at + nodes] = branch[:nodes]
        positions[at : at + nodes] = before + size + np.arange(nodes)
        seen[at : at + nodes, :size] = True
        seen[at : at + nodes, at : at + nodes] = np.tri(nodes, dtype=bool)
        places[asked : asked + nodes] = np.arange(at, at + nodes)
        at, asked = at + nodes, asked + nodes


def _gathered(tree: _Tree, likely: Tensor) -> _Branches:
    """A tree's answers out of the log-probabilities at its item's end and at its nodes (M, V)."""
    rows: list[int] = []
    columns: list[int] = []
    at = 1
    for branch, nodes in zip(tree.branches, tree.nodes, strict=True):
        rows += [0, *range(at, at + len(branch) - 1)][: len(branch)]
        columns += branch
        at += nodes
    device = likely.device
    values = likely[torch.tensor(rows, device=device), torch.tensor(columns, device=device)].cpu().double().numpy()
    tokens = np.split(values, np.cumsum([len(branch) for branch in tree.branches])[:-1])
    if not tree.ends:
        return _Branches(tokens, [])
    closing = likely[1:at, list(tree.ends)].cpu().double().logsumexp(dim=1).numpy()
    return _Branches(tokens, np.split(closing, np.cumsum(tree.nodes)[:-1]))


def _portions(branches: list[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
    """The branches in rows of at most so many tokens."""
    part: list[tuple[int, ...]] = []
    for branch in branches:
        if part and sum(map(len, part)) + len(branch) > BRANCH_TOKENS:
            yield part
            part = []
        part.append(branch)
    if part:
        yield part
