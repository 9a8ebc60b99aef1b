"""What a file is by its first bytes, where it is no text, and which of our formats a text is in."""

from collections.abc import Sequence
from pathlib import Path

from taesan.errors import DataError, Problem

FORMATS = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}

_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a gzip file", "Add .gz to its name."),
    (b"\xfd7zXZ\x00", "an xz file", "Add .xz to its name."),
    (b"BZh", "a bzip2 file", "Unpack it with bunzip2."),
    (b"\x28\xb5\x2f\xfd", "a zstd file", "Unpack it with unzstd."),
    (b"PAR1", "a Parquet file", "Labelled rows are read out of it, but by its name: not packed, not through a pipe."),
    (b"ARROW1", "an Arrow (Feather) file", "Write it as Parquet, CSV or JSON lines."),
    (b"FEA1", "a Feather file of version 1", "Write it as Parquet, CSV or JSON lines."),
    (b"\xff\xff\xff\xff", "an Arrow IPC stream", "Write it as Parquet, CSV or JSON lines."),
    (b"ORC", "an ORC file", "Write it as Parquet, CSV or JSON lines."),
    (b"%PDF-", "a PDF file", "Copy its text into a text file."),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office or HWP file", "Save it as CSV (UTF-8) from its program."),
    (b"SQLite format 3\x00", "an SQLite database", "Export the table as CSV."),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip file", "Unpack it first."),
    (b"Rar!\x1a\x07", "a RAR file", "Unpack it first."),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture", "Name a text file."),
    (b"version https://git-lfs.github.com/", "a Git LFS pointer, not the data", "Fetch the data with `git lfs pull`."),
)


def refuse_binary(head: bytes, name: str) -> None:
    """
    Raises:
        DataError: the first bytes are those of an archive, a table, a page: no text.
    """
    found, fix = next(((kind, fix) for mark, kind, fix in _MAGIC if head.startswith(mark)), ("", ""))
    if head.startswith(b"PK\x03\x04"):
        office = b"[Content_Types].xml" in head or b"xl/" in head
        found = "an Excel (xlsx) or other Office file" if office else "a zip archive"
        fix = "Save it as CSV (UTF-8)." if office else "Unpack it first."
    start = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        found, fix = "an HTML page", "Take the file itself: this may be the page of an error or a login."
    if found:
        raise DataError([Problem("not-text", name, found=found, expected="text", fix=fix)])


def format_by_name(name: str) -> str:
    """`csv`, `tsv` or `jsonl`, by the suffix in front of .gz or .xz; nothing where the suffix says nothing."""
    path = Path(name)
    if path.suffix.lower() in (".gz", ".xz"):
        path = path.with_suffix("")
    return FORMATS.get(path.suffix.lower(), "")


def format_by_content(first_line: str, names: Sequence[str]) -> str:
    """`jsonl`, `tsv` or `csv` by the first line, which for the latter two names a column; else `text`."""
    if first_line.lstrip().startswith(("{", "[{")):
        return "jsonl"
    for delimiter, form in (("\t", "tsv"), (",", "csv")):
        if delimiter in first_line and any(cell.strip('" ') in names for cell in first_line.split(delimiter)):
            return form
    return "text"
