"""Beam search: of every prompt, the k likeliest texts side by side. No torch here."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taesan.config import GenerationOptions
from taesan.engine.choices import Rules, check_possible
from taesan.engine.decoding import Generated, log_sum_exp, top
from taesan.engine.rows import Rows, Scores

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
    running = np.full((len(searches), beams), _NEVER, dtype=np.float32)
    running[:, 0] = 0  # all beams start as the same text: only one of them may go on from it
    while True:
        count, vocabulary = len(alive), logits.shape[1]
        sums = log_sum_exp(logits)
        likely = logits - sums
        scores = (rules.apply(likely, step) + running.reshape(-1, 1)).reshape(count, -1)
        check_possible(scores.max(axis=1), step)
        values, places = top(scores, 2 * beams)
        parents, tokens = np.divmod(places, vocabulary)
        first = np.arange(count)[:, None] * beams
        own = likely[first + parents, tokens]
        ends = tokens == (-1 if end_id is None else end_id)
        # An ended text leaves its beam to the next best. There are always k that go on: at most k of 2k end.
        going_on = ends.argsort(axis=1, kind="stable")[:, :beams]
        report = likeliest(logits, sums, options.candidates)
        left: list[int] = []
        for slot, number in enumerate(alive):
            steps = parents[slot], tokens[slot], own[slot]
            own_report = report[slot * beams : (slot + 1) * beams]
            if not searches[number].advance(values[slot], steps, ends[slot], going_on[slot], own_report):
                left.append(slot)
        if not left:
            return [one.texts(options.sequences) for one in searches]
        chosen = going_on[left]
        running = np.take_along_axis(values[left], chosen, axis=1)
        origin, tokens = (np.take_along_axis(one[left], chosen, axis=1) for one in (parents, tokens))
        index = (first[left] + origin).ravel()
        rules.keep(index)
        rules.append(tokens.ravel())
        # Beams mostly go back to one a few steps ago: what all hold in common need not be copied from row to row.
        old = written[left]
        common = np.logical_and.accumulate((old == old[:, :1]).all(axis=1), axis=1).sum(axis=1)
        old = np.take_along_axis(old, origin[:, :, None], axis=1)
        written = np.concatenate([old, tokens[:, :, None]], axis=2)
        alive = [alive[slot] for slot in left]
        shared = min(lengths[number] + own for number, own in zip(alive, common.tolist(), strict=True))
        rows.keep(index, shared if len(left) == count else 0)
        logits, step = rows.step(tokens.ravel()), step + 1


def likeliest(logits: Scores, sums: Scores, count: int) -> list[Candidates]:
    """Each row's `count` likeliest tokens with their probabilities (R, count); empty lists where none are wanted."""
    if not count:
        return [[] for _ in logits]
    values, ids = top(logits, min(count, logits.shape[1]))
    probabilities = np.exp(values - sums)
    return [list(zip(*row, strict=True)) for row in zip(ids.tolist(), probabilities.tolist(), strict=True)]
