"""`taesan compare`, killed again and again: python benchmarks/compare_kills.py --kills 20 --output FILE

A small comparison of two-layer models is run once undisturbed. Then others of the same command are started and killed
by SIGKILL, the command alone or with all that it has started, at a random moment or in the first instants of a cell,
and started again; after some kills each may end. Every score and every prediction has to be the undisturbed run's, bit
for bit, and nothing half made may be left.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from crash_safety import make_inputs
from measure import write_json

KILLS_OF_A_RUN = 5
METHODS = "finetune,in-context,scratch"
SIZES = "0,8,16,all"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", help="JSON of what was found")
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="compare-kills-"))
    try:
        found = measure(root, arguments.kills, random.Random(arguments.seed))
    finally:
        shutil.rmtree(root)
    print(json.dumps(found, indent=1))
    write_json(arguments.output, found)
    if found["differing"]:
        sys.exit("a run that was killed ended otherwise than one that was not")


def measure(root: Path, kills: int, chance: random.Random) -> dict[str, Any]:
    make_inputs(root)
    begun = time.monotonic()
    if start(root / "undisturbed").wait() != 0:
        sys.exit("the undisturbed run failed")
    duration = time.monotonic() - begun
    wanted = quality(root / "undisturbed")
    assert wanted, "no cell was made"
    done, alone, runs, differing, cells_at_kills = 0, 0, 0, [], []
    while done < kills:
        out = root / f"run-{runs}"
        for _ in range(min(KILLS_OF_A_RUN, kills - done)):
            process = start(out)
            await_moment(process, out, duration, chance)
            if process.poll() is not None:
                break
            whole = chance.random() < 0.5
            kill(process, whole=whole)
            done, alone = done + 1, alone + (not whole)
            cells_at_kills.append(len(list(out.glob("cells/*/cell.json"))))
            print(f"kill {done}: {cells_at_kills[-1]} of {len(wanted)} cells were done", flush=True)
        if start(out).wait() != 0:
            differing.append(f"run {runs}: the last one failed")
        found = quality(out)
        differing += [
            f"run {runs}: {name}" for name in wanted.keys() | found.keys() if found.get(name) != wanted.get(name)
        ]
        differing += [f"run {runs}: {path} is left" for path in out.glob("*/.*")]
        runs += 1
        shutil.rmtree(out)
    return {
        "cells": len(wanted),
        "kills": done,
        "of the command alone": alone,
        "runs": runs,
        "cells done when killed": cells_at_kills,
        "undisturbed_seconds": round(duration, 1),
        "differing": differing,
    }


def start(out: Path, *flags: str) -> subprocess.Popen[bytes]:
    rows, backbone = out.parent / "rows.jsonl", out.parent / "backbone"
    command = [
        "compare",
        "classification",
        str(rows),
        "--backbones",
        str(backbone),
        "--label-words",
        "good=좋은,bad=나쁜",
    ]
    command += ["--methods", METHODS, "--sizes", SIZES, "--seeds", "2", "--budget", "1h", "--jobs", "2", "--quiet"]
    command += ["--output", str(out), *flags]
    return subprocess.Popen(
        [sys.executable, "-m", "taesan", *command], stdout=subprocess.DEVNULL, start_new_session=True
    )


def await_moment(process: subprocess.Popen[bytes], out: Path, duration: float, chance: random.Random) -> None:
    """Any moment of a run, or one within the third of a second after one of its cells has begun."""
    seconds = chance.uniform(0, duration)
    if chance.random() < 0.5:
        begun: set[Path] = set()
        cells = chance.randint(1, 6)
        while process.poll() is None and len(begun) < cells:
            begun |= set(out.glob("cells/.*"))
            time.sleep(0.002)
        seconds = chance.uniform(0, 0.3)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def kill(process: subprocess.Popen[bytes], *, whole: bool) -> None:
    """The process group of the command; `whole`, also all that it has started."""
    others = psutil.Process(process.pid).children(recursive=True) if whole else []
    os.killpg(process.pid, signal.SIGKILL)
    for other in others:
        with contextlib.suppress(psutil.NoSuchProcess):
            other.kill()
    process.wait()


def quality(out: Path) -> dict[str, Any]:
    """Scores and predictions of every cell, and the predictions of the folds."""
    cells = {
        path.parent.name: (json.loads(path.read_bytes())["scores"], (path.parent / "predictions.jsonl").read_bytes())
        for path in out.glob("cells/*/cell.json")
    }
    folds = {str(path.relative_to(out)): path.read_bytes() for path in out.glob("folds/*/predictions.jsonl")}
    return {**cells, **folds}


if __name__ == "__main__":
    main()
