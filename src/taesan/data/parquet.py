"""Parquet files as objects, a row each, as JSON lines would have given them; no more than a batch is in memory.

path → footer and pages, checked (footer) → batches (pyarrow) → objects. Only the columns that are needed are read. What
is repeated in the file by a number must not fill the memory here: a batch has fewer rows the longer such a text may be,
and in lists, of which one row may have millions, texts stay in dictionaries until they are asked for.
"""

import binascii
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from taesan.data.columns import find_column, find_lookalike, missing_column, note_unused
from taesan.data.entity_json import TAGS, TOKENS
from taesan.data.files import BOMB_RATIO, open_unchanging, packing
from taesan.data.footer import ENCRYPTED_MAGIC, MAGIC, Footer, check_pages, read_footer
from taesan.data.jsonl import Float, Integer, Object, parse_object
from taesan.data.kinds import refuse_binary
from taesan.data.lines import LINE_CHARACTERS
from taesan.data.report import Report
from taesan.data.schema import Field
from taesan.errors import DataError, Problem, UsageError, escape

BATCH_ROWS = 1024
BATCH_BYTES = 1 << 24
# So many may come out of the smallest file.
REPEATED_CHARACTERS = 1 << 23
# Columns that the readers of entities and answers know beside the fields.
_KNOWN = {"entities": ("id", TOKENS.name, *TOKENS.aliases, *TAGS), "answers": ("is_impossible",)}
_INDEX = "__index_level_"
_EXTENSION = b"ARROW:extension:name"
_SHOWN = 10
_CODECS = {1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}
_OLD_LZ4 = 5
_WRITE_TEXT = "Write it as strings: in pandas `df[NAME].astype(str)`, in pyarrow `.cast(pa.string())`."


def is_parquet(path: str | Path, format: str | None = None) -> bool:
    """Whether the user, the name or the first bytes say that it is a Parquet file.

    Raises:
        InputMissing: the path is not there, or is no ordinary file that can be read.
    """
    if format is not None or packing(path):
        return format == "parquet"
    if Path(path).suffix.lower() == ".parquet":
        return True
    with open_unchanging(path) as file:
        return file.read(len(MAGIC)) in (MAGIC, ENCRYPTED_MAGIC)


def read_parquet(
    path: str | Path, fields: Sequence[Field], columns: Mapping[str, str], report: Report
) -> Iterator[Object]:
    """The needed columns of every row, with its number; a row with an error is reported and left out.

    Integers of a Hugging Face ClassLabel come as its names.

    Raises:
        InputMissing: the path is not there, or is no ordinary file that can be read.
        DataError: it is no Parquet file, or one that cannot be read, or its columns are not those of the fields.
        UsageError: pyarrow is not installed.
    """
    name = str(path)
    with open_unchanging(path) as file:
        _refuse_other(file, name)
        footer = read_footer(file, name)
        wanted = _choose(footer.names, fields, columns, name, report)
        if b"py_extension_type" in _arrow_schema(footer):
            found = "a column of a Python type, pickled into the file"
            fix = "Write it without the type; what is pickled would be run, and is never unpickled here."
            raise DataError([Problem("parquet-type", name, 0, 0, "", found, "columns of plain types", fix)])
        yield from _Rows(file, name, footer, wanted, report)


def _refuse_other(file: IO[bytes], name: str) -> None:
    head = file.read(512)
    if not head:
        fix = "Name a file that holds rows."
        raise DataError([Problem("empty", name, found="an empty file", expected="Parquet", fix=fix)])
    if not head.startswith((MAGIC, ENCRYPTED_MAGIC)):
        refuse_binary(head, name)
        found = f"a file that begins with '{escape(head[:12].decode('latin-1'))}'"
        fix = "Name it by what it is: .csv, .tsv, .jsonl; or take the file again."
        raise DataError([Problem("parquet-damaged", name, found=found, expected="PAR1, as Parquet begins", fix=fix)])


def _choose(
    names: Sequence[str], fields: Sequence[Field], columns: Mapping[str, str], name: str, report: Report
) -> dict[str, Field | None]:
    """The columns to read, and the field that each is.

    Raises:
        DataError: one is missing, there twice, or looks like another.
    """
    problems = list[Problem]()
    for one in sorted({one for one in names if names.count(one) > 1}):
        found = f"'{escape(one)}' twice"
        fix = "Rename or delete one of them."
        problems.append(Problem("column-duplicate", name, 0, 0, "", found, "each column once", fix))
    chosen = {column: field for field in fields if (column := find_column(names, field, columns)) is not None}
    kinds = {"answers"} if "context" in {field.name for field in fields} else {field.kind for field in fields}
    known = [one for kind, more in _KNOWN.items() if kind in kinds for one in more if one in names]
    for column in (*chosen, *known):
        if (near := find_lookalike(names, column)) is not None:
            found, fix = f"'{escape(near)}' beside '{escape(column)}'", "Rename or delete one of them."
            problems.append(Problem("column-lookalike", name, 0, 0, "", found, "one of them", fix))
    absent = [field for field in fields if field not in chosen.values() and not field.optional]
    if "entities" in kinds and TOKENS.name in known:
        absent = []  # which of its two forms it is in, the reader of entities finds
    problems += [missing_column(names, field, columns, name, 0) for field in absent]
    if problems:
        raise DataError(problems)
    wanted: dict[str, Field | None] = {**dict.fromkeys(known), **chosen}
    note_unused([one for one in names if one not in wanted and not one.startswith(_INDEX)], report, name, 0)
    return wanted


