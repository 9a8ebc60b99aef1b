"""The samples that ship: so many, balanced, readable without a warning, and no two of them alike."""

import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import taesan
from taesan.data import Report, check_duplicates, check_overlap
from taesan.tasks import TASKS
from taesan.tasks.base import Example
from taesan.verbs.reading import Source, read_examples

SAMPLES = Path(taesan.__file__).parent / "data" / "samples"
SHIPPED = {
    "classification": "reviews",
    "pair": "pairs",
    "ner": "entities",
    "qa": "questions",
    "generation": "prompts",
}
LABELS = {
    "classification": ("긍정", "부정"),
    "pair": ("contradiction", "entailment", "neutral"),
    "ner": ("기관", "날짜", "수량", "시간", "인물", "장소"),
    "qa": (),
    "generation": (),
}
COUNTS = {
    "classification": (400, 150),
    "pair": (400, 150),
    "ner": (300, 150),
    "qa": (200, 75),
    "generation": (300, 150),
}


def read(task: str, part: str) -> list[Example]:
    report = Report()
    path = SAMPLES / f"{SHIPPED[task]}{part}{'.json' if task == 'qa' else '.jsonl'}"
    examples = list(read_examples(path, TASKS[task], Source(), report))
    TASKS[task].check(examples, str(path), report)
    check_duplicates(examples, str(path), report)
    assert not report.error_count, report
    assert not [warning for warning in report.warnings if warning.code != "text-jamo"], (
        report
    )  # ㅋㅋ and ㅠㅠ are meant
    return examples


@pytest.mark.parametrize("task", SHIPPED)
def test_counts_and_form(task) -> None:
    train, held_out = read(task, ""), read(task, "_held_out")
    assert (len(train), len(held_out)) == COUNTS[task]
    for examples in (train, held_out):
        assert TASKS[task].labels(examples) == LABELS[task]
        for example in examples:
            for text in example.texts:
                assert text == text.strip()
                assert unicodedata.is_normalized("NFC", text)
                assert 4 <= len(text) <= (1000 if task == "qa" else 300)
    report = Report()
    check_overlap(train, held_out, "train", "held out", report)
    assert not report.warnings


@pytest.mark.parametrize("task", ["classification", "pair"])
def test_classes_are_balanced(task) -> None:
    for part in ("", "_held_out"):
        counts = Counter(example.label for example in read(task, part))
        assert max(counts.values()) - min(counts.values()) <= 1


def test_entities_and_answers_are_varied() -> None:
    """Enough of each type, many that end inside an eojeol, and about a quarter of the questions without an answer."""
    for part, least in (("", 80), ("_held_out", 40)):
        sentences, questions = read("ner", part), read("qa", part)
        counts = Counter(span.label for one in sentences for span in one.label)
        assert min(counts.values()) >= least
        assert 0.05 < np.mean([not one.label for one in sentences]) < 0.2
        inside = [one.texts[0][span.end : span.end + 1].isalnum() for one in sentences for span in one.label]
        assert np.mean(inside) > 0.4
        assert 0.2 < np.mean([not one.label for one in questions]) < 0.3
        assert len({one.texts[1] for one in questions}) == len(questions) / 5


def trigrams(text: str) -> set[str]:
    plain = " ".join(unicodedata.normalize("NFC", text).split())
    return {plain[start : start + 3] for start in range(len(plain) - 2)}


def alike(texts: list[str]) -> list[tuple[float, str, str]]:
    """Pairs that share over half of the trigrams of the shorter one."""
    sets = [trigrams(text) for text in texts]
    number = {gram: index for index, gram in enumerate(sorted(set[str]().union(*sets)))}
    matrix = np.zeros((len(texts), len(number)), dtype=np.float32)
    for row, grams in enumerate(sets):
        matrix[row, [number[gram] for gram in grams]] = 1
    sizes = matrix.sum(axis=1)
    share = matrix @ matrix.T / np.maximum(np.minimum.outer(sizes, sizes), 1)
    return [(float(share[i, j]), texts[i], texts[j]) for i, j in np.argwhere(np.triu(share, 1) > 0.5)]


def test_alike_finds_what_is_alike() -> None:
    texts = ["이 영화는 정말 재미있다", "이 영화는 정말 재미없다", "날씨가 맑아 강가를 걸었다"]
    assert [pair[1:] for pair in alike(texts)] == [(texts[0], texts[1])]
    shared = len(trigrams(texts[0]) & trigrams(texts[1])) / len(trigrams(texts[0]))
    assert alike(texts)[0][0] == pytest.approx(shared)


@pytest.mark.parametrize("task", SHIPPED)
def test_no_two_texts_share_over_half_of_their_trigrams(task) -> None:
    """Over training and held-out rows; within a pair they may be close, which makes some of the hard ones."""
    examples = read(task, "") + read(task, "_held_out")
    if task != "pair":
        for column in range(len(examples[0].texts)):
            assert not alike(list(dict.fromkeys(example.texts[column] for example in examples)))
        return
    owner = {text: row for row, example in enumerate(examples) for text in example.texts}
    assert len(owner) == 2 * len(examples)
    found = alike(list(owner))
    assert not [pair for pair in found if owner[pair[1]] != owner[pair[2]]]


def test_they_say_who_may_use_them() -> None:
    assert "CC0" in (SAMPLES / "README.md").read_text("utf-8")
