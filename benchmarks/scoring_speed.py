"""In-context scoring beside lm-evaluation-harness: the same model, prompts and choices, one thread.

    python benchmarks/scoring_speed.py classification DIR/classification/nsmc_train.tsv \
           DIR/classification/nsmc_dev.tsv --label-words 0=부정,1=긍정 --output benchmarks/results/scoring-nsmc.json

It needs `lm_eval` in the environment (0.4.13 was measured). Prompts are those of `fit --method in-context`: fixed shots
before every item. The harness gets them as loglikelihood requests, at several batch sizes, the best of which counts.
Every cell is a process of its own; CPU time is that of scoring alone, the model loaded and one item scored before.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from measure import peak_bytes, run_cell, spread, table, write_json

MODEL = "taesan:gpt-mini"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", choices=("classification", "pair"))
    parser.add_argument("train", nargs="?")
    parser.add_argument("dev", nargs="?")
    parser.add_argument("--label-words", default="")
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", help="JSON of all measurements")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        cell = json.loads(arguments.cell)
        print(json.dumps({"taesan": ours, "lm-eval": theirs, "items": prepare}[cell["who"]](cell)))
        return
    if not (arguments.task and arguments.train and arguments.dev):
        parser.error("TASK, TRAIN and DEV are needed")
    with tempfile.TemporaryDirectory() as folder:
        given = {"model": f"{folder}/model", "items": f"{folder}/items.json"}
        wanted = {name: getattr(arguments, name) for name in ("task", "train", "dev", "label_words", "shots")}
        run_cell(__file__, given | wanted | {"who": "items", "count": arguments.items})
        sizes = {size: run_cell(__file__, given | {"who": "lm-eval", "batch": size}) for size in arguments.batch_sizes}
        for size, cell in sizes.items():
            print(f"lm-eval, batches of {size}: {cell['seconds']:.1f} s", flush=True)
        best = min(sizes, key=lambda size: sizes[size]["seconds"])
        pairs = []
        for number in range(arguments.repeats):
            pair = [
                run_cell(__file__, given | {"who": "lm-eval", "batch": best}),
                run_cell(__file__, given | {"who": "taesan"}),
            ]
            pairs.append(pair)
            ratio = pair[0]["seconds"] / pair[1]["seconds"]
            print(f"repeat {number + 1}: {pair[0]['seconds']:.2f} s, {pair[1]['seconds']:.2f} s, {ratio:.1f} times")
    differences = [np.abs(np.array(a["scores"]) - np.array(b["scores"])).max() for a, b in pairs]
    accuracy = [
        [np.mean(np.array(cell["scores"]).argmax(1) == np.array(cell["truth"])) for cell in pair] for pair in pairs
    ]
    answers = [(np.array(a["scores"]).argmax(1) == np.array(b["scores"]).argmax(1)).all() for a, b in pairs]
    rows = [
        [
            name,
            spread([pair[i]["seconds"] for pair in pairs]),
            f"{pairs[0][i]['peak_bytes'] / 1e6:,.0f}",
            f"{100 * accuracy[0][i]:.1f}",
        ]
        for i, name in enumerate((f"lm-eval, batches of {best}", "taesan"))
    ]
    shown = table(["", "CPU s", "peak MB", "accuracy"], rows)
    ratios = [a["seconds"] / b["seconds"] for a, b in pairs]
    lines = [
        *shown.splitlines(),
        f"{spread(ratios, '.1f')} times; largest difference of a score {max(differences):.1e}; "
        f"the same answer to every item: {all(answers)}",
    ]
    print("\n" + "\n".join(lines))
    write_json(
        arguments.output,
        {
            "table": lines,
            "best_batch": best,
            "ratios": ratios,
            "median": statistics.median(ratios),
            "differences": [float(value) for value in differences],
            "pairs": [
                [{k: v for k, v in cell.items() if k not in ("scores", "truth")} for cell in pair] for pair in pairs
            ],
        },
    )


def prepare(cell: dict[str, Any]) -> dict[str, Any]:
    """A model folder with shots, and the items as prompts."""
    import taesan
    from taesan.config import FitConfig
    from taesan.data import Report
    from taesan.engine.load import open_predictor
    from taesan.verbs.reading import Source, find_task, read_examples

    words = dict(pair.split("=") for pair in cell["label_words"].split(",") if pair)
    config = FitConfig(shots=cell["shots"], calibration="none", template="", device="cpu", threads=1)
    taesan.fit(
        cell["task"],
        cell["train"],
        output=cell["model"],
        backbone=MODEL,
        method="in-context",
        label_words=words,
        config=config,
        quiet=True,
    )
    predictor, manifest = open_predictor(cell["model"])
    dev = list(read_examples(cell["dev"], find_task(cell["task"]), Source(), Report()))
    chosen = [dev[i] for i in np.random.default_rng(0).permutation(len(dev))[: cell["count"]]]
    content = []
    for example in chosen:
        (prompt,) = predictor.prompt(example)
        context = prompt.before.rstrip()
        space = prompt.before[len(context) :]
        content.append(
            {
                "texts": example.texts,
                "context": context,
                "truth": manifest["labels"].index(example.label),
                "choices": [space + word for word in predictor.asking.words.values()],
            }
        )
    Path(cell["items"]).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return {}


def ours(cell: dict[str, Any]) -> dict[str, Any]:
    from taesan.engine.load import open_predictor
    from taesan.tasks.base import Example

    items = json.loads(Path(cell["items"]).read_text("utf-8"))
    predictor, _ = open_predictor(cell["model"])
    examples = [Example(tuple(item["texts"])) for item in items]
    predictor.choices(examples[:1])
    predictor, _ = open_predictor(cell["model"])  # what the shots share is to be computed again
    begun = time.process_time()
    scores = predictor.choices(examples)
    seconds = time.process_time() - begun
    return {
        "seconds": seconds,
        "scores": scores.tolist(),
        "truth": [item["truth"] for item in items],
        "peak_bytes": peak_bytes(),
    }


def theirs(cell: dict[str, Any]) -> dict[str, Any]:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from taesan.models.locate import locate

    items = json.loads(Path(cell["items"]).read_text("utf-8"))
    model = HFLM(pretrained=str(locate(MODEL)), dtype="float32", device="cpu", batch_size=cell["batch"])

    def ask(some: list[dict[str, Any]]) -> list[float]:
        pairs = [(item["context"], choice) for item in some for choice in item["choices"]]
        requests = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
        return [score for score, _ in model.loglikelihood(requests, disable_tqdm=True)]

    ask(items[:1])
    begun = time.process_time()
    scores = ask(items)
    seconds = time.process_time() - begun
    return {
        "seconds": seconds,
        "scores": np.array(scores).reshape(len(items), -1).tolist(),
        "truth": [item["truth"] for item in items],
        "peak_bytes": peak_bytes(),
    }


if __name__ == "__main__":
    main()
