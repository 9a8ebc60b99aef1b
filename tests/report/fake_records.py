"""Record folders such as `compare` writes, of answers that were drawn: what is true of them is known."""

import json
from pathlib import Path

import numpy as np

TECHNIQUES = {  # method: a, b, c, d of its error, seconds, bytes, parameters, p50
    "majority": (0.5, 0.0, 0.5, 1.0, 0.4, 2_000, 0, 0.00002),
    "tfidf": (0.17, 0.55, 0.30, 6.0, 1.2, 310_000, 24_000, 0.0002),
    "finetune": (0.11, 4.2, 0.62, 40.0, 38.0, 25_400_000, 6_311_000, 0.0031),
    "lora": (0.13, 3.9, 0.60, 44.0, 41.0, 420_000, 82_000, 0.0034),
    "prompt": (0.20, 0.9, 0.42, 12.0, 66.0, 61_000, 4_096, 0.0046),
    "in-context": (0.33, 0.10, 0.9, 1.0, 9.0, 24_000, 0, 0.021),
}
LABELS = ("긍정", "부정")
WORDS = (
    "배우의 연기가",
    "음악이",
    "줄거리가",
    "화면이",
    "결말이",
    "대사가",
    "연출이",
    "편집이",
    "정말",
    "조금",
    "너무",
    "다시 봐도",
)
ENDS = {"긍정": ("좋았다", "아름답다", "재미있다", "남는다"), "부정": ("지루하다", "아쉽다", "별로다", "시끄럽다")}


def true_error(method: str, rows: int) -> float:
    a, b, c, d = TECHNIQUES[method][:4]
    return min(0.5, a + b * (rows + d) ** -c)


def write(
    folder: Path,
    *,
    methods: tuple[str, ...] = tuple(TECHNIQUES),
    backbones: tuple[str, ...] = ("taesan:bert-mini",),
    sizes: tuple[int, ...] = (0, 8, 32, 128, 512),
    seeds: int = 3,
    items: int = 300,
    labels: tuple[str, ...] = LABELS,
    seed: int = 1,
    seed_spread: float = 0.02,
    constraints: dict[str, float] | None = None,
    failing: tuple[str, ...] = (),
    folds: bool = True,
    texts: tuple[str, ...] = (),
) -> Path:
    """A finished comparison; names of cells in `failing` have failed."""
    random = np.random.default_rng(seed)
    test = [_row(random, labels, texts) for _ in range(items)]
    hard = random.normal(0, 1, items)
    cells, pruned, started = [], [], 1_795_000_000.0
    _lines(folder / "test.jsonl", test)
    for number in range(1, seeds + 1):
        for rows in sizes:
            for which, backbone in enumerate(backbones):
                for method in methods:
                    name = f"{method}-{backbone.split(':')[-1]}-{rows}-seed{number}".replace("/", "_")
                    cell = {"name": name, "backbone": backbone, "method": method, "seed": number}
                    cell["size"] = cell["rows"] = rows  # the one in a plan, the other in a record
                    cell["estimated_seconds"] = TECHNIQUES[method][4]
                    if rows == 0 and method != "in-context":
                        pruned.append(cell | {"reason": "it learns from labelled rows, and there are none"})
                        continue
                    if rows == 0 and number > 1:
                        continue
                    cells.append(cell)
                    if name in failing:
                        error = "its process was killed by SIGKILL; was there not enough memory?"
                        _json(folder / "cells" / name / "cell.json", cell | {"status": "failed", "error": error})
                        continue
                    error = true_error(method, rows) + 0.02 * which
                    if rows and method != "majority":
                        error += random.normal(0, seed_spread)
                    started += _cell(folder / "cells" / name, cell, error, test, hard, labels, started, random)
    plan = {
        "task": "classification",
        "metric": "accuracy",
        "train": {"name": "reviews.csv", "bytes": 81_234, "sha256": "3b" * 32, "rows": max(sizes)},
        "test": {"name": "later.csv", "bytes": 31_234, "sha256": "9c" * 32, "rows": items},
        "backbones": list(backbones),
        "methods": list(methods),
        "sizes": list(sizes),
        "seeds": list(range(1, seeds + 1)),
        "cells": cells,
        "pruned": pruned,
        "constraints": constraints or {},
        "budget_seconds": 1800.0,
        "command": "taesan compare classification reviews.csv --test later.csv --output runs/compare",
    }
    _json(folder / "plan.json", plan)
    if folds:
        train = [_row(random, labels, texts) for _ in range(200)]
        _lines(folder / "train.jsonl", train)
        found = []
        for row, one in enumerate(train, 1):
            right, wrong = one["label"], next(label for label in labels if label != one["label"])
            told = wrong if random.random() < 0.04 else right
            found.append({"row": row, **_answer(told, labels, 0.97 if told == wrong else random.uniform(0.6, 0.99))})
        _lines(folder / "folds" / "1" / "predictions.jsonl", found)
    return folder


def _row(random, labels, texts) -> dict[str, str]:
    label = labels[random.integers(len(labels))]
    ends = ENDS.get(label, ENDS["긍정"])
    words = [WORDS[i] for i in random.integers(len(WORDS), size=random.integers(1, 7))]
    text = " ".join([*words, ends[random.integers(len(ends))]])
    return {"text": texts[random.integers(len(texts))] if texts and random.random() < 0.3 else text, "label": label}


def _cell(folder, cell, error, test, hard, labels, started, random) -> float:
    *_, seconds, size, parameters, latency = TECHNIQUES[cell["method"]]
    # An item goes wrong where its hardness and a technique's own luck together are beyond the quantile of its error.
    luck = 0.8 * hard + 0.6 * random.normal(0, 1, len(hard))
    wrong = luck > np.quantile(luck, 1 - error)
    answers = []
    for row, (one, miss) in enumerate(zip(test, wrong, strict=True), 1):
        other = labels[(labels.index(one["label"]) + 1 + random.integers(len(labels) - 1)) % len(labels)]
        sure = random.beta(4, 2) if miss else random.beta(9, 1.5)
        answers.append({"row": row, **_answer(other if miss else one["label"], labels, 0.5 + 0.5 * sure)})
    _lines(folder / "predictions.jsonl", answers)
    value = 1 - float(wrong.mean())
    spent = seconds * (0.4 + cell["rows"] / 400) * random.uniform(0.9, 1.1)
    timed = cell["seed"] == 1 and cell["rows"] >= 512
    record = {
        **cell,
        "train_rows": round(cell["rows"] * 0.9),
        "validation_rows": cell["rows"] - round(cell["rows"] * 0.9),
        "status": "done",
        "error": "",
        "scores": {"accuracy": {"value": value, "low": value - 0.04, "high": value + 0.04}},
        "seconds": spent,
        "cpu_seconds": spent,
        "peak_bytes": 410_000_000 if size > 50_000 else 160_000_000,
        "trained_parameters": parameters,
        "folder_bytes": size,
        "prompt_tokens": 412.0 if cell["method"] == "in-context" else 21.3,
        "latency_seconds": {"p50": latency, "p99": 2.2 * latency} if timed else None,
        "throughput_rows_per_second": 1.6 / latency if timed else None,
        "config": {"seed": cell["seed"], "learning_rate": 4e-4},
        "started_at": started,
    }
    _json(folder / "cell.json", record)
    return spent + 2


def _answer(label, labels, chance) -> dict[str, object]:
    rest = (1 - chance) / (len(labels) - 1)
    return {"label": label, "probabilities": {one: chance if one == label else rest for one in labels}}


def _lines(path: Path, rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def _json(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
