"""Settings as frozen dataclasses, read from TOML and flags. An unknown key is an error."""

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from taesan.errors import InputMissing, UsageError, escape

Settings = TypeVar("Settings", bound="LoopConfig | GenerationOptions | ServeLimits")


def option(default: Any, help: str, *, choices: tuple[str, ...] = (), minimum: float | None = None) -> Any:
    """A field with its help text, which is also what `--help` prints, and what it may be."""
    return field(default=default, metadata={"help": help, "choices": choices, "minimum": minimum})


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """What the training loop needs to know, whoever calls it."""

    seed: int = option(42, "seed of everything random", minimum=0)
    learning_rate: float = option(0.0, "peak learning rate; 0: from the table of measured defaults", minimum=0)
    warmup: float = option(0.1, "part of all steps over which the rate rises", minimum=0)
    weight_decay: float = option(0.01, "decoupled weight decay, not on biases and norms", minimum=0)
    beta2: float = option(0.999, "AdamW's second moment decay", minimum=0)
    gradient_clip: float = option(1.0, "largest global gradient norm; 0: no clipping", minimum=0)
    batch_tokens: int = option(512, "tokens in a batch, padding included", minimum=1)
    accumulation: int = option(1, "batches added up before a step", minimum=1)
    device: str = option("auto", "where to compute: auto, cpu, cuda, mps")
    precision: str = option(
        "auto", "number format of the matrix products", choices=("auto", "float32", "bfloat16", "float16")
    )
    threads: int = option(0, "CPU threads; 0: as many as cores. Part of a run's identity", minimum=0)
    checkpoint_seconds: float = option(120.0, "seconds between checkpoints", minimum=0)
    checkpoint_steps: int = option(0, "steps between checkpoints; 0: by seconds alone", minimum=0)
    tensorboard: str = option("", "folder for TensorBoard's events; needs taesan[tensorboard]")


