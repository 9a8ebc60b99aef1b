"""Tokenizers trained on raw text. The same text gives the same file, byte for byte."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, decoders, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend
from tokenizers.models import BPE, Unigram, WordPiece
from tokenizers.trainers import BpeTrainer

from taesan.errors import DataError, Problem, UsageError
from taesan.text.tokenizer import Tokenizer

KINDS = ("wordpiece", "bpe", "byte-bpe", "unigram")
OBJECTIVES = ("masked", "causal")
CONTROL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
END, PADDING, UNKNOWN = CAUSAL_CONTROL_TOKENS = ("<|endoftext|>", "<|padding|>", "<|unknown|>")
_NAMES = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
_CAUSAL_NAMES = {"bos_token": END, "eos_token": END, "pad_token": PADDING, "unk_token": UNKNOWN}
MARK = "##"
# Runs of syllables, of jamo (ㅋㅋ), of digits, of other letters; everything else stands alone, so that an emoji
# or a rare sign at the end of a word costs itself and not the word.
WORD = r"[가-힣]+|[ㄱ-ㆎ]+|\p{N}+|[\p{L}\p{M}&&[^가-힣ㄱ-ㆎ]]+|[^\s]"
BYTES = 256
MAX_PIECE_CHARACTERS = 16
SEED_FACTOR = 4  # Unigram starts from so many times the pieces that are asked for,
KEPT_FRACTION = 0.7  # and keeps so many of them in each round
BLOCK_WORDS = 65_536


def train_tokenizer(texts: Sequence[str], *, kind: str, size: int, objective: str) -> Tokenizer:
    """A tokenizer of one of KINDS, at most `size` entries, NFC, cased, with the control tokens of `objective`.

    Masked: [PAD] [UNK] [CLS] [SEP] [MASK], ids 0 to 4. Causal: <|endoftext|>, 0, before a text and between two;
    <|padding|>, 1; and <|unknown|>, 2, which byte-bpe has no need of.

    Raises: UsageError for a kind or an objective that there is not, or a size that is too small for the kind;
    DataError where the texts hold no words.
    """
    for name, value, known in (("kind", kind, KINDS), ("objective", objective, OBJECTIVES)):
        if value not in known:
            raise UsageError(f"the tokenizer's {name} is {value!r}; expected one of {', '.join(known)}")
    specials = _specials(kind, objective)
    controls = list(dict.fromkeys(specials.values()))
    least, what = (BYTES, "all bytes") if kind == "byte-bpe" else (1, "a character")
    if size < len(controls) + least:
        raise UsageError(
            f"a vocabulary of {size:,} entries is too small: {kind} needs {len(controls)} for control tokens and "
            f"{least} for {what}; ask for at least {len(controls) + least:,}"
        )
    if not any(text.strip() for text in texts):
        where = "the texts for the tokenizer"
        raise DataError([Problem("empty", where, found="no words", expected="text", fix="Name files that hold text.")])
    backend = _TRAINERS[kind](texts, size, controls, specials.get("unk_token", ""))
    backend.add_special_tokens(controls)  # pyright: ignore[reportUnknownMemberType]
    template = _template(objective)
    own = processors.ByteLevel(add_prefix_space=False, trim_offsets=True)  # offsets without the space before a word
    backend.post_processor = processors.Sequence([own, template]) if kind == "byte-bpe" else template
    # The backbone that comes with the package has a file without a decoder, which stays as it is.
    if (kind, objective) != ("wordpiece", "masked"):
        backend.decoder = _decoder(kind)
    return Tokenizer(backend, specials)


def train_wordpiece(texts: Sequence[str], *, size: int) -> Tokenizer:
    """`train_tokenizer` for WordPiece and masked models."""
    return train_tokenizer(texts, kind="wordpiece", size=size, objective="masked")


# What a kind and an objective fix ------------------------------------------------------------------------------------


def _specials(kind: str, objective: str) -> dict[str, str]:
    if objective == "masked":
        return dict(zip(_NAMES, CONTROL_TOKENS, strict=True))
    return {name: token for name, token in _CAUSAL_NAMES.items() if kind != "byte-bpe" or token != UNKNOWN}


def _template(objective: str) -> processors.PostProcessor:
    if objective == "masked":
        single, pair, tokens = "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)]
    else:
        single, pair, tokens = f"{END} $A", f"{END} $A {END} $B", [(END, 0)]
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=tokens)


def _decoder(kind: str) -> decoders.Decoder:
    if kind == "wordpiece":
        return decoders.WordPiece(prefix=MARK)
    return decoders.ByteLevel() if kind == "byte-bpe" else decoders.Metaspace()


def _new(model: Any, pre_tokenizer: pre_tokenizers.PreTokenizer) -> Backend:
    backend = Backend(model)
    backend.normalizer, backend.pre_tokenizer = normalizers.NFC(), pre_tokenizer
    return backend


def _words() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Split(Regex(WORD), behavior="removed", invert=True)


def _spaced() -> pre_tokenizers.PreTokenizer:
    """Words that begin with the space before them, signs by themselves: no piece can spell "[SEP]" or the like."""
    return pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation("isolated")])


# The four kinds -----------------------------------------------------------------------------------------------------


def _wordpiece(texts: Sequence[str], size: int, controls: list[str], unknown: str) -> Backend:
    """`WordPieceTrainer` gives another vocabulary each time (tokenizers issue 1794). Plain BPE repeats: it is trained
    on the words, the words are encoded with it, and its pieces are counted by whether they open a word. The most
    frequent become the vocabulary, after every character seen twice, so that a known character is never unknown.
    """
    bpe = _new(BPE(), _words())
    words = _count_words(bpe, texts)
    bpe.train_from_iterator(texts, BpeTrainer(vocab_size=size, show_progress=False, min_frequency=2))
    bpe.pre_tokenizer = None
    pieces: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    kinds = sorted(words)
    for word, encoding in zip(kinds, bpe.encode_batch(kinds, add_special_tokens=False), strict=True):
        count = words[word]
        for index, piece in enumerate(encoding.tokens):
            pieces[piece if index == 0 else MARK + piece] += count
        for index, character in enumerate(word):
            characters[character if index == 0 else MARK + character] += count
    vocabulary = list(controls)
    alphabet = [token for token, count in _ranked(characters) if count > 1]
    vocabulary += alphabet[: max(0, size - len(vocabulary))]
    known = set(vocabulary)
    vocabulary += [token for token, _ in _ranked(pieces) if token not in known][: max(0, size - len(vocabulary))]
    ids = {token: index for index, token in enumerate(vocabulary)}
    return _new(WordPiece(ids, unk_token=unknown, continuing_subword_prefix=MARK), _words())


def _bpe(texts: Sequence[str], size: int, controls: list[str], unknown: str) -> Backend:
    """Characters seen twice, the most frequent where not all have room, and merges of them."""
    backend = _new(BPE(unk_token=unknown), _spaced())
    alphabet = _alphabet(_count_words(backend, texts), size - len(controls))
    return _merge(backend, texts, size, controls, alphabet)


def _byte_bpe(texts: Sequence[str], size: int, controls: list[str], unknown: str) -> Backend:
    """The 256 bytes, so that nothing is unknown, and merges of them, as GPT-2 has them."""
    backend = _new(BPE(), pre_tokenizers.ByteLevel(add_prefix_space=False))
    return _merge(backend, texts, size, controls, pre_tokenizers.ByteLevel.alphabet())


def _unigram(texts: Sequence[str], size: int, controls: list[str], unknown: str) -> Backend:
    """A unigram model (Kudo 2018, section 3.2): many seed pieces, whose probabilities are estimated and whose least
    useful are dropped, in turns.

    `UnigramTrainer` adds floats in an order that changes from run to run, and its file with it. Here pieces are
    counted where the best segmentation has them: whole numbers, whose sum has no order. The seed is a BPE.
    """
    words = _count_words(_new(Unigram(), _spaced()), texts)
    room = size - len(controls)
    alphabet = _alphabet(words, room)
    bpe = _new(BPE(), _spaced())
    seed: dict[str, int] = _merge(
        bpe, texts, SEED_FACTOR * room, [], alphabet, longest=MAX_PIECE_CHARACTERS
    ).get_vocab()
    kinds = sorted(word for word, count in words.items() if count > 1) or sorted(words)
    counts = np.array([words[word] for word in kinds])
    scores: dict[str, float] = _log_shares(_count_substrings(seed, kinds, counts))
    kept = frozenset(alphabet)
    while True:
        for _ in range(2):
            scores = _log_shares(_share(_count_best(scores, kinds, counts), scores))
        if len(scores) <= room:
            break
        losses = {piece: _loss(piece, scores) for piece in scores if piece not in kept}
        target = max(room, int(KEPT_FRACTION * len(scores))) - len(kept)
        best = sorted(losses, key=lambda piece: (-losses[piece], piece))[:target]
        scores = {piece: scores[piece] for piece in (*alphabet, *best)}
    scores = _log_shares(_count_best(scores, kinds, counts))
    pieces = [*((token, 0.0) for token in controls), *_ranked(scores)]
    return _new(Unigram(pieces, unk_id=controls.index(unknown), byte_fallback=False), _spaced())


_TRAINERS: dict[str, Callable[[Sequence[str], int, list[str], str], Backend]] = {
    "wordpiece": _wordpiece,
    "bpe": _bpe,
    "byte-bpe": _byte_bpe,
    "unigram": _unigram,
}


# Their parts --------------------------------------------------------------------------------------------------------


def _merge(
    backend: Backend,
    texts: Sequence[str],
    size: int,
    controls: list[str],
    alphabet: list[str],
    *,
    longest: int | None = None,
) -> Backend:
    """The same backend, trained as a BPE over this alphabet alone."""
    trainer = BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=list(controls),
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        max_token_length=longest,
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return backend


def _count_words(backend: Backend, texts: Iterable[str]) -> Counter[str]:
    return Counter(_split(backend, texts))


def _split(backend: Backend, texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for word, _ in backend.pre_tokenizer.pre_tokenize_str(backend.normalizer.normalize_str(text)):
            yield word


def _alphabet(words: Counter[str], room: int) -> list[str]:
    """The characters seen twice (or all, where none was), the most frequent first, at most `room`."""
    characters: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            characters[character] += count
    ranked = _ranked(characters)
    return [character for character, count in ranked if count > 1 or ranked[0][1] == 1][:room]


def _ranked(counts: Mapping[str, float]) -> list[tuple[str, Any]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _log_shares(counts: Mapping[str, float]) -> dict[str, float]:
    """Natural logarithms of the shares, rounded, so that no last bit matters; at least half a time each."""
    total = math.log(max(1, sum(counts.values())))
    return {piece: round(math.log(max(count, 0.5)) - total, 6) for piece, count in counts.items()}


def _count_substrings(pieces: Iterable[str], kinds: list[str], counts: NDArray[np.int64]) -> dict[str, int]:
    """How often each piece stands anywhere in the words."""
    found = dict.fromkeys(sorted(pieces), 0)
    for word, count in zip(kinds, counts.tolist(), strict=True):
        for start in range(len(word)):
            for end in range(start + 1, min(len(word), start + MAX_PIECE_CHARACTERS) + 1):
                if word[start:end] in found:
                    found[word[start:end]] += count
    return found


def _count_best(scores: dict[str, float], kinds: list[str], counts: NDArray[np.int64]) -> dict[str, float]:
    """How often each piece stands in the words' best segmentations."""
    backend = Backend(Unigram([("", 0.0), *scores.items()], unk_id=0, byte_fallback=False))
    totals = np.zeros(len(scores) + 1)
    for start in range(0, len(kinds), BLOCK_WORDS):
        rows = [row.ids for row in backend.encode_batch_fast(kinds[start : start + BLOCK_WORDS])]
        weights = np.repeat(counts[start : start + BLOCK_WORDS], [len(row) for row in rows])
        ids = np.fromiter((number for row in rows for number in row), np.int64, len(weights))
        totals += np.bincount(ids, weights=weights, minlength=len(totals))
    return dict(zip(scores, cast(list[float], totals[1:].tolist()), strict=True))


