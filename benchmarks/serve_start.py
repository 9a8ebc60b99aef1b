"""From the shell to a served request: `taesan serve` of a folder with a graph beside the plain application.

    python benchmarks/serve_start.py DIR --output benchmarks/results/serve-start.json

DIR is a folder fitted for classification by fine-tuning and exported to ONNX, which transformers opens too. Seconds go
from the start of the command to the first answer, the two in turn, with files as the page cache has them. Resident
memory and CPU seconds are read after that answer.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from http_load import HOST, ask, request, server, taesan_server
from measure import spread, table, write_json

SHOWN = (("seconds", ".2f"), ("CPU seconds", ".2f"), ("MB", ".0f"))
PLAIN = str(Path(__file__).with_name("serve_beside_pipeline.py"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", help="JSON of all measurements")
    arguments = parser.parse_args()
    runs: list[dict[str, Any]] = []
    for _ in range(arguments.repeats):
        begun = time.perf_counter()
        with taesan_server([f"model={arguments.model}"]) as (port, process):
            ours = first_answer(begun, port, process.pid, "/v1/models/model:predict", {"item": {"text": "좋은 영화"}})
        begun = time.perf_counter()
        command = [sys.executable, PLAIN, arguments.model, "--plain"]
        with server(command, r"Uvicorn running on http://\S+:(\d+)") as (port, process):
            theirs = first_answer(begun, port, process.pid, "/predict", {"text": "좋은 영화"})
        runs.append({"taesan": ours, "pipeline": theirs, "ratio": theirs["seconds"] / ours["seconds"]})
    rows = [
        (name, *(spread([run[name][key] for run in runs], form) for key, form in SHOWN))
        for name in ("pipeline", "taesan")
    ]
    print(table(("server", *(key for key, _ in SHOWN)), rows))
    print(f"\nratio of seconds {spread([run['ratio'] for run in runs])}")
    write_json(arguments.output, {"runs": runs})


def first_answer(begun: float, port: int, pid: int, address: str, body: object) -> dict[str, float]:
    async def asked() -> int:
        reader, writer = await asyncio.open_connection(HOST, port)
        status, _ = await ask(reader, writer, request(address, body))
        writer.close()
        return status

    assert asyncio.run(asked()) == 200
    seconds, process = time.perf_counter() - begun, psutil.Process(pid)
    cpu, memory = sum(process.cpu_times()[:2]), process.memory_info().rss
    return {"seconds": seconds, "CPU seconds": cpu, "MB": memory / 1e6}


if __name__ == "__main__":
    main()
