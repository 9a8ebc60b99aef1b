"""Answers as a Parquet file: what the JSON lines would hold, in typed columns."""

import io
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from taesan.data.parquet import import_pyarrow
from taesan.engine.output import Output
from taesan.tasks.base import Shape

GROUP_ROWS = 2000


def is_parquet(path: Path) -> bool:
    """By its name."""
    return path.suffix.lower() == ".parquet"


def write_parquet(out: Output, answers: Iterable[Mapping[str, Any]], shape: Mapping[str, Shape]) -> None:
    """Writes an answer a row, as they come. A key that an answer lacks is null.

    Raises: UsageError where pyarrow is not installed; StorageError; what making the answers raises.
    """
    arrow, parquet = import_pyarrow()
    schema = arrow.schema([(name, _type(arrow, one)) for name, one in shape.items()])
    with parquet.ParquetWriter(_Sink(out), schema, compression="zstd") as writer:
        waiting = iter(answers)
        while group := list(islice(waiting, GROUP_ROWS)):
            writer.write_batch(arrow.RecordBatch.from_pylist(group, schema))


class _Sink(io.RawIOBase):
    """An output as a file that is written to from its beginning to its end."""

    def __init__(self, out: Output):
        super().__init__()
        self._out = out

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._out.append(bytes(content), 0)
        return len(content)


def _type(arrow: Any, shape: Shape) -> Any:
    if isinstance(shape, dict):
        return arrow.struct([(name, _type(arrow, one)) for name, one in shape.items()])
    if isinstance(shape, list):
        return arrow.list_(_type(arrow, shape[0]))
    return {str: arrow.string(), int: arrow.int64(), float: arrow.float64()}[shape]
