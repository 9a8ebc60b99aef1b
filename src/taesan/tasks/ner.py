"""Named entities: labelled spans of a text, and for every word a distribution over their labels."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from taesan.data import Field, Report, Row, Span, check_overlap, stratified_split
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
from taesan.tasks.entity_metrics import entity_scores, evaluate_entities
from taesan.tasks.tags import Tagging, decode_tags, tag_names
from taesan.text.endings import count_endings, left_out
from taesan.text.tokenizer import Encoding, Ids, Tokenizer
from taesan.text.windows import windows

_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class EntityPrediction:
    """`entities` are (span, probability) in the text's order; `words` (start, end, probabilities) of every eojeol."""

    text: str
    entities: tuple[tuple[Span, float], ...]
    words: tuple[tuple[int, int, dict[str, float]], ...]

    @property
    def spans(self) -> tuple[Span, ...]:
        return tuple(span for span, _ in self.entities)

    @property
    def decision(self) -> tuple[Span, ...]:
        return self.spans

    def as_dict(self) -> dict[str, Any]:
        entities = [
            {
                "text": self.text[span.start : span.end],
                "label": span.label,
                "start": span.start,
                "end": span.end,
                "probability": probability,
            }
            for span, probability in self.entities
        ]
        words = [
            {"text": self.text[start:end], "start": start, "end": end, "probabilities": chances}
            for start, end, chances in self.words
        ]
        return {"entities": entities, "words": words}

    def details(self) -> dict[str, Any]:
        return {}


