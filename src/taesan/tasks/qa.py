"""Extractive question answering: a part of the context answers the question, or nothing in it does."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from taesan.data import Answer, Field, Report, Row, check_context_overlap, check_contexts, check_overlap, grouped_split
from taesan.errors import DataError, Problem, escape
from taesan.tasks.answer_metrics import answer_scores, evaluate_answers
from taesan.tasks.base import (
    IGNORED,
    Ask,
    Encoded,
    EncodeOptions,
    Evaluation,
    Example,
    Found,
    HeadKind,
    Item,
    Learnt,
    Logits,
    Prediction,
)
from taesan.tasks.spans import SpanChoice, choose_spans
from taesan.text.endings import count_endings, left_out
from taesan.text.tokenizer import Encoding, Ids, Tokenizer
from taesan.text.windows import windows

Floats = NDArray[np.float64]
CANDIDATES = 5
LEAST_ROOM_TOKENS = 16  # for the context, beside a question
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class AnswerCandidate:
    text: str
    start: int
    end: int
    probability: float

    def as_dict(self) -> dict[str, Any]:
        return {"text": self.text, "start": self.start, "end": self.end, "probability": self.probability}


@dataclass(frozen=True, slots=True)
class AnswerPrediction:
    """`candidates`, likeliest first. Without `no_answer_probability`, every question was answerable in training.

    `words` are (start, end, chance that the answer starts in it, that it ends in it) of every eojeol of the context.
    """

    id: str
    context: str
    candidates: tuple[AnswerCandidate, ...]
    no_answer_probability: float | None
    threshold: float
    words: tuple[tuple[int, int, float, float], ...]

    @property
    def answered(self) -> AnswerCandidate | None:
        """The answer, or nothing where the chance that there is none is above the threshold."""
        none = self.no_answer_probability
        return None if none is not None and none > self.threshold else next(iter(self.candidates), None)

    @property
    def answer(self) -> str:
        return self.answered.text if self.answered else ""

    @property
    def decision(self) -> tuple[int, int] | None:
        best = self.answered
        return (best.start, best.end) if best else None

    def as_dict(self) -> dict[str, Any]:
        best = self.answered
        found: dict[str, Any] = {"id": self.id} if self.id else {}
        found |= {
            "answer": self.answer,
            "start": best.start if best else None,
            "end": best.end if best else None,
            "probability": best.probability if best else self.no_answer_probability,
            "candidates": [candidate.as_dict() for candidate in self.candidates],
        }
        return (
            found
            if self.no_answer_probability is None
            else found | {"no_answer_probability": self.no_answer_probability}
        )

    def details(self) -> dict[str, Any]:
        words = [
            {"text": self.context[start:end], "start": start, "end": end, "starts": starts, "ends": ends}
            for start, end, starts, ends in self.words
        ]
        return {"words": words}


class QuestionAnswering:
    """A start and an end among the tokens of overlapping windows, decided for all windows together."""

    name = "qa"
    usage = 'predict DIR --question "…" --context "…"'
    head: HeadKind = "span"
    metric = "f1"
    sign = 1
    windowed = True
    slots: tuple[str, ...] = ("question", "context")
    fields = (
        Field("question", ("query",)),
        Field("context", ("paragraph", "passage")),
        Field("answers", ("answer",), kind="answers"),
        Field("id", ("qid", "guid"), kind="id", optional=True),
    )

    def example(self, row: Row) -> Example:
        values = row.values
        return Example((values["question"], values["context"]), values.get("answers"), row.line, values.get("id", ""))

    def labels(self, examples: Iterable[Example]) -> tuple[str, ...]:
        return ()

    def counts(self, examples: Sequence[Example]) -> dict[str, int]:
        answered = sum(bool(example.label) for example in examples)
        return {"answered": answered, "unanswerable": len(examples) - answered}

    def check(self, examples: Sequence[Example], file: str, report: Report) -> None:
        if examples and not any(example.label for example in examples):
            fix = "Name a file with answers: there is nothing to learn from none."
            report.add(Problem("no-answers", file, 0, 0, "answers", "none in any row", "some", fix))
        check_contexts(examples, file, report)

    def check_overlap(
        self, train: Sequence[Example], test: Sequence[Example], train_file: str, test_file: str, report: Report
    ) -> None:
        check_overlap(train, test, train_file, test_file, report)
        check_context_overlap(train, test, train_file, test_file, report)

    def split(self, examples: Sequence[Example], fraction: float, seed: int) -> tuple[list[int], list[int]]:
        """By context: a paragraph whose answers were learnt from would flatter the score."""
        return grouped_split([example.texts[1] for example in examples], fraction, seed)

    def learn(self, examples: Sequence[Example], labels: tuple[str, ...], tokenizer: Tokenizer) -> Learnt:
        """Endings, the longest answer in tokens, and whether there are questions without one."""
        cases: list[tuple[str, int]] = []
        longest = 1
        contexts = list(dict.fromkeys(example.texts[1] for example in examples))
        encodings = dict(zip(contexts, tokenizer.encode(contexts), strict=True))
        for example in examples:
            offsets = encodings[example.texts[1]].offsets
            for answer in _answers(example):
                inside = _tokens(answer, offsets)
                if len(inside):
                    longest = max(longest, int(inside[-1] - inside[0]) + 1)
                    first, last = offsets[inside[-1]].tolist()
                    cases.append((example.texts[1][max(first, answer.start) : last], max(0, last - answer.end)))
        unanswerable = any(example.label == () for example in examples)
        counts = {"endings": count_endings(cases), "answer_tokens": longest, "unanswerable": unanswerable}
        return Learnt(labels, counts | {"threshold": 0.5})

    def tune(self, examples: Sequence[Example], predictions: Sequence[Prediction], learnt: Learnt) -> Learnt:
        """The threshold with the best F1 on the validation rows; of equally good ones, the nearest to a half."""
        if not learnt.counts["unanswerable"] or not examples:
            return learnt
        found = [cast(AnswerPrediction, prediction) for prediction in predictions]
        none = np.array([prediction.no_answer_probability or 0.0 for prediction in found])
        answers = [_texts(example) for example in examples]
        best = [prediction.candidates[0].text if prediction.candidates else "" for prediction in found]
        given = np.array([answer_scores([gold], [text])["f1"] for gold, text in zip(answers, best, strict=True)])
        empty = np.array([float(not gold) for gold in answers])
        thresholds = np.unique(np.concatenate([[0.5], none, [1.0]]))
        totals = [float(np.where(none > threshold, empty, given).sum()) for threshold in thresholds]
        nearest = min(range(len(totals)), key=lambda place: (-totals[place], abs(thresholds[place] - 0.5)))
        return replace(learnt, counts={**learnt.counts, "threshold": float(thresholds[nearest])})

    def outputs(self, learnt: Learnt) -> tuple[str, ...]:
        return ()

    def encode(
        self, examples: Sequence[Example], tokenizer: Tokenizer, learnt: Learnt, options: EncodeOptions
    ) -> list[Encoded]:
        """Raises: DataError for a question that leaves no room for a context."""
        questions = tokenizer.ids([example.texts[0] for example in examples])
        contexts = list(dict.fromkeys(example.texts[1] for example in examples))
        encodings = dict(zip(contexts, tokenizer.encode(contexts), strict=True))
        _refuse_long(examples, questions, tokenizer, options)
        return [
            _encode(example, question, encodings[example.texts[1]], tokenizer, options)
            for example, question in zip(examples, questions, strict=True)
        ]

    def decode(
        self,
        examples: Sequence[Example],
        encoded: Sequence[Encoded],
        outputs: Sequence[Sequence[Logits]],
        learnt: Learnt,
    ) -> list[Prediction]:
        return [
            _decode(example, one, windows_, learnt)
            for example, one, windows_ in zip(examples, encoded, outputs, strict=True)
        ]

    def answered(self, example: Example, text: str) -> Prediction:
        given = (AnswerCandidate(text, 0, len(text), 1.0),) if text.strip() else ()
        return AnswerPrediction(example.id, example.texts[1], given, None, 1.0, ())

    def constant(self, examples: Sequence[Example]) -> float | None:
        """Never an answer."""
        return sum(not example.label for example in examples) / max(1, len(examples))

    def scores(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], learnt: Learnt
    ) -> dict[str, float]:
        return answer_scores([_texts(example) for example in examples], _found(predictions))

    def evaluate(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], learnt: Learnt, *, seed: int
    ) -> Evaluation:
        return evaluate_answers([_texts(example) for example in examples], _found(predictions), seed=seed)

    def ask(self, example: Example, words: Mapping[str, str], nothing: str) -> list[Ask]:
        return [Ask({"question": example.texts[0], "context": example.texts[1]}, (nothing,), "context")]

    def told(self, example: Example, words: Mapping[str, str], nothing: str, between: str) -> list[str]:
        return [next(iter(_texts(example)), nothing)]

    def parse(self, example: Example, found: Sequence[Found], learnt: Learnt) -> AnswerPrediction:
        """Every part of the context has a chance, and no answer where training had such questions."""
        context, (one,) = example.texts[1], found
        unanswerable = learnt.counts["unanswerable"]
        scores = np.concatenate([one.span_scores, one.choices[: int(unanswerable)]])
        if not len(scores):  # a context of control characters alone has no parts
            return AnswerPrediction(example.id, context, (), None, learnt.counts["threshold"], ())
        chances = np.exp(scores - scores.max())
        chances /= chances.sum()
        parts = chances[: len(one.spans)]
        best = np.argsort(-parts, kind="stable")[:CANDIDATES]
        candidates = tuple(
            AnswerCandidate(context[start:end], start, end, float(parts[place]))
            for place, (start, end) in zip(best, one.spans[best].tolist(), strict=True)
        )
        return AnswerPrediction(
            example.id,
            context,
            candidates,
            float(chances[-1]) if unanswerable else None,
            learnt.counts["threshold"],
            tuple(_asked_words(context, one.spans, parts)),
        )


QA = QuestionAnswering()


def _asked_words(context: str, spans: NDArray[np.int64], chances: Floats) -> Iterator[tuple[int, int, float, float]]:
    for word in _WORD.finditer(context):
        begins = (word.start() <= spans[:, 0]) & (spans[:, 0] < word.end())
        closes = (word.start() < spans[:, 1]) & (spans[:, 1] <= word.end())
        yield word.start(), word.end(), float(chances[begins].sum()), float(chances[closes].sum())


def _answers(example: Example) -> tuple[Answer, ...]:
    return cast("tuple[Answer, ...]", example.label or ())


def _texts(example: Example) -> tuple[str, ...]:
    return tuple(answer.text for answer in _answers(example))


def _found(predictions: Sequence[Prediction]) -> list[str]:
    return [cast(AnswerPrediction, prediction).answer for prediction in predictions]


def _tokens(answer: Answer, offsets: Ids) -> NDArray[np.int64]:
    return np.flatnonzero((offsets[:, 1] > answer.start) & (offsets[:, 0] < answer.end))


def _room(question: Ids, tokenizer: Tokenizer, options: EncodeOptions) -> int:
    """Tokens that are left for the context."""
    return options.max_length - tokenizer.layout.pair_tokens - len(question) - (not tokenizer.layout.suffix)


def _refuse_long(
    examples: Sequence[Example], questions: Sequence[Ids], tokenizer: Tokenizer, options: EncodeOptions
) -> None:
    problems: list[Problem] = []
    for example, question in zip(examples, questions, strict=True):
        if _room(question, tokenizer, options) < LEAST_ROOM_TOKENS:
            found = f"{len(question):,} tokens: '{escape(example.texts[0], 40)}'"
            most = len(question) + _room(question, tokenizer, options) - LEAST_ROOM_TOKENS
            fix = "Shorten it, or raise --max-length: a context has to fit beside it."
            problems.append(
                Problem("question-long", "input", example.line, 0, "question", found, f"at most {most}", fix)
            )
    if problems:
        raise DataError(problems)


def _encode(
    example: Example, question: Ids, encoding: Encoding, tokenizer: Tokenizer, options: EncodeOptions
) -> Encoded:
    """Windows of the context, each after the question. What stands for no answer is the place that reads everything.

    That is the first token where there is one and text is read both ways, as in BERT (Devlin et al. 2019, section 4.3);
    a separator at the end where there is none or text is read left to right.
    """
    layout = tokenizer.layout
    closing = np.array([] if layout.suffix else [tokenizer.separator_id or 0], dtype=np.int32)
    nothing = 0 if layout.suffix else -1
    start = len(layout.prefix) + len(question) + len(layout.middle)
    pieces = windows(len(encoding.ids), _room(question, tokenizer, options), "windows")
    tokens = [_tokens(answer, encoding.offsets) for answer in _answers(example)]
    items: list[Item] = []
    held = not tokens
    for piece in pieces:
        ids, types = tokenizer.join(question, encoding.ids[piece])
        ids = np.concatenate([ids, closing])
        types = np.concatenate([types, np.full_like(closing, layout.pair_type)])
        labels = np.full((len(ids), 2), IGNORED, dtype=np.int64)
        if example.label is not None:
            labels[start : start + len(piece)] = 0
            labels[nothing] = 1
            for inside in tokens:
                if len(inside) and len(piece) and piece[0] <= inside[0] and inside[-1] <= piece[-1]:
                    labels[start + inside[0] - piece[0], 0] = labels[start + inside[-1] - piece[0], 1] = 1
                    labels[nothing], held = 0, True
        items.append(Item(ids, types, labels))
    return Encoded(
        items, len(pieces) > 1, int(not held), encoding.offsets, tuple(pieces), (start,) * len(pieces), nothing
    )


def _decode(example: Example, encoded: Encoded, outputs: Sequence[Logits], learnt: Learnt) -> AnswerPrediction:
    """How much likelier each token is as a start and as an end than no answer is: the mean over its windows."""
    context, counts = example.texts[1], learnt.counts
    sums, seen = np.zeros((len(encoded.offsets), 2)), np.zeros((len(encoded.offsets), 1))
    for piece, start, logits in zip(encoded.pieces, encoded.starts, outputs, strict=True):
        odds = logits.astype(np.float64) - logits[encoded.nothing]
        sums[piece] += odds[start : start + len(piece)]
        seen[piece] += 1
    chosen = choose_spans(sums / seen, longest=counts["answer_tokens"], nothing=counts["unanswerable"], best=CANDIDATES)
    return AnswerPrediction(
        example.id,
        context,
        tuple(
            sorted(_candidates(context, encoded.offsets, chosen, counts["endings"]), key=lambda one: -one.probability)
        ),
        chosen.nothing,
        counts["threshold"],
        tuple(_words(context, encoded.offsets, chosen)),
    )


def _candidates(
    context: str, offsets: Ids, chosen: SpanChoice, endings: dict[str, dict[str, int]]
) -> Iterator[AnswerCandidate]:
    seen: set[tuple[int, int]] = set()
    for first, last, probability in chosen.spans:
        start, end = int(offsets[first, 0]), int(offsets[last, 1])
        start += len(context[start:end]) - len(context[start:end].lstrip())  # byte-level tokens begin with a space
        outside, chance = left_out(context[max(start, int(offsets[last, 0])) : end], endings)
        end -= outside
        if start < end and (start, end) not in seen:  # several tokens may share a character
            seen.add((start, end))
            yield AnswerCandidate(context[start:end], start, end, probability * chance)


def _words(context: str, offsets: Ids, chosen: SpanChoice) -> Iterator[tuple[int, int, float, float]]:
    """A token counts for the word that holds its first character that is no space."""
    words = [(found.start(), found.end()) for found in _WORD.finditer(context)]
    ends = np.array([end for _, end in words])
    starts, finishes = np.zeros(len(words)), np.zeros(len(words))
    owner = np.searchsorted(ends, offsets[:, 0], side="right")
    inside = owner < len(words)
    np.add.at(starts, owner[inside], chosen.starts[inside])
    np.add.at(finishes, owner[inside], chosen.ends[inside])
    for (start, end), begins, closes in zip(words, starts, finishes, strict=True):
        yield start, end, float(begins), float(closes)
