"""`fit --method in-context`: what is chosen, by what, and that a folder answers as it was made."""

import json
from pathlib import Path

import numpy as np
import pytest

import taesan
from conftest import ENTITIES, REVIEWS, WORDS
from taesan.cli import main
from taesan.config import FitConfig
from taesan.engine.load import open_predictor
from taesan.errors import StorageError, UsageError
from taesan.methods.in_context import batch_offsets, draw_shots, mutual_information
from taesan.tasks.base import Example
from taesan.text.similarity import Similarity

KNOWN = WORDS["classification"]


@pytest.fixture
def backbones(long_backbone, masked_backbone) -> dict[str, Path]:
    return {"gpt2": long_backbone, "bert": masked_backbone}


def made(backbones, labelled, folder, architecture="gpt2", task="classification", train=True, **more):
    given = {"backbone": str(backbones[architecture]), "method": "in-context", "quiet": True}
    if task in WORDS:
        given["label_words"] = WORDS[task]
    config = FitConfig(**{"device": "cpu", "threads": 1, "long_shots": "fewer", **more.pop("settings", {})})
    return taesan.fit(task, labelled[task] if train else None, output=folder, config=config, **given, **more).folder


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_zero_shot_needs_no_file(backbones, labelled, tmp_path, architecture) -> None:
    folder = made(backbones, labelled, tmp_path / "m", architecture, train=False, labels=("긍정", "부정"))
    manifest = taesan.show(folder)
    assert manifest["labels"] == ["긍정", "부정"]
    assert manifest["trained_parameters"] == 0
    assert manifest["rows"] == {"shots": 0, "unlabelled": 0, "validation": 0, "test": 0}
    assert manifest["asking"]["calibration"].startswith("content-free")
    (answer,) = taesan.predict(folder, ["재미있게 보았다"])
    assert sum(answer.probabilities.values()) == pytest.approx(1)


def test_the_command_line_makes_a_folder_without_a_file(tmp_path, capsys) -> None:
    command = ["fit", "classification", "--labels", "긍정,부정", "--method", "in-context", "--shots", "0"]
    assert main([*command, "--output", str(tmp_path / "m")]) == 0
    assert main(["predict", str(tmp_path / "m"), "두 번 봐도 재미있다"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(answer["probabilities"]) == {"긍정", "부정"}
    assert sum(path.stat().st_size for path in (tmp_path / "m").iterdir()) < 20_000


def test_labels_that_are_no_words_are_warned_of_loudly(tmp_path, capsys) -> None:
    command = ["fit", "classification", "--labels", "0,1", "--method", "in-context"]
    assert main([*command, "--output", str(tmp_path / "bare")]) == 0
    assert "WARNING: 0, 1 say nothing to a language model" in capsys.readouterr().err
    assert main([*command, "--label-words", "0=부정,1=긍정", "--output", str(tmp_path / "worded")]) == 0
    assert "WARNING" not in capsys.readouterr().err
    (answer,) = taesan.predict(tmp_path / "worded", ["좋다"])
    assert set(answer.probabilities) == {"0", "1"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"train": False}, "needs its labels"),
        ({"train": False, "labels": ("긍정", "부정"), "settings": {"shots": 2}}, "expected 0 without a file"),
        ({"settings": {"shots": 99}}, "the file has 12 rows"),
        ({"settings": {"shots": 12, "long_shots": "error"}}, "shots take .* of the model's 512 tokens"),
        ({"train": False, "labels": ("긍정", "부정"), "settings": {"calibration": "batch"}}, "which needs texts"),
        ({"settings": {"epochs": 3.0}}, "epochs is 3.0, which in-context does not use"),
    ],
)
def test_what_cannot_be_is_refused(backbones, labelled, tmp_path, given, message) -> None:
    with pytest.raises(UsageError, match=message):
        made(backbones, labelled, tmp_path / "m", **given)


