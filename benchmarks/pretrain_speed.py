"""Pretraining beside the Hugging Face Trainer: same model, text, batches and steps, masked and causal.

    python benchmarks/pretrain_speed.py --text FILE --output FILE.json

The lines of FILE are packed to rows of 128 tokens in both, as run_mlm.py and run_clm.py do: nothing is padded. (In a
causal row of theirs a line reads the one before; ours does not.) Every measurement is a process of its own on one
thread; variants take turns. Compared is the CPU time of `trainer.train()` with that of our loop, from its first line to
its last, our validation taken out (the Trainer does none); saving is off in both. The Trainer, not ours, takes a step
beforehand. Both models are then scored on the same held-out lines. The limit is the time that the matrix products of
a step take by themselves, forward and backward, in the same process as ours.
"""

import argparse
import copy
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import Clock, peak_bytes, run_cell, spread, table, write_json

LENGTH = 128
PEER, OURS = "HF Trainer", "taesan"
MASKED = 0.2
VOCABULARY = {"masked": 16_000, "causal": 12_000}  # of the backbones that come with the package


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", help="plain text, a document a line; may be packed as .gz or .xz")
    parser.add_argument("--limit-bytes", type=int, default=2_000_000, help="bytes read of it")
    parser.add_argument("--objectives", nargs="+", choices=("masked", "causal"), default=["masked", "causal"])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rows", type=int, default=8, help="rows of 128 tokens in a batch")
    parser.add_argument("--dropout", type=float, nargs="+", default=[0.1, 0.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="a repeat each")
    parser.add_argument("--output", help="JSON of all measurements")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        print(json.dumps(run(json.loads(arguments.cell))))
        return
    if not arguments.text:
        parser.error("--text is needed")
    cells: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        for objective in arguments.objectives:
            for dropout in arguments.dropout:
                for variant in (PEER, OURS):
                    cell = {"objective": objective, "variant": variant, "seed": seed, "dropout": dropout}
                    cell |= {"steps": arguments.steps, "rows": arguments.rows, "limit_bytes": arguments.limit_bytes}
                    cells.append(cell | run_cell(__file__, cell | {"text": arguments.text}))
                    rate = cells[-1]["tokens"] / cells[-1]["train_seconds"]
                    print(
                        f"seed {seed}  {objective}, dropout {dropout}  {variant:10}  {rate:,.0f} tokens/s", flush=True
                    )
    shown = _table(cells, arguments)
    print(f"\nRows of {LENGTH} tokens, {arguments.rows} a batch, {MASKED:.0%} masked, one thread, CPU time\n\n{shown}")
    write_json(arguments.output, {"cells": cells, "table": shown.splitlines()})


def _table(cells: list[dict[str, Any]], arguments: argparse.Namespace) -> str:
    rows: list[list[str]] = []
    for objective in arguments.objectives:
        for dropout in arguments.dropout:
            of = [cell for cell in cells if (cell["objective"], cell["dropout"]) == (objective, dropout)]
            own = {variant: [cell for cell in of if cell["variant"] == variant] for variant in (PEER, OURS)}
            rates = {variant: [c["tokens"] / c["train_seconds"] for c in own[variant]] for variant in own}
            ratios = [ours / peer for ours, peer in zip(rates[OURS], rates[PEER], strict=True)]
            shares = [c["limit_seconds"] / c["train_seconds"] for c in own[OURS]]
            rows += [
                [
                    f"{objective}, dropout {dropout:g}, {variant}",
                    spread(rates[variant], ",.0f"),
                    spread(ratios) if variant == PEER else "",
                    spread([100 * share for share in shares], ".0f") if variant == OURS else "",
                    spread([c["held_out_loss"] for c in own[variant]], ".3f"),
                    f"{max(c['peak_bytes'] for c in own[variant]) / 1e6:.0f}",
                ]
                for variant in own
            ]
    head = ["", "tokens/s", "taesan is faster by", "% of the limit", "held-out nats", "peak MB"]
    return table(head, rows)


# In a process of its own --------------------------------------------------------------------------------------------


def run(cell: dict[str, Any]) -> dict[str, Any]:
    from taesan.config import PretrainConfig
    from taesan.verbs.pretrain import DEFAULTS

    config = PretrainConfig(
        **DEFAULTS[cell["objective"]] | {"max_length": LENGTH},
        seed=cell["seed"],
        vocabulary_size=VOCABULARY[cell["objective"]],
        learning_rate=1e-3,
        train_tokens=cell["steps"] * cell["rows"] * LENGTH,
        batch_tokens=cell["rows"] * LENGTH,
        dropout=cell["dropout"],
        warm_embeddings=False,
        limit_bytes=cell["limit_bytes"],
        short_length=LENGTH,
        full_length_fraction=1.0,  # packed from the first step on
        mask_fraction=MASKED,
        validation_fraction=0.05,
        validation_steps=1 << 30,
        checkpoint_seconds=0.0,
        device="cpu",
        threads=1,
    )
    with tempfile.TemporaryDirectory() as folder:
        measure = run_taesan if cell["variant"] == OURS else run_trainer
        return measure(cell, config, Path(folder))


def run_taesan(cell: dict[str, Any], config: Any, folder: Path) -> dict[str, Any]:
    from dataclasses import replace

    import taesan
    from taesan.verbs import pretrain as verb

    training, facts = Clock(), dict[str, Any]()
    loop = verb.train

    def timed_loop(loss: Any, batches: Any, *others: Any, validation: Any, **named: Any) -> Any:
        def untimed_scores() -> dict[str, float]:
            facts["peak_bytes"] = peak_bytes()  # at the end: before the model is scored
            with training.without():
                return validation.scores()

        plan = batches.step
        facts["tokens"] = 0

        def counted(number: int) -> Any:
            micro_batches = plan(number)
            facts["tokens"] += sum(batch["input_ids"].size for batch in micro_batches)
            return micro_batches

        batches.step = counted
        with training.running():
            result = loop(loss, batches, *others, validation=replace(validation, scores=untimed_scores), **named)
        facts["steps_taken"] = result.state.step
        return result

    verb.train = timed_loop
    taesan.pretrain(cell["objective"], [cell["text"]], output=folder / "backbone", config=config, quiet=True)
    facts["held_out_loss"] = taesan.show(folder / "backbone")["scores"]["held_out_loss"]
    labels = round(MASKED * LENGTH) if cell["objective"] == "masked" else LENGTH
    a_step = matrix_seconds(config, rows=cell["rows"], labels=labels)
    return facts | {"train_seconds": training.seconds, "limit_seconds": a_step * facts["steps_taken"]}


def matrix_seconds(config: Any, *, rows: int, labels: int) -> float:
    """CPU seconds of one step's matrix products alone, forward and the two backward, median of 20."""
    import torch

    torch.set_num_threads(1)
    tokens, width, wide = rows * LENGTH, config.width, config.feed_forward
    layer = [(tokens, width, width)] * 4 + [(tokens, width, wide), (tokens, wide, width)]
    head = [(rows * labels, width, config.vocabulary_size)]
    if config.architecture == "roberta-prelayernorm":
        head.append((rows * labels, width, width))
    products = [(torch.randn(n, k), torch.randn(k, m), torch.randn(n, m)) for n, k, m in layer * config.layers + head]
    depth = width // config.heads
    query, scores = torch.randn(rows * config.heads, LENGTH, depth), torch.randn(rows * config.heads, LENGTH, LENGTH)
    seconds: list[float] = []
    for _ in range(20):
        begun = time.process_time()
        for left, right, out in products:
            left @ right, out @ right.T, left.T @ out
        for _ in range(config.layers):  # queries with keys, weights with values; two of each backward
            for _ in range(3):
                query @ query.mT, scores @ query
        seconds.append(time.process_time() - begun)
    return statistics.median(seconds)


def run_trainer(cell: dict[str, Any], config: Any, folder: Path) -> dict[str, Any]:
    import torch
    import transformers

    from taesan.data import Report, read_lines
    from taesan.engine.objectives import LanguageModelLoss
    from taesan.engine.pretraining import held_out_scores
    from taesan.engine.process import Process
    from taesan.models.shapes import new_backbone
    from taesan.text.corpus import Corpus
    from taesan.text.train import train_tokenizer

    torch.set_num_threads(1)
    objective, report = cell["objective"], Report()
    lines = [line for _, line in read_lines(cell["text"], report=report, limit_bytes=cell["limit_bytes"])]
    report.raise_for_errors()
    own = train_tokenizer(lines, kind=config.tokenizer, size=config.vocabulary_size, objective=objective)
    for name, content in own.files(max_length=LENGTH, token_types=objective == "masked").items():
        (folder / name).write_bytes(content)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    held_out = Corpus.write(lines[19::20], own, folder / "held_out")
    stream = [i for n, ids in enumerate(own.ids(lines), 1) if n % 20 for i in (*ids.tolist(), own.separator_id)]
    before, after = (own.layout.prefix, [own.separator_id]) if objective == "masked" else ((), [])
    room = LENGTH - len(before) - len(after)
    rows = [
        {"input_ids": [*before, *stream[start : start + room], *after]} for start in range(0, len(stream) - room, room)
    ]
    model = new_backbone(objective, config, own)
    model.accepts_loss_kwargs = False  # transformers issue 47688
    masked = objective == "masked"
    collator = transformers.DataCollatorForLanguageModeling(
        tokenizer, mlm=masked, **{"mlm_probability": MASKED} if masked else {}
    )
    arguments: dict[str, Any] = {
        "output_dir": str(folder / "trainer"),
        "per_device_train_batch_size": cell["rows"],
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": config.warmup,
        "weight_decay": config.weight_decay,
        "adam_beta2": config.beta2,
        "max_grad_norm": config.gradient_clip,
        "seed": cell["seed"],
        "use_cpu": True,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }

    def trainer(network: Any, steps: int) -> Any:
        settings = transformers.TrainingArguments(**arguments, max_steps=steps)
        return transformers.Trainer(model=network, args=settings, train_dataset=rows, data_collator=collator)  # type: ignore[arg-type]

    trainer(copy.deepcopy(model), 1).train()
    measured, training = trainer(model, cell["steps"]), Clock()
    with training.running():
        measured.train()
    steps, peak = measured.state.global_step, peak_bytes()
    scores = held_out_scores(objective, LanguageModelLoss(model), held_out, own, config, Process(device="cpu"))()
    return {
        "tokens": steps * cell["rows"] * LENGTH,
        "steps_taken": steps,
        "train_seconds": training.seconds,
        "peak_bytes": peak,
        "held_out_loss": scores["held_out_loss"],
    }


if __name__ == "__main__":
    main()
