"""The parts of the page on what the techniques cost, and on whether their confidence can be believed."""

from taesan.report.charts import Charts
from taesan.report.findings import MORE_ROWS, Findings, Point
from taesan.report.markup import NOTHING, Child, Html, classed, dot, join, or_nothing, table, tag, typed
from taesan.report.words import Both, duration, megabytes, milliseconds, significant, whole


def cost_section(findings: Findings, charts: Charts) -> Html | None:
    if not findings.best:
        return None
    unit = Both("points", "점") if findings.scale.sign > 0 else Both("%", "%")
    head: list[Child] = [
        Both("technique", "기법"),
        Both("to train", "학습"),
        Both(f"{whole(MORE_ROWS)} more labels buy", f"레이블 {whole(MORE_ROWS)}행 추가 시"),
        Both("peak memory", "최대 메모리"),
        Both("weights trained", "학습한 가중치"),
        Both("folder", "폴더"),
        Both("latency p50", "지연 p50"),
        "p99",
        Both("rows a second", "초당 행"),
        Both("tokens a prediction", "예측당 토큰"),
    ]
    rows = [
        (
            join([dot(charts.colours[point.technique.name]), typed(point.technique.name)]),
            or_nothing(duration(findings.cost(point, "seconds"))),
            _gain(findings, point, unit),
            megabytes(findings.cost(point, "peak_bytes")) or NOTHING,
            NOTHING if (count := findings.cost(point, "trained_parameters")) is None else whole(count),
            megabytes(findings.cost(point, "folder_bytes")) or NOTHING,
            milliseconds(findings.latency(point.technique, "p50")) or NOTHING,
            milliseconds(findings.latency(point.technique, "p99")) or NOTHING,
            _count(findings.cost(point, "throughput_rows_per_second")),
            _count(findings.cost(point, "prompt_tokens")),
        )
        for point in findings.best
    ]
    return join(
        [
            tag("h2", Both("What they cost", "비용은 얼마인가")),
            tag(
                "figure",
                tag(
                    "figcaption",
                    Both("Quality against cost", "품질과 비용"),
                    tag(
                        "small",
                        Both(
                            "Up is better, left is cheaper. Nothing cheaper beats those on the dashed line, which is "
                            "the Pareto front.",
                            "위일수록 좋고 왼쪽일수록 쌉니다. 점선(파레토 경계) 위의 기법보다 싸면서 나은 것은 "
                            "없습니다.",
                        ),
                    ),
                ),
                Html(charts.cost),
                attributes={"class": "curves"},
            )
            if charts.cost
            else None,
            classed("div", "broad", table(head, rows, numbers=range(1, len(head)))),
            classed(
                "p",
                "note",
                Both(
                    "Training is by the clock, on one thread. What more labels buy is read off the fitted curve, "
                    "beyond "
                    "what was measured. Latency is of one row after another, alone on the machine. A folder of added "
                    "weights (lora, prefix, prompt, in-context) needs its backbone beside it.",
                    "학습 시간은 스레드 하나로 잰 벽시계 시간입니다. 레이블 추가 효과는 곡선의 외삽입니다. 지연 "
                    "시간은 다른 작업 없이 "
                    "한 행씩 잰 것입니다. 가중치를 덧붙인 폴더(lora, prefix, prompt, in-context)에는 백본이 따로 "
                    "있어야 합니다.",
                ),
            ),
        ]
    )


def _gain(findings: Findings, point: Point, unit: Both) -> Child:
    more = findings.fitted[point.technique].more
    if more is None:
        return NOTHING
    show = findings.scale.show_difference
    value = f"+{show(more.value)}"
    span = f" {show(more.low)}–{show(more.high)}"
    return join([classed("span", "beyond", Both(f"{value} {unit.en}", f"{value}{unit.ko}")), tag("small", span)])


def _count(value: float | None) -> str:
    return NOTHING if value is None else significant(value, 3)


def calibration_section(findings: Findings, charts: Charts) -> Html | None:
    if not findings.calibrations:
        return None
    figures = [
        tag(
            "figure",
            tag(
                "figcaption",
                typed(technique.name),
                tag("small", Both(f"off by {100 * found.error:.1f}", f"오차 {100 * found.error:.1f}")),
            ),
            Html(charts.reliability.get(technique.name, "")),
        )
        for technique, found in findings.calibrations.items()
    ]
    return join(
        [
            tag("h2", Both("Whether their confidence can be believed", "확신을 믿어도 되나")),
            classed(
                "p",
                "note",
                Both(
                    "Of the answers given with some confidence, how many are right. On the diagonal both agree; "
                    "below it "
                    "the model is too sure. The number is the expected calibration error in points, over all seeds "
                    "at the "
                    "technique's largest size.",
                    "어떤 확신으로 낸 답 가운데 실제로 맞은 비율입니다. 대각선이면 믿을 만하고, 그 아래면 지나치게 "
                    "확신합니다. 숫자는 기대 "
                    "보정 오차(점)로, 기법마다 가장 큰 크기에서 모든 시드를 합쳐 쟀습니다.",
                ),
            ),
            tag("div", *figures, attributes={"class": "panels"}),
        ]
    )
