"""Opens a path or a stream as blocks of bytes: refuses what is no ordinary file, unpacks, notices changes.

Errors of the path raise `InputMissing` (exit 66); errors of the content raise `DataError` (65).
"""

import contextlib
import errno
import gzip
import io
import lzma
import os
import stat
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

from taesan.errors import DataError, InputMissing, Problem, StorageError, escape

BLOCK_BYTES = 1 << 18
HEAD_BYTES = 1 << 16
# Gzip shrinks Korean text to a half or a quarter, machine-made rows to a fiftieth; it cannot do more than 1,032 to 1.
BOMB_RATIO = 200
BOMB_BYTES = 1 << 25
PACKED = {".gz": "gzip", ".xz": "xz"}


def read_blocks(path: str | Path) -> Iterator[bytes]:
    """The file's bytes, unpacked where its name ends in .gz or .xz; the first block holds the whole first line.

    Raises:
        InputMissing: the path is not there, or is no ordinary file that can be read.
        DataError: the file is packed otherwise than its name says, or changed while it was read.
        StorageError: the disk failed.
    """
    name = str(path)
    with open_unchanging(path) as file:
        blocks = _read_packed(file, name) if packing(path) else _read_plain(file)
        yield from _join_head(_refuse_virtual(blocks, os.fstat(file.fileno()), name))


@contextlib.contextmanager
def open_unchanging(path: str | Path) -> Generator[IO[bytes]]:
    """An ordinary file to read from, which has to stay as it is until the block ends.

    Raises:
        InputMissing: the path is not there, or is no ordinary file that can be read.
        DataError: the file changed while it was read.
        StorageError: the disk failed.
    """
    name = str(path)
    with _open(path) as file:
        before = os.fstat(file.fileno())
        try:
            yield file
        except OSError as error:
            raise StorageError(f"{escape(name, 4096)}: reading failed: {escape(error.strerror or error)}") from error
        after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            found = f"{before.st_size:,} bytes at the beginning, {after.st_size:,} at the end"
            fix = "Wait until nothing writes to it any more, and run again."
            raise DataError(
                [Problem("changed", name, 0, 0, "", found, "a file that stays as it is while it is read", fix)]
            )


def read_stream_blocks(stream: BinaryIO) -> Iterator[bytes]:
    """What a stream holds, as it comes: an answer need not wait for a whole block."""
    read = cast(io.BufferedReader, stream).read1 if hasattr(stream, "read1") else stream.read
    return _join_head(iter(lambda: read(BLOCK_BYTES), b""))


def packing(path: str | Path) -> str:
    """`gzip`, `xz` or nothing, by the name."""
    return PACKED.get(Path(path).suffix.lower(), "")


def _open(path: str | Path) -> IO[bytes]:
    shown = escape(path, 4096)
    try:
        _refuse_kind(os.stat(path).st_mode, shown)
        file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115
    except FileNotFoundError as error:
        if os.path.islink(path):
            target = escape(os.readlink(path), 4096)
            raise InputMissing(f"{shown}: a link to {target}, which is not there. Mend the link.") from error
        hint = " Nothing matches the pattern." if any(mark in str(path) for mark in "*?[") else ""
        raise InputMissing(f"{shown}: no such file.{hint} Check the name.") from error
    except PermissionError as error:
        raise InputMissing(f"{shown}: may not be read. Give yourself the permission (chmod u+r).") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InputMissing(f"{shown}: a link that leads back to itself. Mend the link.") from error
        raise InputMissing(f"{shown}: cannot be opened: {escape(error.strerror or error)}.") from error
    except ValueError as error:  # a NUL inside the path
        raise InputMissing(f"{shown}: no path of this system: {escape(error)}.") from error
    try:
        _refuse_kind(os.fstat(file.fileno()).st_mode, shown)
    except InputMissing:
        file.close()
        raise
    return file


def _open_without_waiting(name: str, flags: int) -> int:
    # The path may have become a FIFO since it was looked at.
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def _refuse_kind(mode: int, shown: str) -> None:
    if stat.S_ISDIR(mode):
        raise InputMissing(f"{shown}: a folder. Name a file in it.")
    if not stat.S_ISREG(mode):
        kind = "a pipe (FIFO)" if stat.S_ISFIFO(mode) else "a device or a socket"
        raise InputMissing(f"{shown}: {kind}, not an ordinary file. Save its content in a file first.")


def _refuse_virtual(blocks: Iterator[bytes], status: os.stat_result, name: str) -> Iterator[bytes]:
    """Files such as those under /proc claim zero bytes and hold some: they cannot be checked or read twice."""
    for block in blocks:
        if status.st_size == 0:
            raise InputMissing(f"{escape(name, 4096)}: not an ordinary file: zero bytes long, and yet not empty.")
        yield block
        break
    yield from blocks


def _read_plain(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK_BYTES):
        yield block


def _read_packed(file: IO[bytes], name: str) -> Iterator[bytes]:
    kind = packing(name)
    opener = gzip.GzipFile(fileobj=file) if kind == "gzip" else lzma.LZMAFile(file)  # noqa: SIM115
    unpacked = cast("IO[bytes]", opener)
    total = 0
    try:
        while block := unpacked.read(BLOCK_BYTES):
            total += len(block)
            if total > BOMB_BYTES and total > BOMB_RATIO * file.tell():
                found = f"over {BOMB_RATIO} bytes out of each packed one"
                raise DataError([Problem("packed-bomb", name, 0, 0, "", found, "text", "Unpack it yourself and look.")])
            yield block
    except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        why = "it ends too early" if isinstance(error, EOFError) else escape(error)
        found = f"a damaged file after {total:,} unpacked bytes: {why}" if total else f"something else: {why}"
        fix = f"Copy or download it again; `{kind} -t` tells when it is whole."
        raise DataError([Problem("packed-damaged", name, 0, 0, "", found, f"{kind} data to the end", fix)]) from error


def _join_head(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Blocks whose first holds the whole first line (up to 64 KiB), so that it can be looked at."""
    head = b""
    for block in blocks:
        head += block
        if b"\n" in head or len(head) >= HEAD_BYTES:
            break
    if head:
        yield head
    yield from blocks
