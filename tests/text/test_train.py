"""The same text gives the same tokenizer, byte for byte, and one that knows the characters it was shown."""

import hashlib
import json
import random
import re
import subprocess
import sys
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import models, trainers

from conftest import SENTENCES
from taesan.errors import DataError, UsageError
from taesan.text.tokenizer import Tokenizer
from taesan.text.train import (
    CAUSAL_CONTROL_TOKENS,
    CONTROL_TOKENS,
    KINDS,
    MARK,
    OBJECTIVES,
    train_tokenizer,
    train_wordpiece,
)

CODE = """
import hashlib, random
from conftest import SENTENCES
from taesan.text.train import KINDS, OBJECTIVES, train_tokenizer
chance = random.Random(0)
words = [*" ".join(SENTENCES).split(), *(chr(0xAC00 + 7 * number) for number in range(90))]
lines = [" ".join(chance.choices(words, k=8)) for _ in range(400)]
for kind in KINDS:
    for objective in OBJECTIVES:
        trained = train_tokenizer(lines, kind=kind, size=600, objective=objective)
        files = trained.files(max_length=64, token_types=objective == "masked")
        print(*(hashlib.sha256(files[name]).hexdigest() for name in sorted(files)))
"""
TEXTS = (
    *SENTENCES[:3],
    "[SEP] 좋다 [CLS] [MASK][PAD] [UNK]",
    "좋다 <|endoftext|><|padding|> <|unknown|>",
    unicodedata.normalize("NFD", "한글은 재미있다"),
    "👨‍👩‍👧 🇰🇷 ❤️ 👍🏽 좋다",
    "ㅋㅋㅋ ㅠㅠ ᄒᆞᆫ글 ﾡﾢ",
    "tab\tnewline\n둘째 줄\r\n",
    "  앞뒤로   빈칸  ",
    "▁밑줄▁",
)
CONTROL_WORDS = (*CONTROL_TOKENS, *CAUSAL_CONTROL_TOKENS)
WORDS = (*CONTROL_WORDS, unicodedata.normalize("NFD", "재미있다"), "ᅡ", "\u0301", "##", "▁", "가", "🇰🇷", " ", "\n")
user_text = st.lists(
    st.one_of(st.sampled_from(WORDS), st.text(st.characters(exclude_categories=("Cs",)), max_size=8)), max_size=12
).map("".join)
EVERY = [(kind, objective) for kind in KINDS for objective in OBJECTIVES]


@pytest.fixture(scope="session", params=EVERY, ids="-".join)
def every(request) -> tuple[str, str, Tokenizer]:
    """Trained on text full of control words, so that pieces which spell them would be worth having."""
    kind, objective = request.param
    texts = [*SENTENCES * 2, *(f"{word} {word}{word}" for word in CONTROL_WORDS for _ in range(50))]
    return kind, objective, train_tokenizer(texts, kind=kind, size=600, objective=objective)


@pytest.fixture(scope="session")
def theirs(every, tmp_path_factory):
    from transformers import AutoTokenizer

    _, objective, trained = every
    folder = tmp_path_factory.mktemp("trained")
    for name, content in trained.files(max_length=64, token_types=objective == "masked").items():
        (folder / name).write_bytes(content)
    return AutoTokenizer.from_pretrained(folder)


