"""Whether an answer is the same bits in any company: random batchings of some forty items, in any order.

    python benchmarks/same_bits.py --models runs/same-bits --output FILE.json

Models are fitted into the folder on the package's samples where they are not there yet; whatever session a folder opens
with is measured, so that one exported since is measured again by the same command. Of head views every item's outputs
are compared, of choices their log-probabilities, and of both the whole answers. Texts are promised as tokens, not bits,
and are not generated here.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import taesan
from measure import table, write_json
from taesan.config import FitConfig
from taesan.data import samples
from taesan.engine.infer import Asked, Predictor, run_items
from taesan.engine.load import open_predictor
from taesan.engine.scoring import TextPredictor
from taesan.tasks.base import Example
from taesan.verbs.reading import read_all

ITEMS = 40
WORDS = {"긍정": "최고", "부정": "별로"}
Bits = list[bytes]  # one an example
# Task, method, backbone, settings, rows to learn from and to ask about.
MODELS: dict[str, tuple[str, str, str, dict[str, Any], Path, Path]] = {
    "classification": (
        "classification",
        "finetune",
        "bert-mini",
        {"epochs": 1},
        samples.REVIEWS,
        samples.REVIEWS_HELD_OUT,
    ),
    "pair": ("pair", "finetune", "bert-mini", {"epochs": 1}, samples.PAIRS, samples.PAIRS_HELD_OUT),
    "ner": ("ner", "finetune", "bert-mini", {"epochs": 1}, samples.ENTITIES, samples.ENTITIES_HELD_OUT),
    "qa": ("qa", "finetune", "bert-mini", {"epochs": 1}, samples.QUESTIONS, samples.QUESTIONS_HELD_OUT),
    "generation": ("generation", "finetune", "gpt-mini", {"epochs": 1}, samples.PROMPTS, samples.PROMPTS_HELD_OUT),
    "prompt": ("classification", "prompt", "bert-mini", {"epochs": 1}, samples.REVIEWS, samples.REVIEWS_HELD_OUT),
    "in-context": (
        *("classification", "in-context", "gpt-mini", {"shots": 4}),
        *(samples.REVIEWS, samples.REVIEWS_HELD_OUT),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", required=True, help="folder of the models; those that lack are fitted")
    parser.add_argument("--batchings", type=int, default=1000)
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--output", help="JSON of all measurements")
    arguments = parser.parse_args()
    found: list[dict[str, Any]] = []
    for name in arguments.only:
        folder = Path(arguments.models) / name
        if not folder.exists():
            fit(name, folder)
        found.append({"model": name, **measure(folder, MODELS[name][-1], arguments.batchings)})
        print(json.dumps(found[-1]), flush=True)
    rows = [
        [
            cell["model"],
            cell["session"],
            *(f"{cell[key]:,}" for key in ("batchings", "items", "bits", "different_bits")),
        ]
        for cell in found
    ]
    shown = table(["", "session", "batchings", "items compared", "bits compared", "different bits"], rows)
    print(f"\n{shown}")
    write_json(arguments.output, {"cells": found, "table": shown.splitlines()})
    if any(cell["different_bits"] for cell in found):
        raise SystemExit(1)


def fit(name: str, folder: Path) -> None:
    task, method, backbone, settings, rows, _ = MODELS[name]
    config = FitConfig(device="cpu", threads=1, **settings)
    words = WORDS if method in ("prompt", "in-context") else {}
    backbone = f"taesan:{backbone}"
    taesan.fit(
        *(task, rows), output=folder, backbone=backbone, method=method, label_words=words, config=config, quiet=True
    )


def measure(folder: Path, rows: Path, batchings: int) -> dict[str, Any]:
    """Each example's bits alone, and how many are others in random company."""
    predictor, manifest = open_predictor(folder)
    predictor.generation = None
    every, draw = read_all(rows, manifest["task"]), random.Random(0)
    asked = draw.sample(every, min(ITEMS, len(every)))
    asked = [Example(one.texts, one.label if manifest["task"] == "generation" else None, id=one.id) for one in asked]
    bits = bits_of(predictor)
    alone = [bits([one])[0] for one in asked]
    begun, compared, size, different = time.process_time(), 0, 0, 0
    for _ in range(batchings):
        chosen = draw.sample(range(len(asked)), draw.randint(1, len(asked)))
        for place, found in zip(chosen, bits([asked[place] for place in chosen]), strict=True):
            compared, size = compared + 1, size + 8 * len(found)
            different += differing(found, alone[place])
    return {
        "session": type(predictor.session if isinstance(predictor, Predictor) else predictor).__name__,
        "batchings": batchings,
        "items": compared,
        "bits": size,
        "different_bits": different,
        "cpu_seconds": round(time.process_time() - begun, 1),
    }


def bits_of(predictor: Asked) -> Callable[[Sequence[Example]], Bits]:
    """What is compared of each example: raw outputs or choice scores, and the answer down to its last digit."""

    def raw(examples: Sequence[Example]) -> Bits:
        if isinstance(predictor, TextPredictor):
            return [row.tobytes() for row in predictor.choices(examples)]
        assert isinstance(predictor, Predictor)
        encoded = predictor.task.encode(examples, predictor.tokenizer, predictor.learnt, predictor.options)
        items = [item for one in encoded for item in one.items]
        length, pad_id = predictor.options.max_length, predictor.tokenizer.pad_id
        outputs = iter(run_items(predictor.session, items, max_length=length, pad_id=pad_id))
        return [b"".join(np.asarray(next(outputs)).tobytes() for _ in one.items) for one in encoded]

    def bits(examples: Sequence[Example]) -> Bits:
        answers = [one.as_dict() | one.details() for one in predictor.predict(examples)]
        return [
            one + json.dumps(answer, ensure_ascii=False).encode()
            for one, answer in zip(raw(examples), answers, strict=True)
        ]

    return bits


def differing(found: bytes, expected: bytes) -> int:
    """How many bits differ; where one is longer, all that it has more."""
    shared = min(len(found), len(expected))
    both = (np.frombuffer(one[:shared], np.uint8) for one in (found, expected))
    return int(np.unpackbits(np.bitwise_xor(*both)).sum()) + 8 * (len(found) + len(expected) - 2 * shared)


if __name__ == "__main__":
    main()
