"""What a Parquet file claims, compared with what is there before the library that trusts it allocates a byte.

After parquet.thrift of Apache Parquet. The footer's length, its schema's depth and width, where its chunks lie, how
many rows and values they count, and how much each page will unpack to.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import IO

from taesan.data.columns import MAX_COLUMNS
from taesan.data.files import BOMB_BYTES, BOMB_RATIO
from taesan.data.thrift import Struct, ThriftError, TooShortError, read_struct
from taesan.errors import DataError, Problem, escape

MAGIC, ENCRYPTED_MAGIC = b"PAR1", b"PARE"
# From a codec's number, the packed bytes and how many they unpack to, to these.
Unpack = Callable[[int, bytes, int], bytes]
FOOTER_BYTES = 1 << 24
PAGE_BYTES = 1 << 28
MAX_DEPTH = 32
# Values that one row group may hold in lists, beyond one a row: all may belong to one row.
NESTED_VALUES = 1 << 26
_PAGE_HEADER_BYTES = 1 << 20
_INTEGER_BITS = 63
_REPEATED, _BYTE_ARRAY, _DELTA_BYTE_ARRAY, _UNPACKED = 2, 6, 7, 0


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column of values: its `path`, of which the first part is the name that a person sees."""

    path: tuple[str, ...]
    in_list: bool
    is_text: bool  # or bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """One column's values in one row group, `size_bytes` from `start` on."""

    leaf: Leaf
    start: int
    size_bytes: int
    values: int
    codec: int
    shares: bool  # whether its values may be written by what they share with the one before


@dataclass(frozen=True, slots=True)
class Footer:
    """`names` of the columns, as a person sees them; `groups` of rows: how many, and their chunks."""

    names: list[str]
    leaves: list[Leaf]
    groups: list[tuple[int, list[Chunk]]]
    metadata: dict[str, bytes]

    @property
    def rows(self) -> int:
        return sum(rows for rows, _ in self.groups)


class _Fault(ValueError):
    def __init__(self, code: str, found: str, expected: str, fix: str = "Copy or download it again, or write it anew."):
        super().__init__(code)
        self.code, self.found, self.expected, self.fix = code, found, expected, fix


def read_footer(file: IO[bytes], name: str) -> Footer:
    """
    Raises:
        DataError: the file is cut off or damaged, encrypted, too large or too deep, or its data are elsewhere.
    """
    try:
        return _read_footer(file)
    except _Fault as fault:
        raise DataError([Problem(fault.code, name, 0, 0, "", fault.found, fault.expected, fault.fix)]) from None
    except _ODD as error:
        found = f"a footer that is damaged: {escape(error)}" if isinstance(error, ThriftError) else _FOOTER
        fix = "Copy or download it again, or write it anew."
        raise DataError([Problem("parquet-damaged", name, 0, 0, "", found, "Parquet to the end", fix)]) from None


# What a field is missing, of another kind, or no UTF-8 makes of code that takes it as it should be.
_ODD = (ValueError, KeyError, IndexError, TypeError, AttributeError)
_FOOTER = "a footer that is damaged: a part of it is missing, or of another kind"


def _read_footer(file: IO[bytes]) -> Footer:
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(4)
    file.seek(max(0, size - 8))
    tail = file.read(8)
    if ENCRYPTED_MAGIC in (head, tail[4:]):
        raise _encrypted()
    if size < 12 or tail[4:] != MAGIC:
        shown = f"{size:,} bytes, which end in '{escape(tail[4:].decode('latin-1'))}'"
        raise _Fault("parquet-damaged", shown, "PAR1 at the end: the file is cut off, or joined to another")
    length = int.from_bytes(tail[:4], "little")
    if length > size - 12:
        raise _Fault("parquet-damaged", f"a footer of {length:,} bytes", f"at most the {size - 12:,} that there are")
    if length > FOOTER_BYTES:
        fix = "Write it with larger row groups, or only the columns needed."
        raise _Fault("parquet-limit", f"a footer of {length:,} bytes", f"at most {FOOTER_BYTES:,}", fix)
    file.seek(size - 8 - length)
    footer, _ = read_struct(file.read(length))
    if 8 in footer:
        raise _encrypted()
    names, leaves = _read_schema(footer[2])
    groups = [_read_group(group, leaves, size - 8 - length) for group in footer.get(4, [])]
    if (rows := sum(rows for rows, _ in groups)) != footer[3]:
        raise _Fault("parquet-damaged", f"{rows:,} rows in its row groups", f"the {footer[3]:,} of its footer")
    pairs = {pair[1].decode(): pair.get(2, b"") for pair in footer.get(5, [])}
    return Footer(names, leaves, groups, pairs)


