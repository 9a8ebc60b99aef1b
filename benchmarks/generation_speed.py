"""Writing beside `generate` of transformers: same model, prompts and options, one thread, CPU time.

    python benchmarks/generation_speed.py --text FILE --output benchmarks/results/generation-speed.json

Prompts are the beginnings of lines of FILE. Theirs are left-padded into one batch, ours go as they are, by torch and by
the ONNX graph. Every repeat runs all three in turn; `same` counts texts of theirs that both of ours are equal to, where
nothing is drawn. Last, the graph is asked for `--batchings` random batches of 64 prompts, whose texts must be those of
each prompt alone, to the last bit of their log-probabilities.
"""

import argparse
import json
import lzma
import time
from pathlib import Path
from typing import Any

import numpy as np

from measure import run_cell, spread, table, write_json
from taesan.models.locate import DEFAULT_CAUSAL

CASES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "greedy, one prompt": {"prompts": 1},
    "4 beams": {"beams": 4},
    "4 beams, one prompt": {"beams": 4, "prompts": 1},
    "top-p 0.9": {"sample": True, "top_p": 0.9},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", help="plain text, may be packed as .xz")
    parser.add_argument("--backbone", default=DEFAULT_CAUSAL)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batchings", type=int, default=1000)
    parser.add_argument("--output", help="JSON of all measurements")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        print(json.dumps(run(json.loads(arguments.cell))))
        return
    if not arguments.text:
        parser.error("--text is needed")
    common = {name: getattr(arguments, name) for name in ("text", "backbone", "tokens", "repeats", "prompts")}
    cells: dict[str, Any] = {}
    rows: list[list[str]] = []
    for name, case in CASES.items():
        cells[name] = run_cell(__file__, {**common, **case})
        ratios = {
            own: [their / our for their, our in zip(cells[name]["generate"], cells[name][own], strict=True)]
            for own in ("torch", "onnx")
        }
        same = "" if case.get("sample") else f"{cells[name]['same']} of {cells[name]['texts']}"
        rate = cells[name]["tokens"] * len(ratios["onnx"]) / sum(cells[name]["onnx"])
        rows.append([name, f"{rate:,.0f}", spread(ratios["onnx"]), spread(ratios["torch"]), same])
        print(rows[-1], flush=True)
    cells["batchings"] = run_cell(__file__, {**common, "prompts": 64, "batchings": arguments.batchings})
    print(cells["batchings"])
    shown = table(["", "ONNX: tokens/s", "ONNX is faster by", "torch is faster by", "same"], rows)
    print(shown)
    write_json(arguments.output, {"cells": cells, "table": shown.splitlines()})


def run(cell: dict[str, Any]) -> dict[str, Any]:
    import torch

    from taesan.config import GenerationOptions
    from taesan.engine.generate import Generator
    from taesan.engine.onnx_graph import open_graph
    from taesan.engine.onnx_rows import OnnxDecoder
    from taesan.engine.torch_decoder import TorchDecoder
    from taesan.models.backbone import find
    from taesan.models.onnx_decoder import decoder_graph

    torch.set_num_threads(1)
    opener = lzma.open if cell["text"].endswith(".xz") else open
    with opener(Path(cell["text"]), "rt", encoding="utf-8") as file:
        lines = [line.split()[: 3 + number % 6] for number, line in zip(range(cell["prompts"]), file, strict=False)]
    prompts = [" ".join(words) for words in lines]
    backbone = find(cell["backbone"])
    model, tokenizer = backbone.load("language_model").eval(), backbone.tokenizer
    banned = tuple(sorted(tokenizer.control_ids - {tokenizer.separator_id}))
    limits = {"end_id": tokenizer.separator_id, "max_length": backbone.max_length, "banned": banned}
    graph = Generator(OnnxDecoder(open_graph(decoder_graph(model, []))), **limits)
    torches = Generator(TorchDecoder(model), **limits)
    ids = [np.concatenate([tokenizer.layout.prefix, one]).astype(np.int32) for one in tokenizer.ids(prompts)]
    if "batchings" in cell:
        return batchings(graph, ids, cell["batchings"])
    drawn = {"sample": True, "top_p": cell["top_p"]} if cell.get("sample") else {}
    # All texts go on to the end: then both write the same number of tokens.
    options = GenerationOptions(
        max_tokens=cell["tokens"], min_tokens=cell["tokens"], beams=cell.get("beams", 1), **drawn
    )
    width = max(map(len, ids))
    padded = torch.full((len(ids), width), tokenizer.pad_id)
    mask = torch.zeros_like(padded)
    for row, one in enumerate(ids):
        padded[row, width - len(one) :], mask[row, width - len(one) :] = torch.from_numpy(one.astype(np.int64)), 1
    settings: dict[str, Any] = {
        "max_new_tokens": cell["tokens"],
        "min_new_tokens": cell["tokens"],
        "num_beams": cell.get("beams", 1),
        "do_sample": bool(cell.get("sample")),
        "pad_token_id": tokenizer.pad_id,
        "suppress_tokens": list(banned),
    } | ({"top_p": cell["top_p"], "top_k": 0} if cell.get("sample") else {})
    found: dict[str, Any] = {
        "torch": [],
        "onnx": [],
        "generate": [],
        "texts": len(ids),
        "tokens": cell["tokens"] * len(ids),
    }
    for repeat in range(cell["repeats"] + 1):
        times = [time.process_time()]
        own = torches.generate(ids, options)
        times.append(time.process_time())
        by_graph = graph.generate(ids, options)
        times.append(time.process_time())
        with torch.inference_mode():
            out = model.generate(padded, attention_mask=mask, **settings)
        times.append(time.process_time())
        if repeat:  # the first warms all up
            for name, seconds in zip(("torch", "onnx", "generate"), np.diff(times).tolist(), strict=True):
                found[name].append(seconds)
    found["same"] = sum(
        list(one[0].ids) == list(other[0].ids) == row[width:].tolist()
        for one, other, row in zip(own, by_graph, out, strict=True)
    )
    return found


def batchings(generator: Any, ids: list[Any], count: int) -> dict[str, int]:
    """How many texts of random batches are, in tokens or in a bit, not those of their prompt alone."""
    from taesan.config import GenerationOptions

    options = GenerationOptions(max_tokens=16)
    alone = [generator.generate([one], options)[0] for one in ids]
    chance, found = np.random.default_rng(0), {"batchings": count, "texts": 0, "other tokens": 0, "other bits": 0}
    for _ in range(count):
        chosen = chance.integers(0, len(ids), chance.integers(2, 17)).tolist()
        for number, texts in zip(chosen, generator.generate([ids[one] for one in chosen], options), strict=True):
            found["texts"] += 1
            found["other tokens"] += texts[0].ids != alone[number][0].ids
            found["other bits"] += texts != alone[number]
    return found


if __name__ == "__main__":
    main()
