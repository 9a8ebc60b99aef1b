"""Raw text as token ids on disk, in memory-mapped shards: memory does not grow with the corpus."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taesan.text.tokenizer import Ids, Tokenizer

BLOCK_LINES = 8192
SHARD_TOKENS = 1 << 22
FACTS = "corpus.json"
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Shard:
    """Some lines' tokens, each line ended by the separator. Memory-mapped.

    `tokens` (N,); `starts` (lines + 1,), where each line begins; `opens` (N,), whether a token opens an eojeol, where
    that was asked for.
    """

    tokens: NDArray[Any]
    starts: NDArray[np.int64]
    opens: Flags | None


class Corpus:
    """A folder of shards. `tokens` and `lines` are counts, `text_bytes` that of the UTF-8 text with its line ends."""

    def __init__(self, folder: Path):
        facts: dict[str, Any] = json.loads((folder / FACTS).read_bytes())
        self._folder, self._dtype, self._eojeols = folder, facts["dtype"], facts["eojeols"]
        self.lines: int = facts["lines"]
        self.tokens: int = facts["tokens"]
        self.text_bytes: int = facts["text_bytes"]
        self.shards: int = facts["shards"]

    @classmethod
    def write(cls, lines: Iterable[str], tokenizer: Tokenizer, folder: Path, *, eojeols: bool = False) -> "Corpus":
        """The corpus of those lines, in `folder`."""
        writer = CorpusWriter(folder, tokenizer, eojeols=eojeols)
        for line in lines:
            writer.add(line)
        return writer.close()

    @classmethod
    def open(cls, folder: Path) -> "Corpus | None":
        """The corpus of `folder`, if one was written there to its end."""
        return cls(folder) if (folder / FACTS).exists() else None

    def shard(self, number: int) -> Shard:
        """Maps one shard; its memory is given back with it."""

        def mapped(kind: str, dtype: Any) -> NDArray[Any]:
            path = self._folder / f"shard-{number:05}.{kind}"
            return np.memmap(path, dtype=dtype, mode="r") if path.stat().st_size else np.empty(0, dtype)

        opens = mapped("opens", np.bool_) if self._eojeols else None
        return Shard(mapped("tokens", self._dtype), mapped("starts", np.int64), opens)


class CorpusWriter:
    """Encodes lines into a folder of shards, in blocks; its facts, written last, say that it is whole."""

    def __init__(self, folder: Path, tokenizer: Tokenizer, *, eojeols: bool = False):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FACTS).unlink(missing_ok=True)
        self._folder, self._tokenizer, self._eojeols = folder, tokenizer, eojeols
        self._dtype = np.uint16 if tokenizer.vocabulary_size <= 1 << 16 else np.uint32
        self._block: list[str] = []
        self._pieces: list[tuple[Ids, Flags | None]] = []
        self._pending = self._shards = self._lines = self._tokens = self._text_bytes = 0

    def add(self, line: str) -> None:
        self._block.append(line)
        if len(self._block) == BLOCK_LINES:
            self._encode()

    def close(self) -> Corpus:
        """The finished corpus."""
        self._encode()
        if self._pieces or not self._shards:
            self._flush()
        facts = {
            "lines": self._lines,
            "tokens": self._tokens,
            "text_bytes": self._text_bytes,
            "dtype": np.dtype(self._dtype).name,
            "eojeols": self._eojeols,
            "shards": self._shards,
        }
        staged = self._folder / f".{FACTS}.new"
        staged.write_text(json.dumps(facts))
        os.rename(staged, self._folder / FACTS)
        return Corpus(self._folder)

    def _encode(self) -> None:
        self._text_bytes += sum(len(line.encode()) + 1 for line in self._block)
        if self._eojeols:
            encodings = self._tokenizer.encode(self._block)
            rows = [(e.ids, opens_eojeol(line, e.offsets)) for e, line in zip(encodings, self._block, strict=True)]
        else:
            rows = [(ids, None) for ids in self._tokenizer.ids(self._block)]
        for ids, opens in rows:
            self._pieces.append((ids, opens))
            self._pending += len(ids) + 1
            if self._pending >= SHARD_TOKENS:
                self._flush()
        self._block = []

    def _flush(self) -> None:
        ends = np.cumsum([0, *(len(ids) + 1 for ids, _ in self._pieces)], dtype=np.int64)
        tokens = np.full(int(ends[-1]), self._tokenizer.separator_id, dtype=self._dtype)
        opens = np.ones(len(tokens), dtype=np.bool_)
        for (ids, flags), start in zip(self._pieces, ends, strict=False):
            tokens[start : start + len(ids)] = ids
            if flags is not None:
                opens[start : start + len(ids)] = flags
        parts: dict[str, NDArray[Any]] = {"tokens": tokens, "starts": ends}
        if self._eojeols:
            parts["opens"] = opens
        for kind, array in parts.items():
            with (self._folder / f"shard-{self._shards:05}.{kind}").open("wb") as file:
                array.tofile(file)
                file.flush()
                os.fsync(file.fileno())
        self._lines += len(self._pieces)
        self._tokens += len(tokens)
        self._shards += 1
        self._pieces, self._pending = [], 0


def opens_eojeol(text: str, offsets: Ids) -> Flags:
    """Whether each token opens an eojeol (a word between spaces): no space stands between it and the text before it."""
    opens = np.ones(len(offsets), dtype=np.bool_)
    for place, (start, end) in enumerate(offsets):
        part = text[start:end]
        spaced = start == 0 or part[:1].isspace() or text[start - 1].isspace()
        opens[place] = spaced and not (place and offsets[place - 1][0] == start)
    return opens


class Sequences:
    """Pieces of shards as inputs of at most `length` tokens: the class token, text, the separator.

    A line by itself, cut where it is too long; or, `packed`, line after line as they stand, always full.
    """

    def __init__(self, shards: Sequence[Shard], tokenizer: Tokenizer, *, length: int, packed: bool):
        self._shards = shards
        self._prefix = np.array(tokenizer.layout.prefix, dtype=np.int32)
        self._suffix = np.array([tokenizer.separator_id], dtype=np.int32)
        room = length - len(self._prefix) - 1
        parts = [_packed(shard, room) if packed else _by_line(shard, room) for shard in shards]
        self._starts, sizes = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        self._shard = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
        keep = sizes > 3  # a word or two by itself teaches nothing
        if keep.any():
            self._starts, self._shard, sizes = self._starts[keep], self._shard[keep], sizes[keep]
        self._sizes = sizes.astype(np.int32)
        self.lengths: NDArray[np.int32] = (self._sizes + len(self._prefix) + 1).astype(np.int32)

    def __getitem__(self, index: int) -> Ids:
        body = self._cut(self._shards[int(self._shard[index])].tokens, index, np.int32)
        ended = bool(body[-1] == self._suffix[0])
        return np.concatenate([self._prefix, body] if ended else [self._prefix, body, self._suffix])

    def opens(self, index: int) -> Flags:
        """Whether each token of input `index` opens an eojeol; control tokens stand alone. (T,)"""
        opens = self._shards[int(self._shard[index])].opens
        if opens is None:
            raise ValueError("this corpus was written without eojeols")
        flags = np.ones(len(self[index]), dtype=np.bool_)
        body = self._cut(opens, index, np.bool_)
        flags[len(self._prefix) : len(self._prefix) + len(body)] = body
        return flags

    def _cut(self, array: NDArray[Any], index: int, dtype: Any) -> NDArray[Any]:
        start = int(self._starts[index])
        return np.asarray(array[start : start + int(self._sizes[index])], dtype=dtype)


def _packed(shard: Shard, room: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    starts = np.arange(0, len(shard.tokens), room, dtype=np.int64)
    return starts, np.minimum(room, len(shard.tokens) - starts)


def _by_line(shard: Shard, room: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    pieces = -(-np.diff(shard.starts) // room)
    line = np.repeat(np.arange(len(pieces)), pieces)
    piece = np.arange(len(line)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    starts = shard.starts[:-1][line] + piece * room
    return starts, np.minimum(room, shard.starts[1:][line] - starts)


class NextTokens:
    """Shards as rows of `length` tokens to guess, each from those before it in its own line.

    `row(i)`: `input_ids`, `labels` and `position_ids`, (T,) each. Every token of every line is a label once, the
    separator that ends the line included; the input before a line's first token is the layout's opening token.
    Positions begin anew with every line, so that lines packed into one row do not see each other.
    """

    def __init__(self, shards: Sequence[Shard], tokenizer: Tokenizer, *, length: int):
        if tokenizer.separator_id is None:
            raise ValueError("the tokenizer has no token that ends a text")
        self._shards, self._separator = shards, tokenizer.separator_id
        self._opening = tokenizer.layout.prefix[0] if tokenizer.layout.prefix else tokenizer.separator_id
        parts = [_packed(shard, length) for shard in shards]
        self._starts, sizes = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        self._shard = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
        self.lengths: NDArray[np.int32] = sizes.astype(np.int32)

    def row(self, index: int) -> tuple[Ids, Ids, Ids]:
        tokens, start = self._shards[int(self._shard[index])].tokens, int(self._starts[index])
        labels = np.asarray(tokens[start : start + int(self.lengths[index])], dtype=np.int32)
        before = self._separator if start == 0 else int(tokens[start - 1])
        inputs = np.concatenate([[before], labels[:-1]]).astype(np.int32)
        opening = inputs == self._separator
        opening[0] = True
        place = np.arange(len(inputs), dtype=np.int32)
        positions = place - np.maximum.accumulate(np.where(opening, place, 0))
        return np.where(inputs == self._separator, np.int32(self._opening), inputs), labels, positions.astype(np.int32)
