"""`taesan compare --ray` on a cluster that loses a node: python benchmarks/compare_ray.py --output FILE

A Ray cluster of a head without CPUs and three nodes of one CPU is started on this machine. A small comparison of
two-layer models runs on it, and one node is killed while a cell is being made there. Every score and every
prediction has to be that of a run without Ray, bit for bit.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster

from compare_kills import quality, start
from crash_safety import make_inputs
from measure import write_json

STORE_BYTES = 80_000_000  # the least that Ray takes: cells go over the disk
NODES = 3


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
    if found["differing"] or not found["cells_made_by_the_node_that_was_killed"]:
        sys.exit("the run on Ray did not show what it was to show")


def measure(root: Path) -> dict[str, Any]:
    make_inputs(root)
    options = {"object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **options})
    try:
        nodes = [cluster.add_node(num_cpus=1, **options) for _ in range(NODES)]
        begun = time.monotonic()
        process = start(root / "ray", "--ray", cluster.address)
        killed_at = kill_busy(cluster, nodes[0], root / "ray", process)
        if process.wait() != 0:
            sys.exit("the run on Ray failed")
        seconds = time.monotonic() - begun
    finally:
        cluster.shutdown()
    if start(root / "local").wait() != 0:
        sys.exit("the run without Ray failed")
    wanted, found = quality(root / "local"), quality(root / "ray")
    return {
        "nodes": NODES,
        "cells": len(list((root / "ray" / "cells").glob("*/cell.json"))),
        "cells_done_when_killed": killed_at,
        "cells_made_by_the_node_that_was_killed": killed_at is not None,
        "seconds": round(seconds, 1),
        "differing": [name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)],
    }


def kill_busy(cluster: Cluster, node: Any, out: Path, process: subprocess.Popen[bytes]) -> int | None:
    """Kills a node while every node has a cell in the making; how many were done then."""
    while process.poll() is None:
        making = list(out.glob("cells/.*"))
        if len(making) == NODES:
            done = len(list(out.glob("cells/*/cell.json")))
            cluster.remove_node(node, allow_graceful=False)
            return done
        time.sleep(0.05)
    return None


if __name__ == "__main__":
    main()
