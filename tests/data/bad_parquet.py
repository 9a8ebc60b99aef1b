"""The catalogue's rows of Parquet (P), as pyarrow writes them and, where it would not, byte by byte.

`write_struct` is Thrift's compact protocol, `by_hand` a file of two text columns whose every claim can be another.
"""

import io
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
from bad_inputs import ROWS, Case, table

TEXTS, LABELS = ([row[place] for row in ROWS] for place in (0, 1))
I32, I64 = 5, 6
BYTE_ARRAY, REQUIRED, UTF8 = 6, 0, 0
PLAIN, RLE_DICTIONARY = 0, 8


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def write_value(value: Any) -> tuple[int, bytes]:
    """A value's type and bytes: (I32 or I64, number), text, bytes, a list of one kind, or a struct as a dict."""
    match value:
        case (int(kind), int(number)):
            return kind, varint(number << 1 if number >= 0 else (-number << 1) - 1)
        case str():
            return write_value(value.encode())
        case bytes():
            return 8, varint(len(value)) + value
        case dict():
            return 12, write_struct(value)
        case list():
            items = [write_value(one) for one in value]
            kind = items[0][0] if items else 12
            return 9, bytes([0xF0 | kind]) + varint(len(items)) + b"".join(item for _, item in items)
    raise TypeError(value)


def write_struct(fields: dict[int, Any]) -> bytes:
    out = b""
    for number, value in fields.items():
        kind, content = write_value(value)
        out += bytes([kind]) + write_value((I32, number))[1] + content
    return out + b"\0"


def column(name: str, **more: Any) -> dict[int, Any]:
    return {1: (I32, BYTE_ARRAY), 3: (I32, REQUIRED), 4: name, 6: (I32, UTF8)} | more.get("fields", {})


def with_footer(pages: bytes, footer: dict[int, Any]) -> bytes:
    written = write_struct(footer)
    return b"PAR1" + pages + written + len(written).to_bytes(4, "little") + b"PAR1"


def page(values: int, content: bytes, *, kind: int = 0, encoding: int = PLAIN, claims: int = 0) -> bytes:
    counted = {1: (I32, values), 2: (I32, encoding)}
    about = {7: counted} if kind else {5: counted | {3: (I32, 3), 4: (I32, 3)}}
    sizes = {1: (I32, kind), 2: (I32, claims or len(content)), 3: (I32, len(content))}
    return write_struct(sizes | about) + content


def plain(values: list[bytes]) -> bytes:
    return b"".join(len(value).to_bytes(4, "little") + value for value in values)


def by_hand(
    *,
    texts: list[bytes] | None = None,
    text_pages: bytes = b"",
    codec: int = 0,
    rows: int = len(ROWS),
    group_rows: int = len(ROWS),
    chunk: dict[int, Any] | None = None,
    footer: dict[int, Any] | None = None,
) -> bytes:
    """The rows of the catalogue in two required columns, one page each, with what should be wrong in place of it."""
    written = texts or [text.encode() for text in TEXTS]
    pages = [
        text_pages or page(len(written), plain(written)),
        page(len(LABELS), plain([label.encode() for label in LABELS])),
    ]
    chunks, at = [], 4
    for name, content in zip(("text", "label"), pages, strict=True):
        about = {1: (I32, BYTE_ARRAY), 2: [(I32, PLAIN)], 3: [name], 4: (I32, codec), 5: (I64, group_rows)}
        about |= {6: (I64, len(content)), 7: (I64, len(content)), 9: (I64, at)}
        chunks.append((chunk or {}) | {2: (I64, at), 3: about})
        at += len(content)
    group = {1: [dict(sorted(one.items())) for one in chunks], 2: (I64, at - 4), 3: (I64, group_rows)}
    schema = [{4: "schema", 5: (I32, 2)}, column("text"), column("label")]
    whole = {1: (I32, 2), 2: schema, 3: (I64, rows), 4: [group]} | (footer or {})
    return with_footer(b"".join(pages), whole)


