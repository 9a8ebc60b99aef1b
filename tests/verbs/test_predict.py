"""Answers as they come: from texts, files and pipes, the same each time, and bad ones named."""

import io
import json
import os
import threading
from pathlib import Path

import pytest

import taesan
from conftest import ENTITIES, PAIRS, PROMPTS, QUESTIONS, REVIEWS
from taesan import store
from taesan.config import FitConfig
from taesan.engine.load import open_predictor
from taesan.errors import DataError, InputMissing, StorageError
from taesan.verbs.predict import predict_file


@pytest.fixture(scope="module")
def models(masked_backbone, causal_backbone, labelled, tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("predict")
    config = FitConfig(epochs=1, device="cpu", threads=1)
    backbones = dict.fromkeys(labelled, masked_backbone) | {"generation": causal_backbone}
    return {
        task: taesan.fit(
            task, file, output=root / task, backbone=str(backbones[task]), config=config, quiet=True
        ).folder
        for task, file in labelled.items()
    }


@pytest.mark.parametrize("task", ["classification", "pair", "ner", "qa", "generation"])
def test_a_labelled_file_is_answered_as_its_texts_are(models, labelled, task) -> None:
    """Whatever form the file has, its answers are not looked at."""
    predictor, _ = open_predictor(models[task])
    from_file = [prediction.as_dict() for prediction in predict_file(predictor, labelled[task])]
    rows = {
        "classification": [text for text, _ in REVIEWS],
        "pair": [pair[:2] for pair in PAIRS],
        "ner": [text for text, _ in ENTITIES],
        "qa": [row[:2] for row in QUESTIONS],
        "generation": [prompt for prompt, _ in PROMPTS],
    }
    alone = [next(taesan.predict(predictor, [one])).as_dict() for one in rows[task]]
    assert [{key: one[key] for key in one if key != "id"} for one in from_file] == alone
    if task == "qa":
        assert [one["id"] for one in from_file] == [f"q{number}" for number in range(len(QUESTIONS))]


def test_sentences_without_tags_are_answered_from_a_table_too(models, tmp_path) -> None:
    predictor, _ = open_predictor(models["ner"])
    path = tmp_path / "new.csv"
    path.write_text("text\n" + "".join(f"{text}\n" for text, _ in ENTITIES), "utf-8")
    assert [one.as_dict() for one in predict_file(predictor, path)] == [
        one.as_dict() for one in taesan.predict(predictor, [text for text, _ in ENTITIES])
    ]


def test_a_model_is_opened_once_for_many_calls(models) -> None:
    predictor, _ = open_predictor(models["classification"])
    texts = [text for text, _ in REVIEWS]
    together = list(taesan.predict(predictor, texts))
    assert together == [next(taesan.predict(predictor, [text])) for text in texts]
    assert together == list(taesan.predict(str(models["classification"]), iter(texts)))
    assert list(taesan.predict(predictor, [])) == []


def test_pairs_take_two_texts_and_their_order_counts(models) -> None:
    pairs = [(first, second) for first, second, _ in PAIRS]
    forth = list(taesan.predict(models["pair"], pairs))
    back = list(taesan.predict(models["pair"], [(second, first) for first, second in pairs]))
    assert len(forth) == len(PAIRS)
    assert forth != back


@pytest.mark.parametrize(
    ("task", "texts", "code"),
    [
        ("classification", ["좋다", ""], "text-empty"),
        ("classification", ["좋다", " \n"], "text-empty"),
        ("classification", ["좋다", ("둘", "셋")], "text-count"),
        ("classification", ["좋다", "\udcff"], "text-surrogate"),
        ("classification", ["좋다", (3,)], "text-type"),
        ("pair", [("좋다", "낫다"), "하나"], "text-count"),
        ("pair", [("좋다", "낫다"), ("하나", "")], "text-empty"),
    ],
)
def test_a_bad_text_is_named(models, task, texts, code) -> None:
    with pytest.raises(DataError) as raised:
        list(taesan.predict(models[task], texts))
    assert [(problem.code, problem.line) for problem in raised.value.problems] == [(code, 2)]


def test_a_pipe_is_answered_line_by_line(models) -> None:
    """An answer comes while the writer still holds the pipe open."""
    predictor, _ = open_predictor(models["classification"])
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb", buffering=0) as sink:
        answers = predict_file(predictor, source)
        for text, _ in REVIEWS[:3]:
            sink.write(text.encode() + b"\n")
            assert next(answers) == next(taesan.predict(predictor, [text]))
        sink.close()
        assert list(answers) == []
    assert threading.active_count() < 10


def test_a_pipe_with_bad_rows_answers_the_good_ones_first(models) -> None:
    predictor, _ = open_predictor(models["classification"])
    rows = [{"text": "좋다"}, {"text": ""}, {"text": "나쁘다"}, {"wrong": 1}]
    answers = predict_file(predictor, io.BytesIO("".join(json.dumps(row) + "\n" for row in rows).encode()))
    found = []
    with pytest.raises(DataError) as raised:
        found.extend(answers)
    assert found == list(taesan.predict(predictor, ["좋다", "나쁘다"]))
    assert [(problem.line, problem.code) for problem in raised.value.problems] == [
        (2, "text-empty"),
        (4, "key-missing"),
    ]


def test_a_file_with_a_bad_row_is_not_answered_at_all(models, tmp_path) -> None:
    (tmp_path / "rows.csv").write_text("text\n좋다\n\t\n")
    predictor, _ = open_predictor(models["classification"])
    with pytest.raises(DataError, match="text-empty"):
        next(predict_file(predictor, tmp_path / "rows.csv"))


def test_labels_and_other_columns_are_not_looked_at(models, tmp_path, labelled) -> None:
    predictor, _ = open_predictor(models["classification"])
    (tmp_path / "rows.csv").write_text("id,label,review\n1,,좋다\n2,무엇이든,나쁘다\n")
    found = list(predict_file(predictor, tmp_path / "rows.csv", columns={"text": "review", "label": "nothing"}))
    assert found == list(taesan.predict(predictor, ["좋다", "나쁘다"]))


def test_what_is_no_model(tmp_path, models, masked_backbone) -> None:
    with pytest.raises(InputMissing):
        open_predictor(tmp_path)
    with pytest.raises(InputMissing, match="not a folder made by taesan"):
        open_predictor(masked_backbone)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputMissing, match="a run that has not finished"):
        open_predictor(tmp_path)


def test_a_model_of_an_unknown_task_is_refused(models, tmp_path) -> None:
    folder = store.open_model(models["classification"])
    kept = {key: value for key, value in folder.manifest.items() if key not in ("files", "format_version")}
    store.save_folder(tmp_path / "new", folder.read_all(), kept | {"task": "poetry"})
    with pytest.raises(StorageError, match="the task poetry by finetune, which this taesan does not know"):
        open_predictor(tmp_path / "new")
    store.save_folder(tmp_path / "base", folder.read_all(), {"kind": "backbone"})
    with pytest.raises(StorageError, match="is a backbone, not a model for a task"):
        open_predictor(tmp_path / "base")
