"""A run in its output folder: locked, begun, resumed, finished."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from taesan import store
from taesan.engine.process import Process
from taesan.errors import OutputError, UsageError, escape


class Run:
    """Holds the output folder's lock from the first write to the last; only the main process touches the disk.

    `identity` is all that the result depends on (verb, config, data hashes); a run resumes only as itself.
    """

    def __init__(
        self, folder: Path, identity: Mapping[str, Any], process: Process, *, resume: bool = False, overwrite: bool = False
    ):
        if resume and overwrite:
            raise UsageError("--resume and --overwrite exclude each other: go on with the old run, or begin anew")
        self.path, self._identity, self._process = folder, dict(identity), process
        self._resume, self._overwrite = resume, overwrite
        self._stack = ExitStack()

    def __enter__(self) -> "Run":
        """Raises: LockedError, OutputError where the folder holds something, UsageError where it is another run's."""
        if self._process.is_main:
            self._stack.enter_context(store.Lock(self.path))
            try:
                store.recover(self.path)
                self._begin()
            except BaseException:
                self._stack.close()
                raise
        self._process.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def finish(self, files: Mapping[str, store.Content], manifest: Mapping[str, Any]) -> None:
        """Puts the finished model in the folder's place; the run's own record comes along, its checkpoints go."""
        kept = {name: (self.path / name).read_bytes() for name in (store.RUN_FILE, "log.jsonl")}
        store.save_folder(self.path, {**files, **kept}, manifest)

    def _begin(self) -> None:
        record = self.path / store.RUN_FILE
        if self._resume:
            if (self.path / store.MANIFEST).exists():
                raise OutputError(f"{self.path} is finished already; there is nothing to resume")
            if record.exists():
                self._compare(json.loads(record.read_bytes()))
                return
        elif self.path.exists() and any(self.path.iterdir()):
            if not self._overwrite:
                raise OutputError(
                    f"{self.path} is not empty. Go on with what it holds by --resume, replace it by --overwrite, "
                    "or choose another --output."
                )
            store.set_aside(self.path)
        with store.storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        store.replace_file(record, (json.dumps(self._identity, ensure_ascii=False, indent=1) + "\n").encode())

    def _compare(self, recorded: Any) -> None:
        old, new = _flat(recorded), _flat(json.loads(json.dumps(self._identity)))
        differences = [
            f"{key}: {escape(old.get(key))}, now {escape(new.get(key))}"
            for key in sorted(set(old) | set(new))
            if old.get(key) != new.get(key)
        ]
        if differences:
            raise UsageError(
                f"{self.path} was begun with other settings or data, so it cannot be resumed: "
                f"{'; '.join(differences[:5])}. Repeat the first command, or begin anew with --overwrite."
            )


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """`{"config": {"seed": 1}}` as `{"config.seed": 1}`."""
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}.{key}" if prefix else key)
    return flat
