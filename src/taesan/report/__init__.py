"""What `compare` shows people, made of the records that it leaves: `write` again whenever they have changed.

records → findings (statistics, curves) → recommendation, mistakes → charts (drawing), page (markup), tables
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from taesan import store
from taesan.report.charts import draw_charts
from taesan.report.findings import find
from taesan.report.mistakes import find_mistakes
from taesan.report.page import page
from taesan.report.recommendation import CONSTRAINTS, Recommendation, recommend
from taesan.report.records import read
from taesan.report.tables import csv_text, markdown, result_rows, terminal, write_parquet

__all__ = ["CONSTRAINTS", "Report", "write"]


@dataclass(frozen=True)
class Report:
    """What was written, `parquet` where pyarrow is installed, and what it says; `text` is that for a terminal."""

    page: Path
    csv: Path
    markdown: Path
    parquet: Path | None
    recommendation: Recommendation
    text: str


def write(out: Path, *, texts: bool = True) -> Report:
    """The report of what has been done so far in `out`, in the same folder.

    Without `texts` rows are named by their number alone, so that the page can be shown where they cannot. Without
    matplotlib (`taesan[report]`) it has no charts. Raises: InputMissing where nothing was planned; StorageError.
    """
    records = read(out)
    findings = find(records)
    recommendation = recommend(findings)
    mistakes = find_mistakes(findings, recommendation.point)
    shown = page(findings, recommendation, mistakes, draw_charts(findings, mistakes), texts=texts)
    rows = result_rows(records)
    store.replace_file(out / "report.html", shown.encode(errors="backslashreplace"))
    store.replace_file(out / "results.csv", csv_text(rows).encode(errors="backslashreplace"))
    store.replace_file(out / "report.md", markdown(findings, recommendation).encode(errors="backslashreplace"))
    parquet = out / "results.parquet" if find_spec("pyarrow") is not None and rows else None
    if parquet is not None:
        write_parquet(rows, parquet)
    paths = out / "report.html", out / "results.csv", out / "report.md", parquet
    return Report(*paths, recommendation, terminal(findings, recommendation))
