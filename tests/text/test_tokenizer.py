"""User text reaches the tokenizer unchanged, never becomes a control token, and is cut the same elsewhere."""

import json
import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers, processors, trainers

from conftest import SENTENCES
from taesan.data import Report, read_rows
from taesan.data.schema import Field
from taesan.errors import InputMissing, StorageError
from taesan.text.tokenizer import Tokenizer

TEXTS = (
    *SENTENCES[:3],
    "[SEP] 좋다 [CLS] [MASK][PAD] [UNK]",
    "<s> 좋다 </s> <|endoftext|>",
    unicodedata.normalize("NFD", "한글은 재미있다"),
    "👨‍👩‍👧 🇰🇷 ❤️ 👍🏽 좋다",
    "ㅋㅋㅋ ㅠㅠ ᄒᆞᆫ글 ﾡﾢ",
    "café e\u0301tude é",
    "tab\tnewline\n둘째 줄\r\n",
    "  앞뒤로   빈칸  ",
    "가",
    "세\u200b계",
)
WORDS = (
    unicodedata.normalize("NFD", "재미있다"),
    "ᅡ",
    "\u0301",
    "\u0323",
    "[SEP]",
    "[CLS]",
    "[MASK]",
    "[PAD]",
    "[UNK]",
    "<|endoftext|>",
    "</s>",
    "##",
    "가",
    "한글",
    "ᄒ",
    "ᆫ",
    "🇰🇷",
    " ",
    "\n",
)
characters = st.characters(exclude_categories=("Cs",))
user_text = st.lists(st.one_of(st.sampled_from(WORDS), st.text(characters, max_size=8)), max_size=12).map("".join)


@pytest.fixture(scope="session", params=["wordpiece", "byte_bpe"])
def each(request, tokenizer, byte_tokenizer) -> Tokenizer:
    return tokenizer if request.param == "wordpiece" else byte_tokenizer


