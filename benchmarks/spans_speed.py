"""Fine-tuning for entities and for answers beside the Hugging Face Trainer, as its example scripts do it.

    python benchmarks/spans_speed.py ner --data DIR --output benchmarks/results/spans-ner.json
    python benchmarks/spans_speed.py qa --data DIR --rows 1200 --epochs 2 --output benchmarks/results/spans-qa.json

Same backbone, rows, epochs, learning rate and schedule, one thread, CPU time of the training loop alone; every
variant in a process of its own. `ner`: KLUE-NER, tags on subwords; the Trainer pads each batch of 32 (as its script
does), or to 128 (as KLUE's own), and its spans are those of argmax tags. `qa`: KorQuAD articles 0-109, measured on
110-139; the Trainer's features are windows of 384 with a stride of 128, padded to 384, and its answers the best of
the 20 best starts and ends of all windows, as its script finds them. A score is that of the last weights, counted for
all by taesan's metrics, which tests compare with other libraries. `--pipeline`: seconds to answer the development
sentences, one thread, by taesan and by the token-classification pipeline at several batch sizes.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from measure import Clock, peak_bytes, run_cell, spread, table, write_json
from taesan.data import Report, Span
from taesan.models.locate import DEFAULT, locate
from taesan.tasks import TASKS
from taesan.tasks.base import Example
from taesan.verbs.reading import Source, read_examples

PEERS = {
    "ner": {"padded": "HF Trainer, padding to 128", "batch": "HF Trainer, padding per batch"},
    "qa": {"padded": "HF Trainer, padding to the longest input"},
}
OURS, METRICS = "taesan", {"ner": ("entity_f1", "character_f1"), "qa": ("em", "f1")}
MAX_LENGTH = {"ner": 128, "qa": 384}
STRIDE, BEST, LONGEST_ANSWER = 128, 20, 30
TRAIN_ARTICLES, TEST_ARTICLES = slice(0, 110), slice(110, 140)
PIPELINE_BATCHES = (1, 4, 8, 16, 32, 64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", choices=tuple(METRICS))
    parser.add_argument("--data", help="folder with ner/ and qa/")
    parser.add_argument("--backbone", default=DEFAULT, help="default: %(default)s")
    parser.add_argument("--rows", type=int, default=0, help="training rows; 0: all")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--learning-rate", type=float, default=4e-4)
    parser.add_argument("--batch", type=int, default=32, help="rows of the Trainer's batches")
    parser.add_argument("--max-length", type=int, default=0, help="longest input; 0: 128 (ner), 384 (qa)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--variants", nargs="+", help="default: all")
    parser.add_argument("--pipeline", action="store_true", help="answering instead of training (ner)")
    parser.add_argument("--output", help="JSON of all measurements")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        cell = json.loads(arguments.cell)
        print(json.dumps(CELLS[cell["kind"]](cell)))
        return
    if not arguments.task or not arguments.data:
        parser.error("a task and --data are needed")
    with tempfile.TemporaryDirectory() as folder:
        _write_data(arguments, Path(folder))
        shown, cells = (_pipeline if arguments.pipeline else _training)(arguments, folder)
    print(shown)
    settings = {key: value for key, value in vars(arguments).items() if key not in ("data", "output", "cell")}
    write_json(arguments.output, {"settings": settings, "cells": cells, "table": shown.splitlines()})


def _training(arguments: argparse.Namespace, folder: str) -> tuple[str, list[dict[str, Any]]]:
    peers = PEERS[arguments.task]
    variants = arguments.variants or [*peers, OURS]
    common = {name: getattr(arguments, name) for name in ("task", "epochs", "learning_rate", "batch")}
    common |= {"max_length": arguments.max_length or MAX_LENGTH[arguments.task]}
    common |= {"folder": folder, "backbone": str(locate(arguments.backbone)), "kind": "train"}
    cells: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        for variant in variants:
            result = run_cell(__file__, {**common, "seed": seed, "variant": variant})
            cells.append({"variant": variant, "seed": seed, **result})
            print(f"seed {seed}  {variant:8} {result['seconds']:.0f} CPU s  {result['scores']}", flush=True)
    ours = {cell["seed"]: cell["seconds"] for cell in cells if cell["variant"] == OURS}
    metrics = METRICS[arguments.task]
    rows: list[list[str]] = []
    for variant in variants:
        own = [cell for cell in cells if cell["variant"] == variant]
        ratios = [cell["seconds"] / ours[cell["seed"]] for cell in own if ours and variant != OURS]
        row = [peers.get(variant, OURS), spread([cell["seconds"] for cell in own], ".0f")]
        row += [spread(ratios) if ratios else "", str(round(statistics.mean(cell["steps"] for cell in own)))]
        row += [spread([100 * cell["scores"][name] for cell in own], ".1f") for name in metrics]
        rows.append([*row, f"{max(cell['peak_bytes'] for cell in own) / 1e6:.0f}"])
    return table(["", "CPU s", "taesan is faster by", "steps", *metrics, "peak MB"], rows), cells


def _pipeline(arguments: argparse.Namespace, folder: str) -> tuple[str, list[dict[str, Any]]]:
    common = {"task": "ner", "epochs": 1.0, "learning_rate": arguments.learning_rate, "batch": arguments.batch}
    common |= {"max_length": MAX_LENGTH["ner"]}
    common |= {"folder": folder, "backbone": str(locate(arguments.backbone))}
    model = str(Path(folder) / "model")
    run_cell(__file__, {**common, "kind": "train", "seed": 1, "variant": OURS, "keep": model})
    cells: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        for variant in (OURS, *PIPELINE_BATCHES):
            result = run_cell(__file__, {"kind": "answer", "folder": folder, "model": model, "variant": variant})
            cells.append({"variant": variant, "seed": seed, **result})
            print(f"repeat {seed}  {variant:>8} {result['seconds']:.2f} CPU s", flush=True)
    ours = {cell["seed"]: cell["seconds"] for cell in cells if cell["variant"] == OURS}
    rows: list[list[str]] = []
    for variant in (OURS, *PIPELINE_BATCHES):
        own = [cell for cell in cells if cell["variant"] == variant]
        name = OURS if variant == OURS else f"pipeline, batches of {variant}"
        ratios = "" if variant == OURS else spread([cell["seconds"] / ours[cell["seed"]] for cell in own])
        rows.append([name, spread([cell["seconds"] for cell in own]), ratios])
    return table(["500 sentences", "CPU s", "taesan is faster by"], rows), cells


def _write_data(arguments: argparse.Namespace, folder: Path) -> None:
    """train, validation (a few rows, which choose nothing) and test files."""
    source = Path(arguments.data)
    if arguments.task == "ner":
        text = (source / "ner/klue_ner_train.tsv").read_text(encoding="utf-8")
        sentences = [block for block in text.split("\n\n") if "\n" in block and "\t" in block.split("\n")[-1]]
        kept = sentences[: arguments.rows or None]
        (folder / "train.tsv").write_text("\n\n".join(kept) + "\n\n", encoding="utf-8")
        (folder / "validation.tsv").write_text("\n\n".join(sentences[:20]) + "\n\n", encoding="utf-8")
        (folder / "test.tsv").write_bytes((source / "ner/klue_ner_dev.tsv").read_bytes())
        return
    document = json.loads((source / "qa/KorQuAD_v1.0_dev.json").read_text(encoding="utf-8"))
    articles = document["data"][TRAIN_ARTICLES]
    left = arguments.rows or 1 << 30
    for article in articles:  # whole paragraphs, as many as the rows ask for
        for paragraph in article["paragraphs"]:
            paragraph["qas"] = paragraph["qas"][: max(0, left)]
            left -= len(paragraph["qas"])
        article["paragraphs"] = [paragraph for paragraph in article["paragraphs"] if paragraph["qas"]]
    first = {**articles[0], "paragraphs": articles[0]["paragraphs"][:2]}
    parts = {"train": articles, "validation": [first], "test": document["data"][TEST_ARTICLES]}
    for name, part in parts.items():
        written = json.dumps({**document, "data": part}, ensure_ascii=False)
        (folder / f"{name}.json").write_text(written, encoding="utf-8")


def _examples(cell: dict[str, Any], part: str) -> list[Example]:
    report = Report()
    path = next(Path(cell["folder"]).glob(f"{part}.*"))
    examples = list(read_examples(path, TASKS[cell["task"]], Source(), report))
    report.raise_for_errors()
    return examples


def train(cell: dict[str, Any]) -> dict[str, Any]:
    """One model trained and scored."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(cell.get("keep") or Path(folder) / "model")
        run = train_taesan if cell["variant"] == OURS else train_ner if cell["task"] == "ner" else train_qa
        return run(cell, output) | {"peak_bytes": peak_bytes()}