def _arrow_schema(footer: Footer) -> bytes:
    try:
        return binascii.a2b_base64(footer.metadata.get("ARROW:schema", b""))
    except binascii.Error:
        return b""


class _Rows:
    """Reads the wanted columns of one file."""

    def __init__(
        self,
        file: IO[bytes],
        name: str,
        footer: Footer,
        wanted: Mapping[str, Field | None],
        report: Report,
    ):
        self._file, self._name, self._footer, self._wanted, self._report = file, name, footer, list(wanted), report
        self._kinds = {column: field.kind if field else "" for column, field in wanted.items()}
        self._needed = {column for column, field in wanted.items() if field and not field.optional}
        self._arrow, self._parquet = import_pyarrow()
        self._features = _features(footer, self._wanted)
        self._characters = 0
        self._limit = max(REPEATED_CHARACTERS, BOMB_RATIO * file.seek(0, 2))
        self._open: Callable[..., Any] = partial(
            self._parquet.ParquetFile,
            file,
            buffer_size=1 << 20,
            pre_buffer=False,
            page_checksum_verification=True,
        )

    def __iter__(self) -> Iterator[Object]:
        before = 0
        opened = self._ask(self._open)
        self._check_types(opened.schema_arrow)
        lists = [leaf for leaf in self._footer.leaves if leaf.in_list and leaf.is_text]
        repeated = [".".join(leaf.path) for leaf in lists if self._is_wanted(leaf.path)]
        ordered = [
            name for name in self._wanted if self._kinds.get(name) == "label" and self._is_category(opened, name)
        ]
        opened = self._ask(lambda: self._open(metadata=opened.metadata, read_dictionary=repeated))
        self._note_names()
        for group, (rows, chunks) in enumerate(self._footer.groups):
            if rows == 0:
                continue
            pages = [chunk for chunk in chunks if self._is_wanted(chunk.leaf.path)]
            unpacked = check_pages(self._file, pages, self._name, self._unpack)
            row_bytes = max(unpacked.total_bytes // max(1, rows), unpacked.repeated_bytes, 1)
            size = max(1, min(BATCH_ROWS, BATCH_BYTES // row_bytes))
            read = partial(opened.iter_batches, size, [group], self._wanted, use_threads=False)
            batches, seen = self._ask(read), 0
            while (batch := self._ask(partial(next, batches, None))) is not None:
                for name in ordered:
                    self._note_order(name, batch.column(name))
                ordered.clear()
                yield from self._objects(batch, before + seen + 1)
                seen += batch.num_rows
            if seen != rows:
                found, expected = f"{seen:,} rows in row group {group + 1:,}", f"the {rows:,} that it counts"
                raise DataError([self._problem("parquet-damaged", 0, "", found, expected, _AGAIN)])
            before += rows

    def _objects(self, batch: Any, first: int) -> Iterator[Object]:
        columns = {name: _values(batch.column(name)) for name in self._wanted}
        for place in range(batch.num_rows):
            row, found, good = first + place, dict[str, object](), True
            for name, values in columns.items():
                try:
                    value = self._value(values(place), self._features.get(name))
                except _ValueError as error:
                    self._report.add(self._problem(error.code, row, name, *error.said))
                    good = False
                    continue
                if value is not None:
                    found[name] = value
                elif name in self._needed:
                    fix = "Fill it in, or delete the row."
                    self._report.add(self._problem("value-null", row, name, "null", "a value", fix))
                    good = False
            if self._characters > self._limit:
                found_ = f"over {BOMB_RATIO} characters out of each byte of the file"
                raise DataError([self._problem("packed-bomb", row, "", found_, "rows that differ", "Look at them.")])
            if good:
                yield row, found

    def _value(self, value: object, feature: object) -> object:
        """As JSON would have given it.

        Raises: _ValueError
        """
        match value:
            case None | bool():
                return value
            case int():
                names = _names(feature)
                return self._named(value, names) if names else Integer(value)
            case float():
                return Float(value)
            case str():
                self._characters += len(value)
                if len(value) > LINE_CHARACTERS:
                    found, fix = f"{len(value):,} characters", "Break the text into rows."
                    raise _ValueError("parquet-limit", found, f"at most {LINE_CHARACTERS:,}", fix)
                return value
            case bytes():
                raise _bytes_error(value)
            case list():
                inner = _inner(feature)
                return [self._value(one, inner) for one in cast("list[object]", value)]
            case dict():
                # A list of objects and an object of lists are the same to Hugging Face.
                keys = _keys(feature)
                found = {key: self._value(one, keys.get(key)) for key, one in cast("dict[str, object]", value).items()}
                return {key: one for key, one in found.items() if one is not None}
            case _:
                raise _ValueError("parquet-type", f"a {type(value).__name__}", "text", _WRITE_TEXT)

    def _named(self, value: int, names: Sequence[str]) -> str:
        if not 0 <= value < len(names):
            expected = f"0 to {len(names) - 1}: {_listed(names)}"
            fix = "Correct it, or delete the row; -1 stands for a label that is not known."
            raise _ValueError("label-unnamed", str(value), expected, fix)
        return names[value]

    def _check_types(self, schema: Any) -> None:
        """
        Raises:
            DataError: a column is of a type that nothing here can be.
        """
        problems = list[Problem]()
        for name in self._wanted:
            kind = self._kinds[name]
            column = schema.field(name)
            said = _unfit(self._arrow.types, column.type, kind)
            about: dict[bytes, bytes] = column.metadata or {}
            if isinstance(column.type, self._arrow.BaseExtensionType) or _EXTENSION in about:
                extension = about[_EXTENSION].decode("latin-1") if _EXTENSION in about else column.type
                said = f"the extension type {extension}"
            if said is None:
                continue
            expected = {"entities": "a list", "answers": "a struct or a list", "label": "strings or integers"}
            fix = "Keep the text alone in a column: in pyarrow `table.flatten()` gives each part its own."
            fix = fix if said.startswith("struct") else _WRITE_TEXT
            shown = f"a column of {escape(said, 60)}"
            problems.append(self._problem("parquet-type", 0, name, shown, expected.get(kind, "strings"), fix))
        if problems:
            raise DataError(problems)

    def _is_category(self, opened: Any, name: str) -> bool:
        return self._arrow.types.is_dictionary(opened.schema_arrow.field(name).type)

    def _note_order(self, name: str, column: Any) -> None:
        """Says in which order the file has its labels."""
        try:
            labels = [str(label) for label in column.dictionary.to_pylist()]
        except (AttributeError, ValueError):
            return  # integers, or labels that will be refused row by row
        found = f"categories, in this order: {_listed(labels)}"
        self._report.add(self._problem("label-order", 0, name, found, "", "", "note"))

    def _note_names(self) -> None:
        """Says which names stand for integers."""
        for name in self._wanted:
            names = _names(self._features.get(name)) or _names(_inner(self._features.get(name)))
            if names:
                found = f"integers as the names that the file gives them, from 0: {_listed(names)}"
                self._report.add(self._problem("label-names", 0, name, found, "", "", "note"))

    def _unpack(self, codec: int, packed: bytes, size_bytes: int) -> bytes:
        if codec not in _CODECS:
            found = f"the compression {codec}" if codec != _OLD_LZ4 else "the deprecated compression LZ4"
            fix = "Write it with another: in pyarrow compression='zstd'."
            expected = f"one of {', '.join(_CODECS.values())}"
            raise DataError([self._problem("parquet-damaged", 0, "", found, expected, fix)])
        return self._arrow.Codec(_CODECS[codec]).decompress(packed, size_bytes).to_pybytes()

    def _is_wanted(self, path: Sequence[str]) -> bool:
        # As pyarrow chooses: by the beginning of a dotted path.
        dotted = ".".join(path) + "."
        return any(dotted.startswith(f"{name}.") for name in self._wanted)

    def _ask(self, what: Callable[[], Any]) -> Any:
        """What pyarrow answers.

        Raises:
            DataError: it cannot read the file.
        """
        try:
            return what()
        except (self._arrow.ArrowException, OSError, ValueError, OverflowError) as error:
            shown = str(error).strip().partition("\n")[0]
            found = f"what pyarrow cannot read: {escape(shown, 160)}"
            problem = self._problem("parquet-damaged", 0, "", found, "Parquet to the end", _AGAIN)
            raise DataError([problem]) from error

    def _problem(
        self, code: str, row: int, field: str, found: str, expected: str, fix: str, severity: str = "error"
    ) -> Problem:
        return Problem(code, self._name, row, 0, field, found, expected, fix, severity)


_AGAIN = "Copy or download it again, or write it anew."


class _ValueError(ValueError):
    def __init__(self, code: str, *said: str):
        super().__init__(code)
        self.code, self.said = code, said


def import_pyarrow() -> tuple[Any, Any]:
    """pyarrow and its Parquet. Raises: UsageError where it is not installed."""
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise UsageError("to read and write Parquet, pyarrow is needed; type: pip install 'taesan[parquet]'") from None


def _values(column: Any) -> Callable[[int], object]:
    """Gives a column's value in a row. A value of a dictionary is made once."""
    if not hasattr(column, "dictionary"):
        try:
            return cast("list[object]", column.to_pylist()).__getitem__
        except ValueError:  # of which row, is said there
            return lambda place: _scalar(column[place])
    indices, dictionary = cast("list[int | None]", column.indices.to_pylist()), column.dictionary
    made: dict[int, object] = {}

    def value(place: int) -> object:
        index = indices[place]
        if index is None:
            return None
        if index not in made:
            if not 0 <= index < len(dictionary):
                raise _ValueError("parquet-damaged", f"value {index:,} of {len(dictionary):,}", "one that is", _AGAIN)
            made[index] = _scalar(dictionary[index])
        return made[index]

    return value


def _scalar(scalar: Any) -> object:
    """A Python value.

    Raises: _ValueError where a string is no UTF-8, or an index has no value.
    """
    try:
        return scalar.as_py()
    except UnicodeDecodeError as error:
        found = f"bytes that are not UTF-8: {_hex(error.object[error.start : error.start + 8])}"
        raise _ValueError("encoding", found, "UTF-8, as a string column holds", "Write the text anew.") from None
    except (IndexError, ValueError) as error:
        raise _ValueError("parquet-damaged", escape(error), "a value", _AGAIN) from None


def _bytes_error(value: bytes) -> _ValueError:
    try:
        shown = f"bytes, which are the text '{escape(value.decode(), 20)}'"
    except UnicodeDecodeError:
        return _ValueError("parquet-binary", f"bytes that are no text: {_hex(value[:8])}", "a string", _WRITE_TEXT)
    fix = "Write the column as strings: in pyarrow `.cast(pa.string())`, in pandas `.str.decode('utf-8')`."
    return _ValueError("parquet-binary", shown, "a string", fix)


def _hex(data: bytes) -> str:
    return " ".join(f"{byte:02x}" for byte in data)


def _unfit(types: Any, type: Any, kind: str) -> str | None:
    """What a column is that may not be of this kind; nothing where it may."""
    if types.is_dictionary(type):
        type = type.value_type
    text = types.is_string(type) or types.is_large_string(type) or types.is_string_view(type)
    # That bytes are no text is said with the first of them.
    if text or types.is_null(type) or types.is_binary(type) or types.is_large_binary(type):
        return None
    if kind in ("label", "id") and types.is_integer(type):
        return None
    if kind in ("text", "target", "label", "id"):
        return str(type)
    return None if _plain(types, type) else str(type)


def _plain(types: Any, type: Any) -> bool:
    """Whether it is made of what JSON has."""
    if types.is_struct(type):
        return all(_plain(types, type.field(place).type) for place in range(type.num_fields))
    if types.is_list(type) or types.is_large_list(type) or types.is_fixed_size_list(type):
        return _plain(types, type.value_type)
    if types.is_dictionary(type):
        return _plain(types, type.value_type)
    tests = (types.is_string, types.is_large_string, types.is_string_view, types.is_integer, types.is_boolean)
    return any(test(type) for test in (*tests, types.is_null, types.is_binary))


def _features(footer: Footer, wanted: Sequence[str]) -> dict[str, object]:
    """What Hugging Face datasets wrote about the columns, where it wrote the file."""
    try:
        parsed: object = parse_object(footer.metadata.get("huggingface", b"{}").decode(), "", 0)
    except UnicodeDecodeError:
        return {}
    for key in ("info", "features"):
        parsed = _object(parsed).get(key)
    found = _object(parsed)
    return {name: found[name] for name in wanted if name in found}


def _object(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _names(feature: object) -> list[str]:
    """The names of a ClassLabel; nothing of what is none."""
    about = _object(feature)
    names = about.get("names")
    if about.get("_type") != "ClassLabel" or not isinstance(names, list):
        return []
    given = cast("list[object]", names)
    return cast("list[str]", given) if all(type(name) is str for name in given) else []


def _inner(feature: object) -> object:
    """What the values in a list are: Sequence and List say it by a key, a plain list by holding it."""
    if isinstance(feature, list):
        return next(iter(cast("list[object]", feature)), None)
    if isinstance(feature, dict) and "feature" in feature:
        return cast("dict[str, object]", feature)["feature"]
    return feature  # pyright: ignore[reportUnknownVariableType]


def _keys(feature: object) -> dict[str, object]:
    """What the values of an object are."""
    about = _object(feature)
    return _object(about.get("feature", about))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{escape(name, 30)}'" for name in names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
