"""Ways to begin, tried one after another until something is learnt; each has a folder of its own, so a run resumes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from taesan import store
from taesan.config import FitConfig
from taesan.errors import StorageError
from taesan.methods.base import Attempt, Method

Tried = list[dict[str, Any]]
_FILE = "attempts.json"


def attempts_of(method: Method, config: FitConfig) -> list[Attempt]:
    """The method's, the first as the settings say; none twice, and one alone where nothing is to be noticed."""
    first, *others = method.attempts
    first = replace(first, initialization=config.initialization)
    if not config.notice:
        return [first]
    named = [replace(one, initialization=one.initialization or config.initialization) for one in others]
    return list(dict.fromkeys([first, *named]))


def floor_of(constant: float | None, rows: int, config: FitConfig) -> float | None:
    """What a score has to be above to have moved: that of the best constant answer and a standard error.

    The error is that of a share of so many rows. None where nothing can be better, or nothing is to be noticed.
    """
    if constant is None or not config.notice:
        return None
    floor = constant + float(np.sqrt(constant * (1 - constant) / max(1, rows)))
    return floor if floor < 1 else None


def attempt_folder(folder: Path, number: int) -> Path:
    return folder if number == 0 else folder / f"attempt-{number + 1}"


def log_of(folder: Path) -> Path:
    """The log of the attempt that counts."""
    return attempt_folder(folder, len(read_tried(folder))) / "log.jsonl"


def read_tried(folder: Path) -> Tried:
    """What was given up, also before a resume. Raises: StorageError."""
    try:
        return json.loads((folder / _FILE).read_bytes())
    except FileNotFoundError:
        return []
    except ValueError:
        raise StorageError(f"{folder / _FILE} is damaged. Begin anew with --overwrite.") from None


def write_tried(folder: Path, tried: Tried) -> None:
    """Raises: StorageError."""
    store.replace_file(folder / _FILE, json.dumps(tried).encode())
