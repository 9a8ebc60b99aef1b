"""Architectures beside BERT and GPT-2: what cannot be is refused by name, and nothing is wrong in silence."""

import json

import numpy as np
import pytest
import torch
import transformers

import taesan
from conftest import WORDS, _save
from taesan.config import FitConfig
from taesan.engine.load import open_predictor
from taesan.engine.trees import CausalScorer, _Tree
from taesan.errors import UsageError
from taesan.methods import METHODS
from taesan.methods.base import adapt
from taesan.models.backbone import find
from taesan.tasks.base import Example

SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 48}


def save(folder, name, tokenizer, model, **config):
    torch.manual_seed(3)
    given = {"vocab_size": tokenizer.vocabulary_size, "pad_token_id": tokenizer.pad_id, "initializer_range": 0.2}
    made = getattr(transformers, f"{name}Config")(**given, **config)
    return _save(folder, getattr(transformers, model)(made), tokenizer, token_types=False)


def fit(backbone, labelled, folder, method, **more):
    config = {"virtual_tokens": 3} if method in ("prefix", "prompt") else {}
    words = WORDS["classification"] if method in ("prompt", "in-context") else None
    return taesan.fit(
        "classification",
        labelled["classification"],
        output=folder,
        backbone=str(backbone),
        method=method,
        label_words=words,
        config=FitConfig(device="cpu", threads=1, **config, **more),
        quiet=True,
    )


@pytest.mark.parametrize("method", ["prompt", "in-context"])
def test_a_backbone_without_words_is_not_asked_for_words(tokenizer, labelled, tmp_path, method) -> None:
    """The output head of a bare BERT or of ELECTRA's discriminator would be random, and another one each time."""
    backbone = save(tmp_path / "b", "Bert", tokenizer, "BertModel", **SMALL, max_position_embeddings=64)
    with pytest.raises(UsageError, match="has no head of a language model"):
        fit(backbone, labelled, tmp_path / "m", method)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("method", ["finetune", "lora", "prompt"])
def test_embeddings_narrower_than_the_hidden_states(tokenizer, labelled, tmp_path, method) -> None:
    shape = {**SMALL, "embedding_size": 16, "max_position_embeddings": 64}
    backbone = save(tmp_path / "b", "Electra", tokenizer, "ElectraForMaskedLM", **shape)
    folder = fit(backbone, labelled, tmp_path / "m", method, epochs=1.0).folder
    first, again = ([one.as_dict() for one in taesan.predict(folder, ["정말 좋다", "별로"])] for _ in range(2))
    assert first == again
    evaluation = taesan.evaluate(folder, labelled["classification"])
    assert 0 <= evaluation.scores["accuracy"].value <= 1


def test_lora_on_an_albert_answers_as_it_was_fitted(tokenizer, labelled, tmp_path) -> None:
    shape = {**SMALL, "embedding_size": 16, "max_position_embeddings": 64}
    backbone = save(tmp_path / "b", "Albert", tokenizer, "AlbertForMaskedLM", **shape)
    made = fit(backbone, labelled, tmp_path / "m", "lora", epochs=1.0, validation_fraction=0.5)
    assert len(list(taesan.predict(made.folder, ["정말 좋다"]))) == 1


@pytest.mark.parametrize(
    ("name", "model", "shape"),
    [
        ("DistilBert", "DistilBertForMaskedLM", {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48}),
        ("Albert", "AlbertForMaskedLM", {**SMALL, "embedding_size": 32}),
    ],
)
def test_a_backbone_that_takes_no_prefix_is_refused_by_name(tokenizer, labelled, tmp_path, name, model, shape) -> None:
    backbone = save(tmp_path / "b", name, tokenizer, model, **shape, max_position_embeddings=64)
    with pytest.raises(UsageError, match=r"prefix cannot be added to .*Take --method finetune"):
        fit(backbone, labelled, tmp_path / "m", "prefix")


