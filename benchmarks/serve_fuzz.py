"""Requests made from the server's own description, by schemathesis: whatever they hold, none is answered by a 500.

    python benchmarks/serve_fuzz.py DIR [DIR ...] --cases 20000

DIR are model folders or backbones; loopback only. What the server said of itself is counted from its own metrics.
"""

import argparse
import subprocess
import sys
import urllib.request
from pathlib import Path

from http_load import HOST, taesan_server

WITH_BODY = 5  # addresses that a body goes to; the others have nothing to vary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--cases", type=int, default=20_000, help="about so many, spread over the addresses")
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()
    names = [f"model-{number}={model}" for number, model in enumerate(arguments.models)]
    with taesan_server(names) as (port, process):
        base = f"http://{HOST}:{port}"
        command = [str(Path(sys.executable).parent / "schemathesis"), "run", f"{base}/openapi.json"]
        command += ["--checks", "not_a_server_error", "--phases", "examples,fuzzing", "--seed", str(arguments.seed)]
        command += ["--max-examples", str(-(-arguments.cases // WITH_BODY)), "--header", "Connection: close"]
        status = subprocess.run(command, check=False).returncode
        with urllib.request.urlopen(f"{base}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        counted = [line for line in lines if line.startswith("taesan_requests_total")]
        print("\n".join(counted))
        assert process.poll() is None, "the server has ended"
        assert not [line for line in counted if 'status="5' in line]
    sys.exit(status)


if __name__ == "__main__":
    main()
