"""Answers as a Parquet file: what the JSON lines would hold, in typed columns."""

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from taesan.data.parquet import import_pyarrow
from taesan.store import open_replacement, storage_errors
from taesan.tasks.base import Shape

GROUP_ROWS = 2000


def write_parquet(path: Path, answers: Iterable[Mapping[str, Any]], shape: Mapping[str, Shape]) -> None:
    """Writes an answer a row, as they come; the file appears when it is whole. A key that an answer lacks is null.

    Raises: UsageError where pyarrow is not installed; OutputError, StorageError; what making the answers raises.
    """
    arrow, parquet = import_pyarrow()
    schema = arrow.schema([(name, _type(arrow, one)) for name, one in shape.items()])
    with open_replacement(path) as file, parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        waiting = iter(answers)
        while group := list(islice(waiting, GROUP_ROWS)):
            batch = arrow.RecordBatch.from_pylist(group, schema)
            with storage_errors(path):
                writer.write_batch(batch)
        with storage_errors(path):
            writer.close()


def _type(arrow: Any, shape: Shape) -> Any:
    if isinstance(shape, dict):
        return arrow.struct([(name, _type(arrow, one)) for name, one in shape.items()])
    if isinstance(shape, list):
        return arrow.list_(_type(arrow, shape[0]))
    return {str: arrow.string(), int: arrow.int64(), float: arrow.float64()}[shape]
