"""How `fit` learns in context: it chooses shots, a template and a calibration, and no weight moves."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from taesan.config import FitConfig
from taesan.engine.asking import asking_files
from taesan.engine.process import Process
from taesan.engine.score import local_scorer
from taesan.engine.scoring import Asking, TextPredictor
from taesan.errors import UsageError, escape
from taesan.methods.base import Method, adapt
from taesan.methods.in_context import CONTENT_FREE, batch_offsets, draw_shots, mutual_information
from taesan.models.backbone import Backbone
from taesan.tasks.base import EncodeOptions, Example, Learnt, Task
from taesan.tasks.classification import Classification
from taesan.tasks.templates import Prompt, Template, Templates, for_causal, label_words, load, shipped
from taesan.verbs.training import (
    Rows,
    Say,
    check_words,
    peak_memory_bytes,
    refuse_without_mask,
    refused_by_name,
    warn_of_labels,
)

LEAST_TEXTS = 16  # of unlabelled texts, that a mean over them says something
MOST_TEXTS = 128
LEAST_SHOTS = 4  # that cross-validation within them says something
LEAST_ROOM_TOKENS = 32  # for the item itself, behind the shots


@dataclass(frozen=True)
class Wishes:
    """What the user said of words and templates."""

    label_words: Mapping[str, str]
    templates: str | Path | None


@dataclass(frozen=True)
class InContextModel:
    """What `fit` made without training."""

    predictor: TextPredictor
    files: dict[str, Any]
    details: dict[str, Any]
    seconds: float


def templates_for(
    task: Task, labels: tuple[str, ...], wishes: Wishes, config: FitConfig, *, masked: bool, name: str
) -> list[tuple[Template, dict[str, str]]]:
    """Templates that may be asked with, each with the labels' words; the user's own, or those that come along."""
    known = shipped(task.name, task.slots)
    given = known if wishes.templates is None else load(wishes.templates, task.slots)
    words = given if given.words else Templates(given.templates, known.words)
    chosen = [one for one in given.templates if wishes.templates is not None or one.language == config.language]
    if config.template:
        chosen = [one for one in given.templates if one.name == config.template]
        if not chosen:
            names = ", ".join(one.name for one in given.templates)
            raise UsageError(f"there is no template {config.template!r}; there are: {names}")
    asks = task.ask(Example(("",) * len(task.slots)), dict.fromkeys(labels or ("a",), "a"), "a")
    bare = next((one for one in chosen if not one.nothing.strip() and any(ask.parts_of for ask in asks)), None)
    if bare is not None:
        raise UsageError(f'the template {escape(bare.name)} does not say what stands for none; add nothing = "없음"')
    if not chosen:
        languages = ", ".join(sorted({one.language for one in given.templates}))
        raise UsageError(f"language is {config.language!r}; there are templates in: {languages}")
    fit = chosen if masked else [for_causal(one, name) for one in chosen]
    return [(one, label_words(labels, one, words, wishes.label_words)) for one in fit]


def ask_in_context(
    task: Task,
    method: Method,
    base: Backbone,
    data: Rows,
    config: FitConfig,
    wishes: Wishes,
    process: Process,
    say: Say,
) -> InContextModel:
    """Shots by seed or by likeness, a template by the shots or unlabelled texts, offsets by unlabelled texts.

    Test and validation labels choose nothing. Raises: UsageError where labels are missing or shots do not fit.
    """
    begun = time.monotonic()
    if not data.labels and task.head in ("sequence", "token"):
        raise UsageError(f"{task.name} without labelled rows needs its labels: --labels A,B")
    shots = _shots(data, config, task)
    tokenizer, masked = base.tokenizer, base.kind == "masked"
    refuse_without_mask(base)
    model = adapt(method, base.load("language_model", whole=True)).to(process.device)
    with refused_by_name(f"{escape(base.name)} cannot be asked in context"):
        scorer = local_scorer(model, tokenizer, masked=masked, max_length=config.max_length)
        scorer.score([Prompt("a ", " a", 0)], [("a", "b")])
    options = EncodeOptions(max_length=config.max_length, long_text=config.long_text)
    learnt = _learnt(task, shots, data.labels, tokenizer)

    def asked(asking: Asking) -> TextPredictor:
        return TextPredictor(task, scorer, tokenizer, learnt, options, asking)

    similar = config.shots if config.shot_choice == "similar" and len(shots) > config.shots else 0
    shown = set[int]() if similar else {id(shot) for shot in shots}
    order = np.random.default_rng((config.seed, 8)).permutation(len(data.train)).tolist()  # files may be sorted
    rest = [data.train[place] for place in order if id(data.train[place]) not in shown]
    texts = [Example(example.texts, line=example.line) for example in rest[:MOST_TEXTS]]
    candidates = [
        Asking(template, words, tuple(shots), similar, config.scoring == "normalized")
        for template, words in templates_for(task, data.labels, wishes, config, masked=masked, name=base.name)
    ]
    candidates = [_fitting(one, asked, config, say) for one in candidates]
    asking, why = _choose(candidates, asked, task, texts, say)
    warn_of_labels(dict(asking.words), say)
    if isinstance(task, Classification):
        check_words(asking.words, [tuple(ids.tolist()) for ids in tokenizer.ids(list(asking.words.values()))], base)
    calibration, offsets = _calibrate(asking, asked, texts, config, task)
    asking = replace(asking, offsets=offsets)
    say(
        f"{task.name} in context of {base.name}: {similar or len(asking.shots)} shots"
        f"{f' of {len(shots):,}, the most similar' if similar else ''}; template {asking.template.name} ({why}); "
        f"calibration: {calibration}"
    )
    details = {
        "steps": 0,
        "best_step": 0,
        "seconds": round(time.monotonic() - begun, 1),
        "peak_memory_bytes": peak_memory_bytes(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "trained_parameters": 0,
        # Labels that were seen, and texts whose labels were not looked at.
        "rows": {
            "shots": len(asking.shots),
            "unlabelled": len(texts),
            "validation": len(data.validation),
            "test": len(data.test),
        },
        "asking": {
            "shots": len(asking.shots),
            "similar": similar,
            "template": asking.template.name,
            "template_chosen_by": why,
            "calibration": calibration,
        },
    }
    return InContextModel(asked(asking), asking_files(asking, calibration), details, details["seconds"])


def _shots(data: Rows, config: FitConfig, task: Task) -> list[Example]:
    """Rows to show; all, where the most similar of them are looked for with every question."""
    count = config.shots
    if count > 0 and not data.train:
        raise UsageError(f"shots is {count}; expected 0 without a file of labelled rows to take them from")
    if count > len(data.train):
        raise UsageError(f"shots is {count}; the file has {len(data.train):,} rows")
    if config.shot_choice == "similar":
        return list(data.train) if count else []
    keys = [example.label if isinstance(example.label, str) else bool(example.label) for example in data.train]
    return [data.train[i] for i in draw_shots(keys, count, balanced=config.shot_choice == "balanced", seed=config.seed)]


def _learnt(task: Task, shots: Sequence[Example], labels: tuple[str, ...], tokenizer: Any) -> Learnt:
    learnt = task.learn(shots, labels, tokenizer)
    if "prompted" in learnt.counts:  # a template always prompts
        learnt = replace(learnt, counts={**learnt.counts, "prompted": True})
    if "unanswerable" in learnt.counts and not shots:  # nothing says that every question has an answer
        learnt = replace(learnt, counts={**learnt.counts, "unanswerable": True})
    return learnt


def _fitting(asking: Asking, asked: Any, config: FitConfig, say: Say) -> Asking:
    """The same with as many shots as leave room for an item. Raises: UsageError where they are to be kept."""
    probe = Example(("",) * len(asked(asking).task.slots), None)
    kept = asking
    if kept.similar:  # the longest ones may be the nearest
        return _fitting_similar(kept, asked, config, say)
    while kept.shots:
        used = asked(kept).used_tokens(probe)
        if used + LEAST_ROOM_TOKENS <= config.max_length:
            break
        if config.long_shots == "error":
            raise UsageError(
                f"{len(asking.shots)} shots take {used:,} of the model's {config.max_length:,} tokens, and an item "
                f"needs {LEAST_ROOM_TOKENS}; name fewer, or --set long_shots=fewer to leave the last ones out"
            )
        kept = replace(kept, shots=kept.shots[:-1])
    if len(kept.shots) < len(asking.shots):
        say(f"only {len(kept.shots)} of {len(asking.shots)} shots fit into {config.max_length:,} tokens")
    return kept


def _fitting_similar(asking: Asking, asked: Any, config: FitConfig, say: Say) -> Asking:
    longest = sorted(asking.shots, key=lambda shot: -sum(map(len, shot.texts)))
    probe = Example(("",) * len(asked(asking).task.slots), None)
    for count in range(asking.similar, 0, -1):
        worst = replace(asking, shots=tuple(longest[:count]), similar=0)
        used = asked(worst).used_tokens(probe)
        if used + LEAST_ROOM_TOKENS <= config.max_length:
            if count < asking.similar:
                say(f"{count} shots instead of {asking.similar}: more may not fit into {config.max_length:,} tokens")
            return replace(asking, similar=count)
        if config.long_shots == "error":
            raise UsageError(
                f"{count} shots, were they the longest, take {used:,} of the model's {config.max_length:,} tokens; "
                "name fewer, or --set long_shots=fewer"
            )
    raise UsageError(f"not one of the longest shots fits into {config.max_length:,} tokens")


def _choose(
    candidates: Sequence[Asking], asked: Any, task: Task, texts: Sequence[Example], say: Say
) -> tuple[Asking, str]:
    """The template that answers its own shots best, each asked after the others; without shots, that tells most."""
    if len(candidates) == 1:
        return candidates[0], "the only one"
    shots = candidates[0].shots
    if len(shots) >= LEAST_SHOTS and not candidates[0].similar:
        values = [_cross_validated(one, asked, task) for one in candidates]
        why = f"{task.metric} within the shots"
    elif isinstance(task, Classification) and len(texts) >= LEAST_TEXTS:
        values = [mutual_information(asked(one).choices(texts)) for one in candidates]
        why = f"mutual information over {len(texts)} unlabelled texts"
    else:
        return candidates[0], "the first: no rows to choose by"
    for one, value in zip(candidates, values, strict=True):
        say(f"template {one.template.name}: {why} {value:.4f}")
    return candidates[int(np.argmax(values))], why


def _cross_validated(asking: Asking, asked: Any, task: Task) -> float:
    predictions = [
        next(asked(replace(asking, shots=asking.shots[:place] + asking.shots[place + 1 :])).predict([shot]))
        for place, shot in enumerate(asking.shots)
    ]
    learnt = asked(asking).learnt
    return task.scores(asking.shots, predictions, learnt)[task.metric] * task.sign


def _calibrate(
    asking: Asking, asked: Any, texts: Sequence[Example], config: FitConfig, task: Task
) -> tuple[str, tuple[float, ...]]:
    """What each choice's log-probability is too high by: how it was found, and how much."""
    if not isinstance(task, Classification) or config.calibration == "none":
        return "none", ()
    kind = config.calibration
    if kind == "auto":
        kind = "batch" if len(texts) >= LEAST_TEXTS else "content-free"
    if kind == "batch":
        if not texts:
            raise UsageError(
                "calibration is batch, which needs texts: name a file of rows, or calibration=content-free"
            )
        return f"batch, over {len(texts)} texts without their labels", tuple(
            batch_offsets(asked(asking).choices(texts))
        )
    if kind == "content-free":
        empty = [Example((text,) * len(task.slots)) for text in CONTENT_FREE]
        plain = replace(asking, similar=0, shots=() if asking.similar else asking.shots)
        return f"content-free, over {len(empty)} texts", tuple(batch_offsets(asked(plain).choices(empty)).tolist())
    bare = replace(asking, shots=(), similar=0)
    return "pmi", tuple(asked(bare).choices([Example(("",) * len(task.slots))])[0].tolist())
