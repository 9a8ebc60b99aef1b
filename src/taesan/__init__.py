"""Transfer learning, whole: pretrain, adapt, measure, predict. Korean first.

Every verb of the command line is a function here; each is imported when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taesan.verbs.check import check
    from taesan.verbs.compare import compare
    from taesan.verbs.demo import demo
    from taesan.verbs.evaluate import evaluate
    from taesan.verbs.export import export
    from taesan.verbs.fill import fill
    from taesan.verbs.fit import fit
    from taesan.verbs.generate import generate
    from taesan.verbs.next_words import next_words
    from taesan.verbs.predict import predict
    from taesan.verbs.pretrain import pretrain
    from taesan.verbs.show import show

__version__ = "0.1.0"
__all__ = [
    "check",
    "compare",
    "demo",
    "evaluate",
    "export",
    "fill",
    "fit",
    "generate",
    "next_words",
    "predict",
    "pretrain",
    "show",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"taesan.verbs.{name}"), name)
    raise AttributeError(f"module 'taesan' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
