"""Metrics of named entities, each with a bootstrap interval over sentences, and what kinds of error there are."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from taesan.data.schema import Span
from taesan.tasks.base import Evaluation, Score
from taesan.tasks.bootstrap import Floats, interval_score, resampled_sums, score_lines
from taesan.tasks.class_metrics import macro_f1, precision_recall_f1
from taesan.text.korean import ends_in_josa
from taesan.text.width import display_width, ljust

Spans = Sequence[tuple[Span, ...]]
ERRORS = {
    "josa_included": "right type, with a josa after it",
    "josa_cut": "right type, without what looks like a josa",
    "other_boundary": "right type, another boundary",
    "wrong_type": "on an entity of another type",
    "spurious": "on no entity",
    "missed": "entities that nothing was found on",
}


def entity_scores(truth: Spans, found: Spans) -> dict[str, float]:
    """`entity_f1`, `entity_macro_f1` and `character_f1`, in 0..1, of the spans of each sentence.

    An entity is right when its start, end and type are (CoNLL 2003; seqeval's strict mode). `entity_f1` is over all
    entities; `entity_macro_f1` the mean of the types' F1, KLUE's Entity F1 (Park et al. 2021, section 3.4). The types
    are those in truth or found, and nothing found where there is nothing scores 0, both as in seqeval.

    `character_f1` is the mean F1 of the characters' tags, B and I of every type that occurs, without O: what KLUE's
    code says that its Char F1 is (`klue_ner_char_macro_f1`). That code does count O; for its number see
    `evaluate_entities`. A space within an entity is one of its characters.
    """
    types = _types((), truth, found)
    entities, characters = _entity_counts(truth, found, types), _character_counts(truth, found, types, None)
    return _point_scores(_margins(entities.sum(axis=0)), _margins(characters.sum(axis=0)))


def evaluate_entities(
    texts: Sequence[str], truth: Spans, found: Spans, *, labels: tuple[str, ...], seed: int
) -> Evaluation:
    """The scores of `entity_scores` with intervals, `klue_character_f1`, the types one by one, and the errors by kind.

    `klue_character_f1` is the number of KLUE's code: characters that are no space; O a tag like the others; all tags
    of `labels`, where one that never occurs scores 1. It is the higher for O, which is nearly always right. We differ
    in leaving out [CLS] and [SEP], two more O a sentence, and in not stopping at 128 tokens.

    `labels` are entity types; any other type that occurs is put after them.
    """
    types = _types(labels, truth, found)
    entities, characters = _entity_counts(truth, found, types), _character_counts(truth, found, types, None)
    klue = _character_counts(truth, found, types, texts)
    columns = np.concatenate([entities, characters, klue], axis=1)
    bounds = np.cumsum([entities.shape[1], characters.shape[1]])
    values = [_margins(part) for part in np.split(columns.sum(axis=0), bounds)]
    resampled = [_margins(part) for part in np.split(resampled_sums(columns, seed), bounds, axis=1)]
    points, samples = _point_scores(*values[:2]), _array_scores(*resampled[:2])
    scores = {name: interval_score(value, samples[name]) for name, value in points.items()}
    scores["klue_character_f1"] = interval_score(_klue_f1(values[2]), _klue_f1(resampled[2]))
    names = ("precision", "recall", "f1")
    columns_of = list(zip(names, precision_recall_f1(values[0]), precision_recall_f1(resampled[0]), strict=True))
    per_type: dict[str, dict[str, Any]] = {
        label: {name: interval_score(value[i], sample[:, i]).as_dict() for name, value, sample in columns_of}
        | {"count": int(values[0][2, i])}
        for i, label in enumerate(types)
    }
    errors = dict.fromkeys(ERRORS, 0)
    for text, true, own in zip(texts, truth, found, strict=True):
        for kind in _errors(text, set(true), set(own)):
            errors[kind] += 1
    tables: dict[str, Any] = {"labels": list(types), "per_type": per_type, "errors": errors}
    right, guessed, there = values[0].sum(axis=1).astype(int).tolist()
    summary = f"{len(truth):,} sentences, {there:,} entities, {guessed:,} found, {right:,} of them right"
    return Evaluation(len(truth), scores, tables, _text(summary, scores, per_type, errors))


def entity_counts(truth: Spans, found: Spans) -> tuple[tuple[str, ...], Floats]:
    """The types that occur, and hits, found and true of each in each sentence. (N, 3, types)"""
    types = _types((), truth, found)
    return types, _entity_counts(truth, found, types).reshape(len(truth), 3, len(types))


def entity_f1(sums: Floats) -> Floats:
    """Hits, found and true (…, 3) to F1 (…), 0 where there is nothing."""
    return 2 * sums[..., 0] / np.maximum(sums[..., 1] + sums[..., 2], 1)


def _types(labels: Sequence[str], truth: Spans, found: Spans) -> tuple[str, ...]:
    """`labels` in their order, then what else occurs."""
    others = {span.label for side in (truth, found) for spans in side for span in spans} - set(labels)
    return (*labels, *sorted(others))


def _margins(counts: Floats) -> Floats:
    """(…, 3C) to hits, found and true of each class, as `class_metrics` takes them. (3, …, C)"""
    return np.moveaxis(counts.reshape(*counts.shape[:-1], 3, counts.shape[-1] // 3), -2, 0)


def _array_scores(entities: Floats, characters: Floats) -> dict[str, Floats]:
    """(3, …, types) and (3, …, tags) to scores of (…)."""
    hits, found, true = entities.sum(axis=-1)
    micro = 2 * hits / np.maximum(found + true, 1)
    return {"entity_f1": micro, "entity_macro_f1": macro_f1(entities), "character_f1": macro_f1(characters)}


def _point_scores(entities: Floats, characters: Floats) -> dict[str, float]:
    return {name: float(value) for name, value in _array_scores(entities, characters).items()}


def _klue_f1(counts: Floats) -> Floats:
    """(3, …, tags) to the mean over all tags; scikit-learn's `zero_division=1` for those that do not occur."""
    absent = (counts[1] + counts[2]) == 0
    return np.where(absent, 1.0, precision_recall_f1(counts)[2]).mean(axis=-1)


def _entity_counts(truth: Spans, found: Spans, types: tuple[str, ...]) -> Floats:
    """Hits, found and true of each type in each sentence. (N, 3 × types)"""
    number = {label: index for index, label in enumerate(types)}
    counts = np.zeros((len(truth), 3, len(types)))
    for row, (true, own) in enumerate(zip(truth, found, strict=True)):
        for side, spans in enumerate((set(true) & set(own), set(own), set(true))):
            for span in spans:
                counts[row, side, number[span.label]] += 1
    return counts.reshape(len(truth), 3 * len(types))


def _character_counts(truth: Spans, found: Spans, types: tuple[str, ...], texts: Sequence[str] | None) -> Floats:
    """The same of B and I of each type; with texts of O as well, and of no space. (N, 3 × tags)"""
    number = {label: 2 * index for index, label in enumerate(types)}
    tags = 2 * len(types) + (texts is not None)
    counts = np.zeros((len(truth), 3, tags))
    for row, spans in enumerate(zip(truth, found, strict=True)):
        if texts is None:
            places = sorted({place for side in spans for span in side for place in range(span.start, span.end)})
        else:
            places = [place for place, character in enumerate(texts[row]) if not character.isspace()]
        true, own = (_tags(side, number) for side in spans)
        for place in places:
            one, other = true.get(place, -1), own.get(place, -1)  # O is the last column, where there is one
            if texts is not None or other >= 0:
                counts[row, 1, other] += 1
            if texts is not None or one >= 0:
                counts[row, 2, one] += 1
            if one == other:
                counts[row, 0, one] += 1
    return counts.reshape(len(truth), 3 * tags)


def _tags(spans: tuple[Span, ...], number: dict[str, int]) -> dict[int, int]:
    """The tag of each character that is in an entity."""
    return {place: number[span.label] + (place > span.start) for span in spans for place in range(span.start, span.end)}


def _errors(text: str, true: set[Span], own: set[Span]) -> Iterator[str]:
    """One kind for each entity found that is not right, and one for each true one that nothing was found on."""
    wrong, left = sorted(own - true), sorted(true - own)
    for span in wrong:
        touched = [one for one in left if one.start < span.end and span.start < one.end]
        same = [one for one in touched if one.label == span.label]
        if same:
            kinds = [_boundary(text, one, span) for one in same]
            yield next((kind for kind in kinds if kind != "other_boundary"), "other_boundary")
        else:
            # Where found spans may overlap, one more on an entity that another has right adds nothing: spurious.
            yield "wrong_type" if touched else "spurious"
    for span in left:
        if not any(one.start < span.end and span.start < one.end for one in own):
            yield "missed"


def _boundary(text: str, true: Span, own: Span) -> str:
    """What stands between the two ends, where the starts are the same."""
    if true.start == own.start and true.end < own.end and ends_in_josa(text[: own.end], true.end):
        return "josa_included"
    if true.start == own.start and own.end < true.end and ends_in_josa(text[: true.end], own.end):
        return "josa_cut"
    return "other_boundary"


def _text(summary: str, scores: dict[str, Score], per_type: dict[str, dict[str, Any]], errors: dict[str, int]) -> str:
    width = max(12, *(display_width(label) for label in per_type)) if per_type else 12
    lines = [summary, "95% intervals by bootstrap over sentences", "", *score_lines(scores)]
    lines += ["", f"{ljust('type', width)}  precision  recall     f1       (interval)        count"]
    for label, row in per_type.items():
        f1 = row["f1"]
        lines.append(
            f"{ljust(label, width)}  {row['precision']['value']:9.4f}  {row['recall']['value']:6.4f}  "
            f"{f1['value']:6.4f}   {f1['low']:.4f} to {f1['high']:.4f}  {row['count']:7,}"
        )
    lines += ["", "errors"]
    lines += [f"{count:7,}  {ERRORS[kind]}" for kind, count in errors.items()]
    return "\n".join(lines)