def nested(depth: int) -> bytes:
    """Groups in one another, the text innermost."""
    groups = [{3: (I32, REQUIRED), 4: "text", 5: (I32, 1)} for _ in range(depth)]
    schema = [{4: "schema", 5: (I32, 1)}, *groups, column("text")]
    return with_footer(b"", {1: (I32, 2), 2: schema, 3: (I64, 0), 4: []})


def wide(columns: int) -> bytes:
    schema = [{4: "schema", 5: (I32, columns)}, *(column(f"c{number}") for number in range(columns))]
    return with_footer(b"", {1: (I32, 2), 2: schema, 3: (I64, 0), 4: []})


def written(columns: Any, **options: Any) -> bytes:
    """As pyarrow writes it."""
    out = io.BytesIO()
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), out, **options)
    return out.getvalue()


def with_texts(values: Any, **options: Any) -> bytes:
    return written({"text": values, "label": LABELS}, **options)


def with_labels(values: Any, **options: Any) -> bytes:
    return written({"text": TEXTS, "label": values}, **options)


def changed(content: bytes, at: int, mask: int) -> bytes:
    return content[:at] + bytes([content[at] ^ mask]) + content[at + 1 :]


GOOD = by_hand()
TEXT = TEXTS[1].encode()


def error(name: str, content: Any, code: str, row: int = 0, **more: Any) -> Case:
    return Case(name, "rows.parquet", content, "error", code, (row, 0), **more)


def accepted(name: str, content: Any) -> Case:
    return Case(name, "rows.parquet", content, "accept", text=TEXTS[1], row_line=2)


