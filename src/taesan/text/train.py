"""Tokenizers trained on raw text. The same text gives the same file, byte for byte."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from tokenizers import Regex, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend
from tokenizers.models import BPE, WordPiece
from tokenizers.trainers import BpeTrainer

from taesan.text.tokenizer import Tokenizer

CONTROL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_NAMES = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
MARK = "##"
# Runs of syllables, of jamo (ㅋㅋ), of digits, of other letters; everything else stands alone, so that an emoji
# or a rare sign at the end of a word costs itself and not the word.
WORD = r"[가-힣]+|[ㄱ-ㆎ]+|\p{N}+|[\p{L}\p{M}&&[^가-힣ㄱ-ㆎ]]+|[^\s]"


def train_wordpiece(texts: Sequence[str], *, size: int) -> Tokenizer:
    """A WordPiece tokenizer of at most `size` entries, NFC, cased.

    `WordPieceTrainer` gives another vocabulary each time (tokenizers issue 1794). Plain BPE repeats: it is trained
    on the words, the words are encoded with it, and its pieces are counted by whether they open a word. The most
    frequent become the vocabulary, after every character seen twice, so that a known character is never unknown.
    """
    bpe = Backend(BPE())
    bpe.normalizer, bpe.pre_tokenizer = normalizers.NFC(), _words()
    words = Counter(_split(bpe, texts))
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
    vocabulary = list(CONTROL_TOKENS)
    alphabet = [token for token, count in _ranked(characters) if count > 1]
    vocabulary += alphabet[: max(0, size - len(vocabulary))]
    known = set(vocabulary)
    vocabulary += [token for token, _ in _ranked(pieces) if token not in known][: max(0, size - len(vocabulary))]
    return _assemble(vocabulary)


def _assemble(vocabulary: list[str]) -> Tokenizer:
    model = WordPiece(
        {token: index for index, token in enumerate(vocabulary)}, unk_token="[UNK]", continuing_subword_prefix=MARK
    )
    backend = Backend(model)
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = _words()
    backend.add_special_tokens(list(CONTROL_TOKENS))  # pyright: ignore[reportUnknownMemberType]
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return Tokenizer(backend, dict(zip(_NAMES, CONTROL_TOKENS, strict=True)))


def _words() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Split(Regex(WORD), behavior="removed", invert=True)


def _split(backend: Backend, texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for word, _ in backend.pre_tokenizer.pre_tokenize_str(backend.normalizer.normalize_str(text)):
            yield word


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
