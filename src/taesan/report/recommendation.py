"""What to use under the constraints, why, and what would change that: three sentences, and the command.

The best score is not always the answer. Of the techniques that meet the constraints, those that the best one does not
beat significantly, and beats by less than INDIFFERENCE, are as good as it; of these the cheapest is taken. Cheap is the
geometric mean of what one prediction takes, what the folder weighs and what training took, each next to the best's.
"""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from taesan.report.curves import Crossover, crossover
from taesan.report.findings import MORE_ROWS, Findings, Point
from taesan.report.statistics import Comparison, Estimate
from taesan.report.words import (
    MEGABYTE,
    Both,
    about,
    duration,
    megabytes,
    metric_name,
    milliseconds,
    p_value,
    significant,
    whole,
)
from taesan.text.korean import with_josa

SIGNIFICANT = 0.05
INDIFFERENCE = 0.01  # of a score in 0..1, or of a perplexity one percent: less is not worth paying for
CHEAPER = 0.9  # of the other's cost: what is nearer to it is not worth a word
Cost = Callable[[Findings, Point], float | None]


@dataclass(frozen=True)
class Bound:
    """What a constraint bounds from above: its unit, its name for people, and where it is found."""

    unit: str
    name: Both
    of: Cost


def _scaled(name: str, scale: float) -> Cost:
    def cost(findings: Findings, point: Point) -> float | None:
        value = findings.cost(point, name)
        return None if value is None else value * scale

    return cost


def _latency(which: str) -> Cost:
    def cost(findings: Findings, point: Point) -> float | None:
        value = findings.latency(point.technique, which)
        return None if value is None else 1000 * value

    return cost


CONSTRAINTS: Mapping[str, Bound] = {
    "latency_ms": Bound("ms", Both("median latency", "지연 시간 중앙값"), _latency("p50")),
    "latency_p99_ms": Bound("ms", Both("99th percentile of latency", "지연 시간 99 백분위수"), _latency("p99")),
    "size_mb": Bound("MB", Both("folder size", "폴더 크기"), _scaled("folder_bytes", 1 / MEGABYTE)),
    "memory_mb": Bound("MB", Both("peak memory of training", "학습 최대 메모리"), _scaled("peak_bytes", 1 / MEGABYTE)),
    "train_seconds": Bound("s", Both("training time", "학습 시간"), _scaled("seconds", 1.0)),
    "prompt_tokens": Bound("tokens", Both("tokens a prediction", "예측당 토큰 수"), _scaled("prompt_tokens", 1.0)),
}


@dataclass(frozen=True)
class Recommendation:
    """`point` is what to use, if there is anything; `reasons` are the sentences after the first."""

    point: Point | None
    what: Both
    reasons: tuple[Both, ...] = ()
    command: str = ""

    @property
    def sentences(self) -> tuple[Both, ...]:
        return (self.what, *self.reasons)


def recommend(findings: Findings) -> Recommendation:
    """Under the constraints of the plan."""
    bounds = findings.records.plan.constraints
    able = [point for point in findings.best if not _broken(findings, point, bounds)]
    if not findings.best:
        return Recommendation(
            None,
            Both("No cell has finished, so there is nothing to recommend.", "끝난 실험이 없어 추천할 것이 없습니다."),
        )
    if not able:
        return _none_able(findings, bounds)
    leader = able[0]
    equals = [leader, *(one for one in able[1:] if _as_good(findings, leader, one))]
    choice = min(equals, key=lambda one: _relative_cost(findings, one, leader))
    reasons = (_why(findings, choice, leader, able), _what_changes_it(findings, choice, able))
    return Recommendation(choice, _what(findings, choice), reasons, final_command(findings, choice))


def final_command(findings: Findings, point: Point) -> str:
    """The command that makes the model of all rows."""
    if point.cells[0].command:
        return point.cells[0].command
    plan, technique = findings.records.plan, point.technique
    words = ["taesan", "fit", plan.task, str(plan.train.get("name", "TRAIN")), "--method", technique.method]
    words += ["--backbone", technique.backbone] if technique.backbone else []
    return shlex.join([*words, "--output", "model"])


