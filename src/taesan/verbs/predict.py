"""`taesan predict DIR TEXT...`: answers with probabilities."""

import contextlib
import hashlib
import json
import os
import queue
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from taesan import __version__, store
from taesan.data import Report
from taesan.engine.infer import CHUNK_ROWS, Asked, Predictor, chunks
from taesan.engine.load import DEVICE, open_predictor
from taesan.engine.output import Output, check_place, make_folder, merge, refuse_device
from taesan.errors import DataError, InputMissing, Problem, UsageError, escape
from taesan.progress import Progress
from taesan.tasks.base import Example, Prediction, Task
from taesan.verbs.parquet import is_parquet, write_parquet
from taesan.verbs.reading import Source, file_record, read_examples


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` parts of the rows, numbered from 1: neighbours, so that the parts joined are the whole."""

    number: int
    count: int

    @classmethod
    def read(cls, text: str) -> "Shard":
        """`2/3`. Raises: UsageError."""
        match = re.fullmatch(r"([1-9][0-9]{0,3})/([1-9][0-9]{0,3})", text)
        if match is None or int(match[1]) > int(match[2]):
            raise UsageError(f"--shard {escape(text)}: expected I/N, as in --shard 1/4 … --shard 4/4")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def rows(self, total: int) -> range:
        """The numbers of its rows, from 0."""
        return range(total * (self.number - 1) // self.count, total * self.number // self.count)

    def of(self, output: Path) -> Path:
        """Where it is written: in a folder beside the whole, or in its place where there is no other."""
        return (
            output if self.count == 1 else output.with_name(f"{output.name}.parts") / f"{self.number}-of-{self.count}"
        )

    def all(self) -> "list[Shard]":
        return [Shard(number, self.count) for number in range(1, self.count + 1)]


WHOLE = Shard(1, 1)


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
    should that have moved. `texts` may be without end: they are read in a thread, one chunk ahead. Raises: DataError
    for a text that is empty or no text; InputMissing, StorageError.
    """
    opened = isinstance(model, str | Path)
    predictor = open_predictor(model, device=device, backbone=backbone)[0] if opened else model
    wanted = sum(field.kind == "text" for field in predictor.task.fields)
    examples = (as_example(text, number, wanted) for number, text in enumerate(texts, 1))
    return predictor.predict([*examples] if isinstance(texts, list | tuple) else examples)


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
    task, how = predictor.task, Source(encoding, columns or {}, format)
    if not isinstance(source, str | Path):
        report = Report()
        for examples in _as_they_come(read_examples(source, task, how, report, labelled=False)):
            yield from predictor.predict(examples)
        report.raise_for_errors()
        return
    count = _count(source, task, how)
    with Progress("predict", total=count, enabled=not quiet) as progress:
        examples = read_examples(source, task, how, Report(), labelled=False)
        yield from predictor.predict(examples, advance=progress.advance)


def predict_into(
    output: str | Path,
    predictor: Asked,
    manifest: Mapping[str, Any],
    source: str | Path,
    *,
    shard: Shard = WHOLE,
    resume: bool = False,
    details: bool = False,
    encoding: str = "utf-8",
    columns: Mapping[str, str] | None = None,
    format: str | None = None,
    device: str = DEVICE,
    quiet: bool = True,
    say: Callable[[str], object] = lambda line: None,
    ready: Callable[[], object] = lambda: None,
) -> None:
    """Writes a JSON line a row of a file to `output`, which is there when it is whole; rows of Parquet by its name.

    It has the same bytes however often its making was stopped and gone on with (`resume`), and in however many shards:
    each writes a part, and the last to finish joins them. `manifest` is the predictor's own. `ready` is called when the
    shard has seen which of its rows are there already.

    Raises: DataError, InputMissing, OutputError, LockedError, StorageError; UsageError where `resume` finds another
    run's rows, the output is the input, or Parquet is to be gone on with or to be joined.
    """
    refuse_device(output)
    path, many = Path(os.path.realpath(output)), shard.count > 1
    if is_parquet(path) and (resume or many):
        raise UsageError(f"{output}: Parquet is written in one go; --resume and --shard are for JSON lines, .jsonl")
    check_place(path)
    before = _stamp(source)
    if path.exists() and path.samefile(source):
        raise UsageError(f"{output} is the input too, whose rows would be lost. Choose another --output.")
    task, how = predictor.task, Source(encoding, dict(columns or {}), format)
    identity = _identity(predictor, manifest, source, how) | {"details": details, "device": device}
    rows = shard.rows(_count(source, task, how))
    parts = {one.of(path): {**identity, "shard": str(one)} for one in shard.all()}
    part = shard.of(path)
    if many:
        make_folder(path, part.parent, resume=resume)
    identified = None if is_parquet(path) else parts[part]
    with Output(part, identified, resume=resume, part_of=path if many else None, say=say) as out:
        ready()
        title = f"predict {shard}" if many else "predict"
        with Progress(title, total=len(rows), start=out.rows, enabled=not quiet) as progress:
            examples = read_examples(source, task, how, Report(), labelled=False)
            left = islice(examples, rows.start + out.rows, rows.stop)
            write(out, predictor, predictor.predict(left, advance=progress.advance), details=details)
        if _stamp(source) != before:
            fix = "Wait until nothing writes to it any more, and begin anew."
            expected = "a file that stays as it is while it is read"
            raise DataError([Problem("changed", str(source), found="another file", expected=expected, fix=fix)])
        out.finish()
    missing = merge(path, parts) if many else []
    if missing:
        names = ", ".join(str(one) for one in shard.all() if one.of(path) in missing)
        say(f"{part} is done. {path.name} comes when these shards are done too: {names}")


def write(out: Output, asked: Asked, predictions: Iterable[Prediction], *, details: bool = False) -> None:
    """Appends predictions, a chunk at a time: as JSON lines, or by the file's name as Parquet."""
    if is_parquet(out.path):
        answers = (_answer(prediction, details=details) for prediction in predictions)
        write_parquet(out, answers, asked.task.answer_shape(asked.learnt, details=details))
        return
    for lines in chunks(as_lines(predictions, details=details), CHUNK_ROWS):
        out.append(b"".join(lines), len(lines))


def as_lines(predictions: Iterable[Prediction], *, details: bool = False) -> Iterator[bytes]:
    """Each prediction as a line of JSON."""
    for prediction in predictions:
        yield json.dumps(_answer(prediction, details=details), ensure_ascii=False).encode() + b"\n"


def _answer(prediction: Prediction, *, details: bool) -> dict[str, Any]:
    return prediction.as_dict() | (prediction.details() if details else {})


def _identity(predictor: Asked, manifest: Mapping[str, Any], source: str | Path, how: Source) -> dict[str, Any]:
    """All that the answers to a file depend on."""
    return {
        "version": __version__,
        "model": hashlib.sha256(store.sealed(manifest)).hexdigest(),
        "session": type(predictor.session if isinstance(predictor, Predictor) else predictor).__name__,
        "input": file_record(source),
        "reading": asdict(how),
    }


def _stamp(source: str | Path) -> tuple[int, int]:
    """Changes where the file does. Raises: InputMissing."""
    try:
        found = os.stat(source)
    except OSError as error:
        raise InputMissing(f"{source} cannot be opened: {error.strerror}") from None
    return found.st_size, found.st_mtime_ns


def _count(source: str | Path, task: Task, how: Source) -> int:
    """How many rows a file has, all of them good. Raises: DataError."""
    report = Report()
    count = sum(1 for _ in read_examples(source, task, how, report, labelled=False))
    report.raise_for_errors()
    return count


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
