"""Backbones are opened as they are, or refused with what to do; nothing in their folders is ever run."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from conftest import MAX_LENGTH, SENTENCES
from taesan.errors import InputMissing, StorageError, TaesanError, UsageError
from taesan.models.backbone import find, load_arrays, model_arrays


@pytest.fixture
def folder(masked_backbone, tmp_path) -> Path:
    """A copy of a backbone, to be changed."""
    for path in masked_backbone.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def change(folder: Path, name: str = "config.json", **values) -> None:
    content = json.loads((folder / name).read_bytes()) | values
    kept = {key: value for key, value in content.items() if value is not None}
    (folder / name).write_text(json.dumps(kept))


def test_what_a_backbone_is(backbones) -> None:
    for name, path in backbones.items():
        backbone = find(str(path))
        assert backbone.kind == ("causal" if name == "gpt2" else "masked")
        assert backbone.token_types is (name != "gpt2")
        assert backbone.max_length == MAX_LENGTH  # RoBERTa's positions count on from the padding token's id
        assert len(backbone.sha256) == 64
        model = backbone.load("language_model")
        with torch.inference_mode():
            model(torch.full((1, backbone.max_length), 7))  # and so many fit
    assert find(str(backbones["bert"])).sha256 != find(str(backbones["gpt2"])).sha256


def test_the_longest_input_is_the_least_that_model_and_tokenizer_allow(folder) -> None:
    change(folder, "tokenizer_config.json", model_max_length=40)
    assert find(str(folder)).max_length == 40
    change(folder, "tokenizer_config.json", model_max_length=10**30)
    assert find(str(folder)).max_length == MAX_LENGTH


def test_a_head_is_drawn_from_the_seed_and_the_rest_from_the_file(folder) -> None:
    backbone, saved = find(str(folder)), load_file(folder / "model.safetensors")
    one, same, other = (backbone.load("sequence", labels=("a", "b", "c"), seed=seed) for seed in (1, 1, 2))
    assert one.config.id2label == {0: "a", 1: "b", 2: "c"}
    assert one.config.label2id == {"a": 0, "b": 1, "c": 2}
    assert torch.equal(one.classifier.weight, same.classifier.weight)
    assert not torch.equal(one.classifier.weight, other.classifier.weight)
    for name, parameter in one.named_parameters():
        if name in saved:
            np.testing.assert_array_equal(parameter.detach().numpy(), saved[name])
    scratch = backbone.load("sequence", labels=("a", "b", "c"), seed=1, from_scratch=True)
    name = "bert.encoder.layer.0.output.dense.weight"
    assert not np.array_equal(dict(scratch.named_parameters())[name].detach().numpy(), saved[name])
    assert not hasattr(find(str(folder)).config, "id2label") or find(str(folder)).config.num_labels == 2  # unchanged


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (lambda f: (f / "config.json").unlink(), InputMissing, "has no config.json"),
        (lambda f: (f / "config.json").write_text("{"), StorageError, "is not JSON"),
        (lambda f: (f / "config.json").write_text("[" * 200_000), StorageError, "is not JSON"),
        (lambda f: (f / "config.json").write_text("[]"), StorageError, "is of type None"),
        (lambda f: change(f, model_type="gpt-17"), StorageError, "Code inside a model folder is never run"),
        (lambda f: change(f, hidden_size="wide"), StorageError, "cannot be read"),
        (lambda f: (f / "model.safetensors").unlink(), InputMissing, "has no model.safetensors"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x10" + b"\0" * 20), StorageError, "cannot be loaded"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), UsageError, "Convert them once"),
        (lambda f: change(f, hidden_size=64), StorageError, ""),
        (lambda f: change(f, num_hidden_layers=3), StorageError, "are not whole"),
    ],
)
def test_a_spoilt_backbone_is_refused(folder, spoil, error, said) -> None:
    spoil(folder)
    with pytest.raises(error) as raised:
        find(str(folder)).load("sequence", labels=("a", "b"))
    assert said in str(raised.value)
    assert isinstance(raised.value, TaesanError)


def test_a_missing_tensor_is_never_drawn_at_random(folder) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["bert.encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(StorageError, match=r"bert\.encoder\.layer\.1\.output\.dense\.weight is missing"):
        find(str(folder)).load("sequence", labels=("a", "b"))


def test_code_in_a_folder_is_not_run(folder) -> None:
    (folder / "modeling_evil.py").write_text("raise SystemExit('ran')")
    change(folder, auto_map={"AutoConfig": "modeling_evil.Config", "AutoModelForMaskedLM": "modeling_evil.Model"})
    assert find(str(folder)).load("language_model").config.model_type == "bert"
    change(folder, model_type="evil")
    with pytest.raises(StorageError, match="is of type evil"):
        find(str(folder)).load("language_model")


def test_names_that_lead_nowhere(tmp_path) -> None:
    with pytest.raises(InputMissing, match="no embedded backbone taesan:nothing; there are:"):
        find("taesan:nothing")
    for name in ("./nothing", str(tmp_path / "nothing"), "a/b/c"):
        with pytest.raises(InputMissing, match="no backbone folder"):
            find(name)
    with pytest.raises(InputMissing, match="the hub did not answer"):
        find("nobody/nothing")  # offline in tests


def test_control_tokens_are_named_where_the_folder_leaves_it_to_a_class(backbones, tmp_path) -> None:
    """As bert-base-multilingual-cased and gpt2 lie on the hub: a tokenizer.json, and a config that names nothing."""
    for name, path in backbones.items():
        folder = tmp_path / name
        folder.mkdir()
        for file in path.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        (folder / "tokenizer_config.json").write_text('{"model_max_length": 64}')
        named, bare = find(str(path)).tokenizer, find(str(folder)).tokenizer
        assert bare.layout == named.layout
        assert bare.pad_id == named.pad_id
        assert bare.max_length == 64
        if name == "bert":
            assert (bare.control_ids, bare.mask_id) == (named.control_ids, named.mask_id)
        if name == "gpt2":
            assert bare.control_ids == named.control_ids == {bare.pad_id}
            assert bare.backend.id_to_token(bare.pad_id) == "<|endoftext|>"


def test_a_vocabulary_of_old_is_converted(tmp_path, masked_backbone, tokenizer) -> None:
    """vocab.txt alone: cased, as the config says, and Korean words are not unknown."""
    for path in masked_backbone.iterdir():
        if not path.name.startswith("tokenizer"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    vocabulary = sorted(tokenizer.backend.get_vocab().items(), key=lambda item: item[1])
    (tmp_path / "vocab.txt").write_text("".join(f"{token}\n" for token, _ in vocabulary), "utf-8")
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false, "tokenizer_class": "BertTokenizer"}')
    converted = find(str(tmp_path)).tokenizer
    assert converted.layout == tokenizer.layout
    assert converted.mask_id == tokenizer.mask_id
    for ours, theirs in zip(tokenizer.ids(SENTENCES[:7]), converted.ids(SENTENCES[:7]), strict=True):
        assert ours.tolist() == theirs.tolist()
    change(tmp_path, "tokenizer_config.json", tokenizer_class=None)
    (tmp_path / "vocab.txt").unlink()
    with pytest.raises(InputMissing, match="no tokenizer"):
        find(str(tmp_path)).tokenizer  # noqa: B018


def test_arrays_there_and_back(backbones) -> None:
    """What is saved is what transformers saves, each tied tensor once; half precision comes back as float32."""
    for path in backbones.values():
        backbone = find(str(path))
        model = backbone.load("language_model")
        arrays = model_arrays(model)
        saved = load_file(path / "model.safetensors")
        assert set(saved) <= set(arrays)
        for name, array in saved.items():
            np.testing.assert_array_equal(arrays[name], array)
        fresh = backbone.load("language_model", from_scratch=True, seed=9)
        load_arrays(fresh, model_arrays(model, half=True))
        for (name, one), (_, other) in zip(model.named_parameters(), fresh.named_parameters(), strict=True):
            assert other.dtype == torch.float32
            np.testing.assert_array_equal(other.detach().numpy(), one.detach().half().float().numpy(), name)
        with pytest.raises(StorageError, match="do not fit"):
            load_arrays(fresh, {**arrays, "more": np.zeros(1)})
        with pytest.raises(StorageError, match="do not fit"):
            load_arrays(fresh, dict(list(arrays.items())[1:]))
