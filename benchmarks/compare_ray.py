"""`taesan compare --ray` on a cluster that loses a node: python benchmarks/compare_ray.py --output FILE

A Ray cluster of a head without CPUs and three nodes of one CPU is started on this machine. A small comparison of
two-layer models runs on it, and one node is killed with its worker while that makes a cell. Every score and every
prediction has to be that of a run without Ray, bit for bit.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from ray.cluster_utils import Cluster

from compare_kills import quality, start
from crash_safety import make_inputs
from measure import write_json

STORE_BYTES = 80_000_000  # the least that Ray takes: cells go over the disk
NODES = 3
FEW = ("--sizes", "8,all", "--seeds", "1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", help="JSON of what was found")
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="compare-ray-"))
    try:
        found = measure(root)
    finally:
        shutil.rmtree(root)
    print(json.dumps(found, indent=1))
    write_json(arguments.output, found)
    if found["differing"] or not found["cell_lost_with_its_node"]:
        sys.exit("the run on Ray did not show what it was to show")


def measure(root: Path) -> dict[str, Any]:
    make_inputs(root)
    options = {"object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **options})
    try:
        nodes = [cluster.add_node(num_cpus=1, **options) for _ in range(NODES)]
        begun = time.monotonic()
        process = start(root / "ray", *FEW, "--ray", cluster.address)
        lost = kill_busy(cluster, nodes, root / "ray", process)
        if process.wait() != 0:
            sys.exit("the run on Ray failed")
        seconds = time.monotonic() - begun
    finally:
        cluster.shutdown()
    if start(root / "local", *FEW).wait() != 0:
        sys.exit("the run without Ray failed")
    wanted, found = quality(root / "local"), quality(root / "ray")
    return {
        "nodes": NODES,
        "cells": len(list((root / "ray" / "cells").glob("*/cell.json"))),
        "cell_lost_with_its_node": lost,
        "seconds": round(seconds, 1),
        "differing": [name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)],
    }


def kill_busy(cluster: Cluster, nodes: list[Any], out: Path, process: subprocess.Popen[bytes]) -> str | None:
    """Kills a node and its worker while that makes a cell, the second to begin or a later one; the cell's name."""
    seen: set[str] = set()
    raylets = {node.all_processes["raylet"][0].process.pid: node for node in nodes}
    while process.poll() is None:
        for path in out.glob("cells/.*"):
            name, worker = path.name.rsplit("-", 1)
            with contextlib.suppress(psutil.NoSuchProcess):
                raylet = psutil.Process(int(worker)).ppid()
                if len(seen | {name}) > 1 and raylet in raylets:
                    for victim in (raylet, int(worker)):
                        os.kill(victim, signal.SIGKILL)
                    if path.exists():  # it was not done
                        cluster.remove_node(raylets[raylet], allow_graceful=False)
                        return name.removeprefix(".").rsplit(".", 1)[0]
            seen.add(name)
        time.sleep(0.005)
    return None


if __name__ == "__main__":
    main()
