"""The page: one file without scripts, in two languages, on a phone, on paper, in the dark.

Which language is shown is CSS's work: two radio buttons and `:has`. Nothing is fetched and nothing can run, which the
page's own policy says to the browser as well.
"""

from importlib.resources import files

from taesan import __version__
from taesan.report.charts import Charts
from taesan.report.findings import Findings, Point
from taesan.report.markup import Child, Html, classed, join, tag, typed
from taesan.report.mistakes import Mistakes
from taesan.report.page_cost import calibration_section, cost_section
from taesan.report.page_mistakes import mistakes_section
from taesan.report.page_quality import crossovers_section, quality_section
from taesan.report.page_run import run_section
from taesan.report.recommendation import Recommendation
from taesan.report.words import Both, duration, megabytes, metric_name, milliseconds

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def page(findings: Findings, recommendation: Recommendation, mistakes: Mistakes, charts: Charts, *, texts: bool) -> str:
    """The whole file. Without `texts`, rows are named by their number and nothing of them is shown."""
    plan = findings.records.plan
    title = Both(f"{plan.task}: which technique?", f"{plan.task}: 어떤 기법이 좋을까?")
    style = files("taesan.report").joinpath("style.css").read_text("utf-8")
    head = join(
        [
            Html('<meta charset="utf-8">'),
            Html(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            Html('<meta name="color-scheme" content="light dark">'),
            tag("title", f"{title.en} · {title.ko}"),
            tag("style", Html(style)),
        ]
    )
    sections = [
        quality_section(findings, recommendation, charts),
        crossovers_section(findings, recommendation),
        cost_section(findings, charts),
        calibration_section(findings, charts),
        mistakes_section(mistakes, charts, findings, texts),
        run_section(findings, charts),
    ]
    body = join([_header(findings, recommendation), tag("main", *sections), _footer(findings)])
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _header(findings: Findings, recommendation: Recommendation) -> Html:
    plan = findings.records.plan
    choose = [
        Html(f'<input type="radio" name="language" id="{code}"{checked}><label for="{code}">{name}</label>')
        for code, name, checked in (("en", "English", " checked"), ("ko", "한국어", ""))
    ]
    languages = tag("fieldset", *choose, attributes={"class": "languages", "aria-label": "Language, 언어"})
    train, test = (str(one.get("name", "")) for one in (plan.train, plan.test))
    counted = [_rows_of(one) for one in (plan.train, plan.test)]
    kicker = classed(
        "p",
        "kicker",
        plan.task,
        " · ",
        Both("learnt from ", "학습 "),
        typed(train),
        counted[0],
        " · ",
        Both("measured on ", "평가 "),
        typed(test),
        counted[1],
    )
    command = tag("pre", tag("code", recommendation.command)) if recommendation.command else None
    return tag(
        "header",
        classed("div", "bar", tag("b", "taesan compare"), languages),
        kicker,
        tag("h1", recommendation.what),
        *(classed("p", "lede", reason) for reason in recommendation.reasons),
        command,
        _figures(findings, recommendation.point) if recommendation.point else None,
    )


def _rows_of(file: object) -> Both:
    rows = file.get("rows") if isinstance(file, dict) else None
    return Both("", "") if rows is None else Both(f" ({rows:,} rows)", f" ({rows:,}행)")


def _figures(findings: Findings, point: Point) -> Html:
    """What the choice scores and costs, in large numbers."""
    show, score = findings.scale.show, point.score
    metric = metric_name(findings.records.plan.metric)
    shown: list[tuple[Child, Child, Child]] = [
        (metric, show(score.value), f"{show(score.low)}–{show(score.high)}"),
    ]
    if latency := findings.latency(point.technique, "p50"):
        last = milliseconds(findings.latency(point.technique, "p99"))
        shown.append((Both("a prediction", "예측 한 번"), milliseconds(latency), f"p99 {last}"))
    if size := findings.cost(point, "folder_bytes"):
        shown.append((Both("on disk", "폴더 크기"), megabytes(size), None))
    if seconds := findings.cost(point, "seconds"):
        peak = findings.cost(point, "peak_bytes")
        shown.append(
            (
                Both("to train", "학습 시간"),
                duration(seconds),
                Both(f"peak {megabytes(peak)}", f"최대 {megabytes(peak)}"),
            )
        )
    return tag(
        "dl",
        *(
            tag("div", tag("dt", name), tag("dd", value, tag("small", more) if more else None))
            for name, value, more in shown
        ),
        attributes={"class": "figures"},
    )


def _footer(findings: Findings) -> Html:
    return tag(
        "footer",
        tag(
            "p",
            Both(
                "Intervals: items by bootstrap, seeds by Student’s t with moderated variances (Owen 2007; Smyth 2004). "
                "Pairs: the same seeds and items, corrected after Holm 1979. Curves: a + b·(n + d)^−c (Viering and "
                "Loog "
                "2021). Calibration: Guo et al. 2017. Doubtful labels: after Northcutt et al. 2021. What every number "
                "means: docs/comparing.md.",
                "구간: 평가 행은 부트스트랩, 시드는 조정된 분산의 t 분포(Owen 2007, Smyth 2004). 쌍 비교: 같은 "
                "시드와 같은 행, Holm 1979 "
                "보정. 곡선: a + b·(n + d)^−c(Viering, Loog 2021). 보정 오차: Guo 외 2017. 의심스러운 레이블: "
                "Northcutt 외 2021을 "
                "따름. 자세한 설명은 docs/comparing.md에 있습니다.",
            ),
        ),
        tag("p", f"taesan {__version__}"),
    )
