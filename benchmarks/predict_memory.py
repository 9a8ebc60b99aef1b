"""Peak memory of `taesan predict` against the number of rows: it does not grow with it.

    python benchmarks/predict_memory.py --data DIR --output FILE.json

A model is fitted to 200 reviews; then so many reviews as each of --sizes, repeated with a number in front where there
are no more, are answered from a file into a file, each time by the command line in a process of its own.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import ONE_THREAD, table, write_json

MEGABYTE = 1_000_000
LEARNT_ROWS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with classification/nsmc_train.tsv")
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 400_000], help="rows")
    parser.add_argument("--backbone", default="taesan:bert-mini", help="a smaller one makes it shorter")
    parser.add_argument("--output", help="JSON of all measurements")
    arguments = parser.parse_args()
    source = Path(arguments.data) / "classification" / "nsmc_train.tsv"
    cells: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "learnt.tsv", source, LEARNT_ROWS)
        fit = ("fit", "classification", folder / "learnt.tsv", "--backbone", arguments.backbone, "--epochs", "1")
        taesan(*fit, "--set", "threads=1", "--output", folder / "model")
        for rows in arguments.sizes:
            write(folder / "rows.tsv", source, rows)
            answers = folder / "answers.jsonl"
            used = taesan("predict", folder / "model", "--input", folder / "rows.tsv", "--output", answers)
            with answers.open("rb") as file:
                assert sum(1 for _ in file) == rows
            cells.append({"rows": rows, "backbone": arguments.backbone, "answer_bytes": answers.stat().st_size, **used})
            print(f"{rows:9,} rows: {used['peak_bytes'] / MEGABYTE:,.0f} MB at the peak", flush=True)
    lines = [
        [f"{cell['rows']:,}"]
        + [f"{cell[key] / MEGABYTE:,.0f}" for key in ("answer_bytes", "peak_bytes")]
        + [f"{cell[key]:,.0f}" for key in ("cpu_seconds", "wall_seconds")]
        for cell in cells
    ]
    shown = table(["rows", "MB of answers", "peak MB", "CPU seconds", "seconds"], lines)
    print(f"\n{shown}")
    write_json(arguments.output, {"cells": cells, "table": shown.splitlines()})


def write(target: Path, source: Path, rows: int) -> None:
    """The head of `source` and so many of its lines, from the first one again where they end."""
    with target.open("w", encoding="utf-8") as out:
        written = 0
        for number in itertools.count():
            with source.open(encoding="utf-8") as file:
                head = next(file)
                out.write("" if number else head)
                for line in itertools.islice(file, rows - written):
                    key, text, label = line.split("\t")
                    out.write(f"{key}\t{number} {text}\t{label}" if number else line)
                    written += 1
            if written == rows:
                return


def taesan(*arguments: object) -> dict[str, Any]:
    """What the command used. This process stays small: a child's peak begins there."""
    command = [sys.executable, "-m", "taesan", *map(str, arguments), "--quiet"]
    begun = time.monotonic()
    process = subprocess.Popen(command, env=os.environ | ONE_THREAD, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return {
        "peak_bytes": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "wall_seconds": round(time.monotonic() - begun, 1),
    }


if __name__ == "__main__":
    main()
