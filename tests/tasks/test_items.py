"""Row by row as by the whole: the sums of what each row adds give the metric that `scores` gives."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import ENTITIES, PROMPTS, QUESTIONS, REVIEWS
from taesan.data import Answer, Span
from taesan.tasks import TASKS
from taesan.tasks.base import Example, Learnt
from taesan.tasks.classification import ClassPrediction
from taesan.tasks.generation import TextPrediction
from taesan.tasks.ner import EntityPrediction
from taesan.tasks.qa import AnswerCandidate, AnswerPrediction

LABELS = ("긍정", "부정")


def classes(random):
    examples = [Example((text,), label) for text, label in REVIEWS]
    chances = random.dirichlet((1, 1), len(examples))
    found = [ClassPrediction(LABELS[int(p.argmax())], dict(zip(LABELS, map(float, p), strict=True))) for p in chances]
    return examples, found, Learnt(LABELS)


def entities(random):
    examples = [Example((text,), tuple(Span(*span) for span in spans)) for text, spans in ENTITIES]
    found = []
    for example in examples:
        spans = [span for span in example.label if random.random() < 0.6] + (
            [Span(0, 1, "사람")] if random.random() < 0.5 else []
        )
        found.append(EntityPrediction(example.texts[0], tuple((span, 0.7) for span in sorted(set(spans))), ()))
    return examples, found, Learnt(("사람", "장소"))


def answers(random):
    examples, found = [], []
    for question, context, true in QUESTIONS:
        examples.append(Example((question, context), tuple(Answer(one, context.index(one)) for one in true)))
        begin = int(random.integers(0, 8))
        candidate = AnswerCandidate(context[begin : begin + 5], begin, begin + 5, 0.6)
        nothing = float(random.random())
        found.append(AnswerPrediction("", context, (candidate,), nothing, 0.5, ()))
    return examples, found, Learnt()


def texts(random):
    examples = [Example(row) for row in PROMPTS]
    found = [
        TextPrediction(example.texts[0], "그렇다", -3.0, -float(random.uniform(1, 40)), int(random.integers(1, 9)), 20)
        for example in examples
    ]
    return examples, found, Learnt((), {"prompted": True})


@pytest.mark.parametrize(
    ("task", "make"), [("classification", classes), ("ner", entities), ("qa", answers), ("generation", texts)]
)
@given(seed=st.integers(0, 10_000))
def test_the_sums_give_the_metric(task, make, seed) -> None:
    examples, found, learnt = make(np.random.default_rng(seed))
    stored = [json.loads(json.dumps(one.as_dict())) for one in found]
    items = TASKS[task].items(examples, stored)
    metric = TASKS[task].metric
    assert float(items.metric(items.counts.sum(axis=0))) == pytest.approx(
        TASKS[task].scores(examples, found, learnt)[metric]
    )
    part = [0, 2, 2, 4]  # as a bootstrap sample has them
    again = TASKS[task].scores([examples[i] for i in part], [found[i] for i in part], learnt)[metric]
    assert float(items.metric(items.counts[part].sum(axis=0))) == pytest.approx(again)
    assert items.right.min() >= 0
    assert items.right.max() <= 1
    assert len(items.truth) == len(items.answers) == len(examples)


def test_a_part_is_its_rows_alone() -> None:
    examples, found, learnt = classes(np.random.default_rng(1))
    items = TASKS["classification"].items(examples, [one.as_dict() for one in found])
    rows = [place for place, example in enumerate(examples) if example.label == "긍정"]
    own = TASKS["classification"].scores([examples[i] for i in rows], [found[i] for i in rows], learnt)
    assert float(items.metric(items.parts["긍정"].sum(axis=0))) == pytest.approx(own["accuracy"])
    assert items.classes == LABELS


def test_entities_claim_one_by_one() -> None:
    example = Example(("서울에서 부산까지",), (Span(0, 2, "장소"),))
    found = EntityPrediction(example.texts[0], ((Span(0, 2, "장소"), 0.9), (Span(5, 7, "장소"), 0.4)), ())
    items = TASKS["ner"].items([example], [found.as_dict()])
    assert items.claims.tolist() == [[0, 0.9, 1], [0, 0.4, 0]]
    assert items.answers == ("서울 (장소), 부산 (장소)",)
    assert items.right.tolist() == [pytest.approx(2 / 3)]
