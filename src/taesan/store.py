"""Folders on disk that are whole or not there: atomic save, verified load, one writer at a time.

A folder is staged beside its place (`.NAME.new`), every file written and fsynced, its manifest (sizes and SHA-256 of
all files, and of itself) last; then what stood there is renamed away (`.NAME.gone`), the new folder in, and the other
removed. A model that a run is about to replace is set aside (`.NAME.old`) and answers until the run has finished; what
is only to be removed is renamed first (`.NAME.dropped`), so that its half is never taken for a whole.
Whatever stops this, the next reader finds the old model or the new one. What is loaded has been verified, byte for
byte, in the same read.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from taesan.errors import InputMissing, LockedError, OutputError, StorageError, escape

MANIFEST = "taesan.json"
RUN_FILE = "run.json"
CHECKPOINT_MANIFEST = "checkpoint.json"
FORMAT_VERSION = 1
_TYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "int64": "I64",
    "int32": "I32",
    "uint8": "U8",
    "bool": "BOOL",
}

Content = bytes | Iterable[bytes]
Arrays = Mapping[str, NDArray[Any]]


# Writing ------------------------------------------------------------------------------------------------------------


def write_file(path: Path, content: Content) -> dict[str, Any]:
    """Writes and fsyncs one new file; its size in bytes and SHA-256 come back."""
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        for chunk in [content] if isinstance(content, bytes) else content:
            digest.update(chunk)
            size += len(chunk)
            write_whole(descriptor, chunk)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return {"bytes": size, "sha256": digest.hexdigest()}


def write_whole(descriptor: int, content: bytes) -> None:
    """Writes all of `content`: a signal or a nearly full disk may take only a part at a time."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def replace_file(path: Path, content: Content) -> None:
    """Writes a file that is the old one or the new one at every moment.

    Raises: StorageError where the disk is full or fails.
    """
    with storage_errors(path):
        temporary = beside(path, "new")
        write_file(temporary, content)
        os.rename(temporary, path)
        fsync_folder(path.parent)


def tensor_chunks(tensors: Arrays, metadata: Mapping[str, str] | None = None) -> Iterator[bytes]:
    """A safetensors file, tensor by tensor, names sorted: equal tensors give equal bytes, and no second copy of all."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name in sorted(tensors):
        array = tensors[name]
        header[name] = {
            "dtype": _TYPES[str(array.dtype)],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in sorted(tensors):
        yield np.ascontiguousarray(tensors[name]).tobytes()


def save_folder(
    folder: Path, files: Mapping[str, Content], manifest: Mapping[str, Any], *, manifest_name: str = MANIFEST
) -> None:
    """Makes `folder` hold exactly `files` and the manifest, in one step; what was there before is replaced.

    A file's name may have one folder in front.

    Raises: StorageError where the disk is full or fails; the next reader then finds the old folder or the new one.
    """
    staging, gone = beside(folder, "new"), beside(folder, "gone")
    with storage_errors(folder):
        _remove(staging)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            staging.mkdir()
            for part in sorted({(staging / name).parent for name in files}):
                part.mkdir(exist_ok=True)
            listed = {name: write_file(staging / name, content) for name, content in files.items()}
            whole = {"format_version": FORMAT_VERSION, **manifest, "files": listed}
            write_file(staging / manifest_name, sealed(whole))
            for part in {staging, *((staging / name).parent for name in files)}:
                fsync_folder(part)
        except BaseException:
            with contextlib.suppress(OSError):
                _remove(staging)
            raise
        if folder.exists():
            _remove(gone)
            os.rename(folder, gone)
        os.rename(staging, folder)
        fsync_folder(folder.parent)
        _remove(gone)
        _remove(beside(folder, "old"))


def set_aside(folder: Path) -> None:
    """Moves a finished model out of the way of the run that will replace it; an unfinished run is dropped.

    Raises: OutputError where the folder was not made by taesan; StorageError.
    """
    if not _made_by_taesan(folder):
        raise OutputError(f"{folder} was not made by taesan, so --overwrite leaves it alone. Choose another --output.")
    with storage_errors(folder):
        if (folder / MANIFEST).exists():
            _remove(beside(folder, "old"))
            os.rename(folder, beside(folder, "old"))
        else:
            remove_folder(folder)


def recover(folder: Path) -> None:
    """Finishes or takes back a replacement that was stopped half way. The caller holds the folder's lock."""
    staging, gone, old, dropped = (beside(folder, ending) for ending in ("new", "gone", "old", "dropped"))
    with storage_errors(folder):
        if not folder.exists():
            if staging.exists() and _is_whole(staging):
                os.rename(staging, folder)
            elif gone.exists():
                os.rename(gone, folder)
        for left in (staging, gone, dropped):
            _remove(left)
        (folder / f".{RUN_FILE}.new").unlink(missing_ok=True)
        if (folder / MANIFEST).exists():
            _remove(old)


