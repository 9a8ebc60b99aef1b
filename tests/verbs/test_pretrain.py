"""Raw text in, a backbone out: that transformers opens, that fits, and is the same each time."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import taesan
from conftest import SENTENCES
from taesan.config import FitConfig, PretrainConfig
from taesan.errors import DataError

TINY = PretrainConfig(
    layers=2,
    width=32,
    heads=2,
    feed_forward=48,
    vocabulary_size=300,
    max_length=32,
    short_length=16,
    batch_tokens=512,
    train_tokens=20_000,
    validation_fraction=0.1,
    validation_steps=10,
    device="cpu",
    threads=1,
)


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    chance = random.Random(0)
    words = " ".join(SENTENCES).split()
    path = tmp_path_factory.mktemp("raw") / "text.txt"
    path.write_text("\n".join(" ".join(chance.choices(words, k=chance.randint(3, 30))) for _ in range(300)), "utf-8")
    return path


@pytest.fixture(scope="module", params=["roberta-prelayernorm", "bert"])
def trained(request, text, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("pretrain") / request.param
    return taesan.pretrain(
        "masked", [text], output=output, config=replace(TINY, architecture=request.param), quiet=True
    )


def test_transformers_opens_it_and_it_has_learnt(trained) -> None:
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    manifest = taesan.show(trained)
    assert manifest["kind"] == "backbone"
    assert manifest["scores"]["held_out_loss"] < np.log(300) - 0.3  # below that of guessing
    assert not (trained / "corpus").exists()
    tokenizer = AutoTokenizer.from_pretrained(trained)
    model, info = AutoModelForMaskedLM.from_pretrained(trained, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    ids = tokenizer(SENTENCES[0], return_tensors="pt")
    with torch.inference_mode():
        assert torch.isfinite(model.float().eval()(**ids).logits).all()
    # The longest input that it was made for goes through, and is what it says of itself.
    assert tokenizer.model_max_length == 32
    with torch.inference_mode():
        model(torch.full((1, 32), 7))


def test_a_task_is_fitted_on_it(trained, labelled, tmp_path) -> None:
    config = FitConfig(epochs=1, device="cpu", threads=1)
    fitted = taesan.fit(
        "classification",
        labelled["classification"],
        output=tmp_path / "model",
        backbone=str(trained),
        config=config,
        quiet=True,
    )
    assert taesan.show(fitted.folder)["config"]["max_length"] == 32
    assert len(list(taesan.predict(fitted.folder, list(SENTENCES)))) == len(SENTENCES)


def test_the_same_text_and_seed_give_the_same_bytes(text, tmp_path) -> None:
    short = replace(TINY, train_tokens=4000)
    one, two, other = (
        taesan.show(taesan.pretrain("masked", [text], output=tmp_path / name, config=config, quiet=True))["files"]
        for name, config in (("a", short), ("b", short), ("c", replace(short, seed=1)))
    )
    assert one["model.safetensors"] == two["model.safetensors"] != other["model.safetensors"]
    assert one["tokenizer.json"] == two["tokenizer.json"] == other["tokenizer.json"]


def test_bad_text_is_refused(tmp_path) -> None:
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "cp949.txt").write_bytes("한글 문장입니다\n".encode("cp949") * 20)
    for name in ("empty.txt", "cp949.txt"):
        with pytest.raises(DataError):
            taesan.pretrain("masked", [tmp_path / name], output=tmp_path / f"{name}-out", config=TINY, quiet=True)
