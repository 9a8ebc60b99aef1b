"""`taesan predict DIR TEXT...`: answers with probabilities."""

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from taesan.data import Report
from taesan.engine.infer import CHUNK_ROWS, Asked
from taesan.engine.load import DEVICE, open_predictor
from taesan.errors import DataError, Problem, escape
from taesan.progress import Progress
from taesan.tasks.base import Example, Prediction
from taesan.verbs.reading import Source, read_examples


def predict(
    model: str | Path | Asked,
    texts: Iterable[str | Sequence[str]],
    *,
    device: str = DEVICE,
    backbone: str | None = None,
) -> Iterator[Prediction]:
    """One prediction a text, in order, as they come.

    For `pair`, `texts` are (premise, hypothesis); for `qa`, (question, context); for `generation`, prompts.

    `model` is a folder, or an opened one where many calls are to share it; `backbone` where the one that it adds to is,
    should that have moved. Raises: DataError for a text that is
    empty or no text; InputMissing, StorageError.
    """
    opened = isinstance(model, str | Path)
    predictor = open_predictor(model, device=device, backbone=backbone)[0] if opened else model
    wanted = sum(field.kind == "text" for field in predictor.task.fields)
    return predictor.predict(as_example(text, number, wanted) for number, text in enumerate(texts, 1))


def predict_file(
    predictor: Asked,
    source: str | Path | BinaryIO,
    *,
    encoding: str = "utf-8",
    columns: Mapping[str, str] | None = None,
    format: str | None = None,
    quiet: bool = True,
) -> Iterator[Prediction]:
    """One prediction a row of a file or a stream, in the order of the rows; labels in it are not looked at.

    A file is read twice, so that a bad row is known before the first answer. A stream is answered as it comes; bad
    rows are left out of the answers and raised at its end. Raises: DataError, InputMissing.
    """
    task, how, report = predictor.task, Source(encoding, columns or {}, format), Report()
    if not isinstance(source, str | Path):
        for examples in _as_they_come(read_examples(source, task, how, report, labelled=False)):
            yield from predictor.predict(examples)
        report.raise_for_errors()
        return
    count = sum(1 for _ in read_examples(source, task, how, report, labelled=False))
    report.raise_for_errors()
    with Progress("predict", total=count, enabled=not quiet) as progress:
        examples = read_examples(source, task, how, Report(), labelled=False)
        yield from predictor.predict(examples, advance=progress.advance)


def _as_they_come(examples: Iterator[Example]) -> Iterator[list[Example]]:
    """What a pipe has brought by now, at least one: a file piped in goes in bulk, a person is answered at once."""
    waiting: queue.Queue[Example | BaseException | None] = queue.Queue(maxsize=CHUNK_ROWS)

    def read() -> None:
        try:
            for example in examples:
                waiting.put(example)
            waiting.put(None)
        except BaseException as error:
            waiting.put(error)

    threading.Thread(target=read, daemon=True).start()
    while True:
        taken = [waiting.get()]
        with contextlib.suppress(queue.Empty):
            while len(taken) < CHUNK_ROWS:
                taken.append(waiting.get_nowait())
        ready = [one for one in taken if isinstance(one, Example)]
        if ready:
            yield ready
        if isinstance(taken[-1], BaseException):
            raise taken[-1]
        if taken[-1] is None:
            return


def as_example(text: str | Sequence[str], number: int, wanted: int) -> Example:
    """One text, or several of one row, checked. Raises: DataError for any that is empty or no text."""
    texts = (text,) if isinstance(text, str) else tuple(text)
    problem = None
    if len(texts) != wanted:
        problem = ("text-count", f"{len(texts)} a row", f"{wanted}; the second one comes by --hypothesis")
    elif any(not isinstance(one, str) for one in texts):
        problem = ("text-type", escape(texts), "text")
    elif any(not one.strip() for one in texts):
        problem = ("text-empty", "an empty text", "some characters")
    elif any("\ud800" <= character <= "\udfff" for one in texts for character in one):
        problem = ("text-surrogate", escape(texts[0]), "text that UTF-8 can write")
    if problem:
        code, found, expected = problem
        raise DataError([Problem(code, "input", number, found=found, expected=expected)])
    return Example(texts, line=number)
