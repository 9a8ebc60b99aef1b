"""A `tokenizer.json` as the tasks use it: user text is always plain text, control tokens are placed by us alone."""

import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding as BackendEncoding
from tokenizers import Tokenizer as Backend
from tokenizers import processors

from taesan.errors import InputMissing, StorageError

Ids = NDArray[np.int32]
SPECIAL_NAMES = ("unk_token", "cls_token", "sep_token", "pad_token", "mask_token", "bos_token", "eos_token")
FILES = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True, slots=True)
class Encoding:
    """A text as tokens. `ids` (T,); `offsets` (T, 2), half-open, in code points of the original string."""

    ids: Ids
    offsets: Ids


@dataclass(frozen=True, slots=True)
class Layout:
    """Where control tokens stand: before the first text, between two texts, after the last."""

    prefix: tuple[int, ...]
    middle: tuple[int, ...]
    suffix: tuple[int, ...]
    pair_type: int  # token type of the second text; 0 in models without token types

    @property
    def single_tokens(self) -> int:
        return len(self.prefix) + len(self.suffix)

    @property
    def pair_tokens(self) -> int:
        return self.single_tokens + len(self.middle)


class Tokenizer:
    """Text to ids. `control_ids` never come out of user text, whatever it contains."""

    def __init__(self, backend: Backend, specials: dict[str, str], *, max_length: int | None = None):
        """`specials` by transformers' names (`cls_token`, …); `max_length`, the longest input in tokens, if known."""
        self.backend, self.specials, self.max_length = backend, specials, max_length
        self.vocabulary_size = backend.get_vocab_size(with_added_tokens=True)
        self._ids = {name: backend.token_to_id(token) for name, token in specials.items()}
        self.unknown_id: int | None = self._ids.get("unk_token")
        self.mask_id: int | None = self._ids.get("mask_token")
        ending = self._ids.get("eos_token")
        self.separator_id: int | None = self._ids.get("sep_token", ending)
        self.pad_id: int = next((i for i in (self._ids.get("pad_token"), ending, self.unknown_id) if i is not None), 0)
        # GPT-2's unknown token is its end of text: then that stays a control token.
        self.control_ids = frozenset(i for name, i in self._ids.items() if i is not None and name != "unk_token")
        # Text that looks like "[SEP]" is split like any other text (FACTS: it would forge a pair boundary).
        backend.encode_special_tokens = True
        backend.no_truncation()
        backend.no_padding()
        self.layout = self._find_layout()
        self._mark = _mark(backend)

    @classmethod
    def load(cls, folder: str | Path) -> "Tokenizer":
        """The tokenizer of a model folder.

        Raises: InputMissing where there is no tokenizer.json, StorageError where it cannot be read.
        """
        folder = Path(folder)
        contents: dict[str, bytes] = {}
        for name in FILES:
            try:
                contents[name] = (folder / name).read_bytes()
            except FileNotFoundError:
                if name == FILES[0]:
                    raise InputMissing(f"{folder} has no tokenizer.json; is it a model folder?") from None
        return cls.from_bytes(contents, str(folder))

    @classmethod
    def from_bytes(cls, contents: dict[str, bytes], name: str) -> "Tokenizer":
        """The same from files already read (and verified)."""
        try:
            backend = Backend.from_buffer(contents[FILES[0]])
            config: dict[str, Any] = json.loads(contents.get(FILES[1], b"{}"))
        except Exception as error:  # tokenizers raises bare Exception
            raise StorageError(f"the tokenizer of {name} cannot be read: {error}") from None
        specials: dict[str, str] = {}
        for key in SPECIAL_NAMES:
            value: Any = config.get(key)
            token: Any = value.get("content") if isinstance(value, dict) else value  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            if isinstance(token, str) and backend.token_to_id(token) is not None:
                specials[key] = token
        value = config.get("model_max_length")
        known = isinstance(value, int | float) and 0 < value < 1_000_000  # unknown: transformers writes 10 to the 30
        return cls(backend, specials, max_length=int(value) if known else None)

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Each text's tokens, without control tokens, at full length."""
        encodings = self.backend.encode_batch(list(texts), add_special_tokens=False)
        return [self._plain(encoding, text) for encoding, text in zip(encodings, texts, strict=True)]

    def ids(self, texts: Sequence[str]) -> list[Ids]:
        """Each text's token ids alone: faster where offsets are not asked for."""
        encodings = self.backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [self._plain_ids(encoding) for encoding in encodings]

    def ids_after(self, text: str) -> Ids:
        """The ids of `text` as it stands right behind a word: in WordPiece, 는 of 영화는 is another piece than 는.

        It is encoded behind one letter after another, until one stays a piece of its own.
        """
        for word in "" if text[:1].isspace() else _WORDS["가" <= text[:1] <= "힣"]:
            alone, joined = self.ids([word, word + text])
            apart = np.array_equal(joined[: len(alone)], alone)
            if apart and self.unknown_id not in alone:
                return joined[len(alone) :]
        return self.ids([text])[0]

    def text(self, ids: Sequence[int]) -> str:
        """Ids as they read together; bytes that are no whole character as U+FFFD."""
        return self.backend.decode(list(ids), skip_special_tokens=False)

    def token(self, number: int) -> str:
        """The vocabulary's own spelling of an id."""
        return self.backend.id_to_token(number) or ""

    def piece(self, number: int) -> str:
        """An id as it reads, after a space where it opens a word; bytes that are no whole character as `<ED>`."""
        token = self.token(number)
        if number in self.control_ids or number == self.unknown_id:
            return token
        if self._mark == "Ġ":
            codes = bytes(_BYTES.get(character, 0x3F) for character in token)
            return "".join(part if ok else f"<{part}>" for ok, part in _decoded(codes))
        if self._mark == "▁":
            return token.replace("▁", " ")
        return token.removeprefix(self._mark) if self._mark and token.startswith(self._mark) else " " + token

    def join(self, first: Ids, second: Ids | None = None) -> tuple[Ids, Ids]:
        """`input_ids` and `token_type_ids` (T,), with the control tokens of the layout around one or two texts."""
        layout = self.layout
        if second is None:
            ids = np.concatenate([layout.prefix, first, layout.suffix]).astype(np.int32)
            return ids, np.zeros_like(ids)
        ids = np.concatenate([layout.prefix, first, layout.middle, second, layout.suffix]).astype(np.int32)
        types = np.zeros_like(ids)
        types[len(layout.prefix) + len(first) + len(layout.middle) :] = layout.pair_type
        return ids, types

    def files(self, *, max_length: int, token_types: bool) -> dict[str, bytes]:
        """`tokenizer.json` and a config with which transformers gives the same ids, control words split there too.

        The class is the one that takes tokenizer.json as it stands: others rebuild it and forget its normaliser.
        """
        inputs = ["input_ids", "token_type_ids", "attention_mask"] if token_types else ["input_ids", "attention_mask"]
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": max_length,
            "model_input_names": inputs,
            "split_special_tokens": True,
            "clean_up_tokenization_spaces": False,
            "pad_token": self.backend.id_to_token(self.pad_id),  # GPT-2 names none, and a batch needs one
            **self.specials,
        }
        return {
            FILES[0]: self.backend.to_str().encode(),
            FILES[1]: (json.dumps(config, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode(),
        }

    def _plain(self, encoding: BackendEncoding, text: str) -> Encoding:
        offsets = np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2)
        if not unicodedata.is_normalized("NFC", text):
            _cover_joined(offsets, text)
        return Encoding(self._plain_ids(encoding), offsets)

    def _plain_ids(self, encoding: BackendEncoding) -> Ids:
        ids = np.array(encoding.ids, dtype=np.int32)
        # A foreign Unigram vocabulary may still hold "</s>" as a piece: such a piece of user text becomes unknown.
        if not self.control_ids.isdisjoint(encoding.ids):
            ids[np.isin(ids, list(self.control_ids))] = self.unknown_id if self.unknown_id is not None else self.pad_id
        return ids

    def _find_layout(self) -> Layout:
        """Read off what the file's own post-processor puts around one text and around two."""
        words = (i for i in range(self.vocabulary_size) if i not in self.control_ids and i != self.unknown_id)
        probe = next(words, None)
        if probe is None:
            raise StorageError("the tokenizer knows no words: its vocabulary holds control tokens alone")
        first = self.backend.encode(self.backend.id_to_token(probe) or "", add_special_tokens=False)
        if not first.ids:
            return Layout((), self._separator(), (), 0)
        single = self.backend.post_process(first, None, add_special_tokens=True)
        pair = self.backend.post_process(first, first, add_special_tokens=True)
        start = single.special_tokens_mask.index(0)  # the text's place; without it, the file has no such token
        end = start + len(first.ids)
        second = pair.special_tokens_mask.index(0, end)
        before, between, after = single.ids[:start], pair.ids[end:second], single.ids[end:]
        layout = Layout(tuple(before), tuple(between), tuple(after), pair.type_ids[second])
        if layout.middle or not self._separator():
            return layout
        return self._separate(replace(layout, middle=self._separator()))

    def _separate(self, layout: Layout) -> Layout:
        """The same, after the file was made to put a separator between two texts: GPT-2's own joins them bare."""
        names = {i: str(self.backend.id_to_token(i)) for i in (*layout.prefix, *layout.middle, *layout.suffix)}
        before, between, after = ([names[i] for i in part] for part in (layout.prefix, layout.middle, layout.suffix))
        kind = layout.pair_type
        template = processors.TemplateProcessing(
            single=[*before, "$A", *after],
            pair=[*before, "$A", *between, f"$B:{kind}", *(f"{token}:{kind}" for token in after)],
            special_tokens=[(token, i) for i, token in names.items()],
        )
        own = self.backend.post_processor
        keep = own is not None and not before and not after  # it mends offsets, and adds no tokens of its own
        self.backend.post_processor = processors.Sequence([own, template]) if keep else template
        return layout

    def _separator(self) -> tuple[int, ...]:
        return () if self.separator_id is None else (self.separator_id,)


def _mark(backend: Backend) -> str:
    """How the vocabulary tells pieces that open a word: Ġ and ▁ stand before them, WordPiece's ## before the others."""
    file: dict[str, Any] = json.loads(backend.to_str())
    steps = json.dumps([file.get("pre_tokenizer"), file.get("decoder")])
    if '"ByteLevel"' in steps:
        return "Ġ"
    if '"Metaspace"' in steps or "▁" in steps:
        return "▁"
    return str(file["model"].get("continuing_subword_prefix") or "")


def _decoded(codes: bytes) -> Iterator[tuple[bool, str]]:
    """UTF-8 as whole characters, and each byte that is part of none in hexadecimal digits."""
    while codes:
        try:
            yield True, codes.decode()
            return
        except UnicodeDecodeError as error:
            if error.start:
                yield True, codes[: error.start].decode()
            yield False, f"{codes[error.start]:02X}"
            codes = codes[error.start + 1 :]


def _byte_alphabet() -> dict[str, int]:
    """The letter that stands for each byte in byte-level vocabularies (Radford et al. 2019, its reference code)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [code for code in range(0x100) if code not in set(plain)]
    return {chr(code): code for code in plain} | {chr(0x100 + place): code for place, code in enumerate(others)}


_BYTES = _byte_alphabet()
_WORDS = {True: "가쌍뛰흙곰", False: "qzxkv"}  # by whether the text after it is Hangul


def _cover_joined(offsets: Ids, text: str) -> None:
    """Lengthens offsets over what NFC joined to a character: the library lets a syllable end after its first jamo."""
    following = len(text)
    for place in range(len(offsets) - 1, -1, -1):
        start, end = map(int, offsets[place])
        while end < following and _joins(text[end]):
            end += 1
        offsets[place, 1], following = end, start


def _joins(character: str) -> bool:
    jamo = "\u1160" <= character <= "\u11ff" or "\ud7b0" <= character <= "\ud7fb"  # vowels and final consonants
    return jamo or unicodedata.category(character) in ("Mn", "Mc")