def damaged_cases() -> Iterator[Case]:
    """What is no whole file, or claims what is not so."""
    yield accepted("P00", GOOD)
    yield accepted("P00-pyarrow", with_texts(TEXTS))
    yield Case("P00-name", "rows.data", GOOD, "accept", text=TEXTS[1], row_line=2)
    yield error("P01", b"", "empty")
    yield error("P02", b"PAR1", "parquet-damaged")
    yield error("P02-both", b"PAR1PAR1", "parquet-damaged")
    yield error("P03", GOOD[:-20], "parquet-damaged")
    yield error("P03-start", b"PAR1" + GOOD[-100:], "parquet-damaged")
    yield error("P04", GOOD[:-8] + (len(GOOD)).to_bytes(4, "little") + b"PAR1", "parquet-damaged")
    yield error("P04-most", GOOD[:-8] + b"\xff\xff\xff\xffPAR1", "parquet-damaged")
    footer = len(GOOD) - 8 - int.from_bytes(GOOD[-8:-4], "little")
    yield error("P05", changed(GOOD, footer, 1), "parquet-damaged")
    yield error("P05-offset", by_hand(chunk={1: "", 8: {}}), "parquet-encrypted")
    at = GOOD.index(TEXT)
    yield error("P06", changed(GOOD, at, 0x40), "encoding", 2)
    yield error("P06-length", changed(GOOD, at - 1, 0x40), "parquet-damaged")
    checked = with_texts(TEXTS, write_page_checksum=True, compression="none", use_dictionary=False)
    yield error("P07", changed(checked, checked.index(plain([TEXT])) + 6, 1), "parquet-damaged")
    yield error("P08", by_hand(codec=99), "parquet-damaged")
    yield error("P08-lzo", by_hand(codec=3), "parquet-damaged")
    yield error("P09", with_texts([*TEXTS[:-1], "a" * 40_000_000], compression="zstd"), "packed-bomb")
    claims = page(len(TEXTS), plain([text.encode() for text in TEXTS]), claims=2**31 - 1)
    yield error("P09-claim", by_hand(text_pages=claims, codec=1), "parquet-limit")
    yield error("P09-false", by_hand(text_pages=claims, codec=0), "parquet-limit")
    repeated = {"text": ["b" * 1_000_000] * 50, "label": ["p", "n"] * 25}
    yield error("P09-dictionary", written(repeated, compression="zstd"), "packed-bomb", 9)
    beginnings = ["c" * 30_000] * 200
    encoded = {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}, "compression": "none"}
    shared = written({"text": beginnings * 4, "label": ["p", "n"] * 400}, **encoded)
    yield error("P09-beginnings", shared, "packed-bomb", 280)
    count = len(ROWS)
    words = page(1, plain([b"a"]), kind=2)
    outside = words + page(count, bytes([8, count << 1, 7]), encoding=RLE_DICTIONARY)
    yield error("P10", by_hand(text_pages=outside), "parquet-damaged")
    several = plain([b"%d" % number for number in range(7)] + [TEXT])
    inside = page(8, several, kind=2) + page(count, bytes([8, count << 1, 7]), encoding=RLE_DICTIONARY)
    yield Case("P10-inside", "rows.parquet", by_hand(text_pages=inside), "warning", "duplicate", (2, 0))
    # pyarrow takes the two for one, and the third value for the second.
    doubled = page(3, plain([TEXT, TEXT, b"other"]), kind=2)
    doubled += page(count, bytes([8, count << 1, 1]), encoding=RLE_DICTIONARY)
    yield error("P22-page", by_hand(text_pages=doubled), "parquet-dictionary")
    yield error("P11", nested(5000), "parquet-limit")
    yield error("P12", wide(10_000), "columns-many")
    yield error("P13", by_hand(rows=0, footer={4: []}), "no-rows")
    yield error("P14", by_hand(rows=7), "parquet-damaged")
    yield error("P14-group", by_hand(rows=7, group_rows=7), "parquet-damaged")
    yield error("P14-most", by_hand(rows=2**62, group_rows=2**62), "parquet-damaged")
    yield error("P14-less", by_hand(rows=3, group_rows=3), "parquet-damaged")
    yield error("P36", b"PARE" + GOOD[4:-4] + b"PARE", "parquet-encrypted")
    yield error("P36-plain-footer", by_hand(footer={8: {1: {}}}), "parquet-encrypted")
    yield error("P36-column", by_hand(chunk={8: {1: {}}}), "parquet-encrypted")
    for name, write in (("P40", "uncompressed"), ("P40-lz4", "lz4")):
        out = io.BytesIO()
        feather.write_feather(pa.table({"text": TEXTS}), out, compression=write)
        yield error(name, out.getvalue(), "not-text")
    out = io.BytesIO()
    with pa.ipc.new_stream(out, pa.schema({"text": pa.string()})) as stream:
        stream.write_table(pa.table({"text": TEXTS}))
    yield error("P40-stream", out.getvalue(), "not-text")
    yield error("P40-orc", b"ORC\n\x03", "not-text")
    yield error("P40-csv", table("csv", ROWS), "parquet-damaged")
    yield Case("P40-stream-name", "rows.arrow", out.getvalue(), "error", "not-text")
    yield error("P41", by_hand(chunk={1: "https://example.org/rows.parquet"}), "parquet-elsewhere")
    content = written({"text": TEXTS, "label": LABELS, "path": ["file:///etc/passwd"] * 6})
    yield Case("P41-text", "rows.parquet", content, "warning", "column-unused", text=TEXTS[1], row_line=2)


