"""A linear model's folder as a predictor: no backbone, no tokenizer, no torch."""

from collections.abc import Iterable, Iterator
from typing import Any

from taesan import store
from taesan.engine.infer import CHUNK_ROWS, Advance, chunks
from taesan.errors import StorageError, escape
from taesan.models.linear import Linear, read_linear
from taesan.tasks import TASKS
from taesan.tasks.base import EncodeOptions, Example, Found, Learnt, Prediction, Task


class LinearPredictor:
    """A task answered from its texts as they are, in the text view: examples in, predictions out, in order."""

    def __init__(self, task: Task, linear: Linear, learnt: Learnt):
        self.task, self.learnt, self._linear = task, learnt, linear
        self.options = EncodeOptions(max_length=0)  # nothing is too long
        self.cut = 0

    def predict(self, examples: Iterable[Example], *, advance: Advance | None = None) -> Iterator[Prediction]:
        for chunk in chunks(examples, CHUNK_ROWS):
            found = self._linear.log_probabilities([example.texts for example in chunk])
            if advance is not None:
                advance(len(chunk))
            for example, row in zip(chunk, found, strict=True):
                yield self.task.parse(example, [Found(row)], self.learnt)


def open_linear(folder: store.Folder) -> tuple[LinearPredictor, dict[str, Any]]:
    """The predictor of a baseline's folder, and its manifest. Raises: StorageError."""
    manifest, contents = folder.manifest, folder.read_all()
    task = TASKS.get(manifest["task"])
    if task is None:
        raise StorageError(
            f"{folder.path} is for the task {escape(manifest['task'])}, which this taesan does not know."
        )
    linear = read_linear(contents, str(folder.path))
    return LinearPredictor(task, linear, Learnt(tuple(manifest["labels"]))), manifest
