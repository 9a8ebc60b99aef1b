"""Metrics of answers to questions on a text, each with a bootstrap interval over questions.

Three official scripts, each with its own normalisation: KorQuAD 1.0 (Lim et al. 2019), SQuAD 2.0 (Rajpurkar et al.
2018) and KLUE-MRC (Park et al. 2021, section 3.7). In all of them a question's score is the best over its true
answers, and a question without answer scores 1 for an empty prediction and 0 for any other.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from taesan.tasks.base import Evaluation, Score
from taesan.tasks.bootstrap import Floats, mean_scores, score_lines

Answers = Sequence[tuple[str, ...]]
_KORQUAD_SIGNS = str.maketrans(dict.fromkeys("'\"《》<>〈〉()‘’", " "))
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def answer_scores(answers: Answers, predicted: Sequence[str]) -> dict[str, float]:
    """`em`, `f1`, `squad_em`, `squad_f1` and `rouge_w`, means over questions in 0..1. No answers: it has none.

    `em`, `f1`: KorQuAD's, F1 over characters without spaces. `squad_em`, `squad_f1`: SQuAD's, F1 over words. `rouge_w`:
    KLUE-MRC's; its EM is `em` but for 《》〈〉‘’, which it leaves in.
    """
    return {name: float(values.sum() / max(1, len(values))) for name, values in _questions(answers, predicted).items()}


def evaluate_answers(answers: Answers, predicted: Sequence[str], *, seed: int) -> Evaluation:
    """The scores of `answer_scores` with intervals; apart for questions with and without answer where both occur.

    `has_answer_em` and `has_answer_f1` are over the questions with an answer, `no_answer_accuracy` over the others,
    each resampled within its own.
    """
    values = _questions(answers, predicted)
    scores = mean_scores(values, seed)
    answered = np.array([any(one) for one in answers], dtype=np.bool_)
    counts = {"has_answer": int(answered.sum()), "no_answer": int((~answered).sum())}
    if all(counts.values()):
        scores |= mean_scores({f"has_answer_{name}": values[name][answered] for name in ("em", "f1")}, seed)
        scores |= mean_scores({"no_answer_accuracy": values["em"][~answered]}, seed)
    tables: dict[str, Any] = {"questions": counts}
    return Evaluation(len(answers), scores, tables, _text(counts, scores))


def question_scores(answers: Answers, predicted: Sequence[str]) -> tuple[Floats, Floats]:
    """`em` and `f1` of every question. Each (N,)"""
    values = _questions(answers, predicted)
    return values["em"], values["f1"]


def korquad_normal(text: str) -> str:
    """`text` as KorQuAD 1.0 compares it: quotes and brackets to spaces, lower case, no ASCII punctuation."""
    return " ".join(text.translate(_KORQUAD_SIGNS).lower().translate(_PUNCTUATION).split())


def squad_normal(text: str) -> str:
    """`text` as SQuAD compares it: lower case, no ASCII punctuation, no English articles."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def klue_normal(text: str) -> str:
    """`text` as KLUE-MRC compares it: lower case, no ASCII punctuation.

    Its script also means to take KorQuAD's quotes and brackets out, with a pattern that asks for several in a row and
    so finds next to nothing; we leave that step out.
    """
    return " ".join(text.lower().translate(_PUNCTUATION).split())


def overlap_f1(true: Sequence[str], own: Sequence[str]) -> float:
    """F1 of two bags of characters or words; 1 where both are empty, as in SQuAD 2.0."""
    if not true or not own:
        return float(len(true) == len(own))
    return 2 * (Counter(true) & Counter(own)).total() / (len(true) + len(own))


def rouge_w(true: str, own: str) -> float:
    """ROUGE-W as KLUE-MRC has it: F1 of the longest part that the two have in common, in characters, spaces included.

    Lin's ROUGE-W (2004, section 4) is another thing: a longest common subsequence that weighs runs by a power. KLUE's
    paper calls its own the "longest common consecutive subsequence"-based F1. Its script looks for that part with
    difflib's heuristic, which for a true answer of 200 characters or more overlooks the commonest ones; we do not.
    """
    if not true or not own:
        return float(true == own)
    if true == own:
        return 1.0
    size = SequenceMatcher(None, own, true, autojunk=False).find_longest_match().size
    return 2 * size / (len(true) + len(own))


def _questions(answers: Answers, predicted: Sequence[str]) -> dict[str, Floats]:
    """Every score of every question. Each (N,)"""
    pairs = list(zip(answers, predicted, strict=True))
    return {
        "em": _best(pairs, korquad_normal, _equal),
        "f1": _best(pairs, korquad_normal, lambda true, own: overlap_f1(true.replace(" ", ""), own.replace(" ", ""))),
        "squad_em": _best(pairs, squad_normal, _equal),
        "squad_f1": _best(pairs, squad_normal, lambda true, own: overlap_f1(true.split(), own.split())),
        "rouge_w": _best(pairs, klue_normal, rouge_w),
    }


def _best(
    pairs: list[tuple[tuple[str, ...], str]], normal: Callable[[str], str], score: Callable[[str, str], float]
) -> Floats:
    """The best score over the true answers, or against nothing where there is none. (N,)"""
    best = np.zeros(len(pairs))
    for row, (answers, predicted) in enumerate(pairs):
        own = normal(predicted)
        best[row] = max(score(true, own) for true in _normal_answers(answers, normal))
    return best


def _normal_answers(answers: tuple[str, ...], normal: Callable[[str], str]) -> list[str]:
    """Answers of signs alone are nothing once normalised: SQuAD 2.0 drops them where there are others."""
    return [true for true in dict.fromkeys(map(normal, answers)) if true] or [""]


def _equal(true: str, own: str) -> float:
    return float(true == own)


def _text(counts: dict[str, int], scores: dict[str, Score]) -> str:
    total = sum(counts.values())
    lines = [f"{total:,} questions, {counts['no_answer']:,} of them without an answer"]
    lines += ["95% intervals by bootstrap over questions", "", *score_lines(scores)]
    return "\n".join(lines)
