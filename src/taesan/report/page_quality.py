"""The part of the page on quality: the ranking, the curves, pair by pair, and where one overtakes another."""

from collections.abc import Sequence

import numpy as np

from taesan.report.charts import Charts
from taesan.report.curves import Crossover
from taesan.report.findings import Findings
from taesan.report.markup import NOTHING, Html, classed, details, dot, join, table, tag, typed
from taesan.report.recommendation import SIGNIFICANT, Recommendation, crossing_span
from taesan.report.statistics import Comparison
from taesan.report.words import Both, about, metric_name, p_value, upper, whole

SHOWN_CROSSINGS = 12


def quality_section(findings: Findings, recommendation: Recommendation, charts: Charts) -> Html | None:
    if not findings.best:
        return None
    metric = metric_name(findings.records.plan.metric)
    note = Both(
        f"Each technique at the number of labels where it did best. {upper(metric.en)} with its 95% interval over "
        "seeds and test rows together; the difference to the technique at the top, over the seeds that both have, with "
        "a p-value corrected for all pairs (Holm).",
        f"기법마다 가장 좋았던 레이블 수에서의 {metric.ko}입니다. 95% 구간은 시드와 평가 행을 함께 고려했고, 둘 다 "
        "있는 시드에서 잰 맨 위 기법과의 차이에는 모든 쌍의 수로 보정한(Holm) p 값을 붙였습니다.",
    )
    return join(
        [
            tag("h2", Both("How good they are", "얼마나 잘하나")),
            classed("p", "note", note),
            _ranking(findings, recommendation, charts),
            tag("h3", Both("Learning curves", "학습 곡선")),
            None if charts.drawn else classed("p", "note", _no_charts()),
            classed(
                "p",
                "note",
                Both(
                    "Points are means over seeds with their intervals; lines are fitted power laws with 95% bands, "
                    "dashed and on grey where they go beyond what was measured.",
                    "점은 시드 평균과 구간, 선은 멱법칙으로 맞춘 곡선과 95% 띠입니다. 측정 범위를 넘는 부분(외삽)은 "
                    "회색 바탕에 점선으로 그렸습니다.",
                ),
            ),
            *(
                tag(
                    "figure",
                    tag("figcaption", metric, " · ", typed(backbone)) if backbone else tag("figcaption", metric),
                    Html(svg),
                    attributes={"class": "curves"},
                )
                for backbone, svg in charts.curves.items()
            ),
            _equal_rows(findings),
        ]
    )


def _ranking(findings: Findings, recommendation: Recommendation, charts: Charts) -> Html:
    show, first = findings.scale.show, findings.best[0]
    low = min(point.score.low for point in findings.best)
    high = max(point.score.high for point in findings.best)
    metric = metric_name(findings.records.plan.metric)
    head = [
        Both("technique", "기법"),
        Both("labels", "레이블"),
        Both(upper(metric.en), metric.ko),
        "",
        Both("behind the first", "1위와의 차이"),
    ]
    rows: list[Html] = []
    for point in findings.best:
        score = point.score
        found = findings.between_best.get((first.technique.name, point.technique.name))
        cells = [
            classed("td", "name", dot(charts.colours[point.technique.name]), typed(point.technique.name)),
            classed("td", "n", whole(point.rows)),
            classed("td", "n", show(score.value), tag("small", f" {show(score.low)}–{show(score.high)}")),
            classed("td", "later", _span(score.value, score.low, score.high, low, high)),
            tag("td", _gap(findings, found) if found else NOTHING),
        ]
        rows.append(classed("tr", "chosen", *cells) if point is recommendation.point else tag("tr", *cells))
    top = [
        classed("th", "n" if number in (1, 2) else "later" if number == 3 else "", name)
        for number, name in enumerate(head)
    ]
    return classed("div", "scroll", tag("table", tag("thead", tag("tr", *top)), tag("tbody", *rows)))


def _gap(findings: Findings, found: Comparison) -> Both:
    show, value = findings.scale.show_difference, found.difference
    middle, low, high = (show(one).replace("-", "−") for one in (value.value, value.low, value.high))
    chance = ("; may be chance", "; 우연일 수 있음") if found.corrected >= SIGNIFICANT else ("", "")
    test = p_value(found.corrected)
    return Both(f"{middle} ({low} to {high}), {test}{chance[0]}", f"{middle}({low}~{high}), {test}{chance[1]}")


def _span(value: float, low: float, high: float, least: float, most: float) -> Html:
    """A value on its interval, on a line from the least to the most of all."""
    width = max(most - least, 1e-9)
    begin, middle, end = (100 * (one - least) / width for one in (low, value, high))
    return Html(
        f'<span class="span"><i style="left:{begin:.1f}%;width:{end - begin:.1f}%"></i>'
        f'<b style="left:{middle:.1f}%"></b></span>'
    )


