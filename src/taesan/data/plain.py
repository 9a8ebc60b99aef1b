"""Raw text for pretraining: a text a line."""

from collections.abc import Iterator
from pathlib import Path

from taesan.data.characters import is_blank
from taesan.data.encoding import decode_blocks
from taesan.data.files import read_blocks
from taesan.data.jsonl import bom_inside
from taesan.data.kinds import refuse_binary
from taesan.data.lines import split_lines
from taesan.data.report import Report
from taesan.data.values import check_characters
from taesan.errors import DataError, Problem


def read_lines(
    path: str | Path, *, report: Report, encoding: str = "utf-8", limit_bytes: int = 0
) -> Iterator[tuple[int, str]]:
    """Each line that holds text, with its number, exactly as it is; .gz and .xz are unpacked on the way.

    Lines that cannot be taken are added to `report` and left out. `limit_bytes` of UTF-8 text end the reading
    (0: the whole file).

    Raises:
        InputMissing: the path is not there, or is no ordinary file that can be read.
    """
    name, taken_bytes, taken = str(path), 0, 0
    try:
        texts = decode_blocks(refuse_kinds(read_blocks(path), name), encoding, name, report)
        for line, text, _ in split_lines(texts, name, report):
            if is_blank(text):
                continue
            taken += 1
            if text.startswith("\ufeff"):
                report.add(bom_inside(name, line, "warning"))
            if not check_characters(text, line, name, "", report):
                continue
            yield line, text
            if limit_bytes:
                taken_bytes += len(text.encode()) + 1
                if taken_bytes >= limit_bytes:
                    return
        if not taken:
            report.add(empty_file(name))
    except DataError as error:
        for problem in error.problems:
            report.add(problem)


def refuse_kinds(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """The same blocks, whose first is that of a text.

    Raises:
        DataError: it is an archive, a table or a page.
    """
    for head in blocks:
        refuse_binary(head, name)
        yield head
        break
    yield from blocks


def empty_file(name: str) -> Problem:
    return Problem("empty", name, found="an empty file", expected="text", fix="Name a file that holds rows.")
