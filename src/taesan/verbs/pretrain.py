"""`taesan pretrain {masked,causal} TEXT... --output DIR`: a backbone from raw text."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from taesan import store
from taesan.config import PretrainConfig
from taesan.data import Report, read_lines
from taesan.engine import checkpoint
from taesan.engine.board import check_installed
from taesan.engine.objectives import LanguageModelLoss, Objective, check_packing
from taesan.engine.pretraining import Phases, held_out_scores
from taesan.engine.process import Process
from taesan.engine.run import Run
from taesan.engine.train import Result, Validation, train
from taesan.errors import DataError, Problem, UsageError, escape
from taesan.models.backbone import Backbone, config_bytes, find, model_arrays
from taesan.models.shapes import ARCHITECTURES, FINE_TUNING_DROPOUT, new_backbone, set_dropout
from taesan.models.warm_start import cooccurrence_embeddings
from taesan.progress import Progress
from taesan.text.corpus import Corpus, CorpusWriter
from taesan.text.preparation import Counts, Preparation, prepare
from taesan.text.tokenizer import FILES, Tokenizer
from taesan.text.train import train_tokenizer
from taesan.verbs.card import backbone_card
from taesan.verbs.reading import file_record, lookup

PREPARED = "lines.json"
WARM_DEVIATION = 0.04  # twice that of a random start: the rows differ in length, and rare ones stay small
# What stands in a config for the objective's own choice.
DEFAULTS: dict[str, dict[str, Any]] = {
    "masked": {"architecture": "roberta-prelayernorm", "tokenizer": "wordpiece", "max_length": 512},
    "causal": {"architecture": "gpt2", "tokenizer": "byte-bpe", "max_length": 1024},
}
MASKED_ONLY = ("masking", "mask_fraction")
# By width: peak learning rate of a new backbone, and of one that is continued.
LEARNING_RATES = ((256, 2e-3, 5e-4), (512, 1e-3, 2e-4), (1 << 30, 5e-4, 1e-4))


def pretrain(
    objective: Objective,
    texts: Sequence[str | Path],
    *,
    output: str | Path,
    backbone: str | None = None,
    config: PretrainConfig | None = None,
    resume: bool = False,
    overwrite: bool = False,
    encoding: str = "utf-8",
    quiet: bool = False,
) -> Path:
    """The folder of a backbone that learnt from `texts`, one document a line.

    `masked` learns to fill in masked tokens, `causal` to go on. With `backbone` (`--from`), that one is continued with
    its own tokenizer and shape; else a new one is made as `config` says.

    Raises: UsageError, DataError, InputMissing, OutputError, LockedError, StorageError; Stopped after a signal.
    """
    lookup(ARCHITECTURES, objective, "objective")
    base = _base(backbone, objective)
    config = _with_defaults(config or PretrainConfig(), objective, base)
    check_installed(config.tensorboard)
    process = Process(device=config.device, precision=config.precision, threads=config.threads)
    config = replace(config, threads=config.threads or torch.get_num_threads())
    # What is wrong in the command is said before a folder is made.
    preparation = Preparation(**{field.name: getattr(config, field.name) for field in fields(Preparation)})
    prepare([], preparation, Counts())
    for text in texts:
        next(read_lines(text, report=Report(), encoding=encoding), None)
    sources = [file_record(text) for text in texts]
    origin = {"backbone": {"name": base.name, "sha256": base.sha256}} if base else {}
    identity = {"verb": "pretrain", "objective": objective, **origin, "config": asdict(config), "data": sources}
    with Run(Path(output), identity, process, resume=resume, overwrite=overwrite) as run:
        if process.is_main:
            _prepare(run.path / "corpus", texts, objective, config, preparation, base, encoding, quiet)
        process.wait()
        tokenizer = Tokenizer.load(run.path / "corpus")
        training, held_out = Corpus(run.path / "corpus" / "training"), Corpus(run.path / "corpus" / "held_out")
        model, dropouts = _model(objective, config, base, tokenizer)
        loss = LanguageModelLoss(model)
        if config.warm_embeddings and not base and checkpoint.newest(run.path, lambda _: None) is None:
            _warm_embeddings(model, training, tokenizer, process, quiet)
        scores = held_out_scores(objective, loss, held_out, tokenizer, config, process)
        result = train(
            loss,
            Phases(objective, config, tokenizer, training),
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
            lines = json.loads((run.path / "corpus" / PREPARED).read_bytes())
            facts = {"scores": scores(), "corpus_tokens": training.tokens, "lines": lines, **identity}
            _save(run, model, dropouts, result, facts)
    return Path(output)


def _base(name: str | None, objective: str) -> Backbone | None:
    """Raises: UsageError for a backbone that has learnt the other objective; StorageError for a damaged one."""
    if name is None:
        return None
    base = find(name)
    if base.kind != objective:
        raise UsageError(f"{escape(name)} is a {base.kind} language model. Continue it by: taesan pretrain {base.kind}")
    if (base.path / store.MANIFEST).exists():
        store.Folder(base.path).read_all()
    if objective == "masked" and base.tokenizer.mask_id is None:
        raise UsageError(f"the tokenizer of {escape(name)} has no mask token, so nothing can be masked")
    return base


def _with_defaults(config: PretrainConfig, objective: str, base: Backbone | None) -> PretrainConfig:
    """`config` with the zeros and blanks filled in; of a backbone that is continued, with its own shape."""
    given = [name for name in MASKED_ONLY if getattr(config, name) != getattr(PretrainConfig(), name)]
    if objective == "causal" and given:
        raise UsageError(f"{', '.join(given)}: nothing is masked in causal pretraining. Leave that out.")
    if base is None:
        chosen = {name: value for name, value in DEFAULTS[objective].items() if not getattr(config, name)}
        config = replace(config, **chosen)
        width = config.width
    else:
        _refuse_shape(config, base)
        width = base.config.hidden_size
        if config.max_length > base.max_length:
            raise UsageError(
                f"max_length is {config.max_length}; {escape(base.name)} reads at most {base.max_length} tokens"
            )
        config = replace(config, max_length=config.max_length or base.max_length)
    if config.max_length < 8:
        raise UsageError(f"max_length is {config.max_length}; expected at least 8")
    new, continued = next(rates for limit, *rates in LEARNING_RATES if width <= limit)
    return replace(config, learning_rate=config.learning_rate or (continued if base else new))


def _refuse_shape(config: PretrainConfig, base: Backbone) -> None:
    shape = {
        *("architecture", "layers", "width", "heads", "feed_forward"),
        *("tokenizer", "vocabulary_size", "tokenizer_bytes", "warm_embeddings"),
    }
    given = [f.name for f in fields(config) if f.name in shape and getattr(config, f.name) != f.default]
    if given:
        raise UsageError(
            f"{', '.join(given)}: {escape(base.name)} has a shape and a tokenizer of its own, which --from continues. "
            "Leave that out, or make a new backbone without --from."
        )


def _model(
    objective: Objective, config: PretrainConfig, base: Backbone | None, tokenizer: Tokenizer
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The model to train, and the dropouts that are written into its config at the end, for fine-tuning."""
    if base is None:
        model = new_backbone(objective, config, tokenizer)
        dropouts = dict.fromkeys(set_dropout(model.config), FINE_TUNING_DROPOUT)
    else:
        dropouts = set_dropout(base.config, config.dropout)
        model = base.load("language_model", seed=config.seed)
    if objective == "causal":
        check_packing(model)
    return model, dropouts


