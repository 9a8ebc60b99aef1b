"""Bytes to text, strictly: what is not in the encoding is refused, located, and its encoding guessed."""

import codecs
from collections.abc import Iterator

from taesan.data.report import Report
from taesan.errors import DataError, Problem, UsageError

_SAMPLE_BYTES = 1 << 16
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class UndecodableError(Exception):
    """Bytes that are not in the encoding; the reader of lines knows where that is and makes a `Problem` of it."""

    def __init__(self, found: str, expected: str, fix: str):
        super().__init__(found)
        self.found, self.expected, self.fix = found, expected, fix

    def problem(self, name: str, line: int, column: int) -> Problem:
        return Problem("encoding", name, line, column, "", self.found, self.expected, self.fix)


def codec_name(encoding: str) -> str:
    """The codec's standard name.

    Raises:
        UsageError: there is no such text encoding.
    """
    try:
        "x".encode(encoding)  # unlike an empty string, it tells base64 from a text encoding
        name = codecs.lookup(encoding).name
    except (LookupError, UnicodeError, ValueError) as error:
        raise UsageError(f"--encoding {encoding!a}: no such encoding. Type utf-8, cp949, utf-16, …") from error
    return "utf-8" if name == "utf-8-sig" else name


def decode_blocks(blocks: Iterator[bytes], encoding: str, name: str, report: Report) -> Iterator[str]:
    """The text of the blocks. A byte order mark at the beginning is dropped, and noted.

    Raises:
        UndecodableError: after the text in front of the first byte that is not in the encoding.
        DataError: the beginning shows another encoding.
    """
    codec = codec_name(encoding)
    decoder = codecs.getincrementaldecoder(codec)("strict")
    offset, first, seen = 0, True, b""  # `seen` is what came last, to guess by
    for block in _then_end(blocks):
        if not seen and block:
            _refuse_other_encoding(block, codec, name)
        state = decoder.getstate()
        undecodable = None
        seen += block
        try:
            text = decoder.decode(block, not block)
        except UnicodeError as error:
            # The decoder counts from the bytes of a character that it held back in the block before.
            start = (error.start if isinstance(error, UnicodeDecodeError) else 0) - len(state[0])
            decoder.setstate(state)
            text = _decode_prefix(decoder, block[: max(0, start)])
            place = len(seen) - len(block) + start
            undecodable = _undecodable(codec, offset + start, _read_line_end(seen, place, blocks), place, not block)
        if first and text:
            first = False
            if text.startswith("\ufeff"):
                found = "a byte order mark (BOM) at the beginning, which is not part of the text"
                report.add(Problem("bom", name, 1, found=found, severity="note"))
                text = text[1:]
        yield text
        if undecodable:
            raise undecodable
        offset += len(block)
        seen = seen[-_SAMPLE_BYTES:]


def _then_end(blocks: Iterator[bytes]) -> Iterator[bytes]:
    yield from blocks
    yield b""


def _read_line_end(seen: bytes, start: int, blocks: Iterator[bytes]) -> bytes:
    """What was seen, to the end of the line with the fault: enough to guess by, however the bytes arrive."""
    while (end := seen.find(b"\n", start)) < 0 and len(seen) < start + _SAMPLE_BYTES and (block := next(blocks, b"")):
        seen += block
    return seen if end < 0 else seen[: end + 1]


def _decode_prefix(decoder: codecs.IncrementalDecoder, block: bytes) -> str:
    try:
        return decoder.decode(block)
    except UnicodeError:
        return ""


def _refuse_other_encoding(head: bytes, codec: str, name: str) -> None:
    """A byte order mark, or zero bytes in every second place, say what a strict decoder may take for text."""
    guessed = next((encoding for mark, encoding in _BOMS if head.startswith(mark)), "")
    if not guessed and codec == "utf-8" and b"\0" in head:
        guessed = _guess_wide(head.partition(b"\n")[0])
    if guessed and not codec.startswith(guessed):
        found = f"{guessed} text, as its first bytes {head[:4].hex(' ')} show"
        raise DataError([Problem("encoding", name, 1, 1, "", found, codec, _fix(guessed))])


def _undecodable(codec: str, offset: int, seen: bytes, start: int, at_end: bool) -> UndecodableError:
    bad = seen[start : start + 4]
    found = f"byte 0x{bad[:1].hex()} at offset {offset:,}"
    begin = max(0, start - _SAMPLE_BYTES // 2)
    sample = seen[begin : begin + _SAMPLE_BYTES]
    if begin:  # from a line's beginning, so that no two-byte character is cut
        sample = sample.partition(b"\n")[2] or sample
    guessed = guess_encoding(sample)
    if guessed and guessed != codec:
        return UndecodableError(f"{found}; the text looks like {guessed}", codec, _fix(guessed))
    if codec == "utf-8":
        found += _utf8_fault(bad, at_end)
    if guessed:
        fix = "The text around it is good: mend the damaged bytes, or take the file again."
    else:
        fix = "Save the file as UTF-8, or name its encoding with `--encoding NAME`."
    return UndecodableError(found, codec, fix)


def _utf8_fault(bad: bytes, at_end: bool) -> str:
    if bad[:1] in (b"\xc0", b"\xc1"):
        return " (an overlong form: not UTF-8 but Java's or a forged variant)"
    if bad[:1] == b"\xed" and bad[1:2] >= b"\xa0":
        return " (half of a surrogate pair: CESU-8, not UTF-8)"
    return " (the file ends inside a character)" if at_end else ""


def _fix(guessed: str) -> str:
    if guessed == "utf-8":
        return "Leave `--encoding` away: UTF-8 is what is read without it."
    return f"Type `--encoding {guessed}`, or save the file as UTF-8."


def guess_encoding(sample: bytes) -> str:
    """The likely encoding of a sample that begins at a character, or nothing. Korean comes first."""
    for mark, encoding in _BOMS:
        if sample.startswith(mark):
            return encoding
    if b"\0" in sample and (wide := _guess_wide(sample)):
        return wide
    text = sample.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    foreign = sum(character > "\x7f" for character in text) - damaged
    if foreign > damaged or not damaged:
        return "utf-8"
    for encoding, wanted, share in (
        ("cp949", ("\uac00", "\ud7a3"), 0.5),
        ("shift_jis", ("\u3041", "\u30ff"), 0.3),
        ("euc_jp", ("\u3041", "\u30ff"), 0.3),
        ("gb2312", ("\u4e00", "\u9fff"), 0.7),
        ("cp1252", ("\u00c0", "\u00ff"), 0.7),
    ):
        if _share(sample, encoding, *wanted) >= share:
            return "gb18030" if encoding == "gb2312" else encoding
    return ""


def _share(sample: bytes, encoding: str, first: str, last: str) -> float:
    """How much of what is not ASCII lies between two characters; 0 where the sample does not decode."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeError:
        return 0.0
    foreign = [character for character in text if character > "\x7f"]
    return sum(first <= character <= last for character in foreign) / max(1, len(foreign))


def _guess_wide(sample: bytes) -> str:
    """UTF-16 or UTF-32 without a mark, in either order: the order in which nearly all is ASCII or Hangul."""
    for encoding in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"):
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(sample)
        except UnicodeError:
            continue
        usual = sum("\t" <= c <= "~" or "\uac00" <= c <= "\ud7a3" or "\u3130" <= c <= "\u318f" for c in text)
        if len(text) > 1 and usual >= 0.9 * len(text):
            return encoding
    return ""