def column_cases() -> Iterator[Case]:
    """What a column may be."""
    yield error("P15", with_texts([TEXTS[0], None, *TEXTS[2:]]), "value-null", 2)
    yield error("P15-all", with_texts([None] * len(TEXTS)), "value-null", 1, count=len(TEXTS))
    yield error("P16", with_labels([*LABELS[:3], None, *LABELS[4:]]), "value-null", 4)
    yield error("P17", with_texts([text.encode() for text in TEXTS]), "parquet-binary", 1, count=len(TEXTS))
    yield error("P18", with_texts([b"\xff\xfe"] * len(TEXTS)), "parquet-binary", 1, count=len(TEXTS))
    broken = [text.encode() for text in TEXTS]
    yield error("P19", by_hand(texts=[broken[0], b"\xea\xb0 \xff", *broken[2:]]), "encoding", 2)
    surrogate = [*broken[:4], b"\xed\xa0\x80", broken[5]]
    yield error("P19-surrogate", by_hand(texts=surrogate), "encoding", 5)
    for name in ("large_string", "string_view"):
        yield accepted(f"P20-{name}", with_texts(pa.array(TEXTS, getattr(pa, name)())))
    categories = pa.array(LABELS).dictionary_encode()
    yield Case("P21", "rows.parquet", with_labels(categories), "warning", "label-order", text=TEXTS[1], row_line=2)
    doubled = pa.DictionaryArray.from_arrays([0, 1, 2, 0, 1, 2], ["positive", "negative", "positive"])
    yield Case("P22", "rows.parquet", with_labels(doubled), "warning", "label-order", text=TEXTS[1], row_line=2)
    nothing = pa.DictionaryArray.from_arrays([0, 1, 0, 1, None, 1], ["positive", "negative"])
    yield error("P22-null", with_labels(nothing), "value-null", 5)
    numbers = [1, 0, 0, 1, 0, 1]
    for kind in ("int8", "uint64"):
        yield accepted(f"P23-{kind}", with_labels(pa.array(numbers, getattr(pa, kind)())))
    yield error("P23-long", with_labels([*numbers[:5], 2**60]), "json-number", 6)
    yield error("P23-decimal", with_labels([Decimal(number) for number in numbers]), "parquet-type")
    yield error("P24", with_labels([float(number) for number in numbers]), "parquet-type")
    yield error("P25", with_labels([float("nan")] * 6), "parquet-type")
    yield error("P26", with_labels([number > 0 for number in numbers]), "parquet-type")
    yield error("P27", with_texts(pa.array(numbers, pa.timestamp("ns", "Asia/Seoul"))), "parquet-type")
    yield error("P27-date", with_texts(pa.array(numbers, pa.date32())), "parquet-type")
    yield error("P28", with_texts([[text] for text in TEXTS]), "parquet-type")
    yield error("P29", with_texts([{"ko": text, "path": "x.png"} for text in TEXTS]), "parquet-type")
    pairs = pa.array([[(text, 1)] for text in TEXTS], pa.map_(pa.string(), pa.int64()))
    yield error("P30", with_texts(pairs), "parquet-type")
    twice = pa.Table.from_arrays([pa.array(TEXTS), pa.array(LABELS), pa.array(TEXTS)], ["text", "label", "text"])
    yield error("P31", written(twice), "column-duplicate")
    yield error("P32", written({"title_text": TEXTS, "label": LABELS}), "column-missing")
    yield error("P33", written({"Text": TEXTS, "label": LABELS}), "column-lookalike")
    yield error("P33-beside", written({"text": TEXTS, "Text": TEXTS, "label": LABELS}), "column-lookalike")
    indexed = {"text": TEXTS, "label": LABELS, "__index_level_0__": list(range(6))}
    yield accepted("P34", written(indexed))
    for name, kind in (("P35", "arrow.py_extension_type"), ("P35-json", "arrow.json"), ("P35-unknown", "my.type")):
        about = {"ARROW:extension:name": kind, "ARROW:extension:metadata": b"cos\nsystem\n(S'exit 1'\ntR."}
        about = about if kind != "arrow.json" else about | {"ARROW:extension:metadata": b""}
        schema = pa.schema([pa.field("text", pa.string(), metadata=about), pa.field("label", pa.string())])
        yield error(name, written(pa.table([TEXTS, LABELS], schema=schema)), "parquet-type")
    yield Case("P37", "rows.parquet", Path.mkdir, "missing")
    out = io.BytesIO()
    with pq.ParquetWriter(out, pa.schema({"text": pa.string(), "label": pa.string()})) as writer:
        for start, end in ((0, 2), (2, 2), (2, 6)):
            writer.write_table(pa.table({"text": TEXTS[start:end], "label": LABELS[start:end]}, schema=writer.schema))
    yield accepted("P38", out.getvalue())
    yield error(
        "P38-alone", written({"text": pa.array([], pa.string()), "label": pa.array([], pa.string())}), "no-rows"
    )
    times = {"text": TEXTS, "label": LABELS, "when": pa.array(numbers, pa.timestamp("ns"))}
    old = written(times, use_deprecated_int96_timestamps=True)
    yield Case("P39", "rows.parquet", old, "warning", "column-unused", text=TEXTS[1], row_line=2)
    times = {"text": times["when"], "label": LABELS}
    yield error("P39-text", written(times, use_deprecated_int96_timestamps=True), "parquet-type")


CASES: tuple[Case, ...] = (*damaged_cases(), *column_cases())
