"""`taesan export DIR --format onnx`: the model's ONNX graph, beside it, after it has been held against the model."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from taesan import store
from taesan.data import Report
from taesan.data.samples import HELD_OUT
from taesan.engine.infer import Predictor, Session, run_items
from taesan.engine.load import GRAPH_FILE, GRAPH_FOLDER
from taesan.engine.onnx_session import session_of
from taesan.engine.session import TorchSession
from taesan.engine.torch_load import open_predictor
from taesan.errors import UsageError, escape
from taesan.tasks.base import Example
from taesan.tasks.cloze import Cloze
from taesan.verbs.reading import Source, read_examples

TOLERANCE = 1e-4  # of a head's outputs, which are a few units wide
LEAST_EQUAL = 0.995  # of an int8 graph's answers
LEAST_ROWS = 200  # on fewer rows, 99.5% are all
MOST_LOST = 0.005  # of an int8 graph's metric
SAMPLE_ROWS = 200

Say = Callable[[str], None]


@dataclass(frozen=True)
class _Rows:
    name: str
    examples: list[Example]


def export_graph(
    model: str | Path,
    *,
    int8: bool,
    validation: str | Path | None,
    source: Source,
    backbone: str | None,
    say: Say,
) -> Path:
    """The folder of the graph. Raises: as `export`."""
    folder = store.open_model(model)
    predictor, manifest = open_predictor(model, backbone=backbone)
    if not isinstance(predictor, Predictor) or not isinstance(predictor.session, TorchSession):
        raise UsageError(
            f"{model} is by {manifest['method']}, which has no weights of its own: there is no graph of it"
        )
    if int8 and predictor.task.head == "language_model":
        raise UsageError("int8 is for answers: a text that is written in int8 is soon another one. Leave --int8 out.")
    if int8 and validation is None:
        raise UsageError(
            "an int8 graph is exported only where it agrees with the model: name labelled rows that it has not seen, "
            "--validation FILE"
        )
    try:
        from taesan.engine import onnx_export  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(f"to export a graph, type pip install 'taesan[onnx]': {error.name} is not there") from None
    rows = _rows(predictor, validation, source)
    task, adapted = predictor.task, predictor.session.model
    expected = _outputs(predictor, predictor.session, rows.examples)
    try:
        if task.head == "language_model":
            graph = onnx_export.text_graph(adapted)
        else:
            first, longest = task.head == "sequence", predictor.options.max_length
            graph = onnx_export.head_graph(adapted, max_length=longest, first_token=first)
    except ValueError as error:
        raise UsageError(f"{model} cannot be exported: {escape(error)}") from None
    exact = session_of(graph, task.head)
    difference = _difference(expected, _outputs(predictor, exact, rows.examples))
    if not difference <= TOLERANCE:
        raise UsageError(
            f"the graph differs from the model by {difference:.2g} on {len(rows.examples):,} rows of {rows.name}; "
            f"expected at most {TOLERANCE:g}. It is not written: this architecture cannot be exported."
        )
    say(f"float32: outputs differ by at most {difference:.1e} on {len(rows.examples):,} rows of {rows.name}")
    figures: dict[str, Any] = {"rows": len(rows.examples), "data": rows.name, "largest_difference": difference}
    if int8:
        graph = onnx_export.quantized(graph)
        figures |= _agreement(predictor, exact, session_of(graph, task.head), rows, say)
    config = adapted.encoder.get_submodule("backbone").config
    token_types = getattr(config, "type_vocab_size", 0) > 1
    files = predictor.tokenizer.files(max_length=predictor.options.max_length, token_types=token_types)
    own = {
        "kind": "graph",
        "model": folder.sha256,
        "task": task.name,
        "precision": "int8" if int8 else "float32",
        "masked": isinstance(task, Cloze) and task.masked,
        "agreement": figures,
    }
    with store.Lock(folder.path):
        if not (folder.path / store.MANIFEST).exists() or store.Folder(folder.path).sha256 != folder.sha256:
            raise UsageError(f"{model} was replaced by another model meanwhile; export that one")
        store.recover(folder.path / GRAPH_FOLDER)
        store.save_folder(folder.path / GRAPH_FOLDER, {GRAPH_FILE: graph, **files}, own)
    return folder.path / GRAPH_FOLDER


def _rows(predictor: Predictor, validation: str | Path | None, source: Source) -> _Rows:
    """The rows to hold the graph against the model on: the user's, else some that come along."""
    task, report = predictor.task, Report()
    if validation is None:
        told = task.head == "language_model"  # which is asked how likely the text is; other labels are other people's
        examples = list(read_examples(HELD_OUT[task.name], task, Source(), report, labelled=told))
        return _Rows("the samples", examples[:SAMPLE_ROWS])
    examples = list(read_examples(validation, task, source, report, labels=predictor.learnt.labels or None))
    report.raise_for_errors()
    return _Rows(Path(validation).name, examples)


def _outputs(predictor: Predictor, session: Session, examples: list[Example]) -> list[np.ndarray]:
    encoded = predictor.task.encode(examples, predictor.tokenizer, predictor.learnt, predictor.options)
    items = [item for one in encoded for item in one.items]
    return run_items(session, items, max_length=predictor.options.max_length, pad_id=predictor.tokenizer.pad_id)


def _difference(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    largest = [np.abs(a - b).max() for a, b in zip(one, other, strict=True) if a.size]
    return float(np.max(largest, initial=0.0))  # which is no number where one of them is none


def _agreement(predictor: Predictor, exact: Session, rounded: Session, rows: _Rows, say: Say) -> dict[str, Any]:
    """How often the int8 graph answers as the exact one does. Raises: UsageError where that is not enough."""
    task, learnt, count = predictor.task, predictor.learnt, len(rows.examples)
    if count < LEAST_ROWS:
        raise UsageError(f"{rows.name} has {count:,} rows; an int8 graph is held against the model on {LEAST_ROWS:,}")
    given = [
        list(Predictor(task, session, predictor.tokenizer, learnt, predictor.options).predict(rows.examples))
        for session in (exact, rounded)
    ]
    equal = sum(a.decision == b.decision for a, b in zip(*given, strict=True)) / count
    before, after = (task.scores(rows.examples, answers, learnt)[task.metric] for answers in given)
    lost = task.sign * (before - after)
    figures = f"{100 * equal:.2f}% of {count:,} answers are equal, {task.metric} {before:.4f} becomes {after:.4f}"
    if equal < LEAST_EQUAL or lost > MOST_LOST:
        raise UsageError(
            f"the int8 graph does not agree with the model: {figures}; expected {100 * LEAST_EQUAL:g}% and at most "
            f"{MOST_LOST:g} lost. It is not written; without --int8 the graph is exact."
        )
    say(f"int8: {figures}")
    return {"equal": equal, "metric": task.metric, "float32": before, "int8": after}