def _prepare(
    folder: Path,
    texts: Sequence[str | Path],
    objective: Objective,
    config: PretrainConfig,
    preparation: Preparation,
    base: Backbone | None,
    encoding: str,
    quiet: bool,
) -> None:
    """Tokenizer and token files; a run that is resumed finds them done."""
    if Corpus.open(folder / "training") and Corpus.open(folder / "held_out"):
        return
    report = Report()

    def read(limit: int, title: str) -> Iterator[tuple[str, int, str]]:
        with Progress(title, unit="lines", enabled=not quiet) as progress:
            for path in texts:
                for number, line in read_lines(path, report=report, encoding=encoding, limit_bytes=limit):
                    progress.advance()
                    yield Path(path).name, number, line
        report.raise_for_errors()

    if base is None:
        share = config.tokenizer_bytes // len(texts) if config.tokenizer_bytes else 0
        limits = [limit for limit in (share, config.limit_bytes) if limit]
        source = read(min(limits, default=0), "reading for the tokenizer")
        sample = list(prepare(source, preparation, Counts()))
        _refuse_empty(len(sample), texts)
        if not quiet:
            Progress("").say(f"training the tokenizer on {len(sample):,} lines")
        tokenizer = train_tokenizer(sample, kind=config.tokenizer, size=config.vocabulary_size, objective=objective)
        del sample
    else:
        tokenizer = base.tokenizer
    token_types = base.token_types if base else objective == "masked"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in tokenizer.files(max_length=config.max_length, token_types=token_types).items():
        store.replace_file(folder / name, content)
    eojeols = objective == "masked" and config.masking == "eojeol"
    training = CorpusWriter(folder / "training", tokenizer, eojeols=eojeols)
    held_out = CorpusWriter(folder / "held_out", tokenizer)
    every = max(2, round(1 / max(config.validation_fraction, 1e-9)))
    counts, count = Counts(), 0
    for count, line in enumerate(prepare(read(config.limit_bytes, "encoding"), preparation, counts), 1):
        (training if count % every else held_out).add(line)
    _refuse_empty(count, texts)
    if not quiet:
        Progress("").say(str(counts))
    store.replace_file(folder / PREPARED, json.dumps(counts.as_dict()).encode())
    if count < every:
        raise UsageError(
            f"{count:,} lines are too few to hold 1 in {every:,} out. Add text, or raise it: "
            f"--set validation_fraction={min(0.5, 2 / max(2, count)):.2g}"
        )
    training.close()
    held_out.close()


