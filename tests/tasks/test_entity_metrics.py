"""Entity metrics against seqeval, nervaluate and scikit-learn; kinds of error by hand; josa in their forms."""

import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervaluate import Evaluator
from seqeval.metrics import classification_report, f1_score
from seqeval.scheme import IOB2
from sklearn import metrics

from taesan.data.schema import Span
from taesan.tasks import bootstrap
from taesan.tasks.entity_metrics import ERRORS, entity_scores, evaluate_entities
from taesan.text.korean import JOSA, ends_in_josa, is_josa

LABELS = ("PS", "LC", "OG")
CHARACTERS = "가나다 라마바사은는이 에서도"
Sentences = list[tuple[str, tuple[Span, ...], tuple[Span, ...]]]


def draw_spans(chance: np.random.Generator, text: str, like: Sequence[Span] = ()) -> tuple[Span, ...]:
    """Spans apart from one another; some of `like`, some of them a little off."""
    spans, place = [], 0
    for span in sorted(like):
        start, end = span.start + chance.integers(-1, 2) * chance.integers(2), span.end + chance.integers(2)
        label = str(chance.choice(LABELS)) if chance.random() < 0.1 else span.label
        if chance.random() < 0.8 and place <= start < end <= len(text):
            spans.append(Span(int(start), int(end), label))
            place = int(end)
    while not like and place < len(text):
        start = place + int(chance.integers(0, 6))
        end = start + int(chance.integers(1, 4))
        if end > len(text):
            break
        spans.append(Span(start, end, str(chance.choice(LABELS, p=(0.6, 0.3, 0.1)))))
        place = end
    return tuple(spans)


def simulate(sentences: int, seed: int, length: int = 30) -> Sentences:
    chance = np.random.default_rng(seed)
    drawn = []
    for _ in range(sentences):
        text = "".join(chance.choice(list(CHARACTERS), int(chance.integers(1, length))))
        truth = draw_spans(chance, text)
        drawn.append((text, truth, draw_spans(chance, text, truth) if truth else ()))
    return drawn


def tags(text: str, spans: Sequence[Span]) -> list[str]:
    """BIO, a character a tag."""
    out = ["O"] * len(text)
    for span in spans:
        out[span.start : span.end] = [f"B-{span.label}"] + [f"I-{span.label}"] * (span.end - span.start - 1)
    return out


def untouched(spans: list[tuple[Span, ...]], others: list[tuple[Span, ...]]) -> int:
    """How many spans share no character with any of the others."""
    places = [{place for span in side for place in range(span.start, span.end)} for side in others]
    return sum(
        taken.isdisjoint(range(one.start, one.end)) for side, taken in zip(spans, places, strict=True) for one in side
    )


def columns(sentences: Sentences) -> tuple[list[str], list[tuple[Span, ...]], list[tuple[Span, ...]]]:
    texts, truth, found = zip(*sentences, strict=True)
    return list(texts), list(truth), list(found)


@st.composite
def corpora(draw: st.DrawFn) -> Sentences:
    return simulate(draw(st.integers(1, 8)), draw(st.integers(0, 2**32)), draw(st.integers(2, 30)))


@given(corpora())
@settings(max_examples=60)
def test_entity_scores_are_those_of_seqeval(sentences: Sentences) -> None:
    texts, truth, found = columns(sentences)
    sides = [[tags(*pair) for pair in zip(texts, side, strict=True)] for side in (truth, found)]
    scores = entity_scores(truth, found)
    strict = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
    if any(truth):
        assert scores["entity_f1"] == pytest.approx(f1_score(*sides, average="micro", **strict), abs=1e-12)
        assert scores["entity_macro_f1"] == pytest.approx(f1_score(*sides, average="macro", **strict), abs=1e-12)
    else:
        assert set(scores.values()) == {0.0}


