"""Raw text on disk: the tokens of every line, ended by the separator, and nothing lost when it is cut into inputs."""

import json

import numpy as np
import pytest

from conftest import SENTENCES
from taesan.text import corpus as corpus_module
from taesan.text.corpus import Corpus, Sequences

LINES = [*SENTENCES, " ".join(SENTENCES), "가", *reversed(SENTENCES)]


@pytest.fixture(params=[3, 8192])
def corpus(request, tokenizer, tmp_path, monkeypatch) -> Corpus:
    monkeypatch.setattr(corpus_module, "BLOCK_LINES", request.param)
    assert Corpus.open(tmp_path / "c") is None
    return Corpus.write(iter(LINES), tokenizer, tmp_path / "c")


def test_a_corpus_holds_every_line(corpus, tokenizer, tmp_path) -> None:
    expected = [[*ids.tolist(), tokenizer.separator_id] for ids in tokenizer.ids(LINES)]
    assert corpus.lines == len(LINES)
    assert corpus.text_bytes == sum(len(line.encode()) for line in LINES)
    assert corpus.tokens.tolist() == [number for line in expected for number in line]
    assert corpus.starts.tolist() == np.cumsum([0, *map(len, expected)]).tolist()
    assert corpus.tokens.dtype == np.uint16
    again = Corpus.open(tmp_path / "c")
    assert again is not None
    assert again.tokens.tolist() == corpus.tokens.tolist()


def test_a_half_written_corpus_is_none(tokenizer, tmp_path) -> None:
    def lines():
        yield from SENTENCES
        raise OSError("the disk has gone")

    with pytest.raises(OSError, match="gone"):
        Corpus.write(lines(), tokenizer, tmp_path)
    assert Corpus.open(tmp_path) is None


@pytest.mark.parametrize("length", [8, 24, 512])
@pytest.mark.parametrize("packed", [True, False])
def test_sequences_cut_the_corpus_without_loss(corpus, tokenizer, length, packed) -> None:
    sequences = Sequences(corpus, tokenizer, length=length, packed=packed)
    first, last, room = tokenizer.layout.prefix[0], tokenizer.separator_id, length - 2
    bodies = []
    for number, size in enumerate(sequences.lengths):
        ids = sequences[number].tolist()
        assert ids[0] == first
        assert ids[-1] == last
        assert len(ids) <= min(length, size)
        bodies.append(ids[1:-1])
    tokens = corpus.tokens.tolist()
    if packed:
        pieces = [tokens[start : start + room] for start in range(0, len(tokens), room)]
    else:
        lines = [tokens[a:b] for a, b in zip(corpus.starts, corpus.starts[1:], strict=False)]
        pieces = [line[start : start + room] for line in lines for start in range(0, len(line), room)]
    # A separator that ends a piece is the input's own; a word or two by itself is left out.
    expected = [piece[:-1] if piece[-1] == last else piece for piece in pieces if len(piece) > 3]
    assert bodies == expected


def test_facts_are_written_last(corpus, tmp_path) -> None:
    facts = json.loads((tmp_path / "c" / "corpus.json").read_text())
    assert facts == {"lines": len(LINES), "text_bytes": corpus.text_bytes, "dtype": "uint16"}
