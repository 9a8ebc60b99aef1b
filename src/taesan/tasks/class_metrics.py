"""Metrics of classification with bootstrap intervals."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from taesan.tasks.base import Evaluation, Score
from taesan.text.width import display_width, ljust, rjust

RESAMPLES = 2000
BINS = 15
BLOCK_CELLS = 1 << 21
Counts = NDArray[np.float64]


def class_scores(truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, float]:
    """Accuracy and macro-F1 of `truth` (N,) against `probabilities` (N, C)."""
    counts = margins(confusion(truth, probabilities.argmax(axis=1), probabilities.shape[1]))
    return {"accuracy": float(accuracy(counts)), "macro_f1": float(macro_f1(counts))}


def evaluate_classes(
    truth: NDArray[np.int64], probabilities: NDArray[np.float64], *, labels: tuple[str, ...], seed: int
) -> Evaluation:
    """Everything that `evaluate` says, each score with a 95% percentile bootstrap interval over rows."""
    classes, predicted = len(labels), probabilities.argmax(axis=1)
    matrix = confusion(truth, predicted, classes)
    counts, resampled = margins(matrix), _resample(matrix, seed)  # (3, C), (3, R, C)
    precision, recall, f1 = precision_recall_f1(counts)
    intervals = [_interval(values) for values in precision_recall_f1(resampled)]  # three of (2, C)
    per_class = {
        label: {
            name: Score(float(values[i]), float(bounds[0, i]), float(bounds[1, i])).as_dict()
            for name, values, bounds in zip(
                ("precision", "recall", "f1"), (precision, recall, f1), intervals, strict=True
            )
        }
        | {"rows": int(matrix[i].sum())}
        for i, label in enumerate(labels)
    }
    scores = {
        "accuracy": _score(accuracy(counts), accuracy(resampled)),
        "macro_f1": _score(macro_f1(counts), macro_f1(resampled)),
        "calibration_error": _calibration(truth, probabilities, seed),
    }
    tables: dict[str, Any] = {
        "labels": list(labels),
        "per_class": per_class,
        "confusion": matrix.astype(int).tolist(),  # rows: truth, columns: prediction
    }
    return Evaluation(len(truth), scores, tables, _text(len(truth), scores, per_class, matrix, labels))


def confusion(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> Counts:
    """(C, C) counts: truth down, prediction across."""
    counts = np.bincount(truth * classes + predicted, minlength=classes**2)
    return counts.reshape(classes, classes).astype(np.float64)


def margins(matrix: Counts) -> Counts:
    """(C, C) to what the metrics need of it: each class's hits, predictions and true rows. (3, C)"""
    return np.stack([np.diagonal(matrix), matrix.sum(axis=0), matrix.sum(axis=1)])


def accuracy(counts: Counts) -> Counts:
    """(3, …, C) to (…)."""
    return counts[0].sum(axis=-1) / np.maximum(counts[2].sum(axis=-1), 1.0)


def precision_recall_f1(counts: Counts) -> tuple[Counts, Counts, Counts]:
    """(3, …, C) to three of (…, C); 0 where a class was neither met nor predicted."""
    hits, predicted, true = counts
    return (
        hits / np.maximum(predicted, 1),
        hits / np.maximum(true, 1),
        2 * hits / np.maximum(predicted + true, 1),
    )


def macro_f1(counts: Counts) -> Counts:
    """The mean F1 over the classes that occur in truth or prediction, as scikit-learn counts them."""
    f1 = precision_recall_f1(counts)[2]
    present = (counts[1] + counts[2]) > 0
    return (f1 * present).sum(axis=-1) / np.maximum(present.sum(axis=-1), 1)


def calibration_error(confidence: NDArray[np.float64], correct: NDArray[np.float64]) -> float:
    """Expected calibration error over 15 equal bins of confidence (Guo et al. 2017, equation 3)."""
    sums = _bin_sums(confidence, correct)
    return float(np.abs(sums[1] - sums[2]).sum() / max(1, len(confidence)))


