"""Every row of the catalogue of bad inputs is refused where it says, or taken exactly as it is."""

import time
import tracemalloc
from dataclasses import dataclass

import bad_parquet
import pytest
from bad_inputs import CASES, PAIRS, Case, Pair

from taesan.data.checks import check_classes, check_duplicates, check_overlap, check_same_file
from taesan.data.report import Report
from taesan.data.rows import read_rows
from taesan.data.schema import Field, Row
from taesan.errors import InputMissing

FIELDS = (Field("text"), Field("label", kind="label"))


@dataclass(frozen=True)
class Example:
    line: int
    texts: tuple[str, ...]
    label: str


def examples(rows: list[Row]) -> list[Example]:
    return [Example(row.line, (row.values["text"],), row.values["label"]) for row in rows]


@pytest.mark.parametrize("case", [*CASES, *bad_parquet.CASES], ids=lambda case: case.id)
def test_bad_input(case: Case, tmp_path, modes_count) -> None:
    path = case.write(tmp_path)
    report = Report()
    if case.outcome == "missing":
        with pytest.raises(InputMissing) as raised:
            list(read_rows(path, FIELDS, report=report))
        assert str(path).split("\n")[0] in str(raised.value)
        return
    began = time.monotonic()
    rows = list(read_rows(path, FIELDS, report=report, labels=case.labels))
    assert time.monotonic() - began < 5
    if not report.error_count:
        check_classes(examples(rows), str(path), report)
        check_duplicates(examples(rows), str(path), report)

    if case.outcome == "error":
        found = [(problem.code, problem.line, problem.column) for problem in report.errors]
        assert (case.code, *case.place) in found, report
        assert report.error_count == case.count or not case.count, report
        problem = next(problem for problem in report.errors if problem.code == case.code)
        assert problem.found, problem
        assert problem.fix, problem
    else:
        assert report.error_count == 0, report
        said = {problem.code: (problem.line, problem.column) for problem in report.warnings}
        if case.outcome == "accept":
            assert not said, report
        else:
            assert said.get(case.code) == case.place, report
    if case.text is not None:
        assert {row.line: row.values["text"] for row in rows}[case.row_line] == case.text
    str(report).encode()  # no lone surrogate reaches a terminal
    assert all(character >= " " or character == "\n" for character in str(report))


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.id)
def test_bad_pair(pair: Pair, tmp_path) -> None:
    train, test = pair.write(tmp_path)
    report = Report()
    check_same_file(train, test, report)
    trained = examples(list(read_rows(train, FIELDS, report=report)))
    known = sorted({example.label for example in trained})
    tested = examples(list(read_rows(test, FIELDS, report=report, labels=known)))
    if not report.error_count:
        check_overlap(trained, tested, str(train), str(test), report)
    assert bool(report.error_count) == (pair.outcome == "error"), report
    problems = [*report.errors, *report.warnings]
    assert (pair.code, pair.line) in [(problem.code, problem.line) for problem in problems], report


def test_a_long_line_costs_little_memory_and_time(tmp_path) -> None:
    path = next(case for case in CASES if case.id == "T21-csv").write(tmp_path)
    tracemalloc.start()
    began = time.monotonic()
    assert not list(read_rows(path, FIELDS, report=Report()))
    assert time.monotonic() - began < 2
    assert tracemalloc.get_traced_memory()[1] < 30_000_000
    tracemalloc.stop()


def test_the_catalogue_is_covered() -> None:
    """Rows of the catalogue that are not of this table: those of other tasks, and F07, tested beside the reader."""
    elsewhere = {"T26", "F07", "F08", "F12", "C25", "C29"}
    wanted = {f"T{n:02}" for n in range(1, 35)} | {f"F{n:02}" for n in range(1, 13)}
    wanted |= {f"C{n:02}" for n in range(1, 35)} | {f"J{n:02}" for n in range(1, 33)}
    have = {case.id.split("-")[0] for case in CASES}
    assert wanted - have == elsewhere
    assert {case.id[:3] for case in bad_parquet.CASES} == {f"P{n:02}" for n in range(42)}
