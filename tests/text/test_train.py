"""The same text gives the same tokenizer, byte for byte, and one that knows the characters it was shown."""

import hashlib
import subprocess
import sys

import pytest

from conftest import SENTENCES
from taesan.text.train import CONTROL_TOKENS, MARK, train_wordpiece

CODE = """
import hashlib, random
from conftest import SENTENCES
from taesan.text.train import train_wordpiece
chance = random.Random(0)
words = " ".join(SENTENCES).split()
lines = [" ".join(chance.choices(words, k=8)) for _ in range(400)]
files = train_wordpiece(lines, size=600).files(max_length=64, token_types=True)
print(*(hashlib.sha256(files[name]).hexdigest() for name in sorted(files)))
"""


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
