"""What the benchmarks share: a cell in a process of its own on one thread, its cost, and tables."""

import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


def start_cell(script: str, cell: dict[str, Any]) -> subprocess.Popen[str]:
    """`script --cell JSON` in a process of one thread. This process stays small: a child's peak memory begins there."""
    command = [sys.executable, script, "--cell", json.dumps(cell)]
    return subprocess.Popen(command, env=os.environ | ONE_THREAD, stdout=subprocess.PIPE, text=True)


def finish_cell(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the cell printed last. Ends this process where the cell failed; its own words stand on stderr."""
    output, _ = process.communicate()
    if process.returncode:
        sys.exit(f"a cell failed with status {process.returncode}: {' '.join(process.args[1:])}")  # type: ignore[arg-type]
    return json.loads(output.splitlines()[-1])


def run_cell(script: str, cell: dict[str, Any]) -> dict[str, Any]:
    return finish_cell(start_cell(script, cell))


class Clock:
    """CPU seconds of this process inside its blocks, those of blocks of `without` taken out."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextlib.contextmanager
    def running(self, sign: int = 1) -> Iterator[None]:
        begun = time.process_time()
        try:
            yield
        finally:
            self.seconds += sign * (time.process_time() - begun)

    def without(self) -> contextlib.AbstractContextManager[None]:
        return self.running(-1)


def peak_bytes() -> int:
    """The most memory this process has held so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """Mean (least..most)."""
    mean = sum(values) / len(values)
    return f"{mean:{form}} ({min(values):{form}}..{max(values):{form}})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; the first column to the left, the others to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_json(path: str | Path | None, content: Any) -> None:
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
