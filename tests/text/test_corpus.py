"""Raw text on disk: the tokens of every line, ended by the separator, and nothing lost when it is cut into inputs."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import SENTENCES
from taesan.text import corpus as corpus_module
from taesan.text.corpus import Corpus, CorpusWriter, NextTokens, Sequences, opens_eojeol

LINES = [*SENTENCES, " ".join(SENTENCES), "가", *reversed(SENTENCES)]


@pytest.fixture(params=[(3, 1 << 22), (8192, 100), (8192, 1 << 22)])
def corpus(request, tokenizer, tmp_path, monkeypatch) -> Corpus:
    """In small and large blocks, in one shard and in many."""
    monkeypatch.setattr(corpus_module, "BLOCK_LINES", request.param[0])
    monkeypatch.setattr(corpus_module, "SHARD_TOKENS", request.param[1])
    assert Corpus.open(tmp_path / "c") is None
    return Corpus.write(iter(LINES), tokenizer, tmp_path / "c", eojeols=True)


def shards(corpus: Corpus):
    return [corpus.shard(number) for number in range(corpus.shards)]


def test_a_corpus_holds_every_line(corpus, tokenizer, tmp_path) -> None:
    expected = [[*ids.tolist(), tokenizer.separator_id] for ids in tokenizer.ids(LINES)]
    assert corpus.lines == len(LINES)
    assert corpus.text_bytes == sum(len(line.encode()) + 1 for line in LINES)
    assert corpus.tokens == sum(map(len, expected))
    parts = shards(corpus)
    assert np.concatenate([shard.tokens for shard in parts]).tolist() == [
        number for line in expected for number in line
    ]
    sizes = [size for shard in parts for size in np.diff(shard.starts).tolist()]
    assert sizes == list(map(len, expected))
    assert all(shard.starts[0] == 0 and shard.starts[-1] == len(shard.tokens) for shard in parts)
    assert parts[0].tokens.dtype == np.uint16
    again = Corpus.open(tmp_path / "c")
    assert again is not None
    assert (again.shards, again.tokens, again.lines) == (corpus.shards, corpus.tokens, corpus.lines)


def test_a_half_written_corpus_is_none(tokenizer, tmp_path) -> None:
    writer = CorpusWriter(tmp_path, tokenizer)
    writer.add("다 쓰지 못했다")
    assert Corpus.open(tmp_path) is None
    writer.close()
    assert Corpus.open(tmp_path)
    CorpusWriter(tmp_path, tokenizer)  # written anew: the old facts no longer hold
    assert Corpus.open(tmp_path) is None


def test_an_empty_corpus(tokenizer, tmp_path) -> None:
    corpus = Corpus.write([], tokenizer, tmp_path)
    assert (corpus.lines, corpus.tokens, corpus.shards, len(corpus.shard(0).tokens)) == (0, 0, 1, 0)


@pytest.mark.parametrize("length", [8, 24, 512])
@pytest.mark.parametrize("packed", [True, False])
def test_sequences_cut_the_corpus_without_loss(corpus, tokenizer, length, packed) -> None:
    sequences = Sequences(shards(corpus), tokenizer, length=length, packed=packed)
    first, last, room = tokenizer.layout.prefix[0], tokenizer.separator_id, length - 2
    bodies = []
    for number, size in enumerate(sequences.lengths):
        ids = sequences[number].tolist()
        assert ids[0] == first
        assert ids[-1] == last
        assert len(ids) <= min(length, size)
        bodies.append(ids[1:-1])
    pieces = []
    for shard in shards(corpus):
        tokens = shard.tokens.tolist()
        if packed:
            pieces += [tokens[start : start + room] for start in range(0, len(tokens), room)]
        else:
            lines = [tokens[a:b] for a, b in zip(shard.starts, shard.starts[1:], strict=False)]
            pieces += [line[start : start + room] for line in lines for start in range(0, len(line), room)]
    # A separator that ends a piece is the input's own; a word or two by itself is left out.
    expected = [piece[:-1] if piece[-1] == last else piece for piece in pieces if len(piece) > 3]
    assert bodies == expected


@pytest.mark.parametrize("length", [5, 24, 512])
def test_every_token_is_the_next_one_once(corpus, tokenizer, length) -> None:
    """By hand, line by line: each token is guessed from those before it in its line, as far as the row goes."""
    rows = NextTokens(shards(corpus), tokenizer, length=length)
    opening, end = tokenizer.layout.prefix[0], tokenizer.separator_id
    expected = [[*ids.tolist(), end] for ids in tokenizer.ids(LINES)]
    labels = [label for number in range(len(rows.lengths)) for label in rows.row(number)[1].tolist()]
    assert labels == [label for line in expected for label in line]
    for number, size in enumerate(rows.lengths):
        inputs, labels, positions = rows.row(number)
        assert len(inputs) == len(labels) == len(positions) == size <= length
        assert positions[0] == 0
        for place in range(1, size):
            if labels[place - 1] == end:
                assert (inputs[place], positions[place]) == (opening, 0)
            else:
                assert (inputs[place], positions[place]) == (labels[place - 1], positions[place - 1] + 1)


def test_the_causal_tokenizer_needs_an_end(tokenizer, corpus, monkeypatch) -> None:
    monkeypatch.setattr(tokenizer, "separator_id", None)
    with pytest.raises(ValueError, match="no token that ends a text"):
        NextTokens(shards(corpus), tokenizer, length=8)


@given(st.lists(st.text("가나다 ab,.1ㅋ👍\u3000", max_size=12), min_size=1, max_size=5))
def test_eojeols_are_those_between_spaces(tokenizer, texts) -> None:
    for text, encoding in zip(texts, tokenizer.encode(texts), strict=True):
        opens = opens_eojeol(text, encoding.offsets)
        words = text.split()
        assert opens.sum() == len(words)
        pieces = np.split(encoding.offsets, np.flatnonzero(opens))[1:]
        assert [text[piece[0, 0] : piece[-1, 1]] for piece in pieces] == words


def test_flags_stand_beside_the_tokens(corpus, tokenizer) -> None:
    for packed in (False, True):
        sequences = Sequences(shards(corpus), tokenizer, length=24, packed=packed)
        for number in range(len(sequences.lengths)):
            ids, opens = sequences[number], sequences.opens(number)[: len(sequences[number])]
            assert opens[0]
            assert opens[np.isin(ids, list(tokenizer.control_ids))].all()
            assert len(opens) == len(ids)


def test_facts_are_written_last(corpus, tmp_path) -> None:
    facts = json.loads((tmp_path / "c" / "corpus.json").read_text())
    assert facts["lines"] == len(LINES)
    assert facts["dtype"] == "uint16"
    assert facts["eojeols"] is True
