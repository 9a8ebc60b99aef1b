"""A file of rows in the making: locked, begun, gone on with, finished. No torch here.

Rows come into `.NAME.part` in whole pieces, each fsynced before the sealed record `.NAME.record` says that it is safe:
how many rows and bytes, their SHA-256, and of which run. What stands behind the safe bytes was torn, and is cut off
when the run goes on. A finished file is renamed into its place; until then what stood there stays.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from taesan import store
from taesan.errors import DataError, OutputError, StorageError, UsageError

BLOCK_BYTES = 1 << 20


class Output:
    """Holds the file's lock from the first row to the last; `rows` are safe, and `finished` says that they are all.

    `identity` is all that the rows depend on; a run goes on only as itself, and without one never. A file that is
    `part_of` another keeps its record when it is finished: it is known by it, and not made twice.
    """

    def __init__(
        self,
        path: Path,
        identity: Mapping[str, Any] | None = None,
        *,
        resume: bool = False,
        part_of: Path | None = None,
        say: Callable[[str], object] = lambda line: None,
    ):
        refuse_device(path)
        self.path = Path(os.path.realpath(path))  # a link is followed: what is replaced is the file itself
        self.rows, self.finished = 0, False
        self._identity, self._resume, self._whole, self._say = identity, resume, part_of, say
        self._part, self._record = store.beside(self.path, "part"), store.beside(self.path, "record")
        self._bytes, self._digest, self._descriptor = 0, hashlib.sha256(), -1
        self._stack = ExitStack()

    def __enter__(self) -> "Output":
        """Raises: LockedError, OutputError; with `resume`, UsageError: another run's; StorageError: damaged."""
        check_place(self.path)
        self._stack.enter_context(store.Lock(self.path))
        try:
            with store.storage_errors(self.path):
                self._open()
        except BaseException:
            self._close()
            raise
        return self

    def append(self, content: bytes, rows: int) -> None:
        """Puts whole rows behind those that are safe; they are safe then. Raises: StorageError."""
        with store.storage_errors(self.path):
            store.write_whole(self._descriptor, content)
            self._digest.update(content)
            self.rows, self._bytes = self.rows + rows, self._bytes + len(content)
            if self._identity is not None:
                os.fsync(self._descriptor)
                self._write_record()

    def finish(self) -> None:
        """Puts the file in its place; a part, when no other one is at the whole. Raises: StorageError."""
        whole = contextlib.nullcontext() if self._whole is None else store.Lock(self._whole, wait=True)
        with whole, store.storage_errors(self.path):
            if not self.finished:
                os.fsync(self._descriptor)
                os.rename(self._part, self.path)
                store.fsync_folder(self.path.parent)
            if self._whole is None:
                self._record.unlink(missing_ok=True)
        self.finished = True

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """What cannot be gone on with leaves nothing; of the rest it is said how to."""
        try:
            if self.finished or kind is None:
                return
            refused = issubclass(kind, (DataError, UsageError)) and not self.rows
            if self._identity is None or refused:
                self._part.unlink(missing_ok=True)
                self._record.unlink(missing_ok=True)
            elif self.rows:
                self._say(f"{self.rows:,} rows are safe; the same command with --resume goes on behind them")
        finally:
            self._close()

    def _open(self) -> None:
        try:
            record = _read_record(self.path)
        except StorageError:
            if self._resume:
                raise
            record = None
        if record is not None and (
            self._resume or (self._whole is not None and _is_whole(self.path, record, self._identity))
        ):
            self._go_on(record)
        else:
            self._begin(record)
        for left in (self.path, self._record):
            store.beside(left, "new").unlink(missing_ok=True)

    def _begin(self, record: Mapping[str, Any] | None) -> None:
        if self._resume and not self._part.exists():
            refuse_finished(self.path)
            self._say(f"{self.path}: nothing to go on with; from the first row")
        elif record is not None and record["rows"]:
            self._say(f"{self.path}: begun anew; --resume would have gone on behind {record['rows']:,} rows")
        self._descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT, 0o644)
        self._record.unlink(missing_ok=True)
        os.ftruncate(self._descriptor, 0)
        if self._identity is not None:
            self._write_record()

    def _go_on(self, record: Mapping[str, Any]) -> None:
        if record["identity"] != self._identity:
            raise UsageError(
                f"{self.path} was begun with another model, input or options, so it cannot be gone on with: "
                f"{store.differences(record['identity'], self._identity or {})}. Repeat the first command, or begin "
                "anew without --resume."
            )
        self.finished = not self._part.exists()
        stands = self.path if self.finished else self._part
        self.rows, self._bytes = record["rows"], record["bytes"]
        self._digest = _digest(stands, self._bytes)
        if self._digest.hexdigest() != record["sha256"]:
            raise StorageError(
                f"{stands} is lost, damaged or was changed: it does not hold the {self.rows:,} rows that its record "
                "says. Begin anew without --resume."
            )
        if not self.finished:
            self._descriptor = os.open(self._part, os.O_WRONLY)
            os.ftruncate(self._descriptor, self._bytes)
            os.lseek(self._descriptor, 0, os.SEEK_END)

    def _write_record(self) -> None:
        safe = {"rows": self.rows, "bytes": self._bytes, "sha256": self._digest.hexdigest()}
        store.replace_file(self._record, store.sealed({"identity": self._identity, **safe}))

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._stack.close()


