"""What reading and checking found, over one or more files."""

from dataclasses import dataclass, field, replace

from taesan.errors import SHOWN_PROBLEMS, DataError, Problem

KEPT_ERRORS = 1000
KEPT_LINES = 5


@dataclass(slots=True)
class _Merged:
    first: Problem
    count: int = 0
    lines: list[int] = field(default_factory=list[int])

    def add(self, problem: Problem) -> None:
        self.count += 1
        # Two columns of one row may carry the same warning: its line is named once.
        if len(self.lines) < KEPT_LINES and problem.line and problem.line not in self.lines:
            self.lines.append(problem.line)

    def problem(self) -> Problem:
        if self.count == 1:
            return self.first
        lines = ", ".join(f"{line:,}" for line in self.lines)
        where = f"{self.first.unit}s {lines}{', …' if self.count > len(self.lines) else ''}" if self.lines else ""
        said = f"{self.count:,} times" + (f", {where}" if where else "")
        return replace(self.first, found=f"{self.first.found} ({said})" if self.first.found else said)


class Report:
    """Errors are counted and the first thousand kept; warnings of one file and code become one, with their count."""

    def __init__(self) -> None:
        self.errors: list[Problem] = []
        self.error_count = 0
        self._warnings: dict[tuple[str, str], _Merged] = {}
        self._row_files = set[str]()

    def count_rows(self, file: str) -> None:
        """Says that this file has no lines: its rows are numbered, from 1."""
        self._row_files.add(file)

    def unit(self, file: str) -> str:
        """What the numbers of a file's rows count: `line`, or `row`."""
        return "row" if file in self._row_files else "line"

    def add(self, problem: Problem) -> None:
        if problem.file in self._row_files:
            problem = replace(problem, unit="row")
        if problem.severity == "error":
            self.error_count += 1
            if len(self.errors) < KEPT_ERRORS:
                self.errors.append(problem)
            return
        key = (problem.file, problem.code)
        merged = self._warnings.get(key)
        if merged is None:
            merged = self._warnings[key] = _Merged(problem)
        merged.add(problem)

    def has(self, file: str, code: str) -> bool:
        """Whether a warning of this code was found in this file before."""
        return (file, code) in self._warnings

    @property
    def warnings(self) -> list[Problem]:
        """Warnings and notes: one a file and code, at the line of the first, saying how many and where."""
        return [merged.problem() for merged in self._warnings.values()]

    def raise_for_errors(self) -> None:
        """
        Raises:
            DataError: something is wrong in a file; the user mends what its problems name.
        """
        if self.error_count:
            raise DataError(self.errors, self.error_count)

    def as_dict(self) -> dict[str, object]:
        """The same as a JSON object, for `--json`."""
        return {
            "error_count": self.error_count,
            "errors": [problem.as_dict() for problem in self.errors],
            "warnings": [problem.as_dict() for problem in self.warnings],
        }

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.errors[:SHOWN_PROBLEMS]]
        if self.error_count > len(lines):
            lines.append(f"… and {self.error_count - len(lines):,} more errors")
        return "\n".join([*lines, *map(str, self.warnings)])
