"""`taesan pretrain masked TEXT... --output DIR`: a backbone from raw text."""

import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from taesan import store
from taesan.config import PretrainConfig
from taesan.data import Report, read_lines
from taesan.engine import checkpoint
from taesan.engine.batches import Batch, EpochBatches
from taesan.engine.objectives import MaskedLoss, masked_collate
from taesan.engine.process import Process
from taesan.engine.run import Run
from taesan.engine.train import Result, Validation, train
from taesan.errors import DataError, Problem
from taesan.models.backbone import config_bytes, model_arrays
from taesan.models.shapes import FINE_TUNING_DROPOUT, new_masked
from taesan.models.warm_start import cooccurrence_embeddings
from taesan.progress import Progress
from taesan.text.corpus import Corpus, Sequences
from taesan.text.tokenizer import Tokenizer
from taesan.text.train import train_wordpiece
from taesan.verbs.reading import file_record, lookup

VALIDATION_BATCHES = 64
WARM_DEVIATION = 0.04  # twice that of a random start: the rows differ in length, and rare ones stay small
DEFAULT_LEARNING_RATE = 2e-3


def pretrain(
    objective: str,
    texts: Sequence[str | Path],
    *,
    output: str | Path,
    config: PretrainConfig | None = None,
    resume: bool = False,
    overwrite: bool = False,
    encoding: str = "utf-8",
    quiet: bool = False,
) -> Path:
    """The folder of a backbone that learnt from `texts`, one document a line, to fill in masked tokens.

    Raises: UsageError, DataError, InputMissing, OutputError, LockedError, StorageError; Stopped after a signal.
    """
    lookup(dict.fromkeys(("masked",)), objective, "objective")
    config = config or PretrainConfig()
    config = replace(config, learning_rate=config.learning_rate or DEFAULT_LEARNING_RATE)
    process = Process(device=config.device, precision=config.precision, threads=config.threads)
    config = replace(config, threads=config.threads or torch.get_num_threads())
    for text in texts:
        next(read_lines(text, report=Report(), encoding=encoding), None)  # a wrong name is said before a folder is made
    sources = [file_record(text) for text in texts]
    folder = Path(output)
    identity = {"verb": "pretrain", "objective": "masked", "config": asdict(config), "data": sources}
    with Run(folder, identity, process, resume=resume, overwrite=overwrite) as run:
        if process.is_main:
            _prepare(run.path / "corpus", texts, config, encoding, quiet)
        process.wait()
        tokenizer = Tokenizer.load(run.path / "corpus")
        model = new_masked(config, tokenizer)
        loss = MaskedLoss(model)
        training = Corpus(run.path / "corpus" / "training")
        if config.warm_embeddings and checkpoint.newest(run.path, lambda _: None) is None:
            _warm_embeddings(model, training, tokenizer, process, quiet)
        batches = _Phases(config, tokenizer, training)
        scores = _validator(loss, Corpus(run.path / "corpus" / "held_out"), tokenizer, config, process)
        result = train(
            loss,
            batches,
            config,
            process,
            run=run.path,
            validation=Validation(
                scores=scores,
                metric="held_out_loss",
                every_steps=config.validation_steps,
                sign=-1,
                keep_best=False,
            ),
            title="pretrain",
            quiet=quiet,
        )
        if process.is_main:
            _save(run, model, config, result, scores(), sources, batches)
    return folder


class _Phases:
    """Lines by themselves, short, for most of the run; then lines packed to the full length."""

    def __init__(self, config: PretrainConfig, tokenizer: Tokenizer, corpus: Corpus):
        short = Sequences(corpus, tokenizer, length=min(config.short_length, config.max_length), packed=False)
        full = Sequences(corpus, tokenizer, length=config.max_length, packed=True)
        full_tokens = round(config.train_tokens * config.full_length_fraction)
        parts = ((short, config.train_tokens - full_tokens), (full, full_tokens))
        self.tokens_in_corpus = len(corpus.tokens)
        self._parts = [
            EpochBatches(
                sequences.lengths,
                masked_collate(sequences.__getitem__, tokenizer, config.mask_fraction),
                budget_tokens=config.batch_tokens,
                accumulation=config.accumulation,
                seed=config.seed + index,
                tokens=tokens,
            )
            for index, (sequences, tokens) in enumerate(parts)
            if tokens > 0
        ]
        self.steps = sum(part.steps for part in self._parts)

    def step(self, number: int) -> list[Batch]:
        for part in self._parts:
            if number < part.steps:
                return part.step(number)
            number -= part.steps
        raise IndexError(number)