@pytest.mark.parametrize("choice", ["balanced", "random", "similar"])
@pytest.mark.parametrize("calibration", ["none", "content-free", "batch", "pmi"])
def test_a_folder_answers_as_it_was_made(backbones, labelled, tmp_path, choice, calibration) -> None:
    settings = {"shots": 1, "shot_choice": choice, "calibration": calibration, "scoring": "normalized"}
    folder = made(backbones, labelled, tmp_path / "m", settings=settings)
    again = made(backbones, labelled, tmp_path / "again", settings=settings)
    for name in ("template.toml", "shots.jsonl", "calibration.json"):
        assert (folder / name).read_bytes() == (again / name).read_bytes()
    shots = [json.loads(line) for line in (folder / "shots.jsonl").read_text("utf-8").splitlines()]
    assert len(shots) == (12 if choice == "similar" else 1)
    predictor, _ = open_predictor(folder)
    offsets = np.array(json.loads((folder / "calibration.json").read_bytes())["offsets"] or [0.0, 0.0])
    example = Example(("음악도 좋다",))
    scores = predictor.choices([example])[0] - offsets
    expected = np.exp(scores) / np.exp(scores).sum()
    (answer,) = predictor.predict([example])
    np.testing.assert_allclose(list(answer.as_dict()["probabilities"].values()), expected, rtol=1e-9)


def test_normalized_scores_are_those_for_each_character(backbones, labelled, tmp_path) -> None:
    plain, own = (
        open_predictor(
            made(backbones, labelled, tmp_path / scoring, settings={"scoring": scoring, "template": "ko-short"})
        )[0].choices([Example(("좋다",))])[0]
        for scoring in ("likelihood", "normalized")
    )
    np.testing.assert_allclose(own, plain / np.array([len(word) for word in KNOWN.values()]))


def test_test_rows_choose_nothing(backbones, labelled, tmp_path) -> None:
    """Other labels in the test file change the scores and not one byte of what is asked."""
    flipped = tmp_path / "flipped.jsonl"
    other = {"긍정": "부정", "부정": "긍정"}
    lines = [json.dumps({"text": f"{text} 끝", "label": other[label]}, ensure_ascii=False) for text, label in REVIEWS]
    flipped.write_text("\n".join(lines), "utf-8")
    straight = tmp_path / "straight.jsonl"
    lines = [json.dumps({"text": f"{text} 끝", "label": label}, ensure_ascii=False) for text, label in REVIEWS]
    straight.write_text("\n".join(lines), "utf-8")
    folders = [
        made(backbones, labelled, tmp_path / test.stem, settings={"shots": 2}, test=test)
        for test in (flipped, straight)
    ]
    for name in ("template.toml", "shots.jsonl", "calibration.json"):
        assert len({(folder / name).read_bytes() for folder in folders}) == 1


def test_the_similar_shots_stand_before_a_question(backbones, labelled, tmp_path) -> None:
    settings = {"shots": 1, "shot_choice": "similar", "template": "ko-short"}
    predictor, _ = open_predictor(made(backbones, labelled, tmp_path / "m", settings=settings))
    (prompt,) = predictor.prompt(Example(("값은 비싼데 맛은 좋다",)))
    assert prompt.before.startswith("값은 비싼데 맛은 별로\n")
    (prompt,) = predictor.prompt(Example(("good music",)))
    assert prompt.before.startswith("good film, better music\n")


def test_entities_are_parts_of_the_sentence_and_words_have_distributions(backbones, labelled, tmp_path) -> None:
    folder = made(backbones, labelled, tmp_path / "m", task="ner", settings={"shots": 1})
    for text, _ in ENTITIES:
        (answer,) = taesan.predict(folder, [text])
        for entity in answer.as_dict()["entities"]:
            assert text[entity["start"] : entity["end"]] == entity["text"]
        for word in answer.as_dict()["words"]:
            assert sum(word["probabilities"].values()) == pytest.approx(1)


def test_generation_answers_a_prompt(backbones, labelled, tmp_path, capsys) -> None:
    folder = made(backbones, labelled, tmp_path / "m", task="generation", settings={"shots": 1})
    ((written,),) = taesan.generate(folder, ["비가 오니?"])
    assert written.answers
    assert "\n" not in written.text
    assert main(["generate", str(folder), "비가 오니?", "--max-tokens", "4"]) == 0


