"""The same for machines and for a pull request: `results.csv`, `results.parquet`, `report.md`."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from taesan.errors import escape
from taesan.report.findings import Findings
from taesan.report.recommendation import Recommendation, crossing_span
from taesan.report.records import Records
from taesan.report.words import about, duration, megabytes, metric_name, milliseconds, p_value, whole

# What a spreadsheet would take for a formula (OWASP, CSV injection).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
COSTS = ("seconds", "cpu_seconds", "peak_bytes", "trained_parameters", "folder_bytes", "prompt_tokens")


def result_rows(records: Records) -> list[dict[str, Any]]:
    """One row a cell, in the order of the plan, those that were left out last; docs/comparing.md has the columns."""
    scores = list(dict.fromkeys(name for cell in records.done for name in cell.scores))
    rows: list[dict[str, Any]] = []
    for cell in records.cells:
        row: dict[str, Any] = {"name": cell.name, "method": cell.method, "backbone": cell.backbone, "rows": cell.rows}
        row |= {"train_rows": cell.train_rows, "validation_rows": cell.validation_rows, "seed": cell.seed}
        row |= {"status": cell.status, "reason": cell.error or ""}
        for name in scores:
            own = cell.scores.get(name, {})
            row |= {name: own.get("value"), f"{name}_low": own.get("low"), f"{name}_high": own.get("high")}
        row |= {name: getattr(cell, name) for name in COSTS}
        latency = cell.latency_seconds or {}
        row |= {f"latency_{which}_seconds": latency.get(which) for which in ("p50", "p99")}
        row["throughput_rows_per_second"] = cell.throughput_rows_per_second
        rows.append(row)
    for one in records.plan.pruned:
        row = {"name": one.name, "method": one.method, "backbone": one.backbone, "rows": one.size, "seed": one.seed}
        rows.append(row | {"status": "left out", "reason": one.reason})
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: row.get(name) for name in names} for row in rows]


def csv_text(rows: Sequence[dict[str, Any]]) -> str:
    """Comma-separated with a header (RFC 4180); a text that a spreadsheet would run has an apostrophe before it."""
    file = io.StringIO()
    writer = csv.writer(file)
    if rows:
        writer.writerow(_safe(name) for name in rows[0])
    writer.writerows([_safe(value) for value in row.values()] for row in rows)
    return file.getvalue()


def _safe(value: Any) -> Any:
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def write_parquet(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Needs pyarrow."""
    import pyarrow  # noqa: PLC0415  an extra
    from pyarrow import parquet  # noqa: PLC0415

    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)


def markdown(findings: Findings, recommendation: Recommendation) -> str:
    """What a pull request needs of it: the sentences in both languages, the command, three tables."""
    show, metric = findings.scale.show, metric_name(findings.records.plan.metric)
    parts = [f"## taesan compare: {_cell(findings.records.plan.task)}"]
    parts.append(" ".join(_text(one.en) for one in recommendation.sentences))
    parts.append(" ".join(_text(one.ko) for one in recommendation.sentences))
    if recommendation.command:
        parts.append(_code(recommendation.command))
    first = findings.best[0] if findings.best else None
    lines: list[Sequence[str]] = []
    for point in findings.best:
        found = findings.between_best.get((first.technique.name, point.technique.name)) if first else None
        latency = findings.latency(point.technique, "p50")
        lines.append(
            (
                f"**{_cell(point.technique.name)}**" if point is recommendation.point else _cell(point.technique.name),
                whole(point.rows),
                f"{show(point.score.value)} ({show(point.score.low)} to {show(point.score.high)})",
                f"{findings.scale.show_difference(found.difference.value)}, {p_value(found.corrected)}"
                if found
                else "",
                duration(findings.cost(point, "seconds")).en,
                milliseconds(latency),
                megabytes(findings.cost(point, "folder_bytes")),
            )
        )
    if lines:
        head = ("technique", "labels", f"{metric.en} (95%)", "behind the first", "to train", "latency p50", "folder")
        parts.append(_table(head, lines))
        parts.append("Each at the number of labels where it did best; differences are over the seeds that both have.")
    met = [one for one in findings.crossovers if 0 < one.rows < np.inf]
    if met:
        crossings = [
            (
                _cell(one.first),
                _cell(one.second),
                about(one.rows) + (" (extrapolated)" if one.extrapolated else ""),
                crossing_span(one).en,
            )
            for one in sorted(met, key=lambda one: one.rows)
        ]
        parts.append(_table(("ahead", "behind", "from about, labels", "95%"), crossings))
    cells, plan = findings.records.cells, findings.records.plan
    failed = [cell for cell in cells if cell.status != "done"]
    parts.append(
        f"{len(cells) - len(failed)} of {len(plan.cells)} cells finished, {len(failed)} failed, {len(plan.pruned)} "
        "were left out."
    )
    parts += [f"- {_cell(cell.name)}: {_text(cell.error or '')}" for cell in failed]
    return "\n\n".join(parts) + "\n"


def terminal(findings: Findings, recommendation: Recommendation) -> str:
    """The sentences and the command, for the end of a run."""
    lines = [one.en for one in recommendation.sentences]
    return "\n".join([*lines, *(["", recommendation.command] if recommendation.command else [])])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _text(text: str) -> str:
    """Text that Markdown, and the HTML in it, leaves as it is."""
    shown = escape(text, 400)
    for sign in "\\`*_[]<>#|":
        shown = shown.replace(sign, f"\\{sign}")
    return shown


def _cell(text: str) -> str:
    return _text(text)


def _code(command: str) -> str:
    fence = "```" if "```" not in command else "~~~~"
    return f"{fence}\n{escape(command, 2000)}\n{fence}"