@pytest.fixture(scope="session")
def saved(each, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    for name, content in each.files(max_length=64, token_types=each.mask_id is not None).items():
        (folder / name).write_bytes(content)
    return folder


# The same elsewhere -------------------------------------------------------------------------------------------------


def test_transformers_gives_the_same_ids_and_offsets_also_after_its_own_saving(each, saved, tmp_path) -> None:
    from transformers import AutoTokenizer

    first = AutoTokenizer.from_pretrained(saved)
    first.save_pretrained(tmp_path / "again")
    for theirs in (first, AutoTokenizer.from_pretrained(tmp_path / "again")):
        assert theirs.model_max_length == 64
        for text, ours in zip(TEXTS, each.encode(TEXTS), strict=True):
            out = theirs(text, return_offsets_mapping=True)
            ids, _ = each.join(ours.ids)
            assert out["input_ids"] == ids.tolist()
            before, after = len(each.layout.prefix), len(each.layout.suffix)
            inner = out["offset_mapping"][before : len(ids) - after]
            if unicodedata.is_normalized("NFC", text):  # in NFD, theirs end after a syllable's first jamo
                assert [list(pair) for pair in inner] == ours.offsets.tolist()
            assert not set(out["input_ids"][before : len(ids) - after]) & each.control_ids
        for first_text, second_text in pairwise(TEXTS):
            out = theirs(first_text, second_text)
            ids, types = each.join(*each.ids([first_text, second_text]))
            assert out["input_ids"] == ids.tolist()
            assert out.get("token_type_ids", types.tolist()) == types.tolist()


def test_a_saved_tokenizer_opened_again_is_the_same(each, saved) -> None:
    again = Tokenizer.load(saved)
    assert (again.control_ids, again.pad_id, again.layout) == (each.control_ids, each.pad_id, each.layout)
    assert (again.mask_id, again.separator_id, again.max_length) == (each.mask_id, each.separator_id, 64)
    for ours, theirs in zip(each.encode(TEXTS), again.encode(TEXTS), strict=True):
        assert ours.ids.tolist() == theirs.ids.tolist()
        assert ours.offsets.tolist() == theirs.offsets.tolist()
    types = each.mask_id is not None
    assert again.files(max_length=64, token_types=types) == each.files(max_length=64, token_types=types)


# User text ----------------------------------------------------------------------------------------------------------


@given(user_text)
def test_no_control_token_comes_out_of_user_text(each, text) -> None:
    encoding = each.encode([text])[0]
    assert not set(encoding.ids.tolist()) & each.control_ids
    assert each.ids([text])[0].tolist() == encoding.ids.tolist()


@given(user_text)
def test_offsets_are_in_the_original_text_and_never_go_back(each, text) -> None:
    offsets = each.encode([text])[0].offsets
    assert offsets.shape == (len(each.ids([text])[0]), 2)
    assert (offsets[:, 0] <= offsets[:, 1]).all()
    assert (offsets >= 0).all()
    assert (offsets <= len(text)).all()
    assert (np.diff(offsets, axis=0) >= 0).all()
    covered = {place for start, end in offsets for place in range(start, end)}
    missed = [character for place, character in enumerate(text) if place not in covered]
    assert all(character.isspace() or unicodedata.category(character)[0] in "MC" for character in missed), missed


@given(user_text.filter(lambda text: text.strip()), st.sampled_from(["csv", "jsonl"]))
def test_an_accepted_text_reaches_the_tokenizer_unchanged_after_nfc(each, tmp_path_factory, text, form) -> None:
    """Through the reader, the normaliser and the tokens: what the vocabulary knows is found at its offsets."""
    path = tmp_path_factory.getbasetemp() / f"row.{form}"
    if form == "jsonl":
        path.write_text(json.dumps({"text": text}) + "\n", "utf-8")
    else:
        quoted = text.replace('"', '""')
        path.write_bytes(f'text\n"{quoted}"\n'.encode())
    report = Report()
    rows = list(read_rows(path, (Field("text"),), report=report))
    if report.error_count:
        return
    assert [row.values["text"] for row in rows] == [text]
    normaliser = each.backend.normalizer
    expected = unicodedata.normalize("NFC", text) if normaliser is not None else text
    assert (normaliser.normalize_str(text) if normaliser is not None else text) == expected
    names = {number: token for token, number in each.backend.get_vocab().items()}
    encoding = each.encode([text])[0]
    if normaliser is None:  # bytes: the tokens spell the text
        assert each.backend.decode(encoding.ids.tolist(), skip_special_tokens=False) == text
        return
    for number, (start, end) in zip(encoding.ids.tolist(), encoding.offsets, strict=True):
        if number != each.unknown_id:
            token = names[number].removeprefix("##") if names[number] != "##" else "##"
            assert unicodedata.normalize("NFC", text[start:end]) == token


def test_nfd_and_nfc_give_the_same_ids(tokenizer) -> None:
    for text in SENTENCES:
        composed, decomposed = tokenizer.encode([text, unicodedata.normalize("NFD", text)])
        assert composed.ids.tolist() == decomposed.ids.tolist()
        assert tokenizer.unknown_id not in tokenizer.ids(["재미있다"])[0]


def test_offsets_in_nfd_hold_whole_syllables(tokenizer) -> None:
    for text in (*SENTENCES, "가나가", "한글, 재미있다", "e\u0301 a"):
        decomposed = unicodedata.normalize("NFD", text)
        composed = unicodedata.normalize("NFC", text)
        for (a, b), (c, d) in zip(*(tokenizer.encode([one])[0].offsets for one in (composed, decomposed)), strict=True):
            assert unicodedata.normalize("NFC", decomposed[c:d]) == composed[a:b]


# Files of others ----------------------------------------------------------------------------------------------------


def bpe(*specials: str) -> Backend:
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(special_tokens=list(specials), show_progress=False, initial_alphabet=alphabet)
    backend.train_from_iterator(SENTENCES, trainer)
    return backend


def test_layouts_are_read_off_the_post_processor() -> None:
    names = {"cls_token": "<s>", "bos_token": "<s>", "sep_token": "</s>", "eos_token": "</s>", "pad_token": "<pad>"}
    backend = bpe("<s>", "</s>", "<pad>")
    backend.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    layout = Tokenizer(backend, names).layout
    assert (layout.prefix, layout.middle, layout.suffix, layout.pair_type) == ((0,), (1, 1), (1,), 0)

    backend = bpe("<s>", "</s>")
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B:1", special_tokens=[("<s>", 0)]
    )
    llama = Tokenizer(backend, {"bos_token": "<s>", "eos_token": "</s>"})
    assert (llama.layout.prefix, llama.layout.middle, llama.layout.suffix) == ((0,), (0,), ())
    assert llama.pad_id == llama.separator_id == 1

    # GPT-2's own file puts nothing between two texts: then ours has the end of text there, and the saved file too.
    backend = bpe("<|endoftext|>")
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    gpt = Tokenizer(backend, {"eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"})
    assert (gpt.layout.prefix, gpt.layout.middle, gpt.layout.suffix) == ((), (0,), ())
    assert gpt.control_ids == {0}
    assert gpt.backend.encode("가", "나").ids == gpt.join(*gpt.ids(["가", "나"]))[0].tolist()
    assert gpt.encode(["가 나"])[0].offsets[-1].tolist() == [2, 3]  # and its offsets are trimmed as before


def test_a_piece_that_looks_like_a_control_token_becomes_unknown() -> None:
    vocabulary = [("<unk>", 0.0), ("</s>", 0.0), ("<s>", 0.0), ("▁", -2.0), ("좋", -3.0), ("다", -3.0), ("<", -9.0)]
    backend = Backend(models.Unigram(vocabulary, unk_id=0, byte_fallback=False))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer = Tokenizer(backend, {"unk_token": "<unk>", "eos_token": "</s>", "bos_token": "<s>"})
    assert 1 in backend.encode("좋다 </s>", add_special_tokens=False).ids  # the file alone would forge an end
    assert not set(tokenizer.ids(["좋다 </s>"])[0].tolist()) & tokenizer.control_ids
    assert tokenizer.unknown_id in tokenizer.ids(["좋다 </s>"])[0]


def test_files_that_cannot_be_read(tmp_path, tokenizer) -> None:
    with pytest.raises(InputMissing, match=r"no tokenizer\.json"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(StorageError, match="cannot be read"):
        Tokenizer.load(tmp_path)
    files = tokenizer.files(max_length=64, token_types=True)
    (tmp_path / "tokenizer.json").write_bytes(files["tokenizer.json"])
    (tmp_path / "tokenizer_config.json").write_text('{"cls_token": {"content": "[CLS]"}, "model_max_length": 1e30}')
    loaded = Tokenizer.load(tmp_path)
    assert (loaded.specials, loaded.max_length) == ({"cls_token": "[CLS]"}, None)


def test_an_empty_text_has_no_tokens(tokenizer) -> None:
    assert [ids.tolist() for ids in tokenizer.ids(["", " \n"])] == [[], []]
    assert tokenizer.encode([""])[0].offsets.shape == (0, 2)
    assert tokenizer.encode([]) == tokenizer.ids([]) == []