def _broken(findings: Findings, point: Point, bounds: Mapping[str, float]) -> list[str]:
    """The constraints that a point does not meet; a cost that was not measured meets none."""
    values = {name: CONSTRAINTS[name].of(findings, point) for name in bounds}
    return [name for name, value in values.items() if value is None or value > bounds[name]]


def _compare(findings: Findings, better: Point, worse: Point) -> Comparison:
    """How much less error the first makes; negative where it makes more."""
    names = better.technique.name, worse.technique.name
    if names in findings.between_best:
        return findings.between_best[names]
    turned = findings.between_best[names[1], names[0]]
    value = turned.difference
    return Comparison(*names, Estimate(-value.value, -value.high, -value.low), turned.p, turned.corrected)


def _as_good(findings: Findings, leader: Point, other: Point) -> bool:
    found = _compare(findings, leader, other)
    return found.corrected >= SIGNIFICANT and found.difference.value < INDIFFERENCE


def _relative_cost(findings: Findings, point: Point, leader: Point) -> float:
    """The mean logarithm of costs next to the leader's, over those that both have."""
    ratios = [0.0]
    for name in ("latency_ms", "size_mb", "train_seconds"):
        own, other = (CONSTRAINTS[name].of(findings, one) for one in (point, leader))
        if own and other:
            ratios.append(float(np.log(own / other)))
    return sum(ratios) / max(1, len(ratios) - 1)


def _none_able(findings: Findings, bounds: Mapping[str, float]) -> Recommendation:
    """And what comes nearest."""
    nearest = min(findings.best, key=lambda one: _overshoot(findings, one, bounds))
    missed = _broken(findings, nearest, bounds)
    shown = ", ".join(f"{name}={bounds[name]:g}" for name in bounds)
    values = [(CONSTRAINTS[name], CONSTRAINTS[name].of(findings, nearest)) for name in missed]
    en = ", ".join(
        f"{bound.name.en} {'not measured' if value is None else f'{significant(value)} {bound.unit}'}"
        for bound, value in values
    )
    ko = ", ".join(
        f"{bound.name.ko} {'측정 안 됨' if value is None else f'{significant(value)} {bound.unit}'}"
        for bound, value in values
    )
    name = nearest.technique.name
    return Recommendation(
        None,
        Both(f"Nothing that was compared meets {shown}.", f"{with_josa(shown, '을')} 지키는 기법이 없습니다."),
        (Both(f"Nearest comes {name}: {en}.", f"가장 가까운 것은 {name}입니다: {ko}."),),
    )


def _overshoot(findings: Findings, point: Point, bounds: Mapping[str, float]) -> float:
    """By what factors the constraints are broken, all together, as a logarithm."""
    values = [(CONSTRAINTS[name].of(findings, point), bound) for name, bound in bounds.items()]
    return sum(
        np.inf if value is None else max(0.0, float(np.log(value / bound))) for value, bound in values if value != 0
    )


def _place(point: Point) -> Both:
    method, backbone = point.technique.method, point.technique.backbone
    if not backbone:
        return Both(method, with_josa(method, "을"))
    return Both(f"{method} on {backbone}", f"{backbone}에 {with_josa(method, '을')}")


def _what(findings: Findings, choice: Point) -> Both:
    metric, score, show = metric_name(findings.records.plan.metric), choice.score, findings.scale.show
    place, rows = _place(choice), whole(choice.rows)
    within = _within(findings, choice)
    value = f"{show(score.value)} ({show(score.low)} to {show(score.high)}){within.en}"
    korean = f"{show(score.value)}({show(score.low)}~{show(score.high)})입니다{within.ko}"
    if choice.rows == 0:
        return Both(
            f"Use {place.en}, which needs no labelled row: {metric.en} {value}.",
            f"{place.ko} 쓰세요. 레이블이 하나도 필요 없고 {with_josa(metric.ko, '은')} {korean}.",
        )
    return Both(
        f"Use {place.en} with {rows} labelled rows: {metric.en} {value}.",
        f"레이블 {rows}행으로 {place.ko} 쓰세요. {with_josa(metric.ko, '은')} {korean}.",
    )


