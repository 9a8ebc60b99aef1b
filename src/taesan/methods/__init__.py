"""The methods and the baselines, by name, and what goes with what."""

from taesan.config import FitConfig
from taesan.errors import UsageError, escape
from taesan.methods.base import Method
from taesan.methods.baseline import Baseline
from taesan.methods.finetune import Finetune
from taesan.methods.in_context import InContext
from taesan.methods.lora import Lora
from taesan.methods.majority import Majority
from taesan.methods.prefix import Prefix
from taesan.methods.prompt import Prompt
from taesan.methods.tfidf import Tfidf
from taesan.tasks.base import Task

METHODS: dict[str, Method] = {method.name: method for method in (Finetune(), Lora(), Prefix(), Prompt(), InContext())}
BASELINES: dict[str, Baseline] = {baseline.name: baseline for baseline in (Majority(), Tfidf())}
_TRAINED = ("finetune", "lora", "prefix", "prompt")
# Settings that some methods alone look at.
_SETTINGS = {
    "rank": ("lora",),
    "alpha": ("lora",),
    "virtual_tokens": ("prefix", "prompt"),
    "initialization": ("prefix", "prompt"),
    "initial_text": ("prefix", "prompt"),
    "reparametrization": ("prefix", "prompt"),
    "template": ("prompt", "in-context"),
    "language": ("prompt", "in-context"),
    **dict.fromkeys(("shots", "shot_choice", "long_shots", "scoring", "calibration"), ("in-context",)),
    **dict.fromkeys(
        ("learning_rate", "warmup", "weight_decay", "beta2", "gradient_clip", "batch_tokens", "accumulation"), _TRAINED
    ),
    **dict.fromkeys(("epochs", "patience", "validations", "notice"), _TRAINED),
    **dict.fromkeys(("max_length", "long_text"), (*_TRAINED, "in-context")),
    "class_weights": (*_TRAINED, "tfidf"),
    "validation_fraction": (*_TRAINED, "majority", "tfidf"),
}


def refuse_combination(task: Task, method: Method | Baseline, backbone: str | None, kind: str | None) -> None:
    """The one place where combinations that cannot work are refused; docs/techniques.md has the table.

    Raises: UsageError.
    """
    if isinstance(method, Baseline):
        if task.head not in method.heads:
            raise UsageError(
                f"{method.name} gives every row one of a few classes, which {task.name} does not ask for; it is for "
                "classification and pair. Take --method finetune."
            )
        if backbone is not None:
            raise UsageError(f"{method.name} uses no backbone; leave --backbone {escape(backbone)} out")
    elif task.head == "language_model" and kind != "causal":
        raise UsageError(
            f"{task.name} by {method.name} needs a causal backbone, and {escape(backbone or '')} is {kind}: it fills "
            "in blanks, and does not go on with a text. Type --backbone taesan:gpt-mini."
        )


def refuse_settings(method: Method | Baseline, config: FitConfig, *, from_scratch: bool) -> None:
    """A setting that would change nothing is a mistake, not a wish. Raises: UsageError."""
    if from_scratch and isinstance(method, Baseline):
        raise UsageError(f"{method.name} uses no backbone whose weights could be random; leave --from-scratch out")
    if from_scratch and method.name != "finetune":
        raise UsageError(f"{method.name} leaves the backbone as it is: of random weights there is nothing to be had")
    if not isinstance(method, Baseline) and method.view == "text" and config.long_text == "windows":
        raise UsageError(
            f"long_text is windows; in the template of {method.name} a text has one place. Take head-tail."
        )
    if config.initial_text and config.initialization != "text":
        raise UsageError(f"initial_text is for initialization=text, which is {config.initialization}")
    for name, methods in _SETTINGS.items():
        if method.name not in methods and getattr(config, name) != getattr(FitConfig(), name):
            raise UsageError(
                f"{name} is {escape(getattr(config, name))}, which {method.name} does not use; it is for "
                f"--method {' or '.join(methods)}"
            )