@given(corpora())
@settings(max_examples=60)
def test_character_f1_is_scikit_learns_over_the_tags_that_occur(sentences: Sentences) -> None:
    texts, truth, found = columns(sentences)
    true, own = ([tag for pair in zip(texts, side, strict=True) for tag in tags(*pair)] for side in (truth, found))
    occurring = sorted((set(true) | set(own)) - {"O"})
    expected = metrics.f1_score(true, own, labels=occurring, average="macro", zero_division=0) if occurring else 0
    assert entity_scores(truth, found)["character_f1"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("labels", [LABELS, (*LABELS, "DT")])
def test_klues_character_f1_is_what_its_code_computes(labels: tuple[str, ...]) -> None:
    """`klue_ner_char_macro_f1`: spaces skipped, macro over all tags and O, 1 for a tag that never occurs."""
    texts, truth, found = columns(simulate(40, 3))
    true, own = (
        [
            tag
            for text, spans in zip(texts, side, strict=True)
            for tag, character in zip(tags(text, spans), text, strict=True)
            if character != " "
        ]
        for side in (truth, found)
    )
    names = [*(f"{mark}-{label}" for label in labels for mark in "BI"), "O"]
    expected = metrics.f1_score(true, own, labels=names, average="macro", zero_division=1.0)
    score = evaluate_entities(texts, truth, found, labels=labels, seed=0).scores["klue_character_f1"]
    assert score.value == pytest.approx(expected, abs=1e-12)


def test_everything_against_seqeval_and_nervaluate() -> None:
    texts, truth, found = columns(simulate(300, 1))
    evaluation = evaluate_entities(texts, truth, found, labels=LABELS, seed=1)
    sides = [[tags(*pair) for pair in zip(texts, side, strict=True)] for side in (truth, found)]
    report = classification_report(*sides, mode="strict", scheme=IOB2, output_dict=True, zero_division=0)
    documents = [
        [[{"label": one.label, "start": one.start, "end": one.end - 1} for one in spans] for spans in side]
        for side in (truth, found)
    ]
    judged = Evaluator(*documents, tags=list(LABELS), loader="dict").evaluate()
    strict = judged["overall"]["strict"]
    assert evaluation.scores["entity_f1"].value == pytest.approx(strict.f1, abs=1e-12)
    for label in LABELS:
        row = evaluation.tables["per_type"][label]
        for name, column in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert row[name]["value"] == pytest.approx(report[label][column], abs=1e-12)
            assert 0 <= row[name]["low"] <= row[name]["value"] <= row[name]["high"] <= 1
        assert row["f1"]["value"] == pytest.approx(judged["entities"][label]["strict"].f1, abs=1e-12)
        assert row["count"] == report[label]["support"]
    errors = evaluation.tables["errors"]
    # nervaluate pairs one with one, so that of two on the same entity it calls one missed or spurious.
    assert errors["spurious"] == untouched(found, truth) <= strict.spurious
    assert errors["missed"] == untouched(truth, found) <= strict.missed
    assert strict.correct + sum(errors.values()) - errors["missed"] == sum(map(len, found))
    values = {name: score.value for name, score in evaluation.scores.items()}
    assert entity_scores(truth, found) == {name: value for name, value in values.items() if "klue" not in name}
    for score in evaluation.scores.values():
        assert 0 <= score.low < score.value < score.high <= 1
    assert all(part in evaluation.text for part in (*LABELS, *ERRORS.values(), *evaluation.scores))
    assert evaluation == evaluate_entities(texts, truth, found, labels=LABELS, seed=1)
    assert evaluation.rows == 300


@pytest.mark.parametrize(
    ("found", "kinds"),
    [
        ([Span(4, 6, "LC")], []),
        ([Span(4, 8, "LC")], ["josa_included"]),
        ([Span(4, 7, "LC")], ["josa_included"]),
        ([Span(4, 5, "LC")], ["other_boundary"]),
        ([Span(0, 8, "LC")], ["other_boundary"]),
        ([Span(4, 6, "PS")], ["wrong_type"]),
        ([Span(4, 7, "PS")], ["wrong_type"]),
        ([Span(9, 11, "LC")], ["spurious", "missed"]),
        ([Span(4, 6, "LC"), Span(9, 11, "PS")], ["spurious"]),
        ([], ["missed"]),
    ],
)
def test_errors_have_a_kind(found: list[Span], kinds: list[str]) -> None:
    text, truth = "지난해 서울에서 만난 사람", (Span(4, 6, "LC"),)
    evaluation = evaluate_entities([text], [truth], [tuple(found)], labels=("LC", "PS"), seed=0)
    assert evaluation.tables["errors"] == dict.fromkeys(ERRORS, 0) | dict.fromkeys(kinds, 1)


def test_an_end_that_only_looks_like_a_josa() -> None:
    text, truth = "김가은은 배우다", (Span(0, 3, "PS"),)
    for found, kind in ((Span(0, 2, "PS"), "other_boundary"), (Span(0, 4, "PS"), "josa_included")):
        evaluation = evaluate_entities([text], [truth], [(found,)], labels=("PS",), seed=0)
        assert evaluation.tables["errors"][kind] == 1
    # 김은, the name, may as well be 김 and its 은.
    evaluation = evaluate_entities(["김은 왔다"], [(Span(0, 2, "PS"),)], [(Span(0, 1, "PS"),)], labels=("PS",), seed=0)
    assert evaluation.tables["errors"]["josa_cut"] == 1


@pytest.mark.parametrize(
    ("text", "start", "is_one"),
    [
        ("서울은", 2, True), ("서울는", 2, False), ("부산는", 2, False), ("제주는", 2, True), ("제주은", 2, False),
        ("서울로", 2, True), ("서울으로", 2, False), ("부산으로", 2, True), ("부산로", 2, False), ("제주로", 2, True),
        ("부산에서는", 2, True), ("부산에서", 2, True), ("학생이라는", 2, True), ("의사라는", 2, True),
        ("의사이라는", 2, False), ("2024는", 4, True), ("2024은", 4, True), ("KBS와", 3, True), ("서울시", 2, False),
        ("서울", 2, False), ("은", 0, True),
    ],
)  # fmt: skip
def test_josa_take_the_form_that_the_syllable_before_calls_for(text: str, start: int, is_one: bool) -> None:
    assert ends_in_josa(text, start) is is_one
    assert is_josa(text[start:]) is (text[start:] in JOSA)


def test_josa_are_listed_once() -> None:
    assert len(set(JOSA)) == len(JOSA)
    assert all(is_josa(josa) for josa in JOSA)
    assert not is_josa("")


def test_a_type_that_labels_lack_and_sentences_without_entities() -> None:
    evaluation = evaluate_entities(
        ["가나", "다"], [(Span(0, 1, "새"),), ()], [(Span(0, 1, "새"),), ()], labels=("PS",), seed=0
    )
    assert evaluation.tables["labels"] == ["PS", "새"]
    assert evaluation.scores["entity_macro_f1"].value == 1.0
    empty = evaluate_entities(["가나"], [()], [()], labels=(), seed=0)
    assert empty.scores["entity_f1"].value == 0.0
    assert empty.scores["klue_character_f1"].value == 1.0  # all of it O
    assert evaluate_entities([], [], [], labels=LABELS, seed=0).rows == 0
    with pytest.raises(ValueError, match="zip"):
        entity_scores([()], [])


def test_intervals_hold_the_truth_about_as_often_as_they_say(monkeypatch) -> None:
    monkeypatch.setattr(bootstrap, "RESAMPLES", 400)
    true = entity_scores(*columns(simulate(4_000, seed=999))[1:])
    held = dict.fromkeys(true, 0)
    for seed in range(60):
        texts, truth, found = columns(simulate(80, seed))
        scores = evaluate_entities(texts, truth, found, labels=LABELS, seed=seed).scores
        for name, value in true.items():
            held[name] += scores[name].low <= value <= scores[name].high
    for name, count in held.items():
        assert 51 <= count <= 60, (name, count)  # 57 expected


def test_a_thousand_sentences_take_a_moment() -> None:
    texts, truth, found = columns(simulate(1_000, 0, length=60))
    start = time.process_time()
    evaluate_entities(texts, truth, found, labels=LABELS, seed=0)
    assert time.process_time() - start < 3  # under 0.5 s on an idle core