@dataclass(frozen=True, kw_only=True)
class FitConfig(LoopConfig):
    """Settings of `taesan fit`."""

    batch_tokens: int = option(0, "tokens in a batch, padding included; 0: from the table of defaults", minimum=0)
    accumulation: int = option(0, "batches added up before a step; 0: from the table of defaults", minimum=0)
    epochs: float = option(0.0, "passes over the training rows; 0: from the table of measured defaults", minimum=0)
    max_length: int = option(0, "longest input in tokens; 0: all that the backbone reads", minimum=0)
    long_text: str = option(
        "head-tail",
        "texts longer than the model: keep the head, keep head and tail, or average over windows",
        choices=("head", "head-tail", "windows"),
    )
    class_weights: str = option("none", "weight of each class in the loss", choices=("none", "balanced"))
    patience: int = option(0, "stop after so many validations without a gain; 0: never", minimum=0)
    validations: int = option(1, "validations in an epoch", minimum=1)
    validation_fraction: float = option(0.1, "part of the training rows held out to choose the checkpoint", minimum=0)
    rank: int = option(4, "lora: columns of each thin matrix", minimum=1)
    alpha: float = option(16.0, "lora: their product counts alpha / rank times", minimum=0)
    virtual_tokens: int = option(16, "prefix, prompt: virtual tokens before every text", minimum=1)
    initialization: str = option(
        "vocabulary",
        "prefix, prompt: the tokens that virtual tokens begin as",
        choices=("vocabulary", "label-words", "text"),
    )
    initial_text: str = option("", "prefix, prompt: the text of initialization=text")
    reparametrization: bool = option(False, "prefix, prompt: learn them through two more layers, which are not stored")
    notice: float = option(
        0.4,
        "lora, prefix, prompt: part of the steps after which what has learnt nothing is begun anew; 0: never",
        minimum=0,
    )
    language: str = option("ko", "prompt, in-context: language of the templates that come along")
    template: str = option("", "prompt, in-context: the template of that name; default: chosen, or the first")
    shots: int = option(0, "in-context: labelled rows shown before every question", minimum=0)
    shot_choice: str = option("balanced", "in-context: which rows are shown", choices=("balanced", "random", "similar"))
    long_shots: str = option(
        "error", "in-context: shots that do not fit: refuse, or leave the last ones out", choices=("error", "fewer")
    )
    scoring: str = option(
        "likelihood",
        "in-context: a choice's log-probability, or that for each character",
        choices=("likelihood", "normalized"),
    )
    calibration: str = option(
        "auto",
        "in-context: what each choice's is compared with; default batch where there are texts, else content-free",
        choices=("auto", "none", "content-free", "batch", "pmi"),
    )


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(LoopConfig):
    """Settings of `taesan pretrain`."""

    train_tokens: int = option(10_000_000, "tokens to see, repeats included", minimum=1)
    batch_tokens: int = option(2048, "tokens in a batch, padding included", minimum=1)
    weight_decay: float = option(0.01, "decoupled weight decay, not on biases and norms", minimum=0)
    beta2: float = option(0.98, "AdamW's second moment decay", minimum=0)
    warmup: float = option(0.05, "part of all steps over which the rate rises", minimum=0)
    architecture: str = option(
        "",
        "model class of transformers; default roberta-prelayernorm (masked), gpt2 (causal)",
        choices=("", "bert", "roberta-prelayernorm", "gpt2"),
    )
    layers: int = option(4, "layers", minimum=1)
    width: int = option(256, "size of the hidden states", minimum=1)
    heads: int = option(4, "attention heads", minimum=1)
    feed_forward: int = option(1024, "size of the feed-forward layer", minimum=1)
    dropout: float = option(0.0, "dropout while pretraining", minimum=0)
    warm_embeddings: bool = option(True, "start from embeddings that know which tokens stand near which")
    tokenizer: str = option(
        "",
        "kind of tokenizer; default wordpiece (masked), byte-bpe (causal)",
        choices=("", "wordpiece", "bpe", "byte-bpe", "unigram"),
    )
    vocabulary_size: int = option(16_000, "entries of the tokenizer", minimum=8)
    tokenizer_bytes: int = option(60_000_000, "bytes of text that the tokenizer is trained on; 0: all", minimum=0)
    limit_bytes: int = option(0, "bytes read of each text file; 0: all", minimum=0)
    max_length: int = option(0, "longest input in tokens; 0: 512 (masked), 1024 (causal), or the backbone's", minimum=0)
    short_length: int = option(128, "longest input in the first part of the run", minimum=8)
    full_length_fraction: float = option(0.1, "last part of the run, at full length", minimum=0)
    mask_fraction: float = option(0.2, "part of the tokens to be guessed", minimum=0)
    masking: str = option("token", "what is masked: tokens, or whole eojeols", choices=("token", "eojeol"))
    normalization: str = option("nfc", "Unicode form of the text", choices=("nfc", "nfkc", "none"))
    language: str = option("", "keep lines in this language alone, as ko; default all")
    minimum_characters: int = option(0, "leave out lines with fewer characters", minimum=0)
    maximum_characters: int = option(0, "leave out lines with more characters; 0: none", minimum=0)
    duplicates: str = option(
        "keep", "lines that came before: keep, leave out equal or similar ones", choices=("keep", "exact", "near")
    )
    near_duplicate_similarity: float = option(0.8, "what counts as similar: Jaccard, over runs of 3 characters")
    validation_fraction: float = option(0.002, "part of the lines held out", minimum=0)
    validation_steps: int = option(500, "steps between validations", minimum=1)


# Beyond these, float32 scores overflow or one prompt takes a machine's memory.
_RANGES = {
    "temperature": (0.001, 1000),
    "repetition_penalty": (0.01, 100),
    "length_penalty": (-10, 10),
    "beams": (1, 256),
    "sequences": (1, 256),
}


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """Settings of generation. Greedy where neither `sample` nor `beams` says otherwise.

    Raises: UsageError for a value that is absurd, or that only another way of choosing would use.
    """

    max_tokens: int = option(64, "most new tokens", minimum=1)
    min_tokens: int = option(0, "new tokens before the text may end", minimum=0)
    beams: int = option(1, "texts searched side by side; 1: no beam search", minimum=1)
    sample: bool = option(False, "draw each token by its probability")
    temperature: float = option(1.0, "sampling: below 1 sharper, above 1 flatter")
    top_k: int = option(0, "sampling: from the k likeliest tokens alone; 0: all", minimum=0)
    top_p: float = option(1.0, "sampling: from the likeliest tokens that hold this probability; 1: all")
    repetition_penalty: float = option(1.0, "above 1, tokens that came before are less likely")
    no_repeat_ngram: int = option(0, "no run of so many tokens comes twice, prompt included; 0: off", minimum=0)
    length_penalty: float = option(1.0, "beam search: above 0 for longer texts, below 0 for shorter ones")
    sequences: int = option(1, "texts for each prompt; needs sampling or beams", minimum=1)
    seed: int = option(42, "seed of sampling", minimum=0)
    candidates: int = option(0, "likeliest tokens to report at each step", minimum=0)

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if isinstance(value, str):  # a flag's text is read before
                _refuse(item.name, repr(value), _TYPE_NAMES[type(item.default)])
            _checked(item, value)
        for name, (least, most) in _RANGES.items():
            if not least <= (value := getattr(self, name)) <= most:
                hint = "; for the likeliest token each time, do not sample" if name == "temperature" else ""
                _refuse(name, value, f"{least:g} to {most:g}{hint}")
        if not 0 < self.top_p <= 1:
            _refuse("top_p", self.top_p, "a number above 0 and at most 1")
        if self.min_tokens > self.max_tokens:
            _refuse("min_tokens", self.min_tokens, f"at most max_tokens, {self.max_tokens}")
        if self.sample and self.beams > 1:
            _refuse("beams", self.beams, "1 with sampling: search with beams, or sample")
        self._check_company()

    def _check_company(self) -> None:
        """Options that would change nothing are mistakes, not wishes."""
        if self.beams > 1 and self.sequences > self.beams:
            _refuse("sequences", self.sequences, f"at most the {self.beams} beams")
        if self.sequences > 1 and self.beams == 1 and not self.sample:
            _refuse("sequences", self.sequences, "1 where the likeliest token is taken; sample, or search with beams")
        if not self.sample:
            for name, off in (("temperature", 1), ("top_k", 0), ("top_p", 1)):
                if getattr(self, name) != off:
                    _refuse(name, getattr(self, name), f"{off} without sampling, which alone uses it")
        if self.beams == 1 and self.length_penalty != 1:
            _refuse("length_penalty", self.length_penalty, "1 without beams, which alone use it")