class NamedEntities:
    """BIO tags over subwords inside; half-open offsets in code points of the original text outside."""

    name = "ner"
    usage = 'predict DIR "…"'
    head: HeadKind = "token"
    metric = "entity_f1"
    sign = 1
    windowed = True
    slots: tuple[str, ...] = ("text", "label")
    fields = (Field("text", ("sentence", "document")), Field("entities", kind="entities"))

    def example(self, row: Row) -> Example:
        return Example((row.values["text"],), row.values.get("entities"), row.line)

    def labels(self, examples: Iterable[Example]) -> tuple[str, ...]:
        return tuple(sorted({span.label for example in examples for span in _spans(example)}))

    def counts(self, examples: Sequence[Example]) -> dict[str, int]:
        return dict(Counter(span.label for example in examples for span in _spans(example)).most_common())

    def check(self, examples: Sequence[Example], file: str, report: Report) -> None:
        pass  # a file without an entity is refused where it is read

    def check_overlap(
        self, train: Sequence[Example], test: Sequence[Example], train_file: str, test_file: str, report: Report
    ) -> None:
        check_overlap(train, test, train_file, test_file, report)

    def split(self, examples: Sequence[Example], fraction: float, seed: int) -> tuple[list[int], list[int]]:
        return stratified_split(["some" if example.label else "none" for example in examples], fraction, seed)

    def learn(self, examples: Sequence[Example], labels: tuple[str, ...], tokenizer: Tokenizer) -> Learnt:
        encodings = tokenizer.encode([example.texts[0] for example in examples])
        cases = [
            case
            for example, encoding in zip(examples, encodings, strict=True)
            for span in _spans(example)
            for case in _ending(example.texts[0], span.start, span.end, encoding.offsets)
        ]
        return Learnt(labels, {"endings": count_endings(cases)})

    def tune(self, examples: Sequence[Example], predictions: Sequence[Prediction], learnt: Learnt) -> Learnt:
        return learnt

    def outputs(self, learnt: Learnt) -> tuple[str, ...]:
        return tag_names(learnt.labels)

    def encode(
        self, examples: Sequence[Example], tokenizer: Tokenizer, learnt: Learnt, options: EncodeOptions
    ) -> list[Encoded]:
        number = {label: index for index, label in enumerate(learnt.labels)}
        encodings = tokenizer.encode([example.texts[0] for example in examples])
        return [
            self._encode(example, encoding, tokenizer, number, options)
            for example, encoding in zip(examples, encodings, strict=True)
        ]

    def _encode(
        self, example: Example, encoding: Encoding, tokenizer: Tokenizer, number: dict[str, int], options: EncodeOptions
    ) -> Encoded:
        tags = np.full(len(encoding.ids), IGNORED if example.label is None else 0, dtype=np.int64)
        lost = 0
        for span in _spans(example):
            inside = _tokens(span.start, span.end, encoding.offsets)
            if not len(inside) or tags[inside].any():
                lost += 1  # a token of its own is needed: 한미, where both are countries, may be one
                continue
            tags[inside] = 2 + 2 * number[span.label]
            tags[inside[0]] -= 1
        before, after = len(tokenizer.layout.prefix), len(tokenizer.layout.suffix)
        pieces = windows(len(tags), options.max_length - before - after, "windows")
        items = [
            Item(*tokenizer.join(encoding.ids[piece]), np.pad(tags[piece], (before, after), constant_values=IGNORED))
            for piece in pieces
        ]
        starts = (before,) * len(pieces)
        return Encoded(items, len(pieces) > 1, lost, encoding.offsets, tuple(pieces), starts)

    def decode(
        self,
        examples: Sequence[Example],
        encoded: Sequence[Encoded],
        outputs: Sequence[Sequence[Logits]],
        learnt: Learnt,
    ) -> list[Prediction]:
        """A token in several windows takes the mean of its probabilities."""
        chances = [_chances(one, windows_) for one, windows_ in zip(encoded, outputs, strict=True)]
        taggings = decode_tags(chances)
        return [
            _prediction(example.texts[0], one.offsets, tagging, learnt)
            for example, one, tagging in zip(examples, encoded, taggings, strict=True)
        ]

    def constant(self, examples: Sequence[Example]) -> float | None:
        """Never an entity."""
        return 0.0

    def scores(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], learnt: Learnt
    ) -> dict[str, float]:
        return entity_scores([_spans(example) for example in examples], _found(predictions))

    def evaluate(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], learnt: Learnt, *, seed: int
    ) -> Evaluation:
        return evaluate_entities(
            [example.texts[0] for example in examples],
            [_spans(example) for example in examples],
            _found(predictions),
            labels=learnt.labels,
            seed=seed,
        )

    def ask(self, example: Example, words: Mapping[str, str], nothing: str) -> list[Ask]:
        """A question for each label: which parts of the sentence it has, or none."""
        return [Ask({"text": example.texts[0], "label": word}, (nothing,), "text") for word in words.values()]

    def told(self, example: Example, words: Mapping[str, str], nothing: str, between: str) -> list[str]:
        text = example.texts[0]
        spans = {label: [s for s in _spans(example) if s.label == label] for label in words}
        return [between.join(text[s.start : s.end] for s in own) or nothing for own in spans.values()]

    def parse(self, example: Example, found: Sequence[Found], learnt: Learnt) -> EntityPrediction:
        """A part is an entity where it is likelier than none, and not much less likely than the label's best."""
        text = example.texts[0]
        chances = [_part_chances(one) for one in found]
        listed = sorted(
            (float(chance), *map(int, span), label)
            for label, one, (parts, none) in zip(learnt.labels, found, chances, strict=True)
            for span, chance in zip(one.spans, parts, strict=True)
            if chance > none and chance >= _OF_THE_BEST * parts.max()
        )
        entities: list[tuple[Span, float]] = []
        for chance, start, end, label in reversed(listed):
            if all(end <= span.start or span.end <= start for span, _ in entities):
                entities.append((Span(start, end, label), chance))
        words = tuple(_asked_words(text, found, [parts for parts, _ in chances], learnt.labels))
        return EntityPrediction(text, tuple(sorted(entities)), words)


NER = NamedEntities()
_OF_THE_BEST = 0.5


def _part_chances(found: Found) -> tuple[NDArray[np.float64], float]:
    """The probability of every part, and of none: one of them is the answer."""
    scores = np.concatenate([found.span_scores, found.choices])
    chances = np.exp(scores - scores.max())
    chances /= chances.sum()
    return chances[:-1], float(chances[-1])


