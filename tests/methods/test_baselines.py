"""The baselines: beside scikit-learn, the same each time, and without torch once they are learnt."""

import json
import subprocess
import sys
import unicodedata
from collections import Counter

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import taesan
from conftest import PAIRS, REVIEWS
from taesan import store
from taesan.config import FitConfig
from taesan.errors import StorageError, UsageError
from taesan.methods.tfidf import fit_logistic
from taesan.models.linear import FILES, learn_features, log_softmax, read_linear
from taesan.verbs.export import export


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("strength", [0.3, 10.0, 100.0])
@pytest.mark.parametrize("balanced", [False, True])
def test_probabilities_are_those_of_scikit_learn(classes, strength, balanced) -> None:
    random = np.random.default_rng(classes)
    words = np.array([chr(0xAC00 + 37 * number) * 2 for number in range(60)])
    targets = np.minimum(random.integers(0, classes + 2, 300), classes - 1)
    texts = [(" ".join(random.choice(words[target * 9 : target * 9 + 30], 6)),) for target in targets]
    _, rows = learn_features(texts)
    full = np.zeros((len(rows), rows.width))
    full[rows.spread(np.arange(len(rows))), rows.columns] = rows.values
    weights = len(targets) / (classes * np.bincount(targets)[targets]) if balanced else np.ones(len(targets))
    point, steps = fit_logistic(rows, targets, weights, classes, strength=strength)
    model = LogisticRegression(C=strength, class_weight="balanced" if balanced else None, tol=1e-8, max_iter=5000)
    model.fit(full, targets)
    ours = np.exp(log_softmax(rows.times(point[:, :-1]) + point[:, -1]))
    assert 1 < steps < 200
    np.testing.assert_allclose(ours, model.predict_proba(full), atol=1e-3)


def fitted(folder, labelled, method, task="classification", **settings):
    config = FitConfig(device="cpu", threads=1, **settings)
    return taesan.fit(task, labelled[task], output=folder, method=method, config=config, quiet=True)


@pytest.mark.parametrize("task", ["classification", "pair"])
@pytest.mark.parametrize("method", ["majority", "tfidf"])
def test_the_same_seed_gives_the_same_bytes(labelled, tmp_path, method, task) -> None:
    folders = [fitted(tmp_path / name, labelled, method, task).folder for name in ("a", "b")]
    for name in FILES:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    manifest = taesan.show(folders[0])
    assert manifest["backbone"] is None
    assert manifest["seconds"] >= 0
    assert manifest["peak_memory_bytes"] > 0


def test_the_majority_is_the_shares_of_the_training_rows(labelled, tmp_path) -> None:
    folder = fitted(tmp_path / "m", labelled, "majority", "pair").folder
    rows = taesan.show(folder)["rows"]
    assert rows["train"] + rows["validation"] == len(PAIRS)
    answers = [one.as_dict()["probabilities"] for one in taesan.predict(folder, [("가", "나"), ("a b", "c")])]
    assert answers[0] == answers[1]
    counts = Counter(label for *_, label in PAIRS)  # three of each, one of which is held out
    assert answers[0] == pytest.approx({label: (counts[label] - 1) / rows["train"] for label in sorted(counts)})


def test_the_weakest_loss_on_validation_rows_chooses(labelled, tmp_path) -> None:
    manifest = taesan.show(fitted(tmp_path / "m", labelled, "tfidf").folder)
    tried = manifest["regularization"]
    best = min(tried, key=lambda one: one["validation_loss"])
    assert best["steps"] == manifest["steps"]
    assert tried.index(best) >= len(tried) - 2  # the first that is worse is the last


