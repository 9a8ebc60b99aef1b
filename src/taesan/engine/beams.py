"""Beam search: of every prompt, the k likeliest texts side by side."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from taesan.config import GenerationOptions
from taesan.engine.choices import Rules, check_possible
from taesan.engine.decoding import Generated
from taesan.engine.rows import Rows

_NEVER = -1e9  # a score that no text has
Candidates = list[tuple[int, float]]


class _Search:
    """One prompt's search: the steps so far, and the best texts that have ended.

    It stops as transformers does with `early_stopping=False`: when k texts have ended and the best one still running
    would, ended now, be no better than the worst of them.
    """

    def __init__(self, limit: int, options: GenerationOptions):
        self._limit, self._beams, self._penalty = limit, options.beams, options.length_penalty
        self._steps: list[tuple[NDArray[Any], ...]] = []  # parents, tokens, log-probabilities, each (K,)
        self._reports: list[list[Candidates]] = []  # of each step, each beam's likeliest tokens
        self._best: list[tuple[np.float32, Generated]] = []

    def advance(
        self,
        scores: NDArray[np.float32],
        steps: tuple[NDArray[Any], ...],
        ends: NDArray[np.bool_],
        going_on: NDArray[np.int64],
        report: list[Candidates],
    ) -> bool:
        """Takes in a step's 2k best continuations, likeliest first; whether the search is over.

        `steps` are their parents, tokens and log-probabilities, `going_on` those k that do not end.
        """
        self._reports.append(report)
        length = len(self._reports)
        weight = length**self._penalty
        for place in range(self._beams):  # an end beyond the k best counts for nothing
            if ends[place] or length == self._limit:
                self._insert(
                    scores[place] / weight, [int(one[place]) for one in steps[:2]], steps[2][place], ends[place]
                )
        if length == self._limit:
            return True
        self._steps.append(tuple(one[going_on] for one in steps))
        return len(self._best) == self._beams and not scores[going_on[0]] / weight > self._best[-1][0]

    def texts(self, count: int) -> list[Generated]:
        """The best ones, best first."""
        return [text for _, text in self._best[:count]]

    def _insert(self, score: np.float32, last: list[int], log_probability: float, ended: np.bool_) -> None:
        full = len(self._best) == self._beams
        if score == -np.inf or (full and not score > self._best[-1][0]):
            return
        parent, token = last
        tokens, likely, beams = [token], [float(log_probability)], [parent]
        for parents, chosen, own in reversed(self._steps):
            tokens.append(int(chosen[parent]))
            likely.append(float(own[parent]))
            parent = int(parents[parent])
            beams.append(parent)
        candidates = [report[beam] for report, beam in zip(self._reports, reversed(beams), strict=True) if report]
        ids = tokens[:0:-1] if ended else tokens[::-1]
        self._best.append((score, Generated(tuple(ids), bool(ended), tuple(likely[::-1]), candidates)))
        self._best.sort(key=lambda one: -one[0])  # stable: of two equal ones the older stays before
        del self._best[self._beams :]


def search(
    rows: Rows,
    rules: Rules,
    lengths: Sequence[int],
    limits: Sequence[int],
    options: GenerationOptions,
    end_id: int | None,
) -> list[list[Generated]]:
    """Each prompt's `sequences` best texts, best first. `rows` hold k texts a prompt, which has its length and limit.

    Scores are float32 sums of log-probabilities after the rules, over length to the power of `length_penalty`.
    """
    beams = options.beams
    searches = [_Search(limit, options) for limit in limits]
    alive = list(range(len(searches)))
    written = np.empty((len(searches), beams, 0), dtype=np.int64)
    logits, step = rows.logits, 0
    running = torch.full((len(searches), beams), _NEVER, device=logits.device)
    running[:, 0] = 0  # all beams start as the same text: only one of them may go on from it
    while True:
        count, vocabulary = len(alive), logits.shape[1]
        likely = logits.log_softmax(dim=1)
        scores = rules.apply(likely, step) + running.view(-1, 1)
        values, places = scores.view(count, -1).topk(2 * beams)
        check_possible(values[:, 0], step)
        parents, tokens = places // vocabulary, places % vocabulary
        first = torch.arange(count, device=logits.device)[:, None] * beams
        own = likely[first + parents, tokens]
        ends = tokens == (-1 if end_id is None else end_id)
        # An ended text leaves its beam to the next best. There are always k that go on: at most k of 2k end.
        going_on = ends.int().argsort(dim=1, stable=True)[:, :beams]
        report = likeliest(likely, options.candidates)
        arrays = [tensor.cpu().numpy() for tensor in (values, parents, tokens, own, ends, going_on)]
        left: list[int] = []
        for slot, number in enumerate(alive):
            score, parent, token, probability, end, on = (array[slot] for array in arrays)
            own_report = report[slot * beams : (slot + 1) * beams]
            if not searches[number].advance(score, (parent, token, probability), end, on, own_report):
                left.append(slot)
        if not left:
            return [one.texts(options.sequences) for one in searches]
        kept = torch.tensor(left, device=logits.device)
        chosen = going_on[kept]
        running = values[kept].gather(1, chosen)
        origin = parents[kept].gather(1, chosen)
        index = (first[kept] + origin).flatten()
        tokens = tokens[kept].gather(1, chosen)
        rules.keep(index)
        rules.append(tokens.flatten())
        # Beams mostly go back to one a few steps ago: what all hold in common need not be copied from row to row.
        old = written[left]
        common = np.logical_and.accumulate((old == old[:, :1]).all(axis=1), axis=1).sum(axis=1)
        old = np.take_along_axis(old, origin.cpu().numpy()[:, :, None], axis=1)
        written = np.concatenate([old, tokens.cpu().numpy()[:, :, None]], axis=2)
        alive = [alive[slot] for slot in left]
        shared = min(lengths[number] + own for number, own in zip(alive, common.tolist(), strict=True))
        rows.keep(index, shared if len(left) == count else 0)
        logits, step = rows.step(tokens.flatten()), step + 1


def likeliest(log_probabilities: torch.Tensor, count: int) -> list[Candidates]:
    """Each row's `count` likeliest tokens with their probabilities (R, count); empty lists where none are wanted."""
    if not count:
        return [[] for _ in log_probabilities]
    values, ids = log_probabilities.topk(min(count, log_probabilities.shape[1]))
    return [
        list(zip(row_ids, row, strict=True)) for row_ids, row in zip(ids.tolist(), values.exp().tolist(), strict=True)
    ]