def test_a_model_that_forgets_is_asked_row_by_row(byte_tokenizer, tmp_path) -> None:
    """Behind a window of 16 tokens a shared beginning would be of another text."""
    shape = {**SMALL, "num_key_value_heads": 2, "sliding_window": 16, "max_position_embeddings": 128}
    backbone = find(str(save(tmp_path / "b", "Mistral", byte_tokenizer, "MistralForCausalLM", **shape)))
    model = adapt(METHODS["in-context"], backbone.load("language_model"))
    scorer = CausalScorer(model, backbone.tokenizer, max_length=128)
    ids = tuple(np.random.default_rng(0).integers(3, 200, 60).tolist())
    tree = _Tree(ids[:40], ids[40:], ((5, 6), (7,)), ())
    (found,) = scorer._grow([tree])
    (expected,) = [scorer._grown_apart(tree)]
    for one, other in zip(found.tokens, expected.tokens, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_another_config_under_the_same_weights_is_noticed(masked_backbone, labelled, tmp_path) -> None:
    own = tmp_path / "b"
    own.mkdir()
    for path in masked_backbone.iterdir():
        (own / path.name).write_bytes(path.read_bytes())
    folder = fit(own, labelled, tmp_path / "m", "lora", epochs=1.0, rank=2).folder
    config = json.loads((own / "config.json").read_bytes())
    (own / "config.json").write_text(json.dumps(config | {"num_attention_heads": 4}))
    with pytest.raises(taesan.errors.InputMissing, match="another config"):
        taesan.predict(folder, ["좋다"])


# What in-context learning may look at -------------------------------------------------------------------------------


def ask(task, rows, folder, backbone, **settings):
    file = folder.with_suffix(".jsonl")
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    words = WORDS["classification"] if task == "classification" else None
    config = FitConfig(device="cpu", threads=1, **settings)
    taesan.fit(
        task,
        file,
        output=folder,
        backbone=str(backbone),
        method="in-context",
        label_words=words,
        config=config,
        quiet=True,
    )
    return open_predictor(folder)[0]


def test_a_reference_does_not_choose_the_shots_before_its_prompt(long_backbone, tmp_path) -> None:
    rows = [
        {"prompt": "안녕", "completion": "파란 바다로 갔다 왔다"},
        {"prompt": "그래", "completion": "빨간 사과를 먹었다"},
    ]
    predictor = ask("generation", rows, tmp_path / "m", long_backbone, shots=1, shot_choice="similar")
    prompts = {
        predictor.prompt(Example(("안녕", *answer)))[0] for answer in ((), ("빨간 사과를 먹었다",), ("파란 바다로",))
    }
    assert len(prompts) == 1


def test_the_order_of_the_file_moves_nothing_but_the_draw(long_backbone, tmp_path) -> None:
    """Texts for calibration are drawn from the whole file: sorted by label, its beginning would be one class."""
    rows = [
        {"text": f"{word} {i}", "label": label}
        for label, word in (("긍정", "좋다"), ("부정", "별로"))
        for i in range(200)
    ]
    seen: list[str] = []
    real = taesan.engine.scoring.TextPredictor.choices

    def spy(self, examples):
        seen.extend(example.texts[0] for example in examples)
        return real(self, examples)

    taesan.engine.scoring.TextPredictor.choices = spy
    try:
        ask("classification", rows, tmp_path / "m", long_backbone, template="ko-short")
    finally:
        taesan.engine.scoring.TextPredictor.choices = real
    share = np.mean([text.startswith("좋다") for text in seen])
    assert 0.3 < share < 0.7


def test_a_row_is_no_shot_of_its_own_while_calibrating(long_backbone, tmp_path) -> None:
    rows = [
        {"text": f"{word} {i}", "label": label}
        for label, word in (("긍정", "좋다"), ("부정", "별로"))
        for i in range(9)
    ]
    prompts: list[tuple[str, str]] = []
    real = taesan.engine.scoring.TextPredictor._prompts

    def spy(self, example, **more):
        found = real(self, example, **more)
        prompts.extend((example.texts[0], prompt.before[: prompt.shared]) for _, prompt in found)
        return found

    taesan.engine.scoring.TextPredictor._prompts = spy
    try:
        ask(
            "classification",
            rows,
            tmp_path / "m",
            long_backbone,
            shots=2,
            shot_choice="similar",
            calibration="batch",
            template="ko-short",
        )
    finally:
        taesan.engine.scoring.TextPredictor._prompts = real
    assert any(shots for _, shots in prompts)
    assert not any(f"{text}\n" in shots for text, shots in prompts if text)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task": "classification", "labels": ("가", "가")}, "--labels has 가 twice"),
        ({"task": "classification", "labels": ("가", " ")}, "has an empty label"),
        ({"task": "qa", "labels": ("가", "나")}, "qa has no labels"),
        ({"task": "classification", "labels": ("가", "나"), "drop_overlap": True}, "none is named"),
        ({"task": "qa", "templates": '[[template]]\ntext = "{context} {question} {answer}"'}, "what stands for none"),
        ({"task": "classification", "labels": ("가", "나"), "config": FitConfig(long_text="windows")}, "one place"),
    ],
)
def test_what_would_only_fail_later_is_refused_at_once(long_backbone, tmp_path, given, message) -> None:
    given = dict(given)
    if "templates" in given:
        (tmp_path / "t.toml").write_text(given["templates"], "utf-8-sig")
        given["templates"] = tmp_path / "t.toml"
    with pytest.raises(UsageError, match=message):
        taesan.fit(
            given.pop("task"),
            output=tmp_path / "m",
            backbone=str(long_backbone),
            method="in-context",
            quiet=True,
            **given,
        )
    with pytest.raises(UsageError, match="the device 'foo' is not there"):
        taesan.predict(tmp_path / "m", ["글"], device="foo")