def test_class_weights_lift_the_rare_class(tmp_path) -> None:
    rows = [*REVIEWS[:6] * 4, *REVIEWS[6:8]]
    lines = [json.dumps({"text": f"{text} {place}", "label": label}) for place, (text, label) in enumerate(rows)]
    path = tmp_path / "rare.jsonl"
    path.write_text("\n".join(lines) + "\n")
    chance = {}
    for kind in ("none", "balanced"):
        folder = fitted(tmp_path / kind, {"classification": path}, "tfidf", class_weights=kind).folder
        chance[kind] = next(iter(taesan.predict(folder, ["모르는 말"]))).as_dict()["probabilities"]["부정"]
    assert chance["none"] < chance["balanced"]


def test_a_folder_answers_without_torch(labelled, tmp_path) -> None:
    """The predictor itself; `open_predictor` still imports torch for the others."""
    folder = fitted(tmp_path / "m", labelled, "tfidf").folder
    code = (
        "import sys, json; from pathlib import Path; from taesan import store; from taesan.tasks.base import Example\n"
        "from taesan.engine.linear import open_linear\n"
        f"predictor, _ = open_linear(store.Folder(Path({str(folder)!r})))\n"
        "print(json.dumps([one.as_dict() for one in predictor.predict([Example(('재미있게 보았다',))])]))\n"
        "assert not {'torch', 'transformers', 'sklearn', 'scipy'} & set(sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(shown) == [one.as_dict() for one in taesan.predict(folder, ["재미있게 보았다"])]


def test_an_nfd_text_is_answered_alike_and_an_unknown_one_at_all(labelled, tmp_path) -> None:
    folder = fitted(tmp_path / "m", labelled, "tfidf").folder
    text = "줄거리가 지루하고 음악도 좋다"
    one, other, unknown = taesan.predict(folder, [text, unicodedata.normalize("NFD", text), "ⓒⓓ"])
    assert one == other
    assert sum(unknown.as_dict()["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize("method", ["majority", "tfidf"])
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"backbone": "taesan:bert-mini"}, "uses no backbone; leave --backbone"),
        ({"from_scratch": True}, "leave --from-scratch out"),
        ({"label_words": {"긍정": "좋다"}}, "leave --label-words"),
        ({"config": FitConfig(epochs=3)}, "epochs is 3"),
        ({"config": FitConfig(max_length=32)}, "max_length is 32"),
        ({"config": FitConfig(batch_tokens=32)}, "batch_tokens is 32"),
        ({"config": FitConfig(shots=1)}, "shots is 1"),
        ({"labels": ["긍정", "부정"]}, "learns from labelled rows"),
    ],
)
def test_what_it_does_not_use_is_refused(labelled, tmp_path, method, how, said) -> None:
    with pytest.raises(UsageError, match=said):
        taesan.fit(
            "classification", labelled["classification"], output=tmp_path / "m", method=method, quiet=True, **how
        )
    assert not (tmp_path / "m").exists()


def test_what_has_no_use_for_it_says_so(labelled, tmp_path) -> None:
    with pytest.raises(UsageError, match="class_weights is balanced"):
        fitted(tmp_path / "m", labelled, "majority", class_weights="balanced")
    folder = fitted(tmp_path / "m", labelled, "majority").folder
    with pytest.raises(UsageError, match="by majority, which other libraries do not have"):
        export(folder, format="hf", output=tmp_path / "out")
    with pytest.raises(UsageError, match="writes no text"):
        taesan.generate(folder, ["가"])


def test_damage_is_found(labelled, tmp_path) -> None:
    folder = fitted(tmp_path / "m", labelled, "tfidf").folder
    content = bytearray((folder / FILES[1]).read_bytes())
    content[-1] ^= 1
    (folder / FILES[1]).write_bytes(content)
    with pytest.raises(StorageError, match="damaged or was changed"):
        list(taesan.predict(folder, ["가"]))


def test_weights_that_are_of_other_runs_are_refused(labelled, tmp_path) -> None:
    contents = store.Folder(fitted(tmp_path / "m", labelled, "tfidf").folder).read_all()
    with pytest.raises(StorageError, match="holds no linear model"):
        read_linear({**contents, FILES[0]: b"[]"}, "m")