def _bin_sums(confidence: NDArray[np.float64], correct: NDArray[np.float64]) -> NDArray[np.float64]:
    """Count, summed confidence and summed correctness of each bin. (3, BINS)"""
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    weights = (np.ones_like(confidence), confidence, correct)
    sums = [np.bincount(bins, weights=weight, minlength=BINS) for weight in weights]
    return np.asarray(sums, dtype=np.float64)


def _calibration(truth: NDArray[np.int64], probabilities: NDArray[np.float64], seed: int) -> Score:
    confidence = probabilities.max(axis=1)
    correct = (probabilities.argmax(axis=1) == truth).astype(np.float64)
    random = np.random.default_rng((seed, 1))
    values = np.empty(RESAMPLES // 4)
    for index in range(len(values)):
        rows = random.integers(0, len(truth), len(truth))
        values[index] = calibration_error(confidence[rows], correct[rows])
    low, high = _interval(values)
    value = calibration_error(confidence, correct)
    # Resampling adds noise to every bin, which can only raise this error: the interval is widened to hold the value.
    return Score(value, min(float(low), value), max(float(high), value))


def _resample(matrix: Counts, seed: int) -> Counts:
    """The margins of bootstrap samples of the rows: multinomial draws over the cells that were met. (3, R, C)

    Whole matrices would be gigabytes with a few hundred classes.
    """
    cells = np.flatnonzero(matrix)
    truth, predicted = np.divmod(cells, len(matrix))
    chances, total = matrix.ravel()[cells] / max(matrix.sum(), 1), int(matrix.sum())
    random, out = np.random.default_rng((seed, 0)), np.zeros((3, RESAMPLES, len(matrix)))
    block = max(1, BLOCK_CELLS // max(1, len(cells)))
    for start in range(0, RESAMPLES if total else 0, block):
        size = min(block, RESAMPLES - start)
        draws = random.multinomial(total, chances, size=size)  # (block, cells)
        for part, classes in enumerate((truth, predicted, truth)):
            columns = np.flatnonzero(truth == predicted) if part == 0 else np.argsort(classes, kind="stable")
            found, begins = np.unique(classes[columns], return_index=True)
            if len(found):
                out[part, start : start + size, found] = np.add.reduceat(draws[:, columns], begins, axis=1).T
    return out


def _interval(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.percentile(values, [2.5, 97.5], axis=0)


def _score(value: Counts, resampled: Counts) -> Score:
    low, high = _interval(resampled)
    return Score(float(value), float(low), float(high))


def _text(
    rows: int, scores: dict[str, Score], per_class: dict[str, Any], matrix: Counts, labels: tuple[str, ...]
) -> str:
    width = max(12, *(display_width(label) for label in labels))
    lines = [f"{rows:,} rows; 95% intervals by bootstrap over rows", ""]
    for name, score in scores.items():
        lines.append(f"{name:<18} {score.value:7.4f}   {score.low:.4f} to {score.high:.4f}")
    lines += ["", f"{ljust('label', width)}  precision  recall     f1       (interval)         rows"]
    for label in labels:
        row = per_class[label]
        f1 = row["f1"]
        lines.append(
            f"{ljust(label, width)}  {row['precision']['value']:9.4f}  {row['recall']['value']:6.4f}  "
            f"{f1['value']:6.4f}   {f1['low']:.4f} to {f1['high']:.4f}  {row['rows']:7,}"
        )
    shown = labels if len(labels) <= 12 else ()
    if shown:
        columns = [max(6, display_width(label)) for label in shown]
        lines += [
            "",
            f"{ljust('true, predicted:', width)}  "
            + "  ".join(rjust(x, w) for x, w in zip(shown, columns, strict=True)),
        ]
        for label, counts in zip(shown, matrix.astype(int), strict=True):
            cells = "  ".join(f"{count:{w},}" for count, w in zip(counts, columns, strict=True))
            lines.append(f"{ljust(label, width)}  {cells}")
    return "\n".join(lines)