def _why(findings: Findings, choice: Point, leader: Point, able: list[Point]) -> Both:
    if choice is not leader:
        found, less = _compare(findings, leader, choice), _cheaper(findings, choice, leader)
        gap = _difference(findings, found)
        own, other = leader.technique.name, choice.technique.name
        return Both(
            f"No significant difference: {own} scores best, only {gap.en} better, and {other} is cheaper{less.en}.",
            f"유의한 차이가 없습니다. 점수는 {with_josa(own, '이')} 가장 높지만 차이는 {gap.ko}에 그치고, "
            f"{with_josa(other, '이')} 더 쌉니다{less.ko}.",
        )
    rivals = [one for one in able if one is not choice]
    if not rivals:
        only = len(findings.best) == 1
        return Both(
            f"Nothing else that was compared {'has finished' if only else 'meets the constraints'}.",
            f"{'끝난' if only else '제약을 지키는'} 기법이 이것뿐입니다.",
        )
    next_best = rivals[0]
    found = _compare(findings, choice, next_best)
    gap, name = _difference(findings, found), next_best.technique.name
    rival, rows = Both(name, name), whole(next_best.rows)
    if next_best.rows != choice.rows:
        rival = Both(f"{name} with {rows} labels", f"레이블 {rows}행의 {name}")
    if found.corrected >= SIGNIFICANT:
        return Both(
            f"It scores best, but its lead over {rival.en}, {gap.en}, is not significant.",
            f"점수가 가장 높지만, 다음인 {rival.ko}보다 앞선 {gap.ko}은 유의한 차이가 아닙니다.",
        )
    return Both(
        f"It scores significantly better than the next best, {rival.en}, by {gap.en}.",
        f"다음으로 좋은 {rival.ko}보다 유의하게 낫습니다. 차이는 {gap.ko}입니다.",
    )


def _difference(findings: Findings, found: Comparison) -> Both:
    value, show = found.difference, findings.scale.show_difference
    en, ko = ("points", "점") if findings.scale.sign > 0 else ("percent", "%")
    test = p_value(found.corrected)
    return Both(
        f"{show(value.value)} {en} ({_signed(show(value.low))} to {_signed(show(value.high))}, corrected {test})",
        f"{show(value.value)}{ko}({_signed(show(value.low))}~{_signed(show(value.high))}, 보정한 {test})",
    )


def _signed(value: str) -> str:
    return value.replace("-", "−")


def _within(findings: Findings, point: Point) -> Both:
    """The constraints that it meets, with what it takes."""
    bounds = findings.records.plan.constraints
    if not bounds:
        return Both("", "")
    values = {name: CONSTRAINTS[name].of(findings, point) or 0.0 for name in bounds}
    en = [f"{name}={bounds[name]:g} ({significant(values[name])} {CONSTRAINTS[name].unit})" for name in bounds]
    return Both(f", within {', '.join(en)}", f". 제약도 지킵니다: {', '.join(en)}")


def _cheaper(findings: Findings, choice: Point, leader: Point) -> Both:
    en: list[str] = []
    ko: list[str] = []
    for name, bound, show in (
        (Both("a prediction", "예측 한 번"), "latency_ms", _show_latency),
        (Both("on disk", "폴더"), "size_mb", _show_size),
        (Both("to train", "학습"), "train_seconds", _show_time),
    ):
        own, other = (CONSTRAINTS[bound].of(findings, one) for one in (choice, leader))
        if own is not None and other is not None and own < CHEAPER * other:
            less, more = show(findings, choice), show(findings, leader)
            en.append(f"{less.en} instead of {more.en} {name.en}")
            ko.append(f"{name.ko} {more.ko} 대신 {less.ko}")
    return Both(f": {', '.join(en)}" if en else "", f"({', '.join(ko)})" if ko else "")


def _show_latency(findings: Findings, point: Point) -> Both:
    shown = milliseconds(findings.latency(point.technique, "p50"))
    return Both(shown, shown)


def _show_size(findings: Findings, point: Point) -> Both:
    shown = megabytes(findings.cost(point, "folder_bytes"))
    return Both(shown, shown)


def _show_time(findings: Findings, point: Point) -> Both:
    return duration(findings.cost(point, "seconds"))


