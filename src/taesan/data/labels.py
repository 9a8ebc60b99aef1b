"""Whether a file's labels are of one kind, each spelled one way. Each is judged once, where it first stands."""

import difflib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from taesan.data.characters import is_blank, without_invisible
from taesan.errors import DataError, Problem, escape

MAX_LABELS = 10_000
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,40}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,4})?\s*")
_ODD = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff\ufffd]")


class Labels:
    """The labels of one column. `known` are those of the model or the training file, where there is one.

    `unit` is what their places count: line, or row.
    """

    def __init__(self, field: str, file: str, known: Sequence[str] | None = None, unit: str = "line"):
        self._field, self._file, self._known = field, file, None if known is None else list(known)
        self._unit = unit
        self._verdicts: dict[str, Problem | None] = {}
        self._spellings: dict[str, str] = {}  # as people see it -> as it is written
        self._numbers: dict[Decimal, str] = {}
        self._lines: dict[str, int] = {}
        for label in known or ():
            self._remember(label, 0)

    def check(self, label: str, line: int) -> Problem | None:
        """What is wrong with this label in this line, if anything.

        Raises:
            DataError: there are more than `MAX_LABELS` of them.
        """
        if label in self._verdicts:
            verdict = self._verdicts[label]
            return None if verdict is None else replace(verdict, line=line)
        if len(self._verdicts) >= MAX_LABELS:
            found, fix = (
                f"more than {MAX_LABELS:,} different labels",
                f"Name the right column: `--column {self._field}=NAME`.",
            )
            raise DataError(
                [Problem("labels-many", self._file, line, 0, self._field, found, "a few, each in many rows", fix)]
            )
        verdict = self._judge(label, line)
        self._verdicts[label] = verdict
        if verdict is None:
            self._remember(label, line)
        return verdict

    def _remember(self, label: str, line: int) -> None:
        self._verdicts[label] = None
        self._lines[label] = line
        self._spellings.setdefault(_seen(label), label)
        if _NUMBER.fullmatch(label):
            self._numbers.setdefault(Decimal(label.strip()), label)

    def _judge(self, label: str, line: int) -> Problem | None:
        if is_blank(label):
            expected = f"one of {self._shown(self._known)}" if self._known else "a label"
            found = f"nothing but '{escape(label)}'" if label else "nothing"
            return self._problem("label-empty", line, found, expected, "Fill it in, or delete the row.")
        if _ODD.search(label):
            return self._problem("label-character", line, f"'{escape(label)}'", "visible characters", "Mend the label.")
        spelling = self._spellings.get(_seen(label))
        if label.strip() != label or without_invisible(label) != label.replace(" ", "") or spelling is not None:
            right = spelling or _clean(label)
            expected = f"'{escape(right)}'{self._place(spelling)}"
            return self._problem("label-variant", line, _spelled(label, right), expected, f"Write '{escape(right)}'.")
        number = self._numbers.get(Decimal(label)) if _NUMBER.fullmatch(label) else None
        if number is not None:
            expected = f"'{escape(number)}'{self._place(number)}"
            return self._problem("label-number", line, f"'{escape(label)}'", expected, f"Write '{escape(number)}'.")
        if self._known is not None:
            return self._unknown(label, line)
        first = next(iter(self._lines), None)
        if first is not None and bool(_INTEGER.fullmatch(first)) != bool(_INTEGER.fullmatch(label)):
            kind = "an integer" if _INTEGER.fullmatch(first) else "a word"
            expected = f"{kind}, like '{escape(first)}'{self._place(first)}"
            fix = "Write all labels as numbers, or all as words."
            return self._problem("label-mixed", line, f"'{escape(label)}'", expected, fix)
        return None

    def _unknown(self, label: str, line: int) -> Problem:
        known = self._known or []
        near = difflib.get_close_matches(label, known, 3, 0.5)
        fix = f"Did you mean {self._shown(near)}?" if near else "Correct the label, or train with rows of it."
        return self._problem("label-unknown", line, f"'{escape(label)}'", f"one of {self._shown(known)}", fix)

    def _problem(self, code: str, line: int, found: str, expected: str, fix: str) -> Problem:
        return Problem(code, self._file, line, 0, self._field, found, expected, fix)

    def _place(self, label: str | None) -> str:
        line = self._lines.get(label, 0) if label is not None else 0
        return f" as in {self._unit} {line:,}" if line else ""

    def _shown(self, labels: Sequence[str] | None) -> str:
        shown = ", ".join(f"'{escape(label, 30)}'" for label in (labels or ())[:10])
        return shown + (f", … ({len(labels or ()):,} in all)" if len(labels or ()) > 10 else "")


def _clean(label: str) -> str:
    return " ".join(without_invisible(word) for word in label.split())


def _seen(label: str) -> str:
    """What two labels have in common that a person takes for the same."""
    return unicodedata.normalize("NFC", _clean(label)).casefold()


def _spelled(label: str, right: str) -> str:
    """The label, with its code points where it looks the same as the right one."""
    if unicodedata.normalize("NFC", label) == unicodedata.normalize("NFC", right):
        return f"'{escape(label)}' in decomposed characters ({len(label)} code points, not {len(right)})"
    return f"'{escape(label)}'"
