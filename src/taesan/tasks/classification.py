"""One label a row, from one text (`classification`) or two (`pair`)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from taesan.data import Field, Report, Row, check_classes, check_overlap, stratified_split
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
from taesan.tasks.class_metrics import class_scores, evaluate_classes
from taesan.text.tokenizer import Ids, Tokenizer
from taesan.text.windows import windows

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class ClassPrediction:
    """The likeliest label, and every label's probability; they sum to 1."""

    label: str
    probabilities: dict[str, float]

    @property
    def decision(self) -> str:
        return self.label

    def as_dict(self) -> dict[str, Any]:
        return {"label": self.label, "probabilities": self.probabilities}

    def details(self) -> dict[str, Any]:
        return {}


class Classification:
    """Classes over one or two texts, whose fields come first in `fields`, the label last."""

    head: HeadKind = "sequence"
    metric = "accuracy"
    sign = 1
    windowed = False

    def __init__(self, name: str, usage: str, fields: tuple[Field, ...]):
        self.name, self.usage, self.fields = name, usage, fields
        self.slots = tuple(field.name for field in fields if field.kind == "text")

    def example(self, row: Row) -> Example:
        values = row.values
        return Example(tuple(values[name] for name in self.slots), values.get("label"), row.line)

    def labels(self, examples: Iterable[Example]) -> tuple[str, ...]:
        """Sorted, whole numbers by value, so that the order does not hang on the order of the rows."""
        found = {cast(str, example.label) for example in examples if example.label is not None}
        return tuple(sorted(found, key=lambda label: (0, int(label), label) if label.isdecimal() else (1, 0, label)))

    def counts(self, examples: Sequence[Example]) -> dict[str, int]:
        return dict(Counter(cast(str, example.label) for example in examples).most_common())

    def check(self, examples: Sequence[Example], file: str, report: Report) -> None:
        check_classes(examples, file, report)

    def check_overlap(
        self, train: Sequence[Example], test: Sequence[Example], train_file: str, test_file: str, report: Report
    ) -> None:
        check_overlap(train, test, train_file, test_file, report)

    def split(self, examples: Sequence[Example], fraction: float, seed: int) -> tuple[list[int], list[int]]:
        return stratified_split([cast(str, example.label) for example in examples], fraction, seed)

    def learn(self, examples: Sequence[Example], labels: tuple[str, ...], tokenizer: Tokenizer) -> Learnt:
        return Learnt(labels)

    def tune(self, examples: Sequence[Example], predictions: Sequence[Prediction], learnt: Learnt) -> Learnt:
        return learnt

    def outputs(self, learnt: Learnt) -> tuple[str, ...]:
        return learnt.labels

    def encode(
        self, examples: Sequence[Example], tokenizer: Tokenizer, learnt: Learnt, options: EncodeOptions
    ) -> list[Encoded]:
        columns = [tokenizer.ids([example.texts[i] for example in examples]) for i in range(len(self.slots))]
        number = {label: index for index, label in enumerate(learnt.labels)}
        encoded: list[Encoded] = []
        for example, *texts in zip(examples, *columns, strict=True):
            target = np.array(number.get(example.label, IGNORED), dtype=np.int64)
            pieces = _fit(texts, tokenizer, options)
            items = [Item(*tokenizer.join(*piece), target) for piece in pieces]
            whole = len(pieces) == 1 and sum(map(len, pieces[0])) == sum(map(len, texts))
            encoded.append(Encoded(items, cut=not whole))
        return encoded

    def decode(
        self,
        examples: Sequence[Example],
        encoded: Sequence[Encoded],
        outputs: Sequence[Sequence[Logits]],
        learnt: Learnt,
    ) -> list[Prediction]:
        """The mean of the windows' probabilities."""
        del examples, encoded
        means = [np.mean([_softmax(logits) for logits in windows], axis=0) for windows in outputs]
        return [_prediction(mean, learnt.labels) for mean in means]

    def constant(self, examples: Sequence[Example]) -> float | None:
        """Always the commonest label."""
        counts = Counter(example.label for example in examples)
        return max(counts.values()) / len(examples) if examples else None

    def scores(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], learnt: Learnt
    ) -> dict[str, float]:
        return class_scores(*_outcomes(examples, predictions, learnt.labels))

    def evaluate(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], learnt: Learnt, *, seed: int
    ) -> Evaluation:
        return evaluate_classes(*_outcomes(examples, predictions, learnt.labels), labels=learnt.labels, seed=seed)

    def ask(self, example: Example, words: Mapping[str, str], nothing: str) -> list[Ask]:
        return [Ask(dict(zip(self.slots, example.texts, strict=True)), tuple(words.values()))]

    def told(self, example: Example, words: Mapping[str, str], nothing: str, between: str) -> list[str]:
        return [words[cast(str, example.label)]]

    def parse(self, example: Example, found: Sequence[Found], learnt: Learnt) -> ClassPrediction:
        return _prediction(_softmax(found[0].choices), learnt.labels)


CLASSIFICATION = Classification(
    "classification",
    'predict DIR "…"',
    (
        Field("text", ("document", "title", "sentence", "review", "content")),
        Field("label", ("labels", "class", "category", "target"), kind="label"),
    ),
)


def _fit(texts: list[Ids], tokenizer: Tokenizer, options: EncodeOptions) -> list[list[Ids]]:
    """The texts as they fit the model: one piece, or several windows over the longest text."""
    control = tokenizer.layout.single_tokens if len(texts) == 1 else tokenizer.layout.pair_tokens
    room = options.max_length - control
    if sum(map(len, texts)) <= room:
        return [texts]
    longest = max(range(len(texts)), key=lambda index: len(texts[index]))
    if options.long_text == "windows":
        # The others keep at most half of the room, so that there is something to slide over.
        others = room // 2 // max(1, len(texts) - 1)
        kept = [ids if i == longest else ids[windows(len(ids), others, "head")[0]] for i, ids in enumerate(texts)]
        left = room - sum(len(ids) for i, ids in enumerate(kept) if i != longest)
        return [
            [ids[window] if i == longest else ids for i, ids in enumerate(kept)]
            for window in windows(len(texts[longest]), left, "windows")
        ]
    sizes = [len(ids) for ids in texts]
    while sum(sizes) > room:  # take from the longest until they are level, then from each in turn
        index = max(range(len(sizes)), key=lambda i: sizes[i])
        rest = sorted(sizes)[-2] if len(sizes) > 1 else 0
        sizes[index] -= min(sum(sizes) - room, max(1, sizes[index] - rest))
    return [[ids[windows(len(ids), size, options.long_text)[0]] for ids, size in zip(texts, sizes, strict=True)]]


def _outcomes(
    examples: Sequence[Example], predictions: Sequence[Prediction], labels: tuple[str, ...]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    number = {label: index for index, label in enumerate(labels)}
    truth = np.array([number[cast(str, example.label)] for example in examples], dtype=np.int64)
    rows = [list(cast(ClassPrediction, prediction).probabilities.values()) for prediction in predictions]
    return truth, np.array(rows, dtype=np.float64).reshape(-1, len(labels))


def _prediction(probabilities: Floats, labels: tuple[str, ...]) -> ClassPrediction:
    values = {label: float(value) for label, value in zip(labels, probabilities, strict=True)}
    return ClassPrediction(labels[int(np.argmax(probabilities))], values)


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits.astype(np.float64) - logits.max())
    return shifted / shifted.sum()