def _prepare(folder: Path, texts: Sequence[str | Path], config: PretrainConfig, encoding: str, quiet: bool) -> None:
    """Tokenizer and token files; a run that is resumed finds them done."""
    if (folder / "held_out" / "corpus.json").exists():
        return
    report = Report()

    def lines(limit: int, title: str) -> Iterator[str]:
        with Progress(title, unit="lines", enabled=not quiet) as progress:
            for path in texts:
                for _, line in read_lines(path, report=report, encoding=encoding, limit_bytes=limit):
                    progress.advance()
                    yield line
        report.raise_for_errors()

    share = config.tokenizer_bytes // len(texts) if config.tokenizer_bytes else 0
    limits = [limit for limit in (share, config.limit_bytes) if limit]
    sample = list(lines(min(limits, default=0), "reading for the tokenizer"))
    if not sample:
        where = ", ".join(str(text) for text in texts)
        raise DataError([Problem("file-empty", where, expected="at least one line of text")])
    if not quiet:
        Progress("").say(f"training the tokenizer on {len(sample):,} lines")
    tokenizer = train_wordpiece(sample, size=config.vocabulary_size)
    del sample
    files = tokenizer.files(max_length=config.max_length, token_types=True)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        store.replace_file(folder / name, content)
    every = max(2, round(1 / max(config.validation_fraction, 1e-9)))
    training = (line for i, line in enumerate(lines(config.limit_bytes, "encoding")) if i % every != every - 1)
    Corpus.write(training, tokenizer, folder / "training")
    held_out = (line for i, line in enumerate(lines(config.limit_bytes, "held out")) if i % every == every - 1)
    Corpus.write(held_out, tokenizer, folder / "held_out")


def _warm_embeddings(model: Any, corpus: Corpus, tokenizer: Tokenizer, process: Process, quiet: bool) -> None:
    if process.is_main and not quiet:
        Progress("").say(f"counting neighbours among {len(corpus.tokens):,} tokens to warm the embeddings")
    weight = model.get_input_embeddings().weight
    warm = cooccurrence_embeddings(
        corpus.tokens, vocabulary_size=tokenizer.vocabulary_size, width=weight.shape[1], deviation=WARM_DEVIATION
    )
    with torch.no_grad():
        weight.copy_(torch.from_numpy(warm))


def _validator(
    loss: MaskedLoss, corpus: Corpus, tokenizer: Tokenizer, config: PretrainConfig, process: Process
) -> Callable[[], dict[str, float]]:
    """Mean nats a masked token on the same held-out batches, masked the same way every time."""
    sequences = Sequences(corpus, tokenizer, length=min(config.short_length, config.max_length), packed=False)
    batches = EpochBatches(
        sequences.lengths,
        masked_collate(sequences.__getitem__, tokenizer, 0.15),
        budget_tokens=4096,
        accumulation=1,
        seed=0,
        epochs=1,
    )

    def scores() -> dict[str, float]:
        total, count = 0.0, 0
        loss.eval()
        with torch.inference_mode():
            for step in range(min(VALIDATION_BATCHES, batches.steps)):
                for batch in batches.step(step):
                    tensors = {name: torch.from_numpy(array).to(process.device) for name, array in batch.items()}
                    total += float(loss(tensors))
                    count += int(np.sum(batch["labels"] != -100))
        mean = total / max(1, count)
        return {"held_out_loss": mean, "perplexity": math.exp(min(mean, 50.0))}

    return scores


def _save(
    run: Run,
    model: Any,
    config: PretrainConfig,
    result: Result,
    scores: dict[str, float],
    sources: list[dict[str, Any]],
    batches: _Phases,
) -> None:
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = FINE_TUNING_DROPOUT
    model.config.architectures = [type(model).__name__]
    manifest = {
        "kind": "backbone",
        "objective": "masked",
        "config": asdict(config),
        "data": sources,
        "scores": scores,
        "steps": result.state.step,
        "seconds": round(result.state.seconds, 1),
        "corpus_tokens": batches.tokens_in_corpus,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    tokenizer = {
        name: (run.path / "corpus" / name).read_bytes() for name in ("tokenizer.json", "tokenizer_config.json")
    }
    run.finish(
        {
            "config.json": config_bytes(model),
            "model.safetensors": store.tensor_chunks(model_arrays(model, half=True), {"format": "pt"}),
            **tokenizer,
            "README.md": _card(manifest).encode(errors="backslashreplace"),
        },
        manifest,
    )
    shutil.rmtree(run.path / "corpus", ignore_errors=True)


def _card(manifest: dict[str, Any]) -> str:
    config, scores = manifest["config"], manifest["scores"]
    files = "\n".join(f"- {source['name']} (SHA-256 {source['sha256'][:16]}…)" for source in manifest["data"])
    return f"""---
library_name: transformers
pipeline_tag: fill-mask
---
# A masked language model made by taesan

{config["layers"]} layers of {config["width"]}, {manifest["parameters"]:,} parameters, {config["vocabulary_size"]:,} \
entries, at most {config["max_length"]} tokens, stored in half precision.

It saw {config["train_tokens"]:,} tokens in {manifest["steps"]:,} steps ({manifest["seconds"]:,.0f} seconds on \
{config["threads"]} CPU threads); its loss on held-out lines is {scores["held_out_loss"]:.3f} nats a masked token.

Trained on

{files}

```json
{json.dumps(config, indent=1)}
```
"""