def _refuse_empty(lines: int, texts: Sequence[str | Path]) -> None:
    if not lines:
        where = ", ".join(str(text) for text in texts)
        fix = "If a filter took every line, loosen it: language, minimum_characters, maximum_characters."
        raise DataError([Problem("file-empty", where, expected="at least one line of text", fix=fix)])


def _warm_embeddings(model: Any, corpus: Corpus, tokenizer: Tokenizer, process: Process, quiet: bool) -> None:
    if process.is_main and not quiet:
        Progress("").say(f"counting neighbours among {corpus.tokens:,} tokens to warm the embeddings")
    weight = model.get_input_embeddings().weight
    warm = cooccurrence_embeddings(
        lambda: (corpus.shard(number).tokens for number in range(corpus.shards)),
        vocabulary_size=tokenizer.vocabulary_size,
        width=weight.shape[1],
        deviation=WARM_DEVIATION,
    )
    with torch.no_grad():
        weight.copy_(torch.from_numpy(warm))


def _save(run: Run, model: Any, dropouts: dict[str, Any], result: Result, facts: dict[str, Any]) -> None:
    for name, value in dropouts.items():
        setattr(model.config, name, value)
    model.config.architectures = [type(model).__name__]
    manifest = {
        "kind": "backbone",
        **{name: value for name, value in facts.items() if name != "verb"},
        "steps": result.state.step,
        "seconds": round(result.state.seconds, 1),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    files: dict[str, store.Content] = {
        "config.json": config_bytes(model),
        "model.safetensors": store.tensor_chunks(model_arrays(model, half=True), {"format": "pt"}),
        **{name: (run.path / "corpus" / name).read_bytes() for name in FILES},
        "README.md": backbone_card(manifest).encode(errors="backslashreplace"),
    }
    if facts["objective"] == "causal":
        ids = {name: getattr(model.config, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
        files["generation_config.json"] = (json.dumps(ids) + "\n").encode()
    run.finish(files, manifest, log=run.path / "log.jsonl")
    shutil.rmtree(run.path / "corpus", ignore_errors=True)
