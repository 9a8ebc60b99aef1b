"""A labelled file in, a model folder out: that learns, that is the same each time, whose test rows choose nothing."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

import taesan
from conftest import REVIEWS
from taesan import store
from taesan.config import FitConfig
from taesan.errors import DataError, OutputError, UsageError
from taesan.tasks import TASKS
from taesan.verbs.fit import Fitted

QUICK = {"device": "cpu", "threads": 1, "checkpoint_seconds": 0.0}


@pytest.fixture
def fit(masked_backbone, labelled, tmp_path):
    """Fits into a folder of that name."""

    def fit(name: str = "out", task: str = "classification", train: Path | None = None, **options) -> Fitted:
        settings = FitConfig(**(QUICK | {"epochs": 2.0} | options.pop("settings", {})))
        return taesan.fit(
            *(task, train or labelled[task]),
            output=tmp_path / name,
            config=settings,
            **({"backbone": str(masked_backbone), "quiet": True} | options),
        )

    return fit


def rows(path: Path, content: list[tuple[str, str]]) -> Path:
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=False) for text, label in content]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def weights(fitted: Fitted) -> str:
    return taesan.show(fitted.folder)["files"]["model.safetensors"]["sha256"]


@pytest.mark.parametrize("task", ["classification", "pair"])
def test_it_learns_what_it_is_shown(fit, labelled, task, tmp_path) -> None:
    """Chosen by the same rows in another order: a handful of others would say little."""
    turned = tmp_path / "turned.jsonl"
    turned.write_text("\n".join(labelled[task].read_text("utf-8").splitlines()[::-1]), "utf-8")
    fitted = fit(task=task, settings={"epochs": 40.0, "learning_rate": 3e-3}, validation=turned)
    assert fitted.validation.scores["accuracy"].value > 0.9
    evaluation = taesan.evaluate(fitted.folder, labelled[task])
    assert evaluation.scores["accuracy"].value == fitted.validation.scores["accuracy"].value


def test_the_folder_says_what_it_is(fit, labelled, masked_backbone) -> None:
    manifest = taesan.show(fit().folder)
    train = labelled["classification"].read_bytes()
    assert manifest["data"]["train"]["sha256"] == hashlib.sha256(train).hexdigest()
    backbone = (masked_backbone / "model.safetensors").read_bytes()
    assert manifest["backbone"]["sha256"] == hashlib.sha256(backbone).hexdigest()
    assert manifest["rows"] == {"train": 10, "validation": 2, "test": 0}
    assert manifest["labels"] == ["긍정", "부정"]
    assert manifest["parameters"] == manifest["trained_parameters"] > 10_000
    assert set(manifest["scores"]["validation"]) == {"accuracy", "macro_f1", "calibration_error"}
    assert set(manifest["files"]) == {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        *("README.md", "run.json", "log.jsonl"),
    }
    assert not (fit("again").folder / "checkpoints").exists()


def test_the_same_command_gives_the_same_bytes(fit) -> None:
    first, again = fit("a"), fit("b")
    assert weights(first) == weights(again)
    assert weights(fit("c", settings={"seed": 43})) != weights(first)
    with pytest.raises(OutputError, match="not empty"):
        fit("a")
    assert weights(fit("a", overwrite=True)) == weights(first)


def test_the_test_file_chooses_nothing(fit, tmp_path) -> None:
    """Whatever its labels are, the weights and the validation scores stay the same."""
    swapped = {"긍정": "부정", "부정": "긍정"}
    right = rows(tmp_path / "right.jsonl", [(f"{text}, 참", label) for text, label in REVIEWS])
    wrong = rows(tmp_path / "wrong.jsonl", [(f"{text}, 참", swapped[label]) for text, label in REVIEWS])
    settings = {"epochs": 6.0, "validations": 2}
    one, other = fit("a", test=right, settings=settings), fit("b", test=wrong, settings=settings)
    none = fit("c", settings=settings)
    assert weights(one) == weights(other) == weights(none)
    assert one.validation == other.validation == none.validation
    assert one.test is not None
    assert other.test is not None
    assert one.test.scores["accuracy"].value == pytest.approx(1 - other.test.scores["accuracy"].value)


def test_of_the_best_checkpoints_by_validation_the_latest_is_kept(fit, labelled) -> None:
    fitted = fit(settings={"epochs": 8.0, "learning_rate": 3e-3})
    manifest = taesan.show(fitted.folder)
    events = [json.loads(line) for line in (fitted.folder / "log.jsonl").read_text().splitlines()]
    scores = {event["step"]: event["validation"]["accuracy"] for event in events if "validation" in event}
    best = max(scores.values())
    error = (best * (1 - best) / manifest["rows"]["validation"]) ** 0.5
    assert manifest["best_step"] == max(step for step, score in scores.items() if score >= best - error)
    assert fitted.validation.scores["accuracy"].value == scores[manifest["best_step"]]


def test_early_stopping(fit) -> None:
    fitted = fit(settings={"epochs": 30.0, "patience": 2, "learning_rate": 1e-7})
    manifest = taesan.show(fitted.folder)
    assert manifest["steps"] == 3  # a step an epoch: one that counts, two without a gain


def test_overlap_is_said_and_dropped_on_request(fit, tmp_path, capsys) -> None:
    shared = rows(tmp_path / "shared.jsonl", [*REVIEWS[:2], ("처음 보는 글", "부정"), ("또 처음", "긍정")])
    fitted = fit("kept", test=shared, quiet=False)
    assert "[overlap] found 2 of 4 rows" in capsys.readouterr().err
    assert taesan.show(fitted.folder)["rows"] == {"train": 10, "validation": 2, "test": 4}
    fitted = fit("dropped", test=shared, drop_overlap=True, quiet=False)
    assert "2 rows of" in capsys.readouterr().err
    assert taesan.show(fitted.folder)["rows"] == {"train": 8, "validation": 2, "test": 4}


def test_long_texts_are_counted_and_the_way_is_stored(fit, tmp_path, capsys) -> None:
    long = [(f"{text} " * 12, label) for text, label in REVIEWS[4:8]]
    train = rows(tmp_path / "long.jsonl", [*REVIEWS, *long])
    for policy, said in (("head-tail", "head and tail are read"), ("windows", "read in overlapping windows")):
        fitted = fit(policy, train=train, settings={"long_text": policy}, quiet=False)
        err = capsys.readouterr().err
        assert "texts are longer than 64 tokens" in err
        assert said in err
        assert taesan.show(fitted.folder)["encode"] == {"max_length": 64, "long_text": policy}
        answers = [prediction.as_dict() for prediction in taesan.predict(fitted.folder, [text for text, _ in long])]
        assert all(abs(sum(answer["probabilities"].values()) - 1) < 1e-9 for answer in answers)


def test_class_weights_are_scikit_learns(labelled) -> None:
    from taesan.tasks.base import Item
    from taesan.verbs.training import _class_weights, collate_items

    labels = np.array([0, 0, 0, 1, 2, 2, 0])
    items = [Item(np.arange(3, dtype=np.int32), np.zeros(3, np.int32), np.array(label)) for label in labels]
    ours = _class_weights(items, FitConfig(class_weights="balanced"), TASKS["classification"])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
    assert _class_weights(items, FitConfig(), TASKS["classification"]) is None
    batch = collate_items(items, 0, ours)(np.array([3, 0]), np.random.default_rng(0))
    np.testing.assert_allclose(batch["weights"], expected[[1, 0]], rtol=1e-6)


def test_what_is_refused(fit, tmp_path, labelled) -> None:
    with pytest.raises(UsageError, match="did you mean pair"):
        fit(task="pairs", train=labelled["pair"])
    with pytest.raises(UsageError, match="did you mean finetune"):
        fit(method="finetuned")
    with pytest.raises(DataError, match="same-file"):
        fit(test=labelled["classification"])
    with pytest.raises(DataError, match="key-missing"):
        fit(task="pair", train=labelled["classification"])
    with pytest.raises(UsageError, match="too small to hold rows out"):
        fit(train=rows(tmp_path / "two.jsonl", [("하나", "a"), ("둘", "b")]))
    with pytest.raises(UsageError, match="between 0 and 1"):
        fit(settings={"validation_fraction": 1.0})
    assert not (tmp_path / "out").exists()


def test_all_errors_of_all_files_in_one_pass(fit, tmp_path) -> None:
    train = rows(tmp_path / "train.jsonl", [*REVIEWS, ("", "긍정"), ("글", "")])
    test = rows(tmp_path / "test.jsonl", [("글 하나", "긍정"), ("글 둘", "중립"), ("", "부정")])
    with pytest.raises(DataError) as raised:
        fit(train=train, test=test)
    found = {(Path(problem.file).name, problem.line, problem.code) for problem in raised.value.problems}
    assert found == {
        ("train.jsonl", 13, "text-empty"),
        ("train.jsonl", 14, "label-empty"),
        ("test.jsonl", 2, "label-unknown"),
        ("test.jsonl", 3, "text-empty"),
    }


def test_a_model_folder_is_no_backbone_but_its_weights_are(fit, masked_backbone) -> None:
    """A fitted classifier may be fitted again: its encoder is opened like any folder of transformers."""
    first = fit("first")
    second = fit("second", backbone=str(first.folder), settings={"learning_rate": 1e-9, "weight_decay": 0.0})
    one, two = (store.open_model(fitted.folder).read("model.safetensors") for fitted in (first, second))
    from safetensors.numpy import load

    name = "bert.encoder.layer.0.output.dense.weight"
    np.testing.assert_allclose(load(one)[name], load(two)[name], atol=1e-6)


def test_packed_texts_do_not_see_each_other(causal_backbone, byte_tokenizer) -> None:
    """The loss and the gradients of a packed row are those of its texts alone."""
    import torch

    from conftest import PROMPTS
    from taesan.methods import METHODS
    from taesan.methods.base import adapt
    from taesan.models.backbone import find
    from taesan.tasks.base import EncodeOptions, Example
    from taesan.verbs.training import _collate_packed, collate_items

    task, rows = TASKS["generation"], [Example(row) for row in PROMPTS]
    learnt = task.learn(rows, (), byte_tokenizer)
    encoded = task.encode(rows, byte_tokenizer, learnt, EncodeOptions(max_length=64))
    items = [item for one in encoded for item in one.items]
    model = adapt(METHODS["finetune"], find(str(causal_backbone)).load("language_model")).double().eval()

    def run(batches) -> tuple[float, list[np.ndarray]]:
        model.zero_grad()
        losses = [model({name: torch.from_numpy(array) for name, array in batch.items()}) for batch in batches]
        sum(losses).backward()
        return float(sum(losses).detach()), [p.grad.numpy().copy() for p in model.parameters() if p.grad is not None]

    draw = np.random.default_rng(0)
    alone = run([collate_items(items, 0, None)(np.array([place]), draw) for place in range(len(items))])
    groups = [np.arange(len(items))[::2], np.arange(len(items))[1::2]]
    packed = run([_collate_packed(items, groups, 0)(np.array([0, 1]), draw)])
    assert packed[0] == pytest.approx(alone[0], rel=1e-9)
    for one, other in zip(packed[1], alone[1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-8)
