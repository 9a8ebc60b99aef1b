"""Masked-LM pretraining beside the Hugging Face Trainer: same model, text, masking, batches and steps.

    python benchmarks/pretrain_speed.py --text FILE --output FILE.json

The lines of FILE are packed to rows of 128 tokens in both, as run_mlm.py does: nothing is padded. Every measurement is
a process of its own on one thread; variants take turns. Compared is the CPU time of `trainer.train()` with that of our
loop, from its first line to its last, our validation taken out (the Trainer does none); saving is off in both. The
Trainer, not ours, takes a step beforehand.
"""

import argparse
import copy
import json
import tempfile
from pathlib import Path
from typing import Any

from measure import Clock, peak_bytes, run_cell, spread, table, write_json

LENGTH = 128
PEER, OURS = "HF Trainer", "taesan"
MASKED = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", help="plain text, a document a line; may be packed as .gz or .xz")
    parser.add_argument("--limit-bytes", type=int, default=2_000_000, help="bytes read of it")
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
        for dropout in arguments.dropout:
            for variant in (PEER, OURS):
                cell = {"variant": variant, "seed": seed, "dropout": dropout, "text": arguments.text}
                cell |= {"steps": arguments.steps, "rows": arguments.rows, "limit_bytes": arguments.limit_bytes}
                result = run_cell(__file__, cell)
                del cell["text"]
                cells.append(cell | result)
                rate = result["tokens"] / result["train_seconds"]
                print(f"seed {seed}  dropout {dropout}  {variant:10}  {rate:,.0f} tokens a CPU second", flush=True)
    rows: list[list[str]] = []
    for dropout in arguments.dropout:
        own = {v: [c for c in cells if (c["variant"], c["dropout"]) == (v, dropout)] for v in (PEER, OURS)}
        rates = {variant: [c["tokens"] / c["train_seconds"] for c in own[variant]] for variant in own}
        ratios = [ours / peer for ours, peer in zip(rates[OURS], rates[PEER], strict=True)]
        rows += [
            [
                f"{variant}, dropout {dropout:g}",
                str(own[variant][0]["steps_taken"]),
                spread(rates[variant], ",.0f"),
                spread(ratios) if variant == PEER else "",
                f"{max(c['peak_bytes'] for c in own[variant]) / 1e6:.0f}",
            ]
            for variant in own
        ]
    shown = table(["", "steps", "tokens/s", "taesan is faster by", "peak MB"], rows)
    print(f"\nRows of {LENGTH} tokens, {arguments.rows} a batch, {MASKED:.0%} masked, one thread, CPU time\n\n{shown}")
    write_json(arguments.output, {"cells": cells, "table": shown.splitlines()})


# In a process of its own --------------------------------------------------------------------------------------------


def run(cell: dict[str, Any]) -> dict[str, Any]:
    from taesan.config import PretrainConfig

    config = PretrainConfig(
        seed=cell["seed"],
        learning_rate=1e-3,
        train_tokens=cell["steps"] * cell["rows"] * LENGTH,
        batch_tokens=cell["rows"] * LENGTH,
        dropout=cell["dropout"],
        warm_embeddings=False,
        limit_bytes=cell["limit_bytes"],
        max_length=LENGTH,
        short_length=LENGTH,
        full_length_fraction=1.0,  # packed from the first step on
        mask_fraction=MASKED,
        validation_steps=1 << 30,
        checkpoint_seconds=0.0,
        device="cpu",
        threads=1,
    )
    with tempfile.TemporaryDirectory() as folder:
        measure = run_taesan if cell["variant"] == OURS else run_trainer
        result = measure(cell, config, Path(folder))
    return result | {"peak_bytes": peak_bytes()}


def run_taesan(cell: dict[str, Any], config: Any, folder: Path) -> dict[str, Any]:
    from dataclasses import replace

    import taesan
    from taesan.verbs import pretrain as verb

    training, facts = Clock(), dict[str, Any]()
    loop = verb.train

    def timed_loop(loss: Any, batches: Any, *others: Any, validation: Any, **named: Any) -> Any:
        def untimed_scores() -> dict[str, float]:
            with training.without():
                return validation.scores()

        plan = batches.step
        facts["tokens"] = 0

        def counted(number: int) -> Any:
            micro_batches = plan(number)
            facts["tokens"] += sum(int(batch["attention_mask"].sum()) for batch in micro_batches)
            return micro_batches

        batches.step = counted
        with training.running():
            result = loop(loss, batches, *others, validation=replace(validation, scores=untimed_scores), **named)
        facts["steps_taken"] = result.state.step
        return result

    verb.train = timed_loop
    taesan.pretrain("masked", [cell["text"]], output=folder / "backbone", config=config, quiet=True)
    return facts | {"train_seconds": training.seconds}


def run_trainer(cell: dict[str, Any], config: Any, folder: Path) -> dict[str, Any]:
    import torch
    import transformers

    from taesan.data import Report, read_lines
    from taesan.models.shapes import new_masked
    from taesan.text.train import train_wordpiece

    torch.set_num_threads(1)
    report = Report()
    lines = [line for _, line in read_lines(cell["text"], report=report, limit_bytes=cell["limit_bytes"])]
    report.raise_for_errors()
    own = train_wordpiece(lines, size=config.vocabulary_size)
    for name, content in own.files(max_length=LENGTH, token_types=True).items():
        (folder / name).write_bytes(content)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    stream = [i for ids in own.ids(lines) for i in (*ids.tolist(), own.separator_id)]
    room = LENGTH - 2
    rows = [
        {"input_ids": [*own.layout.prefix, *stream[start : start + room], own.separator_id]}
        for start in range(0, len(stream) - room, room)
    ]
    model = new_masked(config, own)
    model.accepts_loss_kwargs = False  # transformers issue 47688
    collator = transformers.DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASKED)
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
    steps = measured.state.global_step
    return {"tokens": steps * cell["rows"] * LENGTH, "steps_taken": steps, "train_seconds": training.seconds}


if __name__ == "__main__":
    main()
