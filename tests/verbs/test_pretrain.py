"""Raw text in, a backbone out: that transformers opens, that fits, and is the same each time."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

import taesan
from conftest import SENTENCES
from taesan.config import FitConfig, PretrainConfig
from taesan.engine import board, checkpoint, pretraining
from taesan.errors import DataError, UsageError
from taesan.text import corpus as corpus_module

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


class Died(BaseException):
    """The process ended here."""


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    chance = random.Random(0)
    words = " ".join(SENTENCES).split()
    path = tmp_path_factory.mktemp("raw") / "text.txt"
    path.write_text("\n".join(" ".join(chance.choices(words, k=chance.randint(3, 30))) for _ in range(300)), "utf-8")
    return path


@pytest.fixture(scope="module", params=["roberta-prelayernorm", "bert", "gpt2"])
def trained(request, text, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("pretrain") / request.param
    objective = "causal" if request.param == "gpt2" else "masked"
    config = replace(TINY, architecture=request.param)
    return taesan.pretrain(objective, [text], output=output, config=config, quiet=True)


def test_transformers_opens_it_and_it_has_learnt(trained) -> None:
    manifest = taesan.show(trained)
    assert manifest["kind"] == "backbone"
    assert manifest["scores"]["held_out_loss"] < np.log(300) - 0.3  # below that of guessing
    assert not (trained / "corpus").exists()
    causal = manifest["objective"] == "causal"
    kind = transformers.AutoModelForCausalLM if causal else transformers.AutoModelForMaskedLM
    tokenizer = transformers.AutoTokenizer.from_pretrained(trained)
    model, info = kind.from_pretrained(trained, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    model = model.float().eval()
    with torch.inference_mode():
        ids = tokenizer(SENTENCES[0][:8], return_tensors="pt")["input_ids"]
        assert torch.isfinite(model(ids).logits).all()
        # The longest input that it was made for goes through, and is what it says of itself.
        assert tokenizer.model_max_length == 32
        model(torch.full((1, 32), 7))
        if causal:
            assert tokenizer.decode(ids[0], skip_special_tokens=True) == SENTENCES[0][:8]
            model.generate(ids[:, :4], max_new_tokens=4, do_sample=False)


def test_bits_per_byte_are_those_of_the_held_out_text(text, tmp_path) -> None:
    """By hand, with the model of transformers: the nats of every line over the bytes of every line."""
    config = replace(TINY, max_length=512)  # no line is too long
    folder = taesan.pretrain("causal", [text], output=tmp_path / "gpt", config=config, quiet=True)
    scores = taesan.show(folder)["scores"]
    lines = text.read_text("utf-8").splitlines()
    held_out = [line for number, line in enumerate(lines, 1) if number % 10 == 0]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).float().eval()
    nats, guessed = 0.0, 0
    for line in held_out:
        ids = torch.tensor([[*tokenizer(line)["input_ids"], tokenizer.eos_token_id]])
        assert ids.shape[1] <= 512
        with torch.inference_mode():
            nats += float(model(ids, labels=ids).loss) * (ids.shape[1] - 1)
        guessed += ids.shape[1] - 1
    # Ours packs the lines into rows of 512 tokens, and so cuts some of them: a little less is known there.
    assert 0.98 * nats / guessed < scores["held_out_loss"] < 1.05 * nats / guessed
    size = sum(len(line.encode()) + 1 for line in held_out)
    assert scores["bits_per_byte"] == pytest.approx(scores["held_out_loss"] * guessed / np.log(2) / size)
    assert scores["perplexity"] == pytest.approx(np.exp(scores["held_out_loss"]))


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


CONTINUED = PretrainConfig(
    short_length=16,
    batch_tokens=512,
    train_tokens=8000,
    validation_fraction=0.1,
    validation_steps=10,
    device="cpu",
    threads=1,
)


def test_a_backbone_is_continued(trained, text, tmp_path) -> None:
    """It begins where it stood, keeps its tokenizer and shape, and what it was before is named."""
    before = taesan.show(trained)
    objective = before["objective"]
    folder = taesan.pretrain(
        objective, [text], output=tmp_path / "more", backbone=str(trained), config=CONTINUED, quiet=True
    )
    after = taesan.show(folder)
    assert after["backbone"] == {"name": str(trained), "sha256": before["files"]["model.safetensors"]["sha256"]}
    assert after["files"]["tokenizer.json"] == before["files"]["tokenizer.json"]
    assert after["files"]["config.json"] == before["files"]["config.json"]  # the dropout for fine-tuning too
    assert after["config"]["max_length"] == 32
    assert after["scores"]["held_out_loss"] < before["scores"]["held_out_loss"] + 0.05
    first = json.loads((folder / "log.jsonl").read_text().splitlines()[0])
    assert first["loss"] < before["scores"]["held_out_loss"] + 1  # a new one begins at ln 300 = 5.7


@pytest.mark.parametrize(("objective", "other"), [("masked", "causal"), ("causal", "masked")])
def test_another_objective_is_refused(masked_backbone, causal_backbone, text, tmp_path, objective, other) -> None:
    backbone = masked_backbone if objective == "masked" else causal_backbone
    with pytest.raises(UsageError, match=f"taesan pretrain {objective}"):
        taesan.pretrain(other, [text], output=tmp_path / "out", backbone=str(backbone), config=CONTINUED)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 3}, "layers: .* a shape and a tokenizer of its own"),
        ({"vocabulary_size": 99, "width": 8}, "vocabulary_size"),
        ({"max_length": 4000}, "reads at most 64"),
        ({"max_length": 4}, "at least 8"),
    ],
)
def test_another_shape_is_refused(masked_backbone, text, tmp_path, changes, message) -> None:
    with pytest.raises(UsageError, match=message):
        taesan.pretrain(
            "masked",
            [text],
            output=tmp_path / "out",
            backbone=str(masked_backbone),
            config=replace(CONTINUED, **changes),
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("objective", "changes", "message"),
    [
        ("masked", {"architecture": "gpt2"}, "for masked pretraining there are: roberta-prelayernorm, bert"),
        ("causal", {"heads": 3}, "3 heads do not divide"),
        ("causal", {"masking": "eojeol"}, "masking: nothing is masked"),
        ("causal", {"vocabulary_size": 8}, "ask for at least"),
        ("causal", {"validation_fraction": 0.001}, "too few to hold 1 in 1,000 out"),
    ],
)
def test_what_cannot_be_made_is_said(text, tmp_path, objective, changes, message) -> None:
    with pytest.raises(UsageError, match=message):
        taesan.pretrain(objective, [text], output=tmp_path / "out", config=replace(TINY, **changes), quiet=True)


@pytest.mark.parametrize("kind", ["bpe", "byte-bpe", "unigram"])
def test_whole_eojeols_of_every_tokenizer(text, tmp_path, kind) -> None:
    config = replace(TINY, tokenizer=kind, masking="eojeol", train_tokens=4000, vocabulary_size=600)
    folder = taesan.pretrain("masked", [text], output=tmp_path / kind, config=config, quiet=True)
    assert taesan.fill(str(folder), "오늘은 [MASK] 맑아서").blanks[0][1][0].probability > 0


def test_many_shards_and_groups_are_one_corpus(text, tmp_path, monkeypatch) -> None:
    """Every token is seen as often as in one piece, and resuming in the middle of a group changes nothing."""
    monkeypatch.setattr(corpus_module, "SHARD_TOKENS", 300)
    monkeypatch.setattr(corpus_module, "BLOCK_LINES", 5)
    monkeypatch.setattr(pretraining, "GROUP_SHARDS", 2)
    for objective in ("masked", "causal"):
        config = replace(TINY, train_tokens=6000)
        folder = taesan.pretrain(objective, [text], output=tmp_path / objective, config=config, quiet=True)
        manifest = taesan.show(folder)
        assert manifest["corpus_tokens"] > 3000
        assert 0.8 * 6000 / 512 <= manifest["steps"] <= 1.7 * 6000 / 512


@pytest.mark.parametrize("stops", [(0,), (2,), (1, 0, 1)])
@pytest.mark.parametrize("objective", ["masked", "causal"])
def test_resumed_equals_undisturbed(text, tmp_path, monkeypatch, objective, stops) -> None:
    """Through both phases and several groups of shards; whole eojeols are masked."""
    monkeypatch.setattr(corpus_module, "SHARD_TOKENS", 700)
    monkeypatch.setattr(corpus_module, "BLOCK_LINES", 20)
    monkeypatch.setattr(pretraining, "GROUP_SHARDS", 2)
    config = replace(TINY, train_tokens=10_000, checkpoint_steps=3, full_length_fraction=0.5, masking="eojeol")
    if objective == "causal":
        config = replace(config, masking="token", accumulation=2)

    def run(name: str, resume: bool = False) -> Path:
        output = tmp_path / name
        return taesan.pretrain(objective, [text], output=output, config=config, resume=resume, quiet=True)

    for count in stops:
        saved, real = [], checkpoint.save

        def save(*given, saved=saved, real=real, count=count):
            if len(saved) == count:
                raise Died
            saved.append(real(*given))

        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "save", save)
            with pytest.raises(Died):
                run("stopped", resume=(tmp_path / "stopped").exists())
    files = [taesan.show(folder)["files"] for folder in (run("stopped", resume=True), run("undisturbed"))]
    assert files[0]["model.safetensors"] == files[1]["model.safetensors"]
    assert files[0]["log.jsonl"] == files[1]["log.jsonl"]


def test_lines_are_prepared_and_counted(text, tmp_path) -> None:
    lines = text.read_text("utf-8").splitlines()
    extra = ["짧다", lines[0], lines[5] + "!", "This line is in English, and long enough to be told from Korean."]
    (tmp_path / "more.txt").write_text("\n".join([*lines, *extra]), "utf-8")
    config = replace(TINY, train_tokens=4000, minimum_characters=6, duplicates="near", language="ko")
    folder = taesan.pretrain("masked", [tmp_path / "more.txt"], output=tmp_path / "out", config=config, quiet=True)
    found = taesan.show(folder)["lines"]
    assert found["lines"] == len(lines) + 4
    dropped = {reason: of["count"] for reason, of in found["dropped"].items()}
    assert dropped["too-short"] >= 1
    assert dropped["exact-duplicate"] >= 1
    assert dropped["near-duplicate"] >= 1
    assert ["more.txt", len(lines) + 4] in found["dropped"]["language"]["first"]
    assert found["kept"] == found["lines"] - sum(dropped.values())
    with pytest.raises(UsageError, match="language is 'xx'"):
        taesan.pretrain("masked", [text], output=tmp_path / "no", config=replace(TINY, language="xx"))
    assert not (tmp_path / "no").exists()


def test_the_same_text_and_seed_give_the_same_bytes(text, tmp_path) -> None:
    short = replace(TINY, train_tokens=4000)
    for objective in ("masked", "causal"):
        folders = {"a": short, "b": short, "c": replace(short, seed=1)}
        for name, config in folders.items():
            taesan.pretrain(objective, [text], output=tmp_path / objective / name, config=config, quiet=True)
        one, two, other = (taesan.show(tmp_path / objective / name) for name in folders)
        files = [manifest["files"] for manifest in (one, two, other)]
        assert files[0]["model.safetensors"] == files[1]["model.safetensors"] != files[2]["model.safetensors"]
        assert files[0]["tokenizer.json"] == files[1]["tokenizer.json"] == files[2]["tokenizer.json"]


def test_tensorboard_reads_the_log(text, tmp_path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = replace(TINY, train_tokens=6000, tensorboard=str(tmp_path / "events"))
    folder = taesan.pretrain("causal", [text], output=tmp_path / "gpt", config=config, quiet=True)
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    losses = [event["loss"] for event in log if "loss" in event]
    scalars = events.Scalars("training/loss")
    assert [one.step for one in scalars] == list(range(1, len(losses) + 1))
    assert [one.value for one in scalars] == pytest.approx(losses)
    held_out = [event["validation"]["bits_per_byte"] for event in log if "validation" in event]
    assert [one.value for one in events.Scalars("validation/bits_per_byte")] == pytest.approx(held_out)


def test_tensorboard_that_is_not_there_is_said_first(text, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(board, "find_spec", lambda _: None)
    config = replace(TINY, tensorboard=str(tmp_path))
    with pytest.raises(UsageError, match=r"taesan\[tensorboard\]"):
        taesan.pretrain("masked", [text], output=tmp_path / "out", config=config, quiet=True)
    assert not (tmp_path / "out").exists()


def test_bad_text_is_refused(tmp_path) -> None:
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "cp949.txt").write_bytes("한글 문장입니다\n".encode("cp949") * 20)
    for name in ("empty.txt", "cp949.txt"):
        with pytest.raises(DataError):
            taesan.pretrain("masked", [tmp_path / name], output=tmp_path / f"{name}-out", config=TINY, quiet=True)
        assert not (tmp_path / f"{name}-out").exists()  # so that the mended command can be typed as it is
