"""Every task by every method on every kind of backbone: two steps, saved, opened again, the same answers; or the named
error that the table of docs/techniques.md promises."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoTokenizer

import taesan
from conftest import ENTITIES, MASKED, MAX_LENGTH, PAIRS, PROMPTS, QUESTIONS, REVIEWS, WORDS
from taesan import store
from taesan.config import FitConfig
from taesan.engine.infer import run_items
from taesan.engine.load import open_predictor
from taesan.errors import DataError, UsageError
from taesan.methods import BASELINES, METHODS
from taesan.models.backbone import find
from taesan.tasks import TASKS
from taesan.tasks.base import Example

ARCHITECTURES = (*MASKED, "gpt2")
STEPS = {"epochs": 2, "batch_tokens": 4096, "device": "cpu", "threads": 1}
SETTINGS = {
    "finetune": FitConfig(**STEPS),
    "lora": FitConfig(**STEPS, rank=2, notice=0),
    "prefix": FitConfig(**STEPS, virtual_tokens=3, notice=0),
    "prompt": FitConfig(**STEPS, virtual_tokens=3, notice=0),
    "in-context": FitConfig(shots=1, device="cpu", threads=1, long_shots="fewer"),
}
LONG = "화면이 밝고 소리가 또렷하다 " * 9
TEXTS = ("[SEP] 재미있게 보았다 [CLS]", "별로", "좋은 영화 [MASK] <|endoftext|>", "한글", LONG)
ROWS = {"classification": REVIEWS, "pair": PAIRS, "ner": ENTITIES, "qa": QUESTIONS, "generation": PROMPTS}
WITHOUT = [(task, method) for task in ("classification", "pair") for method in BASELINES]  # a backbone
REFUSED = [("generation", method, architecture) for method in METHODS for architecture in MASKED]
CELLS = [
    cell
    for cell in ((task, method, architecture) for task in TASKS for method in METHODS for architecture in ARCHITECTURES)
    if cell not in REFUSED
]
REFUSED_BASELINES = [(task, method) for task in TASKS for method in BASELINES if (task, method) not in WITHOUT]
each_cell = pytest.mark.parametrize("cell", CELLS, ids="-".join)


@pytest.fixture(scope="module")
def fitted(backbones, long_backbone, labelled, tmp_path_factory) -> dict[tuple[str, str, str], Any]:
    """A model folder for every task, method and backbone."""
    root = tmp_path_factory.mktemp("cells")
    return {
        cell: taesan.fit(
            cell[0],
            labelled[cell[0]],
            output=root / "-".join(cell),
            # In context a text may not be longer than the model.
            backbone=str(long_backbone if cell == ("generation", "in-context", "gpt2") else backbones[cell[2]]),
            method=cell[1],
            label_words=words(cell),
            config=SETTINGS[cell[1]],
            quiet=True,
        )
        for cell in CELLS
    }


def words(cell) -> dict[str, str] | None:
    """Labels that the tiny vocabularies know, where they are asked for as words."""
    return WORDS.get(cell[0]) if cell[1] in ("prompt", "in-context") else None


@pytest.mark.parametrize("cell", REFUSED, ids="-".join)
def test_what_cannot_work_is_refused_by_name(cell, backbones, labelled, tmp_path) -> None:
    with pytest.raises(UsageError, match="needs a causal backbone"):
        taesan.fit(cell[0], labelled[cell[0]], output=tmp_path / "m", backbone=str(backbones[cell[2]]), method=cell[1])
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("cell", REFUSED_BASELINES, ids="-".join)
def test_a_baseline_for_a_task_without_classes_is_refused_by_name(cell, labelled, tmp_path) -> None:
    with pytest.raises(UsageError, match=f"{cell[1]} gives every row one of a few classes, which {cell[0]} does not"):
        taesan.fit(cell[0], labelled[cell[0]], output=tmp_path / "m", method=cell[1], quiet=True)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("cell", WITHOUT, ids="-".join)
def test_a_baseline_is_a_folder_like_any_other(cell, labelled, tmp_path) -> None:
    task, method = cell
    config = FitConfig(device="cpu", threads=1)
    folder = taesan.fit(task, labelled[task], output=tmp_path / "m", method=method, config=config, quiet=True).folder
    manifest, given = taesan.show(folder), inputs(task)
    assert (manifest["task"], manifest["method"], manifest["backbone"]) == (*cell, None)
    assert set(manifest) >= {"seconds", "peak_memory_bytes", "trained_parameters", "parameters", "scores", "encode"}
    first = [prediction.as_dict() for prediction in taesan.predict(folder, given)]
    backwards = [prediction.as_dict() for prediction in taesan.predict(folder, given[::-1])]
    alone = [next(iter(taesan.predict(folder, [one]))).as_dict() for one in given]
    assert json.dumps(first) == json.dumps(backwards[::-1]) == json.dumps(alone)
    for one, answer in zip(given, first, strict=True):
        check_classes(one, answer, manifest["labels"])
    evaluation = taesan.evaluate(folder, labelled[task])
    texts = [row[:-1] if task == "pair" else row[0] for row in ROWS[task]]
    right = [
        row[-1] == prediction.as_dict()["label"]
        for row, prediction in zip(ROWS[task], taesan.predict(folder, texts), strict=True)
    ]
    assert evaluation.scores["accuracy"].value == np.mean(right)


def inputs(task: str) -> list[Any]:
    """What a user may hand to `predict`."""
    if task in ("pair", "qa"):
        return list(zip([text[:30] for text in TEXTS], TEXTS[::-1], strict=True))
    return [text[:40] for text in TEXTS] if task == "generation" else list(TEXTS)


def test_a_prompt_without_room_for_an_answer_is_refused(fitted) -> None:
    with pytest.raises(DataError, match="prompt-long"):
        list(taesan.predict(fitted["generation", "finetune", "gpt2"].folder, ["짧다", LONG]))


@each_cell
def test_a_fitted_folder_answers_the_same_each_time_it_is_opened(fitted, cell) -> None:
    folder = fitted[cell].folder
    manifest = taesan.show(folder)
    assert (manifest["task"], manifest["method"]) == cell[:2]
    assert manifest["steps"] == (0 if cell[1] == "in-context" else 2)
    assert manifest["trained_parameters"] <= manifest["parameters"]
    given = inputs(cell[0])
    first = [prediction.as_dict() for prediction in taesan.predict(folder, given)]
    again = [prediction.as_dict() for prediction in taesan.predict(folder, given)]
    assert json.dumps(first) == json.dumps(again)  # JSON writes every bit of a float
    assert len(first) == len(TEXTS)
    backwards = [prediction.as_dict() for prediction in taesan.predict(folder, given[::-1])]
    assert json.dumps(backwards[::-1]) == json.dumps(first)
    for one, answer in zip(given, first, strict=True):
        ANSWERS[cell[0]](one, answer, manifest["labels"])


def check_classes(_given, answer, labels) -> None:
    assert list(answer["probabilities"]) == labels
    assert math.isclose(sum(answer["probabilities"].values()), 1, abs_tol=1e-12)
    assert answer["probabilities"][answer["label"]] == max(answer["probabilities"].values())


def check_entities(text, answer, labels) -> None:
    end = 0
    for entity in answer["entities"]:
        assert end <= entity["start"] < entity["end"] <= len(text)
        assert entity["text"] == text[entity["start"] : entity["end"]]
        assert entity["text"] == entity["text"].strip()
        assert entity["label"] in labels
        assert 0 < entity["probability"] <= 1 + 1e-12
        end = entity["end"]
    assert [word["text"] for word in answer["words"]] == text.split()
    for word in answer["words"]:
        assert list(word["probabilities"]) == ["O", *labels]
        assert math.isclose(sum(word["probabilities"].values()), 1, abs_tol=1e-9)


def check_answer(given, answer, _labels) -> None:
    context = given[1]
    for candidate in answer["candidates"]:
        assert candidate["text"] == context[candidate["start"] : candidate["end"]] != ""
    chances = [candidate["probability"] for candidate in answer["candidates"]]
    # In context nothing but the shots says whether a question may have no answer.
    assert sum(chances) + answer.get("no_answer_probability", 0.0) <= 1 + 1e-9
    assert chances == sorted(chances, reverse=True)
    assert answer["answer"] in ("", answer["candidates"][0]["text"])


def check_text(_given, answer, _labels) -> None:
    assert isinstance(answer["text"], str)
    assert answer["log_probability"] < 0


ANSWERS = {
    "classification": check_classes,
    "pair": check_classes,
    "ner": check_entities,
    "qa": check_answer,
    "generation": check_text,
}


@each_cell
def test_its_scores_are_finite_and_those_of_its_predictions(fitted, cell, labelled) -> None:
    evaluation = taesan.evaluate(fitted[cell].folder, labelled[cell[0]])
    rows = ROWS[cell[0]]
    assert evaluation.rows == len(rows)
    own = fitted[cell].validation  # in context no rows are held out
    for score in [*evaluation.scores.values(), *(own.scores.values() if own else ())]:
        assert 0 <= score.low <= score.value <= score.high < math.inf
    assert TASKS[cell[0]].metric in evaluation.scores
    if cell[0] in ("classification", "pair"):
        texts = [row[:-1] if cell[0] == "pair" else row[0] for row in rows]
        answers = [prediction.as_dict()["label"] for prediction in taesan.predict(fitted[cell].folder, texts)]
        right = [row[-1] == answer for row, answer in zip(rows, answers, strict=True)]
        assert evaluation.scores["accuracy"].value == np.mean(right)


CLASSES = {
    "sequence": transformers.AutoModelForSequenceClassification,
    "token": transformers.AutoModelForTokenClassification,
    "span": transformers.AutoModelForQuestionAnswering,
    "language_model": transformers.AutoModelForCausalLM,
}


@each_cell
def test_transformers_opens_it_with_the_same_ids_and_logits(fitted, cell) -> None:
    folder, task = fitted[cell].folder, TASKS[cell[0]]
    if not (folder / "config.json").exists():
        assert cell[1] != "finetune"
        assert sum(path.stat().st_size for path in folder.iterdir()) < 60_000  # no backbone in it
        return
    predictor, _ = open_predictor(folder)
    texts = [one[:20] if isinstance(one, str) else (one[0][:12], one[1][:20]) for one in inputs(cell[0])]
    if cell[0] == "generation":
        texts = list(zip(texts, texts[::-1], strict=True))
    examples = [Example((one,) if isinstance(one, str) else one) for one in texts]
    encoded = task.encode(examples, predictor.tokenizer, predictor.learnt, predictor.options)
    items = [item for one in encoded for item in one.items]
    assert len(items) == len(texts)
    ours = run_items(predictor.session, items, max_length=MAX_LENGTH, pad_id=predictor.tokenizer.pad_id)

    model = CLASSES[task.head].from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    outputs = task.outputs(predictor.learnt)
    assert not outputs or tuple(model.config.id2label[index] for index in range(len(outputs))) == outputs
    for item, text, own in zip(items, texts, ours, strict=True):
        batch = tokenizer(*([text] if isinstance(text, str) else text), return_tensors="pt")
        # Read left to right, a question's context is followed by a token of ours.
        length = batch["input_ids"].shape[1]
        assert item.input_ids[:length].tolist() == batch["input_ids"][0].tolist()
        assert len(item.input_ids) - length in ((0, 1) if cell == ("qa", "finetune", "gpt2") else (0,))
        given = {"input_ids": torch.from_numpy(item.input_ids[None].astype(np.int64))}
        if "token_type_ids" in batch:
            assert item.token_type_ids[:length].tolist() == batch["token_type_ids"][0].tolist()
            given["token_type_ids"] = torch.from_numpy(item.token_type_ids[None].astype(np.int64))
        with torch.inference_mode():
            out = model(**given)
        theirs = torch.stack([out.start_logits, out.end_logits], -1) if task.head == "span" else out.logits
        if task.head == "language_model":
            rows = torch.log_softmax(theirs[0].double(), -1)
            labels = torch.from_numpy(item.labels)
            theirs = sum(rows[place, labels[place]] for place in torch.nonzero(labels >= 0)[:, 0])[None]
        summed = max(1, int((item.labels >= 0).sum())) if task.head == "language_model" else 1
        np.testing.assert_allclose(own, theirs[0].numpy(), atol=1e-5 * summed)


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell[1] == "finetune"], ids="-".join)
def test_from_scratch_forgets_the_backbone(backbones, labelled, tmp_path, cell) -> None:
    task, method, architecture = cell
    backbone = find(str(backbones[architecture]))
    pretrained, scratch = (
        backbone.load(TASKS[task].head, labels=("a", "b"), from_scratch=new, seed=3) for new in (False, True)
    )
    word, shape = pretrained.get_input_embeddings().weight, scratch.get_input_embeddings().weight
    assert word.shape == shape.shape
    assert not torch.equal(word, shape)
    fitted = taesan.fit(
        task,
        labelled[task],
        output=tmp_path / "model",
        backbone=str(backbones[architecture]),
        method=method,
        from_scratch=True,
        config=SETTINGS[method],
        quiet=True,
    )
    assert taesan.show(fitted.folder)["backbone"]["from_scratch"]


def test_half_precision_on_disk_is_computed_with_as_float32(masked_backbone, tmp_path) -> None:
    from safetensors.numpy import load_file

    half = tmp_path / "half"
    half.mkdir()
    for path in masked_backbone.iterdir():
        if path.name != "model.safetensors":
            (half / path.name).write_bytes(path.read_bytes())
    weights = {
        name: array.astype(np.float16) for name, array in load_file(masked_backbone / "model.safetensors").items()
    }
    (half / "model.safetensors").write_bytes(b"".join(store.tensor_chunks(weights, {"format": "pt"})))
    model = find(str(half)).load("sequence", labels=("a", "b"))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
