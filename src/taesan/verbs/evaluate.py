"""`taesan evaluate DIR FILE`: how well a model does on labelled rows, with intervals."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from taesan.data import Report, check_predictions, read_predictions
from taesan.engine.infer import Asked
from taesan.engine.load import DEVICE, open_predictor
from taesan.engine.scoring import TextPredictor
from taesan.errors import UsageError
from taesan.progress import Progress
from taesan.tasks.base import Evaluation, Example, Learnt, TakesAnswers
from taesan.verbs.reading import Source, find_task, read_examples


def evaluate(
    model: str | Path,
    file: str | Path,
    *,
    encoding: str = "utf-8",
    columns: Mapping[str, str] | None = None,
    format: str | None = None,
    device: str = DEVICE,
    backbone: str | None = None,
    seed: int = 42,
    orders: int = 0,
    quiet: bool = True,
) -> Evaluation:
    """Every metric of the model's task on the rows of `file`. `seed` is that of the bootstrap.

    With `orders`, a model with shots is asked again with its shots in so many random orders, and how far that moves
    each score stands in the tables.

    Raises: DataError, also for a label that the model does not know; InputMissing, StorageError.
    """
    predictor, manifest = open_predictor(model, device=device, backbone=backbone)
    if orders:
        _check_orders(predictor, orders)
    report = Report()
    source = Source(encoding, columns or {}, format)
    examples = list(read_examples(file, predictor.task, source, report, labels=predictor.learnt.labels or None))
    report.raise_for_errors()
    with Progress("evaluate", total=len(examples), enabled=not quiet) as progress:
        for warning in report.warnings:
            if warning.severity == "warning":
                progress.say(str(warning))
        predictions = list(predictor.predict(examples, advance=progress.advance))
        if predictor.cut:
            progress.say(f"{predictor.cut:,} texts are longer than the model reads ({manifest['encode']['long_text']})")
    evaluation = predictor.task.evaluate(examples, predictions, predictor.learnt, seed=seed)
    return _in_orders(predictor, examples, evaluation, orders, seed) if orders else evaluation


def _check_orders(predictor: Asked, orders: int) -> TextPredictor:
    if orders < 0:
        raise UsageError(f"orders is {orders}; expected 0 or more")
    if not isinstance(predictor, TextPredictor) or len(predictor.asking.shots) < 2 or predictor.asking.similar:
        raise UsageError(f"orders is {orders}, and the model has no fixed shots that could stand in another order")
    return predictor


def _in_orders(asked: Asked, examples: list[Example], evaluation: Evaluation, orders: int, seed: int) -> Evaluation:
    predictor = _check_orders(asked, orders)
    found: dict[str, list[float]] = {}
    for number in range(orders):
        shuffled = predictor.in_order(np.random.default_rng((seed, number)).permutation(len(predictor.asking.shots)))
        scores = predictor.task.scores(examples, list(shuffled.predict(examples)), predictor.learnt)
        for name, value in scores.items():
            found.setdefault(name, []).append(value)
    lines = [f"{orders} orders of the shots: mean, least and most", ""]
    lines += [f"{name:<20}{np.mean(own):.4f}   {min(own):.4f} to {max(own):.4f}" for name, own in found.items()]
    text = "\n".join([evaluation.text, "", *lines])
    return replace(evaluation, tables={**evaluation.tables, "orders": found}, text=text)


def evaluate_predictions(
    task: str,
    file: str | Path,
    predictions: str | Path,
    *,
    encoding: str = "utf-8",
    columns: Mapping[str, str] | None = None,
    format: str | None = None,
    seed: int = 42,
) -> Evaluation:
    """The same of answers that anybody gave, in a file of ids and texts, to the rows of `file`.

    Raises: UsageError for a task whose answers are no texts; DataError, also for an id that one of the files lacks.
    """
    the_task, report = find_task(task), Report()
    if not isinstance(the_task, TakesAnswers):
        raise UsageError(f"the answers of {the_task.name} are no texts that a file could give; expected the task qa")
    examples = list(read_examples(file, the_task, Source(encoding, columns or {}, format), report))
    given = read_predictions(predictions, report)
    check_predictions(given, [example.id for example in examples], str(predictions), str(file), report)
    report.raise_for_errors()
    answers = [the_task.answered(example, given[example.id]) for example in examples]
    return the_task.evaluate(examples, answers, Learnt(), seed=seed)
