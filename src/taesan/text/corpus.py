"""Raw text as token ids on disk, memory-mapped: memory does not grow with the corpus."""

import json
import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taesan.text.tokenizer import Ids, Tokenizer

BLOCK_LINES = 8192


class Corpus:
    """Lines as tokens, each ended by the separator. `tokens` (N,) and `starts` (lines + 1,), both memory-mapped."""

    def __init__(self, folder: Path):
        facts: dict[str, Any] = json.loads((folder / "corpus.json").read_bytes())
        self.lines: int = facts["lines"]
        self.text_bytes: int = facts["text_bytes"]
        self.tokens: NDArray[Any] = np.memmap(folder / "tokens.bin", dtype=facts["dtype"], mode="r")
        self.starts: NDArray[np.int64] = np.memmap(folder / "starts.bin", dtype=np.int64, mode="r")

    @classmethod
    def write(cls, lines: Iterable[str], tokenizer: Tokenizer, folder: Path) -> "Corpus":
        """Encodes `lines` into `folder`, in blocks; `corpus.json`, written last, says that it is whole."""
        folder.mkdir(parents=True, exist_ok=True)
        dtype = np.uint16 if tokenizer.vocabulary_size <= 1 << 16 else np.uint32
        source, count, place, text_bytes = iter(lines), 0, 0, 0
        with (folder / "tokens.bin").open("wb") as tokens, (folder / "starts.bin").open("wb") as starts:
            np.zeros(1, np.int64).tofile(starts)
            while block := list(islice(source, BLOCK_LINES)):
                rows = tokenizer.ids(block)
                ends = place + np.cumsum([len(row) + 1 for row in rows], dtype=np.int64)
                flat = np.full(int(ends[-1]) - place, tokenizer.separator_id, dtype=dtype)
                for row, end in zip(rows, ends, strict=True):
                    flat[end - 1 - len(row) - place : end - 1 - place] = row
                flat.tofile(tokens)
                ends.tofile(starts)
                count, place = count + len(block), int(ends[-1])
                text_bytes += sum(len(line.encode()) for line in block)
            for file in (tokens, starts):
                file.flush()
                os.fsync(file.fileno())
        facts = {"lines": count, "text_bytes": text_bytes, "dtype": np.dtype(dtype).name}
        (folder / ".corpus.json.new").write_text(json.dumps(facts))
        os.rename(folder / ".corpus.json.new", folder / "corpus.json")
        return cls(folder)

    @classmethod
    def open(cls, folder: Path) -> "Corpus | None":
        """The corpus of `folder`, if one was written there to its end."""
        return cls(folder) if (folder / "corpus.json").exists() else None


class Sequences:
    """Pieces of a corpus as inputs of at most `length` tokens: the class token, text, the separator.

    A line by itself, cut where it is too long; or, `packed`, line after line as they stand, always full.
    """

    def __init__(self, corpus: Corpus, tokenizer: Tokenizer, *, length: int, packed: bool):
        self._tokens = corpus.tokens
        self._prefix = np.array(tokenizer.layout.prefix, dtype=np.int32)
        self._suffix = np.array([tokenizer.separator_id], dtype=np.int32)
        room = length - len(self._prefix) - 1
        if packed:
            total = len(corpus.tokens)
            self._starts = np.arange(0, total, room, dtype=np.int64)
            sizes = np.minimum(room, total - self._starts)
        else:
            sizes_of_lines = np.diff(corpus.starts)
            pieces = -(-sizes_of_lines // room)
            line = np.repeat(np.arange(corpus.lines), pieces)
            piece = np.arange(len(line)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
            self._starts = corpus.starts[:-1][line] + piece * room
            sizes = np.minimum(room, corpus.starts[1:][line] - self._starts)
        keep = sizes > 3  # a word or two by itself teaches nothing
        if keep.any():
            self._starts, sizes = self._starts[keep], sizes[keep]
        self._sizes = sizes.astype(np.int32)
        self.lengths: NDArray[np.int32] = (self._sizes + len(self._prefix) + 1).astype(np.int32)

    def __getitem__(self, index: int) -> Ids:
        start = int(self._starts[index])
        body = np.asarray(self._tokens[start : start + int(self._sizes[index])], dtype=np.int32)
        ended = bool(body[-1] == self._suffix[0])
        return np.concatenate([self._prefix, body] if ended else [self._prefix, body, self._suffix])