def _encrypted() -> _Fault:
    return _Fault("parquet-encrypted", "an encrypted Parquet file", "one that anybody can read", "Decrypt it first.")


def _read_schema(elements: list[Struct]) -> tuple[list[str], list[Leaf]]:
    """The names of the outermost columns, and the leaves, in the order of the chunks."""
    names, leaves = list[str](), list[Leaf]()
    # (how many are still to come in it, its path, whether it is in a list), from the outermost in
    open_: list[tuple[int, tuple[str, ...], bool]] = [(elements[0].get(5, 0) if elements else 0, (), False)]
    for element in elements[1:]:
        while open_ and open_[-1][0] == 0:
            open_.pop()
        if not open_:
            raise _Fault("parquet-damaged", "a schema with more columns than it counts", "as many as it counts")
        left, path, in_list = open_[-1]
        open_[-1] = (left - 1, path, in_list)
        path, in_list = (*path, element[4].decode()), in_list or element.get(3) == _REPEATED
        if len(path) == 1:
            names.append(path[0])
        if len(path) > MAX_DEPTH:
            found = f"columns more than {MAX_DEPTH} deep in one another"
            raise _Fault("parquet-limit", found, f"at most {MAX_DEPTH}", "Write flat columns.")
        if (children := element.get(5, 0)) < 0:
            raise _Fault("parquet-damaged", f"a column of {children} columns", "0 or more")
        if children:
            open_.append((children, path, in_list))
        else:
            leaves.append(Leaf(path, in_list, element[1] == _BYTE_ARRAY))
        if len(leaves) > MAX_COLUMNS:
            found = f"{sum(5 not in one for one in elements):,} columns"
            raise _Fault("columns-many", found, f"at most {MAX_COLUMNS:,}", "Keep those needed.")
    if not leaves or any(left for left, _, _ in open_):
        raise _Fault("parquet-damaged", "a schema with fewer columns than it counts", "as many as it counts, and some")
    return names, leaves


def _read_group(group: Struct, leaves: list[Leaf], data_bytes: int) -> tuple[int, list[Chunk]]:
    rows, chunks = int(group[3]), list[Chunk]()
    if rows == 0:
        return 0, chunks  # an empty part says what it likes about where its data are
    if len(group[1]) != len(leaves) or rows < 0 or rows.bit_length() > _INTEGER_BITS:
        raise _Fault("parquet-damaged", f"{len(group[1]):,} chunks and {rows:,} rows", f"{len(leaves):,} chunks")
    for column, leaf in zip(group[1], leaves, strict=True):
        if column.get(1):
            found = f"data that are in another file: '{escape(column[1].decode())}'"
            raise _Fault("parquet-elsewhere", found, "all of it in this file", "Name that file itself.")
        if 8 in column or 9 in column:
            raise _encrypted()
        about = column[3]
        start, values, size = min(about.get(11) or about[9], about[9]), about[5], about[7]
        if start < 4 or size < 0 or start + size > data_bytes:
            raise _Fault(
                "parquet-damaged", f"data at bytes {start:,} to {start + size:,}", f"some within {data_bytes:,}"
            )
        if [part.decode() for part in about[3]] != list(leaf.path):
            found = f"a chunk of '{escape(about[3][0].decode())}'"
            raise _Fault("parquet-damaged", found, f"one of '{escape(leaf.path[0])}'")
        if (values < rows if leaf.in_list else values != rows) or values < 0:
            where = f" in '{escape(leaf.path[0])}'"
            raise _Fault("parquet-damaged", f"{values:,} values{where}", f"as many as the {rows:,} rows")
        if values - rows > NESTED_VALUES:
            found, fix = f"{values:,} values in a list column's row group", "Write smaller row groups."
            raise _Fault("parquet-limit", found, f"at most {NESTED_VALUES:,}", fix)
        shares = _DELTA_BYTE_ARRAY in about.get(2, [])
        if shares and leaf.in_list:
            fix = "Write it in another encoding, as pyarrow does if nothing is asked for."
            raise _Fault("parquet-limit", "a list in the encoding DELTA_BYTE_ARRAY", "one that says its size", fix)
        chunks.append(Chunk(leaf, start, size, values, about[4], shares))
    return rows, chunks


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What chunks unpack to: their pages' bytes, and those of the longest value that many rows may have from few."""

    total_bytes: int
    repeated_bytes: int


