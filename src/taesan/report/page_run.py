"""The part of the page on the run: when what ran, what failed, what was left out, and how to do it again."""

from collections.abc import Sequence

from taesan.report.charts import Charts
from taesan.report.findings import Findings
from taesan.report.markup import NOTHING, Html, classed, details, dot, join, or_nothing, table, tag, typed
from taesan.report.words import Both, duration, metric_name, whole


def run_section(findings: Findings, charts: Charts) -> Html:
    plan, cells = findings.records.plan, findings.records.cells
    failed = [cell for cell in cells if cell.status != "done"]
    missing = len(plan.cells) - len(cells)
    done = len(cells) - len(failed)
    parts = [
        Both(f"{done:,} of {len(plan.cells):,} cells finished", f"실험 {len(plan.cells):,}개 중 {done:,}개가 끝났고"),
        Both(f"{len(failed):,} failed", f"{len(failed):,}개가 실패했으며"),
        Both(f"{len(plan.pruned):,} were left out", f"{len(plan.pruned):,}개는 제외했습니다"),
    ]
    said = Both(", ".join(one.en for one in parts) + ".", ", ".join(one.ko for one in parts) + ".")
    left = (
        Both(f" {missing:,} have not run yet.", f" 아직 {missing:,}개를 실행하지 않았습니다.") if missing > 0 else None
    )
    return join(
        [
            tag("h2", Both("The run", "실행 기록")),
            tag("p", said, left),
            tag(
                "figure",
                tag("figcaption", Both("Timeline", "타임라인")),
                _legend(findings, charts),
                Html(charts.timeline),
            )
            if charts.timeline
            else None,
            _reasons(Both("What failed", "실패한 실험"), [(cell.name, cell.error) for cell in failed], opened=True),
            _reasons(
                Both("What was left out, and why", "제외한 실험과 이유"),
                [(one.name, one.reason) for one in plan.pruned],
            ),
            _cells(findings),
            tag("h3", Both("Reproduce it", "다시 실행하기")),
            tag("pre", tag("code", plan.command)) if plan.command else None,
            classed(
                "p",
                "note",
                f"{plan.train.get('name', '')} SHA-256 {str(plan.train.get('sha256', ''))[:16]} · "
                f"{plan.test.get('name', '')} SHA-256 {str(plan.test.get('sha256', ''))[:16]}",
            ),
        ]
    )


def _legend(findings: Findings, charts: Charts) -> Html:
    """A dot for each method, which is what has a colour."""
    methods = {one.method: one for one in findings.techniques}
    return classed(
        "div", "legend", *(tag("span", dot(charts.colours[one.name]), typed(name)) for name, one in methods.items())
    )


def _reasons(title: Both, rows: Sequence[tuple[str, str]], *, opened: bool = False) -> Html | None:
    """Cells with the same reason stand together."""
    if not rows:
        return None
    grouped: dict[str, list[str]] = {}
    for name, reason in rows:
        grouped.setdefault(reason, []).append(name)
    lines = [(typed(", ".join(names), 600), typed(reason, 400)) for reason, names in grouped.items()]
    shown = table([Both("cells", "실험"), Both("reason", "이유")], lines)
    return join([tag("h3", title), shown]) if opened else details(title, shown)


def _cells(findings: Findings) -> Html:
    metric = findings.records.plan.metric
    lines = [
        (
            typed(cell.name),
            whole(cell.rows),
            str(cell.seed),
            findings.scale.show(cell.scores[metric]["value"]) if metric in cell.scores else NOTHING,
            or_nothing(duration(cell.seconds)),
        )
        for cell in findings.records.done
    ]
    head = [
        Both("cell", "실험"),
        Both("labels", "레이블"),
        Both("seed", "시드"),
        metric_name(metric),
        Both("time", "시간"),
    ]
    return details(
        Both(f"All {len(lines):,} cells", f"실험 {len(lines):,}개 모두"), table(head, lines, numbers=(1, 2, 3, 4))
    )
