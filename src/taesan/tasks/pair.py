"""One label a pair of sentences: natural language inference, paraphrase, answer selection."""

from taesan.data import Field
from taesan.tasks.classification import Classification

PAIR = Classification(
    "pair",
    'predict DIR "…" --hypothesis "…"',
    (
        Field("premise", ("sentence1", "text1", "question1", "first")),
        Field("hypothesis", ("sentence2", "text2", "question2", "second")),
        Field("label", ("gold_label", "labels", "class", "target"), kind="label"),
    ),
)
