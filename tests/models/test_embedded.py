"""The backbones that come with the package: whole, small enough, opened by transformers, and of some use."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

import taesan
from taesan import store
from taesan.models.backbone import find
from taesan.models.locate import EMBEDDED_FOLDER
from taesan.verbs.show import describe

POSITIONS = {"bert-mini": 512, "gpt-mini": 1024}
LIMIT_BYTES, ALL_BYTES = 15_000_000, 40_000_000


def test_these_are_all() -> None:
    assert {path.name for path in EMBEDDED_FOLDER.iterdir() if path.is_dir()} == set(POSITIONS)
    files = [path for path in EMBEDDED_FOLDER.rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in files) <= LIMIT_BYTES
    assert sum(path.stat().st_size for path in files) <= ALL_BYTES


@pytest.mark.parametrize("name", POSITIONS)
def test_they_are_whole_and_read_as_far_as_they_say(name) -> None:
    folder = store.Folder(EMBEDDED_FOLDER / name)
    folder.read_all()
    assert folder.manifest["kind"] == "backbone"
    assert taesan.show(f"taesan:{name}") == folder.manifest
    assert " tokens in " in describe(name, folder.manifest)
    assert "~" not in json.dumps(folder.manifest["data"])
    backbone = find(f"taesan:{name}")
    assert backbone.max_length == POSITIONS[name]
    kind = AutoModelForMaskedLM if backbone.kind == "masked" else AutoModelForCausalLM
    model, info = kind.from_pretrained(backbone.path, output_loading_info=True)
    assert not info["missing_keys"] | set(info["unexpected_keys"])
    with torch.inference_mode():
        assert torch.isfinite(model.float()(torch.full((1, POSITIONS[name]), 9)).logits).all()
    text = "정말 재미있는 영화였어요 ㅋㅋ [MASK] <|endoftext|> 👍"
    tokenizer = AutoTokenizer.from_pretrained(backbone.path)
    ids = tokenizer(text)["input_ids"]
    assert ids == backbone.tokenizer.join(backbone.tokenizer.ids([text])[0])[0].tolist()
    if name == "gpt-mini":
        assert tokenizer.decode(ids[1:]) == text


def test_they_have_learnt_some_korean() -> None:
    """What any reader would put there stands among the likeliest of 16,000 and 12,000 pieces."""
    filled = taesan.fill("taesan:bert-mini", "배우들의 [MASK]가 좋았다.", top=10)
    assert "연기" in {candidate.text.strip() for candidate in filled.blanks[0][1]}
    following = taesan.next_words("taesan:gpt-mini", "그는 서울대학교를", top=10)
    assert "졸업" in {candidate.text.strip() for candidate in following.candidates}