def _what_changes_it(findings: Findings, choice: Point, able: list[Point]) -> Both:
    more = _more_labels(findings, choice)
    parts = [part for part in (_other(findings, choice, able, more is None), more) if part]
    if not parts:
        return Both(
            "Nothing that was measured says what would change this: compare at more sizes.",
            "무엇이 이 결론을 바꿀지는 이번 측정으로 알 수 없습니다. 크기를 더 나눠 비교해 보세요.",
        )
    en, ko = "; ".join(part.en for part in parts), ", ".join(part.ko for part in parts)
    return Both(f"{en[0].upper()}{en[1:]}.", f"{ko}.")


def _other(findings: Findings, choice: Point, able: list[Point], last: bool) -> Both | None:
    """A better one that a constraint forbids; else the one that more labels would put ahead, or fewer.

    `last`: nothing is said after it, which Korean verbs have to know.
    """
    ahead, better = ("앞섭니다", "낫습니다") if last else ("앞서고", "낫고")
    for point in findings.best:
        if point not in able and point.error < choice.error:
            broken = ", ".join(
                f"{name}={findings.records.plan.constraints[name]:g}"
                for name in _broken(findings, point, findings.records.plan.constraints)
            )
            gap, name = _difference(findings, _compare(findings, point, choice)), point.technique.name
            return Both(
                f"without {broken} {name} would be better by {gap.en}",
                f"{with_josa(broken, '이')} 없다면 {with_josa(name, '이')} {gap.ko} 더 {better}",
            )
    later = [one for point in able if point is not choice and (one := _overtakes(findings, point, choice))]
    if later:
        one = min(later, key=lambda one: one.rows)
        span = crossing_span(one)
        return Both(
            f"from about {about(one.rows)} labels on ({span.en}) {one.first} would be ahead, by extrapolation",
            f"외삽하면 레이블 약 {about(one.rows)}행({span.ko})부터는 {with_josa(one.first, '이')} {ahead}",
        )
    names = {point.technique.name for point in able}
    before = [
        one
        for one in findings.crossovers
        if one.first == choice.technique.name and one.second in names and _is_clear(findings, one, choice)
    ]
    if before:
        one = max(before, key=lambda one: one.rows)
        span = crossing_span(one)
        return Both(
            f"below about {about(one.rows)} labels ({span.en}) {one.second} is ahead",
            f"레이블이 약 {about(one.rows)}행({span.ko})보다 적으면 {with_josa(one.second, '이')} {ahead}",
        )
    return None


def _is_clear(findings: Findings, found: Crossover, choice: Point) -> bool:
    """Whether a crossing lies between sizes that were measured, and its interval ends somewhere."""
    return findings.of(choice.technique)[0].rows < found.rows <= found.measured and bool(np.isfinite(found.high))


def _overtakes(findings: Findings, point: Point, choice: Point) -> Crossover | None:
    """From where on another is ahead, where that is beyond what was measured, and is known to be somewhere."""
    one, other = findings.fitted[point.technique], findings.fitted[choice.technique]
    measured = float(one.measured), float(other.measured)
    found = crossover(point.technique.name, choice.technique.name, one.curve, other.curve, 1.0, measured)
    return found if found.extrapolated and np.isfinite(found.high) else None


def crossing_span(found: Crossover) -> Both:
    """Its interval: numbers of rows, from the start, or never."""
    low = Both("from the start", "처음") if found.low == 0 else Both(about(found.low), about(found.low))
    if np.isinf(found.low):
        low = Both("never", "없음")
    high = Both("never", "없음") if np.isinf(found.high) else Both(about(found.high), about(found.high))
    return Both(f"{low.en} to {high.en}", f"{low.ko}~{high.ko}")


def _more_labels(findings: Findings, choice: Point) -> Both | None:
    more = findings.fitted[choice.technique].more
    if more is None or choice.rows == 0:
        return None
    show = findings.scale.show_difference
    en, ko = ("points", "점") if findings.scale.sign > 0 else ("percent", "%")
    rows = whole(MORE_ROWS)
    return Both(
        f"another {rows} labels would buy about {show(more.value)} {en} ({show(more.low)} to {show(more.high)}), "
        "by extrapolation",
        f"레이블을 {rows}행 더 달면 외삽으로 약 {show(more.value)}{ko}({show(more.low)}~{show(more.high)})을 얻을 "
        "것으로 보입니다",
    )