def train_taesan(cell: dict[str, Any], output: Path) -> dict[str, Any]:
    from dataclasses import replace

    import taesan
    from taesan.config import FitConfig
    from taesan.verbs import training as verb

    clock, loop = Clock(), verb.train_loop
    steps: list[int] = []

    def timed_loop(*positional: Any, validation: Any, **named: Any) -> Any:
        def untimed() -> dict[str, float]:
            with clock.without():
                return validation.scores()

        last = replace(validation, scores=untimed, every_steps=1 << 30, keep_best=False)
        with clock.running():
            result = loop(*positional, validation=last, **named)
        steps.append(result.state.step)
        return result

    verb.train_loop = timed_loop
    folder = Path(cell["folder"])
    suffix = "tsv" if cell["task"] == "ner" else "json"
    # As many rows in a step as the Trainer has, on average: so both take about as many steps.
    config = FitConfig(
        seed=cell["seed"],
        epochs=float(cell["epochs"]),
        learning_rate=cell["learning_rate"],
        batch_tokens=_budget(cell),
        max_length=cell["max_length"],
        device="cpu",
        threads=1,
        checkpoint_seconds=0.0,
    )
    fitted = taesan.fit(
        cell["task"],
        folder / f"train.{suffix}",
        validation=folder / f"validation.{suffix}",
        test=folder / f"test.{suffix}",
        output=output,
        backbone=cell["backbone"],
        config=config,
        quiet=True,
    )
    assert fitted.test is not None
    scores = {name: score.value for name, score in fitted.test.scores.items()}
    return {"seconds": clock.seconds, "steps": steps[0], "scores": scores}


