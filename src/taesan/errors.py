"""The errors that a user can cause, and how they are written down.

    TaesanError                 exit status
    ├── UsageError              2    an option is unknown, absurd, or goes with nothing else
    ├── DataError               65   a file was read and is not what was expected
    ├── InputMissing            66   a file or folder is not there or cannot be opened
    ├── OutputError             73   the output cannot be created, or exists already
    ├── StorageError            74   reading or writing failed, or what was read does not verify
    ├── LockedError             75   another process is writing there
    └── Stopped                 130, 143   a signal; a checkpoint was saved first

A `DataError` carries `Problem`s: a stable code, where it is, what was found, what was expected, what to type.
"""

import unicodedata
from dataclasses import asdict, dataclass

SHOWN_PROBLEMS = 20
SHOWN_CHARACTERS = 80


class TaesanError(Exception):
    """Anything a user can cause and mend. `exit_status` is what the command line ends with."""

    exit_status = 1


class UsageError(TaesanError):
    exit_status = 2


class InputMissing(TaesanError):
    exit_status = 66


class OutputError(TaesanError):
    exit_status = 73


class StorageError(TaesanError):
    exit_status = 74


class LockedError(TaesanError):
    exit_status = 75


class Stopped(TaesanError):
    """A signal ended the run after its state was saved. `exit_status` is 128 plus the signal's number."""

    def __init__(self, message: str, *, signal_number: int):
        super().__init__(message)
        self.exit_status = 128 + signal_number


def escape(value: object, limit: int = SHOWN_CHARACTERS) -> str:
    """What was found, safe to print on one line: controls, bidi overrides and lone surrogates as escapes.

    At most `limit` characters of the value are shown; how many were left out is said.
    """
    text = str(value)
    shown = "".join(_escape_character(character) for character in text[:limit])
    hidden = len(text) - limit
    return f"{shown}… ({hidden:,} characters more)" if hidden > 0 else shown


def _escape_character(character: str) -> str:
    if character == "\t":
        return "\\t"
    if character == "\n":
        return "\\n"
    if character == "\r":
        return "\\r"
    # Controls, formats (zero-width, bidi), surrogates, private use, unassigned; line and paragraph separators.
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        code = ord(character)
        return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
    return character


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong, or worth saying, in one place of one file.

    `line` and `column` are physical and start at 1 (columns count code points); 0 where there is none. Where a file has
    no lines, `unit` is row, and `line` the row's number.
    `field` is the column's or key's name, `found` already escaped, `fix` what the user should type or change.
    """

    code: str
    file: str
    line: int = 0
    column: int = 0
    field: str = ""
    found: str = ""
    expected: str = ""
    fix: str = ""
    severity: str = "error"  # error | warning | note
    unit: str = "line"  # line | row

    def __str__(self) -> str:
        place = escape(self.file, 4096)
        if self.line:
            place += f":{self.line}" if self.unit == "line" else f": {self.unit} {self.line:,}"
            if self.column:
                place += f":{self.column}"
        parts = [f"{place}: {self.severity} [{self.code}]"]
        if self.field:
            parts.append(f"in '{escape(self.field)}':")
        parts.append(f"found {self.found}" if self.found else "")
        if self.expected:
            parts[-1] += f"; expected {self.expected}" if self.found else f"expected {self.expected}"
        line = " ".join(part for part in parts if part)
        return f"{line}\n    {self.fix}" if self.fix else line

    def as_dict(self) -> dict[str, object]:
        """The same as a JSON object, for `--json`."""
        return asdict(self)


class DataError(TaesanError):
    """A file was read and is not what was expected.

    `problems` holds the first errors of the pass, `total` counts all of them.
    """

    exit_status = 65

    def __init__(self, problems: list[Problem], total: int | None = None):
        self.problems = problems
        self.total = len(problems) if total is None else total
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems[:SHOWN_PROBLEMS]]
        more = self.total - len(lines)
        if more > 0:
            lines.append(f"… and {more:,} more errors")
        return "\n".join(lines)
