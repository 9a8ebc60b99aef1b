"""A run in its output folder: locked, begun, resumed, finished."""

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from taesan import store
from taesan.engine.process import Process
from taesan.errors import DataError, OutputError, StorageError, UsageError


class Run:
    """Holds the output folder's lock from the first write to the last; only the main process touches the disk.

    `identity` is all that the result depends on (verb, config, data hashes); a run resumes only as itself.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, Any],
        process: Process,
        *,
        resume: bool = False,
        overwrite: bool = False,
    ):
        if resume and overwrite:
            raise UsageError("--resume and --overwrite exclude each other: go on with the old run, or begin anew")
        # A link is followed: what is replaced is the folder itself. Gradients are summed in another order by more
        # processes, so their number is part of what the result depends on.
        self.path, self._process = Path(os.path.realpath(folder)), process
        self._identity = {**identity, "processes": process.count} if process.count > 1 else dict(identity)
        self._resume, self._overwrite = resume, overwrite
        self._stack = ExitStack()

    def __enter__(self) -> "Run":
        """Raises: LockedError, OutputError where the folder holds something, UsageError where it is another run's."""
        if self._process.is_main:
            self._check_place()
            self._stack.enter_context(store.Lock(self.path))
            try:
                store.recover(self.path)
                self._begin()
            except BaseException:
                self._stack.close()
                raise
        self._process.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """What was refused for its data or settings leaves no folder: the mended command can be typed as it is."""
        try:
            refused = kind is not None and issubclass(kind, (DataError, UsageError)) and self._process.is_main
            if refused and not any((self.path / name).exists() for name in ("checkpoints", store.MANIFEST)):
                store.remove_folder(self.path)
        finally:
            self._stack.close()

    def finish(
        self, files: Mapping[str, store.Content], manifest: Mapping[str, Any], *, log: Path | None = None
    ) -> None:
        """Puts the finished model in the folder's place; the run's own record and its log come along, the rest goes."""
        kept = {store.RUN_FILE: (self.path / store.RUN_FILE).read_bytes()}
        if log is not None:
            kept["log.jsonl"] = log.read_bytes()
        store.save_folder(self.path, {**files, **kept}, manifest)

    def _begin(self) -> None:
        record = self.path / store.RUN_FILE
        # A file's name may hold bytes that are no UTF-8: JSON knows such an escape.
        content = (json.dumps(self._identity, ensure_ascii=False, indent=1) + "\n").encode(errors="backslashreplace")
        if self._resume and (self.path / store.MANIFEST).exists():
            raise OutputError(f"{self.path} is finished already; there is nothing to resume")
        if self._resume and record.exists():
            if record.read_bytes() != content:
                self._refuse(record, content)
            return
        if self.path.exists() and any(self.path.iterdir()):
            if self._resume:
                raise OutputError(f"{self.path} is not empty and holds no run to resume. Choose another --output.")
            if not self._overwrite:
                raise OutputError(
                    f"{self.path} is not empty. Go on with what it holds by --resume, replace it by --overwrite, "
                    "or choose another --output."
                )
            store.set_aside(self.path)
        with store.storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        store.replace_file(record, content)

    def _check_place(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{self.path} is a file; --output takes a folder")
        if os.path.ismount(self.path):
            raise OutputError(
                f"{self.path} is a mount point, and cannot be replaced in one step. Choose a folder in it: "
                f"--output {self.path / 'model'}"
            )

    def _refuse(self, record: Path, content: bytes) -> None:
        """Says how the recorded run differs from this one; damage that makes no difference to either is said too."""
        try:
            differences = store.differences(json.loads(record.read_bytes()), json.loads(content))
        except (ValueError, RecursionError):
            differences = ""
        if not differences:
            raise StorageError(f"{record} is damaged or was changed. Begin anew with --overwrite.")
        raise UsageError(
            f"{self.path} was begun with other settings or data, so it cannot be resumed: {differences}. "
            "Repeat the first command, or begin anew with --overwrite."
        )
