"""Text generation: how a text goes on, or what answers a prompt. A causal language model learns it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from taesan.data import Field, Report, Row, check_overlap, stratified_split
from taesan.errors import DataError, Problem
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
    Score,
)
from taesan.tasks.bootstrap import Floats, interval_score, resampled_sums, score_lines
from taesan.tasks.text_metrics import evaluate_texts
from taesan.text.tokenizer import Ids, Tokenizer
from taesan.text.windows import windows

_LARGEST_EXPONENT = 50.0


@dataclass(frozen=True, slots=True)
class TextPrediction:
    """A generated text, and how likely the model finds the reference, where there is one.

    `text` is nothing where none was asked for. `log_probability` (nats) of the reference's `tokens`, its end included,
    which are `text_bytes` in UTF-8.
    """

    prompt: str
    text: str | None = None
    text_log_probability: float | None = None
    log_probability: float = 0.0
    tokens: int = 0
    text_bytes: int = 0

    @property
    def decision(self) -> str | None:
        return self.text

    def as_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {"text": self.text, "log_probability": self.text_log_probability}
        if self.tokens:
            found["reference"] = {"log_probability": self.log_probability, "tokens": self.tokens}
        return found

    def details(self) -> dict[str, Any]:
        return {}


class Generation:
    """`texts` of an example are the prompt, which may be empty, and the completion where it is known."""

    name = "generation"
    usage = 'generate DIR "…"'
    head: HeadKind = "language_model"
    metric = "perplexity"
    sign = -1
    windowed = True
    slots: tuple[str, ...] = ("prompt",)
    fields = (Field("prompt", optional=True), Field("completion", ("text",), kind="target"))

    def example(self, row: Row) -> Example:
        texts = (row.values.get("prompt", ""), row.values.get("completion"))
        return Example(tuple(text for text in texts if text is not None), line=row.line)

    def labels(self, examples: Iterable[Example]) -> tuple[str, ...]:
        return ()

    def counts(self, examples: Sequence[Example]) -> dict[str, int]:
        return {}

    def check(self, examples: Sequence[Example], file: str, report: Report) -> None:
        pass

    def check_overlap(
        self, train: Sequence[Example], test: Sequence[Example], train_file: str, test_file: str, report: Report
    ) -> None:
        check_overlap(train, test, train_file, test_file, report)

    def split(self, examples: Sequence[Example], fraction: float, seed: int) -> tuple[list[int], list[int]]:
        return stratified_split([""] * len(examples), fraction, seed)

    def learn(self, examples: Sequence[Example], labels: tuple[str, ...], tokenizer: Tokenizer) -> Learnt:
        """Whether completions answer prompts, which a separator then parts, or texts go on from their own beginning."""
        return Learnt(labels, {"prompted": any(example.texts[0] for example in examples)})

    def tune(self, examples: Sequence[Example], predictions: Sequence[Prediction], learnt: Learnt) -> Learnt:
        return learnt

    def outputs(self, learnt: Learnt) -> tuple[str, ...]:
        return ()

    def encode(
        self, examples: Sequence[Example], tokenizer: Tokenizer, learnt: Learnt, options: EncodeOptions
    ) -> list[Encoded]:
        """Every token of a completion, and the separator that ends it, is guessed once, from what stands before it.

        What is longer than the model is read in windows that overlap by half, in which only what is new is guessed.
        Raises: DataError for a prompt that leaves no room for an answer.
        """
        prompts = tokenizer.ids([example.texts[0] for example in examples])
        completions = iter(tokenizer.ids([example.texts[-1] for example in examples if len(example.texts) > 1]))
        layout = tokenizer.layout
        encoded: list[Encoded] = []
        problems: list[Problem] = []
        for example, prompt in zip(examples, prompts, strict=True):
            middle = layout.middle if learnt.counts["prompted"] else ()
            before = np.concatenate([layout.prefix, prompt, middle]).astype(np.int32)
            items: list[Item] = []
            if len(example.texts) > 1:
                closing = () if tokenizer.separator_id is None else (tokenizer.separator_id,)
                whole = np.concatenate([before, next(completions), closing]).astype(np.int32)
                items = _items(whole, len(before), options.max_length)
            # From its empty beginning, every text would go on in the same way.
            asked = learnt.counts["prompted"] or len(example.texts) == 1
            if asked and len(before) >= options.max_length:
                found, most = f"{len(before):,} tokens", options.max_length - 1
                fix = "Shorten it: nothing is cut in silence."
                place = ("prompt-long", "input", example.line, 0, "prompt")
                problems.append(Problem(*place, found, f"at most {most:,}, so that an answer has room", fix))
            encoded.append(Encoded(items, len(items) > 1, prompt=before if asked else None))
        if problems:
            raise DataError(problems)
        return encoded

    def decode(
        self,
        examples: Sequence[Example],
        encoded: Sequence[Encoded],
        outputs: Sequence[Sequence[Logits]],
        learnt: Learnt,
    ) -> list[Prediction]:
        """`outputs` are the summed log-probabilities of the labels of each item."""
        predictions: list[Prediction] = []
        for example, one, sums in zip(examples, encoded, outputs, strict=True):
            completion = example.texts[-1] if len(example.texts) > 1 else ""
            text, log_probability = one.continuation or (None, None)
            predictions.append(
                TextPrediction(
                    example.texts[0] if example.texts else "",
                    text,
                    log_probability,
                    log_probability=float(sum(map(float, sums))),
                    tokens=sum(int((item.labels != IGNORED).sum()) for item in one.items),
                    text_bytes=len(completion.encode(errors="surrogatepass")),
                )
            )
        return predictions

    def constant(self, examples: Sequence[Example]) -> float | None:
        return None

    def scores(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], learnt: Learnt
    ) -> dict[str, float]:
        sums = _sums(predictions).sum(axis=0)
        return {"perplexity": float(_perplexity(sums)), "bits_per_byte": float(_bits_per_byte(sums))}

    def evaluate(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], learnt: Learnt, *, seed: int
    ) -> Evaluation:
        """Of the references, how likely they are; of the generated texts, if there are any, how near they come."""
        sums = _sums(predictions)
        total, resampled = sums.sum(axis=0), resampled_sums(sums, seed)
        scores: dict[str, Score] = {
            "perplexity": interval_score(_perplexity(total), _perplexity(resampled)),
            "bits_per_byte": interval_score(_bits_per_byte(total), _bits_per_byte(resampled)),
        }
        texts = [cast(TextPrediction, prediction).text for prediction in predictions]
        if learnt.counts["prompted"] and None not in texts:
            references = [example.texts[-1] for example in examples]
            scores |= evaluate_texts(references, cast("list[str]", texts), seed=seed)
        heading = f"{len(examples):,} rows; 95% intervals by bootstrap over rows"
        return Evaluation(len(examples), scores, {}, "\n".join([heading, "", *score_lines(scores)]))

    def ask(self, example: Example, words: Mapping[str, str], nothing: str) -> list[Ask]:
        return [Ask({"prompt": example.texts[0]}, example.texts[1:])]

    def told(self, example: Example, words: Mapping[str, str], nothing: str, between: str) -> list[str]:
        return [example.texts[-1]]

    def parse(self, example: Example, found: Sequence[Found], learnt: Learnt) -> TextPrediction:
        (one,) = found
        completion = example.texts[-1] if len(example.texts) > 1 else ""
        return TextPrediction(
            example.texts[0] if example.texts else "",
            one.text,
            one.text_log_probability,
            log_probability=float(one.choices.sum()),
            tokens=int(one.tokens.sum()),
            text_bytes=len(completion.encode(errors="surrogatepass")),
        )


GENERATION = Generation()


def _items(whole: Ids, given: int, max_length: int) -> list[Item]:
    """Windows of `whole` in which all that comes after its first `given` tokens is guessed once."""
    items: list[Item] = []
    done = max(1, given)  # nothing is before the first token to guess it from
    for piece in windows(len(whole) - 1, max_length, "windows"):
        inputs, following = whole[piece], whole[piece + 1].astype(np.int64)
        labels = np.where(piece + 1 >= done, following, IGNORED)
        if (labels != IGNORED).any():
            items.append(Item(inputs, np.zeros_like(inputs), labels))
        done = max(done, int(piece[-1]) + 2)
    return items


def _sums(predictions: Sequence[Prediction]) -> Floats:
    """Log-probability, tokens and bytes of each. (N, 3)"""
    rows = [cast(TextPrediction, prediction) for prediction in predictions]
    return np.array([(row.log_probability, row.tokens, row.text_bytes) for row in rows], dtype=np.float64).reshape(
        -1, 3
    )


def _perplexity(sums: Floats) -> Floats:
    return np.exp(np.minimum(-sums[..., 0] / np.maximum(sums[..., 1], 1), _LARGEST_EXPONENT))


def _bits_per_byte(sums: Floats) -> Floats:
    return -sums[..., 0] / math.log(2) / np.maximum(sums[..., 2], 1)