def merge(path: Path, parts: Mapping[Path, Mapping[str, Any]]) -> list[Path]:
    """Joins the parts of a file, in their order; those that are not finished come back, and nothing is done then.

    `parts`: each one's path and identity. They lie in a folder of their own, which goes afterwards. Each run comes here
    when its part is finished, one after the other, so the last one finds them all. Raises: StorageError.
    """
    path = Path(os.path.realpath(path))
    folder = next(iter(parts)).parent
    with store.Lock(path, wait=True):
        if not folder.exists():  # another run has joined them
            return []
        missing = [part for part, identity in parts.items() if not _is_whole(part, _read_record(part), identity)]
        if not missing:
            store.replace_file(path, (block for part in parts for block in _verified(part)))
            store.remove_folder(folder)
        return missing


def make_folder(path: Path, folder: Path, *, resume: bool) -> None:
    """The folder for the parts of a file. Raises: OutputError where they were joined already; StorageError."""
    if resume and not folder.exists():
        refuse_finished(path)
    with store.storage_errors(folder):
        folder.mkdir(exist_ok=True)


def refuse_finished(path: Path) -> None:
    """Raises: OutputError where the file is there. Nothing of it is in the making, or it would have been found."""
    if path.exists():
        raise OutputError(f"{path} is finished already; there is nothing to go on with. To replace it, omit --resume.")


def refuse_device(path: str | Path) -> None:
    """Raises: OutputError for `/dev/stdout` and its like: what they lead to is another program's."""
    if os.path.abspath(path).startswith(("/dev/", "/proc/")):
        raise OutputError(f"{path} is no ordinary file. Choose another --output, or leave it out for standard output.")


def check_place(path: Path) -> None:
    """Raises: OutputError where no file can be made."""
    if not path.parent.is_dir():
        raise OutputError(f"{path} cannot be created: there is no folder {path.parent}")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is no ordinary file. Choose another --output, or leave it out for standard output.")


def _read_record(path: Path) -> dict[str, Any] | None:
    """What is safe of a file, and of which run; nothing where none is in the making. Raises: StorageError: damaged."""
    record = store.beside(path, "record")
    try:
        return store.unsealed(record.read_bytes(), record)
    except FileNotFoundError:
        return None
    except StorageError:
        raise StorageError(f"{record} is damaged or was changed. Begin anew without --resume.") from None


def _is_whole(path: Path, record: Mapping[str, Any] | None, identity: Mapping[str, Any] | None) -> bool:
    """Whether a part is finished and of this run, by its record and its size."""
    if record is None or record["identity"] != identity or store.beside(path, "part").exists():
        return False
    return path.exists() and path.stat().st_size == record["bytes"]


def _verified(part: Path) -> Iterator[bytes]:
    """A finished part's bytes. Raises: StorageError at their end where they are not those that were written."""
    record, digest = _read_record(part) or {}, hashlib.sha256()
    with part.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            yield block
    if digest.hexdigest() != record.get("sha256"):
        raise StorageError(f"{part} is damaged or was changed. Delete it and type its command again.")


def _digest(path: Path, size: int) -> Any:
    """The SHA-256, to be gone on with, of a file's first `size` bytes, or of what there is of them."""
    digest = hashlib.sha256()
    if path.exists():
        with path.open("rb") as file:
            while size and (block := file.read(min(size, BLOCK_BYTES))):
                digest.update(block)
                size -= len(block)
    return digest
