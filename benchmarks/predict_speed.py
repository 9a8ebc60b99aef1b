"""Prediction beside the Hugging Face pipeline, or, where it has none any more, beside a plain loop over its model.

    python benchmarks/predict_speed.py classification MODEL nsmc_dev.tsv --rows 1000 --output FILE.json
    python benchmarks/predict_speed.py ner MODEL klue_ner_dev.tsv --rows 500
    python benchmarks/predict_speed.py qa MODEL KorQuAD_v1.0_dev.json --rows 200 --skip 4241
    python benchmarks/predict_speed.py start MODEL nsmc_dev.tsv

MODEL is a fine-tuned folder with a graph in it (`taesan export MODEL --format onnx`); transformers opens the same one.
Every variant answers the same rows in a process of its own on one thread, after a few to warm up; CPU time; in rounds,
one after another. The pipeline's best batch size is the best of those that are tried here. Questions are asked by the
loop of transformers' own example: windows of the model's length, a stride of 128, start and end by the sum of logits.
`start` is a whole command from the shell: one answer, its CPU time and its peak memory.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from measure import ONE_THREAD, Clock, run_cell, spread, table, write_json

BATCHES = (8, 32, 64)
WARM = 8
STRIDE, BEST, LONGEST_ANSWER = 128, 20, 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", choices=("classification", "ner", "qa", "start"))
    parser.add_argument("model", nargs="?")
    parser.add_argument("data", nargs="?")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--skip", type=int, default=0, help="rows at the beginning")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--int8", help="the same model with an int8 graph")
    parser.add_argument("--output")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        cell = json.loads(arguments.cell)
        print(json.dumps(answer(cell)))
        return
    if not (arguments.task and arguments.model and arguments.data):
        parser.error("what to predict, MODEL and DATA are needed")
    compare_starts(arguments) if arguments.task == "start" else compare(arguments)


def compare(arguments: argparse.Namespace) -> None:
    peers = ["peer-one"] if arguments.task == "qa" else ["peer-one", *(f"peer-{size}" for size in BATCHES)]
    ours = ["graph-one", "graph", "torch-one", "torch"]
    cells = [(name, arguments.model) for name in (*peers, *ours)]
    if arguments.int8:
        cells += [(f"{name} int8", arguments.int8) for name in ("graph-one", "graph")]
    common = {"task": arguments.task, "data": arguments.data, "rows": arguments.rows, "skip": arguments.skip}
    seconds: dict[str, list[float]] = {name: [] for name, _ in cells}
    for number in range(arguments.rounds):
        for name, model in cells:
            result = run_cell(__file__, common | {"variant": name.split()[0], "model": model})
            seconds[name].append(result["seconds"])
            print(f"round {number + 1}  {name}  {result['answers'] / result['seconds']:.0f} a second", flush=True)
    best = min(peers, key=lambda name: statistics.mean(seconds[name]))
    head = ["", "rows a CPU second", "times the peer one at a time", f"times its best ({best})"]
    rows = []
    for name, own in seconds.items():
        ratios = [[a / b for a, b in zip(seconds[peer], own, strict=True)] for peer in ("peer-one", best)]
        rate = [arguments.rows / value for value in own]
        rows.append([name, spread(rate, ".0f"), *(spread(ratio) for ratio in ratios)])
    shown = table(head, rows)
    print("\n" + shown)
    write_json(
        arguments.output, {"table": shown.splitlines(), "seconds": seconds, **common, "data": Path(arguments.data).name}
    )


def answer(cell: dict[str, Any]) -> dict[str, Any]:
    from taesan.data import Report
    from taesan.tasks import TASKS
    from taesan.verbs.reading import Source, read_examples

    task = TASKS[cell["task"]]
    examples = read_examples(cell["data"], task, Source(), Report())
    rows = [example.texts for example in islice(examples, cell["skip"], cell["skip"] + cell["rows"])]
    kind, _, way = cell["variant"].partition("-")
    ask = _peer(cell, way) if kind == "peer" else _ours(cell, kind, one=way == "one")
    ask(rows[:WARM])
    clock = Clock()
    with clock.running():
        answers = ask(rows)
    return {"seconds": clock.seconds, "answers": len(answers)}


def _ours(cell: dict[str, Any], kind: str, *, one: bool) -> Any:
    from taesan.engine.load import open_predictor
    from taesan.tasks.base import Example

    predictor, _ = open_predictor(cell["model"], device="cpu" if kind == "torch" else "auto")

    def ask(rows: list[tuple[str, ...]]) -> list[Any]:
        wanted = [Example(texts if cell["task"] == "qa" else texts[:1]) for texts in rows]
        parts = [[example] for example in wanted] if one else [wanted]
        return [prediction.as_dict() for part in parts for prediction in predictor.predict(part)]

    return ask


def _peer(cell: dict[str, Any], way: str) -> Any:
    import torch
    import transformers

    torch.set_num_threads(1)
    if cell["task"] == "qa":
        return _loop(cell["model"])
    kind, how = {
        "classification": ("text-classification", {"top_k": None, "truncation": True}),
        "ner": ("token-classification", {"aggregation_strategy": "simple"}),
    }[cell["task"]]
    pipeline = transformers.pipeline(kind, model=cell["model"], device="cpu")

    def ask(rows: list[tuple[str, ...]]) -> list[Any]:
        texts = [texts[0] for texts in rows]
        if way == "one":
            return [pipeline(text, **how) for text in texts]
        return list(pipeline(texts, batch_size=int(way), **how))

    return ask


def _loop(model_name: str) -> Any:
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model_name)
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(model_name).eval()

    def ask(rows: list[tuple[str, ...]]) -> list[str]:
        return [_best_answer(*row[:2], model, tokenizer) for row in rows]

    def _best_answer(question: str, context: str, model: Any, tokenizer: Any) -> str:
        encoded = tokenizer(
            question,
            context,
            truncation="only_second",
            stride=STRIDE,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            padding=True,
            return_tensors="pt",
        )
        given = {name: encoded[name] for name in ("input_ids", "token_type_ids", "attention_mask")}
        with torch.inference_mode():
            out = model(**given)
        best, text = -np.inf, ""
        for window, (starts, ends) in enumerate(zip(out.start_logits.numpy(), out.end_logits.numpy(), strict=True)):
            parts, offsets = encoded.sequence_ids(window), encoded["offset_mapping"][window].tolist()
            for start in np.argsort(-starts)[:BEST]:
                for end in np.argsort(-ends)[:BEST]:
                    inside = parts[start] == 1 and parts[end] == 1 and start <= end < start + LONGEST_ANSWER
                    if inside and starts[start] + ends[end] > best:
                        best, text = starts[start] + ends[end], context[offsets[start][0] : offsets[end][1]]
        return text

    return ask


PIPELINE = (
    "import sys, transformers; pipeline = transformers.pipeline('text-classification', model=sys.argv[1]);"
    "print(pipeline(sys.argv[2], top_k=None))"
)


def compare_starts(arguments: argparse.Namespace) -> None:
    text = "두 번 봐도 재미있다"
    program = str(Path(sys.executable).with_name("taesan"))
    commands = {
        "taesan predict": [program, "predict", arguments.model, text],
        "taesan predict --device cpu": [program, "predict", arguments.model, text, "--device", "cpu"],
        "pipeline": [sys.executable, "-c", PIPELINE, arguments.model, text],
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(arguments.rounds):
        for name, command in commands.items():
            process = subprocess.Popen(
                command, env=os.environ | ONE_THREAD, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            _, status, used = os.wait4(process.pid, 0)
            if status:
                sys.exit(f"{name} failed")
            found[name].append((used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3))
    rows = [
        [name, spread([cpu for cpu, _ in own]), spread([peak for _, peak in own], ".0f")] for name, own in found.items()
    ]
    shown = table(["", "CPU seconds", "peak MB"], rows)
    print(shown)
    write_json(arguments.output, {"table": shown.splitlines(), "runs": found})


if __name__ == "__main__":
    main()