def _share(counts: dict[str, float], scores: dict[str, float]) -> dict[str, float]:
    """The same counts, after each piece gave its best other spelling what falls to that by their probabilities.

    With counts of best segmentations alone, a stem whose words are pieces themselves would count nothing and go first.
    """
    shared = dict(counts)
    for piece in sorted(scores, key=lambda piece: (-len(piece), piece)):
        parts, score = _other_spelling(piece, scores)
        if parts and shared[piece]:
            moved = shared[piece] / (1 + math.exp(scores[piece] - score))
            shared[piece] -= moved
            for part in parts:
                shared[part] += moved
    return shared


def _loss(piece: str, scores: dict[str, float]) -> float:
    """Likelihood lost without the piece, to the log total: its share times what its best other spelling costs."""
    return math.exp(scores[piece]) * (scores[piece] - _other_spelling(piece, scores)[1])


def _other_spelling(piece: str, scores: dict[str, float]) -> tuple[list[str], float]:
    """The most probable way to spell a piece with others, and its log-probability; nothing for a character."""
    best = [0.0] + [-math.inf] * len(piece)
    opened = [0] * (len(piece) + 1)
    for end in range(1, len(piece) + 1):
        for start in range(end):
            score = scores.get(piece[start:end]) if end - start < len(piece) else None
            if score is not None and best[start] + score > best[end]:
                best[end], opened[end] = best[start] + score, start
    parts: list[str] = []
    end = len(piece)
    while end and best[-1] > -math.inf:
        parts.append(piece[opened[end] : end])
        end = opened[end]
    return parts, best[-1]
