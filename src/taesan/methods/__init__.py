"""The methods, by name, and what goes with what."""

from taesan.errors import UsageError, escape
from taesan.methods.base import Method
from taesan.methods.finetune import Finetune
from taesan.tasks.base import Task

METHODS: dict[str, Method] = {method.name: method for method in (Finetune(),)}


def refuse_combination(task: Task, method: Method, backbone: str, kind: str) -> None:
    """The one place where combinations that cannot work are refused; docs/techniques.md has the table.

    Raises: UsageError.
    """
    if task.head == "language_model" and kind != "causal":
        raise UsageError(
            f"{task.name} by {method.name} needs a causal backbone, and {escape(backbone)} is {kind}: it fills in "
            "blanks, and does not go on with a text. Type --backbone taesan:gpt-mini."
        )