@dataclass(frozen=True, kw_only=True)
class ServeLimits:
    """What `taesan serve` takes at most, so that no client can take what is the others'."""

    body_bytes: int = option(1 << 20, "largest body of a request", minimum=1)
    header_bytes: int = option(16_384, "longest headers of a request", minimum=256)
    header_lines: int = option(100, "most headers of a request", minimum=8)
    header_seconds: float = option(10.0, "longest time for headers to come", minimum=0.1)
    body_seconds: float = option(10.0, "longest time for a body to come", minimum=0.1)
    request_seconds: float = option(30.0, "longest time for a whole request, its answer sent", minimum=0.1)
    drain_seconds: float = option(8.0, "longest time to answer what was begun when the server is to end", minimum=1)
    connections: int = option(512, "most connections at once", minimum=1)
    queue_items: int = option(512, "most items that wait for a model", minimum=1)


def _refuse(name: str, value: object, expected: str) -> None:
    raise UsageError(f"{name} is {escape(value)}; expected {expected}")


def resolve(kind: type[Settings], *, file: str | Path | None = None, values: Mapping[str, Any]) -> Settings:
    """Settings from a TOML file, then from `values` (flags and `--set`), which win.

    Raises: UsageError for an unknown key (with the nearest one) or a value that is no such thing; InputMissing.
    """
    merged: dict[str, Any] = {}
    if file is not None:
        try:
            merged.update(tomllib.loads(Path(file).read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise InputMissing(f"there is no settings file {file}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{file} is not TOML: {error}") from None
    merged.update({key: value for key, value in values.items() if value is not None})
    fields = {item.name: item for item in dataclasses.fields(kind)}
    for key in merged:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(fields)}"
            raise UsageError(f"there is no setting {key!r}; {hint}")
    return kind(**{key: _checked(fields[key], value) for key, value in merged.items()})


def _checked(item: dataclasses.Field[Any], value: Any) -> Any:
    """`value` as the field's type; text (from a flag) is read, anything else must already be of the type."""
    wanted = cast(type[Any], type(item.default))
    if isinstance(value, str) and wanted is not str:
        try:
            value = wanted(value.replace("_", "")) if wanted is not bool else {"true": True, "false": False}[value]
        except (ValueError, KeyError):
            raise UsageError(f"{item.name} is {value!r}; expected {_TYPE_NAMES[wanted]}") from None
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted:
        raise UsageError(f"{item.name} is {value!r}; expected {_TYPE_NAMES[wanted]}")
    choices: tuple[str, ...] = item.metadata["choices"]
    if choices and value not in choices:
        raise UsageError(f"{item.name} is {value!r}; expected one of {', '.join(filter(None, choices))}")
    minimum: float | None = item.metadata["minimum"]
    # `not >=`, so that nan is refused too
    if isinstance(value, int | float) and minimum is not None and not value >= minimum:
        raise UsageError(f"{item.name} is {value}; expected at least {minimum}")
    if wanted is float and value == float("inf"):
        raise UsageError(f"{item.name} is {value}; expected a finite number")
    return value


_TYPE_NAMES: dict[type[Any], str] = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
