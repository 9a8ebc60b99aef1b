"""Peak memory of pretraining against the size of the corpus: it does not grow with it.

    python benchmarks/pretrain_memory.py --text FILE [FILE ...] --output FILE.json

The files' lines are repeated, each time with another number in front, up to each size. Every run is a process of its
own on one thread: the tokenizer trained on 5 MB, the whole corpus encoded, embeddings warmed over all of it, and some
steps in both phases. The peak counts mapped files too.
"""

import argparse
import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

from measure import peak_bytes, run_cell, table, write_json

MEGABYTE = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", nargs="+", help="plain text; may be packed as .gz or .xz")
    parser.add_argument("--megabytes", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--objectives", nargs="+", choices=("masked", "causal"), default=["masked", "causal"])
    parser.add_argument("--work", help="where the texts are written, 1 GB and more; else a temporary folder")
    parser.add_argument("--output", help="JSON of all measurements")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        print(json.dumps(run(json.loads(arguments.cell))))
        return
    if not arguments.text:
        parser.error("--text is needed")
    cells: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        for size in arguments.megabytes:
            text = Path(folder) / "text.txt"
            write(text, arguments.text, size * MEGABYTE)
            for objective in arguments.objectives:
                cell = {"objective": objective, "megabytes": size}
                cells.append(cell | run_cell(__file__, cell | {"text": str(text)}))
                peak = cells[-1]["peak_bytes"] / MEGABYTE
                print(f"{objective:7} {size:6,} MB of text: {peak:,.0f} MB at the peak", flush=True)
    rows = [
        [f"{c['objective']}, {c['megabytes']:,} MB", f"{c['tokens']:,}", f"{c['peak_bytes'] / MEGABYTE:,.0f}"]
        for c in sorted(cells, key=lambda c: (c["objective"], c["megabytes"]))
    ]
    shown = table(["", "tokens", "peak MB"], rows)
    print(f"\n{shown}")
    write_json(arguments.output, {"cells": cells, "table": shown.splitlines()})


def write(target: Path, sources: list[str], size: int) -> None:
    from taesan.data import Report, read_lines

    written = 0
    with target.open("w", encoding="utf-8") as file:
        for number, source in ((n, s) for n in itertools.count() for s in sources):
            for _, line in read_lines(source, report=Report()):
                text = f"{number} {line}\n" if number else f"{line}\n"
                file.write(text)
                written += len(text.encode())
                if written >= size:
                    return


def run(cell: dict[str, Any]) -> dict[str, Any]:
    import taesan
    from taesan.config import PretrainConfig

    config = PretrainConfig(
        train_tokens=30_000,
        tokenizer_bytes=5 * MEGABYTE,
        full_length_fraction=0.3,
        validation_fraction=0.001,
        checkpoint_seconds=0.0,
        device="cpu",
        threads=1,
    )
    with tempfile.TemporaryDirectory(dir=Path(cell["text"]).parent) as folder:
        output = Path(folder) / "backbone"
        taesan.pretrain(cell["objective"], [cell["text"]], output=output, config=config, quiet=True)
        return {"tokens": taesan.show(output)["corpus_tokens"], "peak_bytes": peak_bytes()}


if __name__ == "__main__":
    main()