def check_pages(file: IO[bytes], chunks: Collection[Chunk], name: str, unpack: Unpack) -> Unpacked:
    """Looks at the header of every page of these chunks, and into their dictionaries.

    Raises:
        DataError: a page claims more than it may, or other sizes and counts than its chunk; a dictionary has a value
        twice, which pyarrow would take for one and shift all those behind it.
    """
    total, longest = 0, 0
    for chunk in chunks:
        column = escape(chunk.leaf.path[0])
        try:
            for unpacked, repeated in _read_pages(file, chunk, unpack):
                total += unpacked
                longest = max(longest, unpacked if chunk.shares else repeated)
        except _Fault as fault:
            problem = Problem(fault.code, name, 0, 0, column, fault.found, fault.expected, fault.fix)
            raise DataError([problem]) from None
        except (*_ODD, OSError):
            fix = "Copy or download it again, or write it anew."
            found = "a page that is damaged"
            raise DataError([Problem("parquet-damaged", name, 0, 0, column, found, "a page", fix)]) from None
    return Unpacked(total, longest)


def _read_pages(file: IO[bytes], chunk: Chunk, unpack: Unpack) -> Iterator[tuple[int, int]]:
    """How many bytes each page unpacks to, and the longest value of a dictionary."""
    at, end, values = chunk.start, chunk.start + chunk.size_bytes, 0
    while values < chunk.values:
        header, length = _read_page_header(file, at, end)
        unpacked, packed = int(header[2]), int(header[3])
        if min(unpacked, packed) < 0 or at + length + packed > end:
            raise _Fault("parquet-damaged", f"a page of {packed:,} bytes", f"at most {end - at - length:,}")
        if unpacked > PAGE_BYTES:
            raise _Fault("parquet-limit", f"a page of {unpacked:,} bytes", f"at most {PAGE_BYTES:,}", _SMALLER)
        if unpacked > BOMB_BYTES and unpacked > BOMB_RATIO * max(1, packed):
            shown = f"a page of {packed:,} bytes that unpacks to {unpacked:,}"
            fix = "Look at what it holds with another program."
            raise _Fault("packed-bomb", shown, f"at most {BOMB_RATIO} out of each", fix)
        if chunk.codec == _UNPACKED and unpacked != packed:
            raise _Fault("parquet-damaged", f"{packed:,} bytes that are not packed", f"the {unpacked:,} it claims")
        longest = 0
        if 7 in header and chunk.leaf.is_text:
            file.seek(at + length)
            content = file.read(packed)
            content = unpack(chunk.codec, content, unpacked) if chunk.codec != _UNPACKED else content
            longest = _check_dictionary(content, header[7][1])
        about: Struct = header.get(5) or header.get(8) or Struct()
        if about:
            if about[1] < 0:
                raise _Fault("parquet-damaged", f"a page of {about[1]} values", "0 or more")
            values += about[1]
        yield unpacked, longest
        at += length + packed
    if values != chunk.values:
        raise _Fault("parquet-damaged", f"pages of {values:,} values", f"the {chunk.values:,} that are claimed")


def _check_dictionary(content: bytes, count: int) -> int:
    """How many bytes its longest value has."""
    seen, at = set[bytes](), 0
    for _ in range(count):
        end = at + 4 + int.from_bytes(content[at : at + 4], "little")
        if end > len(content) or at + 4 > len(content):
            raise _Fault("parquet-damaged", "a dictionary that is cut off", f"{count:,} values")
        seen.add(content[at + 4 : end])
        at = end
    if len(seen) < count:
        fix = "Write the file anew; pyarrow and pandas write each value once."
        raise _Fault("parquet-dictionary", "a dictionary that has a value twice", "each value once", fix)
    return max(map(len, seen), default=0)


_SMALLER = "Write it with smaller pages: pyarrow's data_page_size."


def _read_page_header(file: IO[bytes], at: int, end: int) -> tuple[Struct, int]:
    wanted = 256
    while True:
        file.seek(at)
        data = file.read(min(wanted, end - at))
        try:
            return read_struct(data)
        except TooShortError:
            # Some carry the smallest and the largest text of their page.
            if wanted >= _PAGE_HEADER_BYTES or wanted >= end - at:
                raise
            wanted *= 16