def _budget(cell: dict[str, Any]) -> int:
    from taesan.tasks.base import EncodeOptions
    from taesan.text.tokenizer import Tokenizer

    task, tokenizer = TASKS[cell["task"]], Tokenizer.load(cell["backbone"])
    examples = _examples(cell, "train")
    learnt = task.learn(examples, task.labels(examples), tokenizer)
    encoded = task.encode(examples, tokenizer, learnt, EncodeOptions(max_length=cell["max_length"]))
    return round(cell["batch"] * float(np.mean([len(item.input_ids) for one in encoded for item in one.items])))


def _trainer(cell: dict[str, Any], model: Any, rows: list[dict[str, Any]], collator: Any, output: Path) -> Any:
    import torch
    import transformers

    torch.set_num_threads(1)
    model.accepts_loss_kwargs = False  # transformers issue 47688
    arguments = transformers.TrainingArguments(
        output_dir=str(output.with_name("trainer")),
        per_device_train_batch_size=cell["batch"],
        learning_rate=cell["learning_rate"],
        num_train_epochs=cell["epochs"],
        lr_scheduler_type="linear",
        warmup_steps=0.1,
        weight_decay=0.01,
        max_grad_norm=1.0,
        seed=cell["seed"],
        use_cpu=True,
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    return transformers.Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collator)  # type: ignore[arg-type]


def train_ner(cell: dict[str, Any], output: Path) -> dict[str, Any]:
    """Tags on the subwords that have a character of the entity; argmax, and spans of tokens."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.set_seed(cell["seed"])
    examples, test = _examples(cell, "train"), _examples(cell, "test")
    tokenizer = transformers.AutoTokenizer.from_pretrained(cell["backbone"])
    names = ["O", *(f"{mark}-{label}" for label in TASKS["ner"].labels(examples) for mark in "BI")]
    number = {name: index for index, name in enumerate(names)}
    to_maximum = cell["variant"] == "padded"

    def encode(texts: list[str]) -> Any:
        padding = "max_length" if to_maximum else False
        return tokenizer(texts, truncation=True, max_length=128, padding=padding, return_offsets_mapping=True)

    encoded = encode([example.texts[0] for example in examples])
    rows: list[dict[str, Any]] = []
    for place, example in enumerate(examples):
        offsets = encoded["offset_mapping"][place]
        tags = [-100 if start == end else 0 for start, end in offsets]
        for span in example.label:
            inside = [t for t, (start, end) in enumerate(offsets) if end > span.start and start < span.end]
            for order, token in enumerate(inside):
                tags[token] = number[f"{'I' if order else 'B'}-{span.label}"]
        rows.append({key: encoded[key][place] for key in ("input_ids", "token_type_ids", "attention_mask")})
        rows[-1]["labels"] = tags
    model = transformers.AutoModelForTokenClassification.from_pretrained(
        cell["backbone"], num_labels=len(names), dtype=torch.float32
    )
    collator = (
        transformers.default_data_collator if to_maximum else transformers.DataCollatorForTokenClassification(tokenizer)
    )
    trainer = _trainer(cell, model, rows, collator, output)
    clock = Clock()
    with clock.running():
        trainer.train()
    model.eval()
    found: list[tuple[Span, ...]] = []
    for example in test:
        one = tokenizer(example.texts[0], truncation=True, max_length=512, return_offsets_mapping=True)
        ids = {key: torch.tensor([one[key]]) for key in ("input_ids", "token_type_ids", "attention_mask")}
        with torch.inference_mode():
            tags = model(**ids).logits[0].argmax(-1).tolist()
        found.append(_spans([names[tag] for tag in tags], one["offset_mapping"]))
    from taesan.tasks.entity_metrics import entity_scores

    scores = entity_scores([example.label for example in test], found)
    return {"seconds": clock.seconds, "steps": trainer.state.global_step, "scores": scores}


def _spans(tags: list[str], offsets: list[tuple[int, int]]) -> tuple[Span, ...]:
    spans: list[Span] = []
    opened = ""
    for tag, (start, end) in zip(tags, offsets, strict=True):
        if start == end or tag == "O":
            opened = ""
        elif tag.startswith("I-") and opened == tag[2:]:
            spans[-1] = Span(spans[-1].start, end, opened)
        else:
            opened = tag[2:]
            spans.append(Span(start, end, opened))
    return tuple(spans)


def train_qa(cell: dict[str, Any], output: Path) -> dict[str, Any]:
    """Windows with a stride of 128, the answer's first and last token or the first token of the window."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.set_seed(cell["seed"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(cell["backbone"])
    examples, test = _examples(cell, "train"), _examples(cell, "test")
    rows = [
        {**window, "start_positions": start, "end_positions": end}
        for example in examples
        for window, start, end, _ in _windows(example, tokenizer, cell["max_length"], pad=True)
    ]
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(cell["backbone"], dtype=torch.float32)
    trainer = _trainer(cell, model, rows, transformers.default_data_collator, output)
    clock = Clock()
    with clock.running():
        trainer.train()
    model.eval()
    answers = [_best_answer(example, model, tokenizer, cell["max_length"]) for example in test]
    from taesan.tasks.answer_metrics import answer_scores

    scores = answer_scores([tuple(answer.text for answer in example.label) for example in test], answers)
    return {"seconds": clock.seconds, "steps": trainer.state.global_step, "scores": scores}