def _no_charts() -> Both:
    return Both(
        "There are no charts: matplotlib is not installed. Type pip install 'taesan[report]' and write the report "
        "again.",
        "matplotlib이 없어 차트를 그리지 못했습니다. pip install 'taesan[report]' 뒤에 보고서를 다시 쓰세요.",
    )


def _equal_rows(findings: Findings) -> Html | None:
    """All pairs at each size, folded away but for its number."""
    folded: list[Html] = []
    for rows, pairs in findings.at_equal_rows.items():
        if not pairs:
            continue
        lines = [
            (typed(one.first), typed(one.second), *_numbers(findings, one), p_value(one.p), p_value(one.corrected))
            for one in pairs
        ]
        head = [
            Both("better", "나은 쪽"),
            Both("worse", "못한 쪽"),
            Both("difference", "차이"),
            Both("95% interval", "95% 구간"),
            Both("alone", "단독"),
            Both("corrected", "보정"),
        ]
        different = sum(one.corrected < SIGNIFICANT for one in pairs)
        summary = Both(
            f"{whole(rows)} labels: {len(pairs)} {'pair' if len(pairs) == 1 else 'pairs'}, {different} significantly "
            "different",
            f"레이블 {whole(rows)}행: {len(pairs)}쌍 중 {different}쌍이 유의하게 다름",
        )
        folded.append(details(summary, table(head, lines, numbers=(2, 3))))
    if not folded:
        return None
    return join(
        [tag("h3", Both("Pair by pair, at equal numbers of labels", "레이블 수가 같을 때의 쌍별 비교")), *folded]
    )


def _numbers(findings: Findings, found: Comparison) -> tuple[str, Both]:
    show, value = findings.scale.show_difference, found.difference
    middle, low, high = (show(one).replace("-", "−") for one in (value.value, value.low, value.high))
    return middle, Both(f"{low} to {high}", f"{low}~{high}")


def crossovers_section(findings: Findings, recommendation: Recommendation) -> Html | None:
    chosen = recommendation.point.technique.name if recommendation.point else ""
    met = [one for one in findings.crossovers if 0 < one.rows < np.inf]
    met.sort(key=lambda one: (chosen not in (one.first, one.second), one.rows))
    never = [one for one in findings.crossovers if one.rows == 0 and chosen in (one.first, one.second)]
    if not findings.crossovers:
        return None
    head = [
        Both("ahead", "앞서는 쪽"),
        Both("behind", "뒤지는 쪽"),
        Both("from about, labels", "레이블 약(행)"),
        Both("95% interval", "95% 구간"),
    ]
    rows = [(typed(one.first), typed(one.second), _crossing(one), crossing_span(one)) for one in met]
    return join(
        [
            tag("h2", Both("Where one overtakes another", "어디서 역전되나")),
            classed(
                "p",
                "note",
                Both(
                    "From how many labels on the fitted curve of one technique stays above that of the other. "
                    "Numbers in "
                    "italics lie beyond what was measured. “Never” in an interval: in some resampled worlds it does "
                    "not "
                    "happen up to ten times the largest size.",
                    "한 기법의 곡선이 다른 기법보다 계속 위에 있기 시작하는 레이블 수입니다. 기울임꼴은 측정 범위 "
                    "밖(외삽)입니다. "
                    "구간의 “없음”은 재표집한 경우 일부에서 가장 큰 크기의 열 배까지도 역전되지 않았다는 뜻입니다.",
                ),
            ),
            table(head, rows[:SHOWN_CROSSINGS], numbers=(2, 3)) if rows else tag("p", _no_crossing()),
            details(Both("All others", "나머지 모두"), table(head, rows[SHOWN_CROSSINGS:], numbers=(2, 3)))
            if len(rows) > SHOWN_CROSSINGS
            else None,
            classed("p", "note", _always(never, chosen)) if never else None,
        ]
    )


def _no_crossing() -> Both:
    return Both("Never within the measured range: no two curves cross.", "측정 범위 안에서는 역전이 없습니다.")


def _always(never: Sequence[Crossover], chosen: str) -> Both:
    below = ", ".join(one.second for one in never if one.first == chosen)
    above = ", ".join(one.first for one in never if one.second == chosen)
    en = [f"{chosen} is ahead of {below} at every size" if below else "", f"{above} of {chosen}" if above else ""]
    ko = [f"{chosen} > {below}" if below else "", f"{above} > {chosen}" if above else ""]
    return Both("; ".join(filter(None, en)) + ".", "모든 크기에서 " + ", ".join(filter(None, ko)) + ".")


def _crossing(found: Crossover) -> Html:
    rows = join([about(found.rows)])
    return classed("span", "beyond", rows) if found.extrapolated else rows
