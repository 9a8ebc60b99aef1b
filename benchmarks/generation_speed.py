"""Writing beside `generate` of transformers: same model, prompts and options, one thread, CPU time.

    python benchmarks/generation_speed.py --text FILE --output benchmarks/results/generation-speed.json

Prompts are the beginnings of lines of FILE. Theirs are left-padded into one batch, ours go as they are. Every repeat
runs both in turn; `same` counts texts of the same tokens where nothing is drawn.
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
        ours, theirs = cells[name]["ours"], cells[name]["theirs"]
        ratios = [their / our for their, our in zip(theirs, ours, strict=True)]
        same = "" if case.get("sample") else f"{cells[name]['same']} of {cells[name]['texts']}"
        rate = cells[name]["tokens"] / (sum(ours) / len(ours))
        rows.append([name, f"{rate:,.0f}", spread(ratios), same])
        print(rows[-1], flush=True)
    shown = table(["", "tokens/s", "taesan is faster by", "same"], rows)
    print(shown)
    write_json(arguments.output, {"cells": cells, "table": shown.splitlines()})


def run(cell: dict[str, Any]) -> dict[str, Any]:
    import torch
    import transformers

    from taesan.config import GenerationOptions
    from taesan.engine.load import open_writer
    from taesan.models.locate import locate

    torch.set_num_threads(1)
    opener = lzma.open if cell["text"].endswith(".xz") else open
    with opener(Path(cell["text"]), "rt", encoding="utf-8") as file:
        lines = [line.split()[: 3 + number % 6] for number, line in zip(range(cell["prompts"]), file, strict=False)]
    prompts = [" ".join(words) for words in lines]
    writer = open_writer(cell["backbone"])
    tokenizer = writer.tokenizer
    ids = [np.concatenate([tokenizer.layout.prefix, one]).astype(np.int32) for one in tokenizer.ids(prompts)]
    drawn = {"sample": True, "top_p": cell["top_p"]} if cell.get("sample") else {}
    # All texts go on to the end: then both write the same number of tokens.
    options = GenerationOptions(
        max_tokens=cell["tokens"], min_tokens=cell["tokens"], beams=cell.get("beams", 1), **drawn
    )
    model = transformers.AutoModelForCausalLM.from_pretrained(locate(cell["backbone"]), dtype=torch.float32).eval()
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
        "suppress_tokens": list(writer.writing().banned),
    } | ({"top_p": cell["top_p"], "top_k": 0} if cell.get("sample") else {})
    found: dict[str, Any] = {"ours": [], "theirs": [], "texts": len(ids), "tokens": cell["tokens"] * len(ids)}
    for repeat in range(cell["repeats"] + 1):
        begun = time.process_time()
        own = writer.session.generate(ids, options, writer.writing())
        middle = time.process_time()
        with torch.inference_mode():
            out = model.generate(padded, attention_mask=mask, **settings)
        end = time.process_time()
        if repeat:  # the first warms both up
            found["ours"].append(middle - begun)
            found["theirs"].append(end - middle)
    found["same"] = sum(list(texts[0].ids) == row[width:].tolist() for texts, row in zip(own, out, strict=True))
    return found


if __name__ == "__main__":
    main()
