"""Shapes of a backbone and how it is trained, each with its own search for a learning rate and its full decay.

    python benchmarks/pretrain_choices.py masked TEXT... --output FILE.json [--only "4 x 256" "6 x 208"]

Every choice costs about the same to predict with: the multiply-adds of its layers for a token are printed. All of them
see the same number of tokens of the same text, on one thread, at each of the learning rates; the rate falls to zero at
the end. What counts is the held-out loss as bits a byte. Of a causal model vocabularies of all sizes share it; a masked
one guesses smaller pieces beside the rest of their word, so there the vocabulary stays the same, and the part masked
too. A folder in --work that is finished is not made again.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from measure import run_cell, table, write_json

BASE: dict[str, Any] = {"layers": 4, "width": 256, "heads": 4, "feed_forward": 1024, "vocabulary_size": 16_000}
CHOICES: dict[str, dict[str, Any]] = {
    "4 x 256": {},
    "3 x 296": {"layers": 3, "width": 296, "feed_forward": 1184},
    "6 x 208": {"layers": 6, "width": 208, "feed_forward": 832},
    "6 x 256, feed-forward 512": {"layers": 6, "feed_forward": 512},
    "8,000 entries": {"vocabulary_size": 8_000},
    "post-norm BERT": {"architecture": "bert"},
    "random embeddings": {"warm_embeddings": False},
    "batches of 2,048": {"batch_tokens": 2_048},
}
LEFT_OUT = {"masked": ("8,000 entries",), "causal": ("post-norm BERT",)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objective", nargs="?", choices=("masked", "causal"))
    parser.add_argument("texts", nargs="*")
    parser.add_argument("--only", nargs="+", choices=CHOICES, default=list(CHOICES), metavar="NAME")
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--limit-bytes", type=int, default=12_000_000, help="bytes read of each text")
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-3, 2e-3, 4e-3])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", default="runs/choices")
    parser.add_argument("--output", help="JSON of all measurements")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        print(json.dumps(run(json.loads(arguments.cell))))
        return
    if not arguments.texts:
        parser.error("an objective and TEXT are needed")
    names = [name for name in arguments.only if name not in LEFT_OUT[arguments.objective]]
    common = {"objective": arguments.objective, "texts": arguments.texts}
    cells: list[dict[str, Any]] = []
    for name in names:
        for rate in arguments.rates:
            settings = BASE | {"batch_tokens": 1_024} | CHOICES[name]
            settings |= {"learning_rate": rate, "train_tokens": arguments.tokens, "seed": arguments.seed}
            settings |= {"limit_bytes": arguments.limit_bytes, "tokenizer_bytes": 5_000_000}
            folder = f"{arguments.work}/{arguments.objective}-{list(CHOICES).index(name)}-{rate:g}"
            cells.append({"name": name, **run_cell(__file__, {**common, "settings": settings, "output": folder})})
            print(f"{name:28} {rate:g}  {cells[-1]['bits_per_byte']:.4f} bits a byte", flush=True)
    shown = _table(names, arguments.rates, cells)
    print(shown)
    write_json(arguments.output, {"tokens": arguments.tokens, "cells": cells, "table": shown.splitlines()})


def run(cell: dict[str, Any]) -> dict[str, Any]:
    """What the folder of one backbone says of its held-out text; it is made where it is not there yet."""
    import taesan
    from taesan import store
    from taesan.config import PretrainConfig

    config, output = PretrainConfig(**cell["settings"], threads=1), Path(cell["output"])
    output.parent.mkdir(parents=True, exist_ok=True)
    if not (output / store.MANIFEST).exists():
        how: dict[str, Any] = {"output": output, "config": config, "resume": output.exists(), "quiet": True}
        taesan.pretrain(cell["objective"], cell["texts"], **how)
    manifest = json.loads((output / store.MANIFEST).read_bytes())
    products = config.layers * (4 * config.width**2 + 2 * config.width * config.feed_forward)
    return {"learning_rate": config.learning_rate, "multiply_adds": products, **manifest["scores"]}


def _table(names: list[str], rates: list[float], cells: list[dict[str, Any]]) -> str:
    rows: list[list[str]] = []
    for name in names:
        own = [cell for cell in cells if cell["name"] == name]
        losses = [cell["bits_per_byte"] for cell in own]
        best = min(losses)
        shown = [f"**{loss:.3f}**" if loss == best else f"{loss:.3f}" for loss in losses]
        rows.append([name, f"{own[0]['multiply_adds'] / 1e6:.2f}", *shown])
    head = ["bits a byte, held out", "million multiply-adds a token", *(f"at {rate:g}" for rate in rates)]
    return table(head, rows)


if __name__ == "__main__":
    main()