def _asked_words(
    text: str, found: Sequence[Found], chances: Sequence[NDArray[np.float64]], labels: tuple[str, ...]
) -> Iterator[tuple[int, int, dict[str, float]]]:
    """A word's distribution is that of its first character: of one label alone, or of none."""
    for word in _WORD.finditer(text):
        place = word.start()
        covered = [
            float(parts[(one.spans[:, 0] <= place) & (place < one.spans[:, 1])].sum()) if len(parts) else 0.0
            for one, parts in zip(found, chances, strict=True)
        ]
        own = np.clip(covered, 0.0, 1 - 1e-9)
        odds = np.concatenate([[1.0], own / (1 - own)])  # of each label alone, beside none
        yield place, word.end(), dict(zip(("O", *labels), map(float, odds / odds.sum()), strict=True))


def _spans(example: Example) -> tuple[Span, ...]:
    return cast("tuple[Span, ...]", example.label or ())


def _found(predictions: Sequence[Prediction]) -> list[tuple[Span, ...]]:
    return [cast(EntityPrediction, prediction).spans for prediction in predictions]


def _tokens(start: int, end: int, offsets: Ids) -> NDArray[np.int64]:
    """The tokens that have a character of the span."""
    return np.flatnonzero((offsets[:, 1] > start) & (offsets[:, 0] < end))


def _ending(text: str, start: int, end: int, offsets: Ids) -> Iterator[tuple[str, int]]:
    """The span's last token, from the span's start on, and how many of its characters are outside."""
    inside = _tokens(start, end, offsets)
    if len(inside):
        first, last = offsets[inside[-1]].tolist()
        yield text[max(first, start) : last], max(0, last - end)


def _chances(encoded: Encoded, outputs: Sequence[Logits]) -> NDArray[np.float64]:
    """(T, tags)"""
    tags = outputs[0].shape[-1]
    sums, counts = np.zeros((len(encoded.offsets), tags)), np.zeros((len(encoded.offsets), 1))
    for piece, start, logits in zip(encoded.pieces, encoded.starts, outputs, strict=True):
        own = logits[start : start + len(piece)].astype(np.float64)
        own = np.exp(own - own.max(axis=1, keepdims=True))
        sums[piece] += own / own.sum(axis=1, keepdims=True)
        counts[piece] += 1
    return sums / counts


def _prediction(text: str, offsets: Ids, tagging: Tagging, learnt: Learnt) -> EntityPrediction:
    entities: list[tuple[Span, float]] = []
    for first, last, label, probability in tagging.spans:
        start = int(offsets[first, 0])
        start += len(text[start : int(offsets[first, 1])]) - len(text[start : int(offsets[first, 1])].lstrip())
        if entities:  # tokens of a byte-level vocabulary may share a character
            start = max(start, entities[-1][0].end)
        end = int(offsets[last, 1])
        outside, chance = left_out(text[max(start, int(offsets[last, 0])) : end], learnt.counts["endings"])
        if start < end - outside:
            entities.append((Span(start, end - outside, learnt.labels[label]), probability * chance))
    return EntityPrediction(text, tuple(entities), tuple(_words(text, offsets, tagging.marginals, learnt.labels)))


def _words(
    text: str, offsets: Ids, marginals: NDArray[np.float64], labels: tuple[str, ...]
) -> Iterator[tuple[int, int, dict[str, float]]]:
    """A word's distribution is that of its first character, which is that of the first token that holds it."""
    ends = np.maximum.accumulate(offsets[:, 1]) if len(offsets) else offsets[:, 1]
    for found in _WORD.finditer(text):
        token = int(np.searchsorted(ends, found.start(), side="right"))
        if token == len(ends):  # nothing of it came through the tokenizer's normalisation
            yield found.start(), found.end(), {"O": 1.0} | dict.fromkeys(labels, 0.0)
            continue
        row = marginals[token]
        chances = [float(row[0]), *map(float, row[1::2] + row[2::2])]
        yield found.start(), found.end(), dict(zip(("O", *labels), chances, strict=True))