def test_two_processes_train_the_same_file() -> None:
    """Each with its own hash seed, and one with several threads."""
    digests = set()
    for seed, parallel in (("1", "false"), ("2", "true"), ("3", "true")):
        environment = {"PYTHONHASHSEED": seed, "TOKENIZERS_PARALLELISM": parallel, "PYTHONPATH": "tests"}
        root = __file__.rsplit("/tests/", 1)[0]
        done = subprocess.run(
            [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=environment, cwd=root
        )
        digests.add(done.stdout)
    assert len(digests) == 1
    assert len(set(done.stdout.splitlines())) == len(EVERY)


def test_vocabulary() -> None:
    trained = train_wordpiece(SENTENCES, size=400)
    vocabulary = trained.backend.get_vocab()
    assert len(vocabulary) == trained.vocabulary_size <= 400
    assert [vocabulary[token] for token in CONTROL_TOKENS] == [0, 1, 2, 3, 4]
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    counts = dict.fromkeys("".join(SENTENCES).replace(" ", ""), 0)
    for character in "".join(SENTENCES).replace(" ", ""):
        counts[character] += 1
    for character, count in counts.items():
        if count > 5:
            assert {character, MARK + character} & vocabulary.keys(), character
    unknown = [ids for ids in trained.ids(SENTENCES) if trained.unknown_id in ids]
    assert len(unknown) < len(SENTENCES) / 2


@pytest.mark.parametrize("size", [8, 40, 400, 4000])
def test_the_size_is_kept(size) -> None:
    trained = train_wordpiece(SENTENCES, size=size)
    assert 5 < trained.vocabulary_size <= size
    assert trained.backend.get_vocab_size() == trained.vocabulary_size


def test_words_are_cut_where_kinds_of_characters_meet() -> None:
    trained = train_wordpiece(SENTENCES * 3, size=4000)
    words = [word for word, _ in trained.backend.pre_tokenizer.pre_tokenize_str("재미있다ㅋㅋ!2024년😀good,좋다")]
    assert words == ["재미있다", "ㅋㅋ", "!", "2024", "년", "😀", "good", ",", "좋다"]


def test_the_digest_is_over_the_whole_file(tokenizer) -> None:
    first, again = (train_wordpiece(SENTENCES, size=400).files(max_length=64, token_types=True) for _ in range(2))
    assert hashlib.sha256(first["tokenizer.json"]).digest() == hashlib.sha256(again["tokenizer.json"]).digest()
    assert first["tokenizer.json"] == tokenizer.files(max_length=64, token_types=True)["tokenizer.json"]


# Every kind, for every objective -------------------------------------------------------------------------------------


def test_control_tokens_come_first_and_stand_where_they_should(every) -> None:
    kind, objective, trained = every
    controls = CONTROL_TOKENS if objective == "masked" else CAUSAL_CONTROL_TOKENS[: 2 if kind == "byte-bpe" else 3]
    assert [trained.backend.token_to_id(token) for token in controls] == list(range(len(controls)))
    layout = trained.layout
    around = (layout.prefix, layout.middle, layout.suffix, layout.pair_type)
    assert around == (((2,), (3,), (3,), 1) if objective == "masked" else ((0,), (0,), (), 0))
    assert trained.pad_id == (0 if objective == "masked" else 1)
    assert trained.separator_id == (3 if objective == "masked" else 0)
    ids = trained.ids(["좋다", "별로"])
    assert trained.backend.encode("좋다", "별로").ids == trained.join(*ids)[0].tolist()


def test_transformers_gives_the_same_ids_and_offsets_for_these(every, theirs) -> None:
    for text in TEXTS:
        assert found_elsewhere(every[2], theirs, text) == found(every[2], text)


@given(text=user_text)
def test_transformers_gives_the_same_ids_and_offsets(every, theirs, text) -> None:
    assert found_elsewhere(every[2], theirs, text) == found(every[2], text)


def found(trained: Tokenizer, text: str) -> tuple[list[int], list[list[int]]]:
    """Ids with the control tokens, and offsets without; none in NFD, where theirs end after a syllable's first jamo."""
    ours = trained.encode([text])[0]
    return trained.join(ours.ids)[0].tolist(), ours.offsets.tolist() if unicodedata.is_normalized("NFC", text) else []


def found_elsewhere(trained: Tokenizer, theirs, text: str) -> tuple[list[int], list[list[int]]]:
    out = theirs(text, return_offsets_mapping=True)
    before, after = len(trained.layout.prefix), len(trained.layout.suffix)
    inner = out["offset_mapping"][before : len(out["input_ids"]) - after]
    return out["input_ids"], [list(pair) for pair in inner] if unicodedata.is_normalized("NFC", text) else []


@given(text=user_text)
def test_no_control_token_comes_out_of_user_text(every, text) -> None:
    trained = every[2]
    ids = trained.ids([text])[0].tolist()
    assert not set(ids) & trained.control_ids
    if every[0] == "byte-bpe":
        assert trained.unknown_id not in ids


@given(text=user_text)
def test_offsets_lie_in_the_text_and_never_go_back(every, text) -> None:
    offsets = every[2].encode([text])[0].offsets
    assert (offsets[:, 0] <= offsets[:, 1]).all()
    assert ((offsets >= 0) & (offsets <= len(text))).all()
    assert (np.diff(offsets, axis=0) >= 0).all()


@given(text=user_text)
def test_bytes_spell_any_text(every, text) -> None:
    kind, _, trained = every
    if kind == "byte-bpe":
        decoded = trained.backend.decode(trained.ids([text])[0].tolist(), skip_special_tokens=False)
        assert decoded == unicodedata.normalize("NFC", text)


def test_decoded_text_can_be_read(every) -> None:
    kind, objective, trained = every
    text = "이 영화는 배우들의 연기가 좋아서 끝까지 재미있게 보았다."
    decoded = trained.backend.decode(trained.ids([text])[0].tolist())
    if (kind, objective) == ("wordpiece", "masked"):  # its file has no decoder: the embedded backbone's stays as it is
        decoded = decoded.replace(f" {MARK}", "").replace(" .", ".")
    assert decoded == text


def test_nfd_gives_the_same_ids(every) -> None:
    trained = every[2]
    for text in SENTENCES:
        composed, decomposed = trained.ids([text, unicodedata.normalize("NFD", text)])
        assert composed.tolist() == decomposed.tolist()


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("kind", KINDS)
def test_any_size_is_kept_and_one_too_small_is_named(kind, objective) -> None:
    controls = 5 if objective == "masked" else 2 if kind == "byte-bpe" else 3
    least = controls + (256 if kind == "byte-bpe" else 1)
    for size in (least, least + 1, least + 30, 5000):
        trained = train_tokenizer(SENTENCES, kind=kind, size=size, objective=objective)
        vocabulary = trained.backend.get_vocab()
        assert len(vocabulary) == trained.vocabulary_size <= size
        assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    for size in (0, controls, least - 1):
        with pytest.raises(UsageError, match=f"{size:,} entries is too small.*at least {least:,}"):
            train_tokenizer(SENTENCES, kind=kind, size=size, objective=objective)


@pytest.mark.parametrize("kind", KINDS)
def test_little_text(kind) -> None:
    """A character or a word is enough for a tokenizer that knows it."""
    for texts in (["가"], ["", "가나다"], [" ", "가 가"]):
        trained = train_tokenizer(texts, kind=kind, size=400, objective="masked")
        encoding = trained.encode([texts[-1]])[0]
        assert len(encoding.ids)
        assert trained.unknown_id not in encoding.ids
    train_tokenizer(["a b c d"], kind=kind, size=400, objective="causal")
    for texts in ([], [""], ["", " \n"]):
        with pytest.raises(DataError, match="no words"):
            train_tokenizer(texts, kind=kind, size=400, objective="masked")


def test_what_there_is_not_is_named() -> None:
    with pytest.raises(UsageError, match="kind is 'words'; expected one of wordpiece, bpe, byte-bpe, unigram"):
        train_tokenizer(SENTENCES, kind="words", size=400, objective="masked")
    with pytest.raises(UsageError, match="objective is 'span'; expected one of masked, causal"):
        train_tokenizer(SENTENCES, kind="bpe", size=400, objective="span")


# Against the library's trainer, and by hand -------------------------------------------------------------------------


def test_unigram_is_as_good_as_the_librarys() -> None:
    """Nats a character of text that neither saw, under each one's own probabilities, and how many tokens."""
    chance = random.Random(3)
    stems = ["".join(chr(0xAC00 + chance.randrange(300)) for _ in range(chance.randint(1, 3))) for _ in range(250)]
    endings = ["은", "는", "이", "가", "에서", "까지", "한다", "했다", "하는", "습니다", ""]
    lines = [
        " ".join(chance.choice(stems) + chance.choice(endings) for _ in range(chance.randint(4, 12))) + "."
        for _ in range(1500)
    ]
    ours = train_tokenizer(lines[:1200], kind="unigram", size=700, objective="masked").backend
    library = Backend(models.Unigram())
    library.normalizer, library.pre_tokenizer = ours.normalizer, ours.pre_tokenizer
    trainer = trainers.UnigramTrainer(
        vocab_size=700, special_tokens=list(CONTROL_TOKENS), unk_token="[UNK]", show_progress=False
    )
    library.train_from_iterator(lines[:1200], trainer)
    (our_nats, our_tokens), (their_nats, their_tokens) = (measure(one, lines[1200:]) for one in (ours, library))
    assert our_nats < their_nats * 1.02
    assert our_tokens < their_tokens * 1.02


def measure(backend: Backend, texts: list[str]) -> tuple[float, int]:
    scores = [score for _, score in json.loads(backend.to_str())["model"]["vocab"]]
    ids = [number for text in texts for number in backend.encode(text, add_special_tokens=False).ids]
    return -sum(scores[number] for number in ids) / sum(map(len, texts)), len(ids)


def test_unigram_scores_are_the_shares_of_its_own_pieces() -> None:
    """Where the estimate has settled: the logarithm of how often a piece is used, over how often any is."""
    texts = [*SENTENCES * 20]
    trained = train_tokenizer(texts, kind="unigram", size=300, objective="masked").backend
    scores = dict(json.loads(trained.to_str())["model"]["vocab"])
    used = Counter(token for text in texts for token in trained.encode(text, add_special_tokens=False).tokens)
    total = sum(used.values())
    off = [abs(scores[token] - np.log(count / total)) for token, count in used.items()]
    assert np.median(off) < 0.05


def test_bpe_merges_the_pair_that_stands_most_often() -> None:
    """The first merges of a text, counted by hand: the pairs' frequencies, again after each merge."""
    texts = ["가나다 가나다 가나 라마 라마 라마 라마 라마"] * 2
    trained = train_tokenizer(texts, kind="bpe", size=400, objective="causal")
    merges = [tuple(pair) for pair in json.loads(trained.backend.to_str())["model"]["merges"]]
    words = Counter("▁" + word for word in re.split(" ", " ".join(texts)))
    pieces = {word: tuple(word) for word in words}
    for left, right in merges:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in words.items():
            for pair in zip(pieces[word], pieces[word][1:], strict=False):
                pairs[pair] += count
        assert pairs[left, right] == max(pairs.values())
        for word, parts in pieces.items():
            joined = "\0".join(parts).replace(f"{left}\0{right}", left + right)
            pieces[word] = tuple(joined.split("\0"))
    assert all(len(parts) == 1 for parts in pieces.values())
