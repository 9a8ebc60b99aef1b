"""The last gate of a row: texts that can be seen, labels that agree. What is odd but harmless is kept and counted."""

from collections.abc import Mapping, Sequence

from taesan.data.characters import find_oddities, is_blank
from taesan.data.labels import Labels
from taesan.data.report import Report
from taesan.data.schema import Field, Row
from taesan.errors import Problem, escape


class Values:
    """Checks the rows of one file."""

    def __init__(self, file: str, fields: Sequence[Field], report: Report, labels: Sequence[str] | None):
        self._file, self._report = file, report
        self._texts = [field.name for field in fields if field.kind in ("text", "target")]
        unit = report.unit(file)
        self._labels = {field.name: Labels(field.name, file, labels, unit) for field in fields if field.kind == "label"}
        self._numeric = dict.fromkeys(self._texts, 0)
        self.rows = 0

    def accept(self, line: int, values: Mapping[str, str]) -> Row | None:
        """The row, or nothing after its errors were reported."""
        good = True
        self.rows += 1
        for name in self._texts:
            if name in values:
                good = self._accept_text(name, values[name], line) and good
        for name, labels in self._labels.items():
            if name in values and (problem := labels.check(values[name], line)) is not None:
                self._report.add(problem)
                good = False
        return Row(line, dict(values)) if good else None

    def finish(self) -> None:
        """Says what only the whole file shows: a column of numbers that is taken for the text."""
        for name in self._texts:
            if self.rows > 1 and self._numeric[name] == self.rows:
                found = f"whole numbers in all {self.rows:,} rows"
                fix = f"If another column holds the text, type `--column {name}=NAME`."
                self._report.add(Problem("text-numbers", self._file, 0, 0, name, found, "text", fix, "warning"))

    def _accept_text(self, name: str, text: str, line: int) -> bool:
        if is_blank(text):
            found = f"nothing to see: '{escape(text, 20)}'" if text else "nothing"
            fix = "Write the text, or delete the row."
            self._report.add(Problem("text-empty", self._file, line, 0, name, found, "text", fix))
            return False
        if text.isdecimal():
            self._numeric[name] += 1
        return check_characters(text, line, self._file, name, self._report)


def check_characters(text: str, line: int, file: str, name: str, report: Report) -> bool:
    """Whether the text may be taken; reports what is odd in it."""
    good = True
    for oddity, position in find_oddities(text):
        # Counting is all that is left to do for the second and later ones of a file.
        if oddity.severity != "error" and report.has(file, oddity.code):
            report.add(Problem(oddity.code, file, line, severity=oddity.severity))
            continue
        found = f"'{escape(text[max(0, position - 8) : position + 8])}', character {position + 1:,} of the text"
        report.add(Problem(oddity.code, file, line, 0, name, found, oddity.expected, oddity.fix, oddity.severity))
        good = good and oddity.severity != "error"
    return good
