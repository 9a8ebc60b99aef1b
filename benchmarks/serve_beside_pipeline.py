"""The server beside a plain FastAPI application around the pipeline of transformers: requests a second at the same p99.

    python benchmarks/serve_beside_pipeline.py DIR --output benchmarks/results/serve-beside-pipeline.json

DIR is a folder fitted for classification by fine-tuning, which transformers opens too. Both servers have one thread for
the model and the same clients on one machine: wrk (`apt install wrk`), which takes next to nothing of the cores that
they share with the servers. Each is asked by more and more clients; what the pipeline answers at its best, and the p99
of that, is set beside the most that `taesan serve` answers within the same p99.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil

from http_load import HOST, sample_texts, server, taesan_server
from measure import spread, table, write_json

# One body after another; at the end requests, seconds, answers that were not 200 or did not come, p99 in milliseconds.
SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local bodies, last = {}, 0
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
request = function()
  last = last % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[last])
end
done = function(summary, latency)
  local errors = summary.errors
  local bad = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  print(string.format("%d %f %d %f", summary.requests, summary.duration / 1e6, bad, latency:percentile(99) / 1e3))
end
"""

CLIENTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128)
Level = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--seconds", type=int, default=10, help="for each number of clients")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", help="JSON of all measurements")
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plain:
        plain(arguments.model)
        return
    if shutil.which("wrk") is None:
        parser.error("wrk is needed: apt install wrk")
    runs = []
    for _ in range(arguments.repeats):
        command = [sys.executable, __file__, arguments.model, "--plain"]
        with server(command, r"Uvicorn running on http://\S+:(\d+)") as (port, process):
            theirs = levels(port, process.pid, "/predict", "text", arguments.seconds)
        with taesan_server([f"model={arguments.model}"]) as (port, process):
            ours = levels(port, process.pid, "/v1/models/model:predict", "item", arguments.seconds)
        runs.append(compared(theirs, ours))
        print(json.dumps(runs[-1]), flush=True)
    rows = []
    for name in ("pipeline", "taesan"):
        rate, p99 = ([run[name][key] for run in runs] for key in ("rate", "p99"))
        cpu = [1000 * run[name]["cpu"] for run in runs]
        rows.append((name, spread(rate, ".0f"), spread(p99, ".3f"), spread(cpu, ".1f")))
    print(table(("server", "requests a second", "p99 s", "CPU ms a request"), rows))
    print(f"\nratio {spread([run['ratio'] for run in runs])}; of CPU time {spread([run['cpu_ratio'] for run in runs])}")
    write_json(arguments.output, {**vars(arguments), "runs": runs})


def levels(port: int, pid: int, address: str, key: str, seconds: float) -> list[Level]:
    """What is answered to each number of clients, who ask as fast as they are answered."""
    bodies = [{key: text if key == "text" else {"text": text}} for text in sample_texts()]
    process = psutil.Process(pid)
    with tempfile.TemporaryDirectory() as folder:
        script, lines = Path(folder, "post.lua"), Path(folder, "bodies.jsonl")
        script.write_text(SCRIPT)
        lines.write_text("".join(json.dumps(body, ensure_ascii=False) + "\n" for body in bodies))

        def asked(clients: int, seconds: float) -> Level:
            command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout=30s", f"-s{script}"]
            command.append(f"http://{HOST}:{port}{address}")
            before = sum(process.cpu_times()[:2])
            said = subprocess.run(command, env=os.environ | {"BODIES": str(lines)}, check=True, capture_output=True)
            count, took, bad, p99 = map(float, said.stdout.splitlines()[-1].split())
            assert not bad, said.stdout.decode()
            cpu = (sum(process.cpu_times()[:2]) - before) / count
            return {"clients": clients, "rate": count / took, "p99": p99 / 1e3, "cpu": cpu}

        asked(4, 2)  # warm
        return [asked(clients, seconds) for clients in CLIENTS]


def compared(theirs: list[Level], ours: list[Level]) -> dict[str, Any]:
    most = max(theirs, key=lambda level: level["rate"])
    within = [level for level in ours if level["p99"] <= most["p99"]] or ours[:1]
    best = max(within, key=lambda level: level["rate"])
    ratios = {"ratio": best["rate"] / most["rate"], "cpu_ratio": most["cpu"] / best["cpu"]}
    return {"pipeline": most, "taesan": best, **ratios, "levels": {"pipeline": theirs, "taesan": ours}}


def plain(model: str) -> None:
    """The application that one would write first."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel
    from transformers import pipeline

    class Item(BaseModel):
        text: str

    app = FastAPI()
    classify = pipeline("text-classification", model=model, device="cpu", top_k=None)

    @app.post("/predict")
    def predict(item: Item) -> Any:
        return classify(item.text)

    uvicorn.run(app, host="127.0.0.1", port=0, http="h11", access_log=False)


if __name__ == "__main__":
    main()
