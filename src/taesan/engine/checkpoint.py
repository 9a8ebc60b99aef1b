"""Checkpoints of a run: `DIR/checkpoints/step-N/`, whole or not there, the newest that verifies is the one to resume."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as load_tensors

from taesan import store
from taesan.errors import InputMissing, StorageError

KEPT = 2


@dataclass
class State:
    """Everything a run is, besides its data: from it the next step follows, bit for bit."""

    step: int = 0
    seconds: float = 0.0
    log_bytes: int = 0
    best_score: float | None = None
    best_step: int = 0
    validations_without_gain: int = 0
    scaler: dict[str, Any] = field(default_factory=dict)
    stopped_early: bool = False


Tensors = dict[str, NDArray[Any]]


def save(run: Path, state: State, tensors: dict[str, Tensors]) -> None:
    """Writes a checkpoint (`tensors` by file: model, optimizer, best), then removes all but the last two.

    Raises: StorageError.
    """
    folder = run / "checkpoints" / f"step-{state.step}"
    files: dict[str, store.Content] = {f"{name}.safetensors": store.tensor_chunks(part) for name, part in tensors.items()}
    store.save_folder(folder, files, {"state": asdict(state)}, manifest_name=store.CHECKPOINT_MANIFEST)
    for step in _steps(run)[KEPT:]:
        store.remove_folder(run / "checkpoints" / f"step-{step}")


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

    def __init__(self, path: Path, *, keep_bytes: int):
        self._path = path
        with store.storage_errors(path), path.open("ab") as file:
            file.truncate(min(keep_bytes, file.tell()))
        self.bytes = path.stat().st_size

    def write(self, **event: Any) -> None:
        """Adds one line. Raises: StorageError."""
        line = (json.dumps(event, ensure_ascii=False, default=_plain) + "\n").encode()
        with store.storage_errors(self._path), self._path.open("ab") as file:
            file.write(line)
        self.bytes += len(line)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(type(value).__name__)