@pytest.mark.parametrize("name", ["template.toml", "shots.jsonl", "calibration.json"])
def test_damage_is_refused(backbones, labelled, tmp_path, name) -> None:
    folder = made(backbones, labelled, tmp_path / "m", settings={"shots": 1})
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-3])
    with pytest.raises(StorageError, match="damaged"):
        taesan.predict(folder, ["좋다"])


def test_orders_are_measured(backbones, labelled, tmp_path, capsys) -> None:
    folder = made(backbones, labelled, tmp_path / "m", settings={"shots": 3})
    assert main(["evaluate", str(folder), str(labelled["classification"]), "--orders", "4"]) == 0
    out = capsys.readouterr().out
    assert "4 orders of the shots" in out
    assert main(["evaluate", str(folder), str(labelled["classification"]), "--orders", "4", "--json"]) == 0
    tables = json.loads(capsys.readouterr().out)
    assert len(tables["orders"]["accuracy"]) == 4
    trained = taesan.fit(
        "classification",
        labelled["classification"],
        output=tmp_path / "t",
        quiet=True,
        backbone=str(backbones["bert"]),
        config=FitConfig(epochs=1.0, device="cpu"),
    )
    assert main(["evaluate", str(trained.folder), str(labelled["classification"]), "--orders", "4"]) == 2


# What choosing is made of -------------------------------------------------------------------------------------------


def test_shots_are_balanced_and_repeat() -> None:
    labels = ["a"] * 90 + ["b"] * 9 + ["c"]
    drawn = draw_shots(labels, 12, balanced=True, seed=3)
    assert drawn == draw_shots(labels, 12, balanced=True, seed=3)
    assert len(set(drawn)) == 12
    counts = {label: sum(labels[place] == label for place in drawn) for label in "abc"}
    assert counts["c"] == 1
    assert abs(counts["a"] - counts["b"]) <= 1
    assert draw_shots(labels, 12, balanced=True, seed=4) != drawn
    assert len(set(draw_shots(labels, 100, balanced=False, seed=1))) == 100


def test_mutual_information_is_that_of_the_formula() -> None:
    chances = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    joint = chances / 3  # I(X; Y) over the joint distribution, by brute force
    marginal = joint.sum(axis=0)
    expected = sum(joint[x, y] * np.log(joint[x, y] / (marginal[y] / 3)) for x in range(3) for y in range(2))
    assert mutual_information(np.log(chances) + 7) == pytest.approx(expected)


def test_batch_offsets_make_a_constant_lean_even() -> None:
    chances = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    judged = np.log(chances) - batch_offsets(np.log(chances))
    assert judged[0, 0] > judged[0, 1]
    assert judged[2, 0] < judged[2, 1]
    np.testing.assert_allclose(batch_offsets(np.log(chances)), np.log(chances.mean(axis=0)))


def test_similarity_is_bm25_by_brute_force() -> None:
    pool = ["서울에서 부산까지", "서울 구경", "비가 온다", "비가 비가 온다 온다"]
    similarity = Similarity(pool)

    def pairs(text):
        return [word[i : i + 2] for word in text.split() for i in range(max(1, len(word) - 1))]

    counts = [pairs(text) for text in pool]
    mean = sum(map(len, counts)) / 4
    for query in ("서울에서", "비가 와서 서울", "없다"):
        expected = []
        for own in counts:
            total = 0.0
            for pair in pairs(query):
                holders = sum(pair in one for one in counts)
                if pair in own:
                    times = own.count(pair)
                    rarity = np.log(1 + (4 - holders + 0.5) / (holders + 0.5))
                    total += rarity * times * 2.5 / (times + 1.5 * (0.25 + 0.75 * len(own) / mean))
            expected.append(total)
        np.testing.assert_allclose(similarity.scores(query), expected, atol=1e-12)
    assert similarity.nearest("비가", 2) == [3, 2] or similarity.nearest("비가", 2) == [2, 3]
    assert Similarity([]).nearest("비가", 2) == []