Window = tuple[dict[str, Any], int, int, list[Any]]  # its fields, the answer's first and last token, offsets


def _windows(example: Example, tokenizer: Any, length: int, *, pad: bool) -> list[Window]:
    encoded = tokenizer(
        *example.texts,
        truncation="only_second",
        max_length=length,
        stride=STRIDE,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding="max_length" if pad else False,
    )
    answer = example.label[0]
    windows: list[Window] = []
    for place in range(len(encoded["input_ids"])):
        parts = encoded.sequence_ids(place)
        offsets = [o if part == 1 else None for o, part in zip(encoded["offset_mapping"][place], parts, strict=True)]
        inside = [t for t, o in enumerate(offsets) if o and o[1] > answer.start and o[0] < answer.end]
        context = [o for o in offsets if o]
        whole = bool(inside) and context[0][0] <= answer.start and context[-1][1] >= answer.end
        start, end = (inside[0], inside[-1]) if whole else (0, 0)
        window = {key: encoded[key][place] for key in ("input_ids", "token_type_ids", "attention_mask")}
        windows.append((window, start, end, offsets))
    return windows


def _best_answer(example: Example, model: Any, tokenizer: Any, length: int) -> str:
    import torch

    best, text = -np.inf, ""
    for window, _, _, offsets in _windows(example, tokenizer, length, pad=False):
        with torch.inference_mode():
            out = model(**{key: torch.tensor([value]) for key, value in window.items()})
        starts, ends = out.start_logits[0].numpy(), out.end_logits[0].numpy()
        for start in np.argsort(-starts)[:BEST]:
            for end in np.argsort(-ends)[:BEST]:
                if offsets[start] and offsets[end] and start <= end < start + LONGEST_ANSWER:
                    score = float(starts[start] + ends[end])
                    if score > best:
                        best, text = score, example.texts[1][offsets[start][0] : offsets[end][1]]
    return text


def answer(cell: dict[str, Any]) -> dict[str, Any]:
    """Seconds to answer the development sentences, the model already open."""
    texts = [example.texts[0] for example in _examples({**cell, "task": "ner"}, "test")]
    clock = Clock()
    if cell["variant"] == OURS:
        from taesan.engine.load import open_predictor

        predictor, _ = open_predictor(cell["model"])
        list(predictor.predict([Example((texts[0],))]))
        with clock.running():
            count = sum(1 for _ in predictor.predict([Example((text,)) for text in texts]))
    else:
        import torch
        import transformers

        torch.set_num_threads(1)
        pipeline = transformers.pipeline("token-classification", model=cell["model"], aggregation_strategy="simple")
        pipeline(texts[0])
        with clock.running():
            count = sum(1 for _ in pipeline(list(texts), batch_size=cell["variant"]))
    return {"seconds": clock.seconds, "answers": count}


CELLS = {"train": train, "answer": answer}

if __name__ == "__main__":
    main()
