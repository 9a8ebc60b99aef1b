"""The report counts everything and keeps little."""

from dataclasses import replace

from taesan.data.report import KEPT_ERRORS, Report
from taesan.errors import Problem


def test_errors_are_all_counted_and_the_first_kept() -> None:
    report = Report()
    for line in range(1, 3001):
        report.add(Problem("row-short", "f", line, found="1 cell"))
    assert report.error_count == 3000
    assert len(report.errors) == KEPT_ERRORS
    assert str(report).endswith("… and 2,980 more errors")
    assert report.as_dict()["error_count"] == 3000


def test_warnings_of_one_file_and_code_are_one() -> None:
    report = Report()
    problem = Problem("text-nfd", "f", 7, found="'x'", severity="warning")
    for line in range(7, 19):
        report.add(replace(problem, line=line))
    report.add(replace(problem, file="g"))
    merged, other = report.warnings
    assert (merged.line, merged.found) == (7, "'x' (12 times, lines 7, 8, 9, 10, 11, …)")
    assert other == replace(problem, file="g")
    report.raise_for_errors()