def remove_folder(folder: Path) -> None:
    """Removes a folder so that no half of it can be taken for a whole: renamed first. Raises: StorageError."""
    dropped = beside(folder, "dropped")
    with storage_errors(folder):
        _remove(dropped)
        if folder.exists():
            os.rename(folder, dropped)
            _remove(dropped)


# Reading ------------------------------------------------------------------------------------------------------------


class Folder:
    """A folder whose manifest has been verified; `read` verifies a file as it is read."""

    def __init__(self, path: Path, *, manifest_name: str = MANIFEST):
        """Raises: InputMissing where it is no such folder; StorageError where a byte of the manifest is not right."""
        self.path = path
        try:
            content = (path / manifest_name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise InputMissing(_what_is_there(path, manifest_name)) from None
        except OSError as error:
            raise StorageError(f"{path / manifest_name} cannot be read: {error.strerror}") from None
        self.manifest = unsealed(content, path / manifest_name)
        self.sha256 = hashlib.sha256(content).hexdigest()  # of the manifest, and so of all that is in the folder
        version = self.manifest.get("format_version")
        if version != FORMAT_VERSION:
            raise StorageError(
                f"{path} has format version {escape(version)}; this taesan reads version {FORMAT_VERSION}. "
                "Upgrade taesan, or make the folder again."
            )

    @property
    def names(self) -> list[str]:
        return sorted(self.manifest["files"])

    def read(self, name: str) -> bytes:
        """The file's bytes. Raises: StorageError where they are not those that were saved."""
        self._check_named(name)
        try:
            content = (self.path / name).read_bytes()
        except OSError as error:
            raise StorageError(f"{self.path / name} cannot be read: {error.strerror}") from None
        self._check(name, len(content), hashlib.sha256(content).hexdigest())
        return content

    def _check_named(self, name: str) -> None:
        if name not in self.manifest["files"]:
            raise StorageError(f"{self.path} has no {name} in its manifest")

    def _check(self, name: str, size: int, sha256: str) -> None:
        expected = self.manifest["files"][name]
        if size != expected["bytes"]:
            raise StorageError(
                f"{self.path / name} is damaged: {size:,} bytes, expected {expected['bytes']:,}. "
                "Copy the folder again or make it again."
            )
        if sha256 != expected["sha256"]:
            raise StorageError(
                f"{self.path / name} is damaged or was changed: its SHA-256 is not the one in the manifest. "
                "Copy the folder again or make it again."
            )

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """The file, open at its beginning and verified: for what is too large to be held in memory twice."""
        self._check_named(name)
        try:
            file = (self.path / name).open("rb")
        except OSError as error:
            raise StorageError(f"{self.path / name} cannot be read: {error.strerror}") from None
        with file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            self._check(name, file.seek(0, os.SEEK_END), digest)
            file.seek(0)
            yield file

    def read_all(self) -> dict[str, bytes]:
        """Every file, all verified."""
        return {name: self.read(name) for name in self.names}


def is_there(folder: Path) -> bool:
    """Whether the folder is there, after a replacement that was stopped half way has been finished or taken back.

    Raises: LockedError, StorageError.
    """
    if not folder.exists() and any(beside(folder, ending).exists() for ending in ("new", "gone")):
        with Lock(folder):
            recover(folder)
    return folder.exists()


def open_model(path: str | Path) -> Folder:
    """A model folder. While a run is replacing it, the model that stood there before.

    Raises: InputMissing, StorageError, LockedError.
    """
    folder = Path(os.path.realpath(path))
    is_there(folder)
    old = beside(folder, "old")
    return Folder(old if old.exists() and not (folder / MANIFEST).exists() else folder)


# Locking ------------------------------------------------------------------------------------------------------------


class Lock:
    """One writer of a folder or file. The kernel drops the lock with its process, however that ends.

    With `wait`, another holder is waited for, and none is refused.
    """

    def __init__(self, folder: Path, *, wait: bool = False):
        self.folder = folder
        self._how = fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)
        self.path = beside(folder, "lock")
        self._descriptor: int | None = None

    def __enter__(self) -> "Lock":
        """Raises: LockedError naming the process that holds it; OutputError where it cannot be made."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            while self._descriptor is None:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
                try:
                    fcntl.flock(descriptor, self._how)
                    if os.fstat(descriptor).st_ino == os.stat(self.path).st_ino:
                        self._descriptor = descriptor
                    else:
                        os.close(descriptor)  # the holder before us removed the file in between
                except FileNotFoundError:
                    os.close(descriptor)
                except BlockingIOError:
                    holder = os.pread(descriptor, 4096, 0).decode(errors="replace").strip()
                    os.close(descriptor)
                    raise LockedError(
                        f"{self.folder} is being written by {holder or 'another process'}. "
                        "Wait for it, or choose another --output."
                    ) from None
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be created: {error.strerror}") from None
        holder = f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"
        with contextlib.suppress(OSError):  # the disk may be full; the lock holds without a name
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{holder}: {' '.join(sys.argv)[:500]}".encode(errors="replace"), 0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is None:
            return
        try:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        finally:
            os.close(self._descriptor)
            self._descriptor = None


# Parts of all this --------------------------------------------------------------------------------------------------


def beside(path: Path, ending: str) -> Path:
    """Where what belongs to `path` stands, hidden: `.NAME.ending`."""
    absolute = Path(os.path.abspath(path))
    return absolute.with_name(f".{absolute.name}.{ending}")


def sealed(manifest: Mapping[str, Any]) -> bytes:
    """The manifest in its one canonical form, its own SHA-256 in the last line."""
    body = json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True).removesuffix("\n}")
    # A file's name may hold bytes that are no UTF-8: JSON knows such an escape.
    content = body.encode(errors="backslashreplace")
    seal = hashlib.sha256(content).hexdigest()
    return content + f',\n "~sha256": "{seal}"\n}}\n'.encode()


def unsealed(content: bytes, path: Path) -> dict[str, Any]:
    """The manifest again. Raises: StorageError where a byte is not right."""
    try:
        manifest = json.loads(content)
        manifest.pop("~sha256")
        if sealed(manifest) == content:
            return manifest
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise StorageError(
        f"{path} is damaged or was changed: it does not match its own SHA-256. Copy the folder again or make it again."
    )


def differences(old: Any, new: Any) -> str:
    """How a recorded run differs from this one, the first five: `config.seed: 1, now 2`; nothing where it does not."""
    before, now = _flat(old), _flat(new)
    keys = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
    return "; ".join(f"{key}: {escape(before.get(key))}, now {escape(now.get(key))}" for key in keys[:5])


def fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Whatever the disk says in here becomes a StorageError about `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(f"the disk is full: {path} could not be written. Free some space and resume.") from error
        raise StorageError(f"{path} could not be written: {error.strerror or error}") from error


# Details ------------------------------------------------------------------------------------------------------------


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """`{"config": {"seed": 1}}` as `{"config.seed": 1}`."""
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}.{key}" if prefix else key)
    return flat


def _made_by_taesan(folder: Path) -> bool:
    """Whether it is a model or a run of ours. Other programs have a run.json too; ours says which verb began it."""
    with contextlib.suppress(OSError):
        return (folder / MANIFEST).exists() or b'"verb": ' in (folder / RUN_FILE).read_bytes()
    return False


def _is_whole(folder: Path) -> bool:
    try:
        Folder(folder).read_all()
    except (InputMissing, StorageError):
        return False
    return True


def _what_is_there(path: Path, manifest_name: str) -> str:
    if not path.exists():
        return f"there is no folder {path}"
    if path.is_file():
        return f"{path} is a file; expected a model folder, as `taesan fit --output` makes one"
    if (path / RUN_FILE).exists():
        return f"{path} is a run that has not finished; repeat its command with --resume"
    places = ("*", "cells/*/model")  # the demo's models, and those of a comparison
    if within := sorted(one.parent for place in places for one in path.glob(f"{place}/{manifest_name}")):
        return f"{path} is no model, but has {len(within):,} in it; name one, as {within[0]}"
    return f"{path} is not a folder made by taesan: it has no {manifest_name}"


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
