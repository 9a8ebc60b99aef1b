"""Checkpoints of a run: `DIR/checkpoints/step-N/`, whole or not there; the newest that verifies is resumed."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as load_tensors

from taesan import store
from taesan.engine.board import Board
from taesan.errors import InputMissing, StorageError

KEPT = 2


@dataclass
class State:
    """Everything a run is, besides its data: from it the next step follows, bit for bit."""

    step: int = 0
    seconds: float = 0.0
    log_bytes: int = 0
    log_sha256: str = ""
    best_score: float | None = None
    best_step: int = 0
    validations_without_gain: int = 0
    scaler: dict[str, Any] = field(default_factory=dict)
    stopped_early: bool = False


Tensors = dict[str, NDArray[Any]]


def save(run: Path, state: State, tensors: dict[str, Tensors]) -> None:
    """Writes a checkpoint (`tensors` by file: model, optimizer, best), then removes all but the last two.

    What stopped processes left goes too, and later checkpoints that were passed over because they are damaged.

    Raises: StorageError.
    """
    folder = run / "checkpoints" / f"step-{state.step}"
    files: dict[str, store.Content] = {
        f"{name}.safetensors": store.tensor_chunks(part) for name, part in tensors.items()
    }
    store.save_folder(folder, files, {"state": asdict(state)}, manifest_name=store.CHECKPOINT_MANIFEST)
    kept = [f"step-{step}" for step in _steps(run) if step <= state.step][:KEPT]
    for path in list(folder.parent.iterdir()):
        if path.is_dir() and path.name not in kept:
            store.remove_folder(path)


def newest(run: Path, say: Callable[[str], None]) -> tuple[State, dict[str, Tensors]] | None:
    """The newest checkpoint that verifies; a damaged one is said and passed over. None where there is none."""
    for step in _steps(run):
        folder = run / "checkpoints" / f"step-{step}"
        try:
            whole = store.Folder(folder, manifest_name=store.CHECKPOINT_MANIFEST)
            contents = whole.read_all()
        except (StorageError, InputMissing) as error:
            say(f"checkpoint step-{step} is passed over: {error}")
            continue
        tensors = {name.removesuffix(".safetensors"): load_tensors(content) for name, content in contents.items()}
        return State(**whole.manifest["state"]), tensors
    return None


def _steps(run: Path) -> list[int]:
    names = [path.name for path in (run / "checkpoints").glob("step-*")]
    return sorted((int(name[5:]) for name in names if name[5:].isdigit()), reverse=True)


class Log:
    """`DIR/log.jsonl`, a line an event, cut back to its length at the checkpoint that a run resumes from."""

    def __init__(self, path: Path, state: State, say: Callable[[str], None], board: Board | None = None):
        self._path, self._board = path, board
        with store.storage_errors(path), path.open("ab") as file:
            file.truncate(min(state.log_bytes, file.tell()))
            kept = path.read_bytes()
        self._bytes, self._digest = len(kept), hashlib.sha256(kept)
        if state.log_sha256 not in ("", self._digest.hexdigest()):
            say(f"{path} is damaged or was changed; the model does not depend on it, and the run goes on")

    def write(self, **event: Any) -> None:
        """Adds one line. Raises: StorageError."""
        line = (json.dumps(event, ensure_ascii=False, default=_plain) + "\n").encode()
        with store.storage_errors(self._path), self._path.open("ab") as file:
            file.write(line)
        self._bytes += len(line)
        self._digest.update(line)
        if self._board:
            self._board.write(event)

    def sync(self, state: State) -> None:
        """Brings all lines to the disk and notes them in `state`. Raises: StorageError."""
        with store.storage_errors(self._path), self._path.open("ab") as file:
            os.fsync(file.fileno())
        state.log_bytes, state.log_sha256 = self._bytes, self._digest.hexdigest()

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        if self._board:
            self._board.close()


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(type(value).__name__)
