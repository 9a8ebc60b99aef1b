"""CoNLL, a token a line and an empty line after each sentence, and KLUE's form of it, a character a line.

Two to four columns between tabs or single spaces: the first holds the token, the last its tag. Lines that begin with
`#` before a sentence are comments, but for the last `## id<TAB>text`, which is that sentence's header.
"""

import re
from collections.abc import Iterator

from taesan.data.jsonl import bom_inside
from taesan.data.lines import Line
from taesan.data.report import Report
from taesan.data.tags import is_like_tag, is_tag
from taesan.data.tokens import MAX_CHARACTERS, MAX_TOKENS, Given, Sentence, long_sentence
from taesan.errors import DataError, Problem, escape

MAX_COLUMNS = 4
_COLUMN_NAMES = re.compile("[A-Z][A-Z_]*")
_FORM = "a token, a tab and its tag"


def read_sentences(lines: Iterator[Line], name: str, report: Report) -> Iterator[Sentence]:
    """Every sentence of which each line could be read; tags and tokens are as the file has them.

    Raises:
        DataError: the columns of the whole file are others.
    """
    reader = _Reader(name, report)
    for line, text, end in lines:
        if (sentence := reader.read(line, text, end)) is not None:
            yield sentence
    if (sentence := reader.end_sentence()) is not None:
        yield sentence


class _Reader:
    def __init__(self, name: str, report: Report):
        self._name, self._report = name, report
        self._separator, self._width = "", 0  # those of the first line with a token
        self._end = ""  # how its lines end
        self._ids: dict[str, int] = {}
        self._header: Given | None = None
        self._reset()
        self._first = True

    def _reset(self) -> None:
        self._sentence = Sentence(0)
        self._characters = 0
        self._good = self._short = True

    def read(self, line: int, text: str, end: str) -> Sentence | None:
        """The sentence that this line ends."""
        self._end = self._end or end
        if end and (end == "\r") != (self._end == "\r"):
            found = f"a line that ends in {escape(end)}, in a file whose first ends in {escape(self._end)}"
            fix = "End all lines alike: `tr -d '\\r'` deletes each \\r."
            self._fail(self._problem("tag-return", line, len(text) + 1, found, "one kind of line end", fix))
        if self._is_blank(text):
            return self.end_sentence()
        if text.startswith("\ufeff"):
            self._report.add(bom_inside(self._name, line))
            self._good = False
        elif re.match("-DOCSTART-(?:[ \t]|$)", text):
            return self.end_sentence()
        elif text.startswith("#") and not self._is_token(text):
            self._read_comment(line, text)
        else:
            self._read_token(line, text)
        return None

    def end_sentence(self) -> Sentence | None:
        sentence, good = self._sentence, self._good and self._short
        if not sentence.line:
            self._leave_header()
        elif good and self._width > 2 and self._first and _counts(sentence.tokens):
            found = "a first column that counts the tokens"
            fix = "Delete that column: `cut -f2- FILE`."
            raise DataError([Problem("columns-order", self._name, sentence.line, 1, "", found, "the token", fix)])
        self._first = self._first and not sentence.line
        if self._header is not None:
            sentence.given, sentence.line = self._header, self._header.line
            self._header = None
        self._reset()
        return sentence if good and sentence.tokens else None

    def _is_blank(self, text: str) -> bool:
        # A space, a tab and nothing is a space without its tag.
        return not text or (text.isspace() and not (self._separator == "\t" and text.startswith(" \t")))

    def _is_token(self, text: str) -> bool:
        """Whether a line that begins with # is the token `#` or a hashtag."""
        cells = text.split(self._separator or ("\t" if "\t" in text else " "))
        return len(cells) in self._widths() and is_tag(cells[-1]) and " " not in cells[0]

    def _widths(self) -> range:
        return range(self._width, self._width + 1) if self._width else range(2, MAX_COLUMNS + 1)

    def _read_comment(self, line: int, text: str) -> None:
        if self._sentence.line:
            fix = "Put an empty line in front of it: comments and headers stand between sentences."
            self._fail(self._problem("comment-line", line, 1, escape(text, 60), _FORM, fix))
            return
        cells = text.split("\t")
        if len(cells) == 2 and text.startswith("## "):
            self._leave_header()
            self._header = Given(cells[1], line, len(cells[0]) + 2, True)
            self._check_id(cells[0][3:].strip(), line)
        else:
            self._note_comment(line, text)

    def _check_id(self, identity: str, line: int) -> None:
        before = self._ids.setdefault(identity, line)
        if before != line:
            found, expected = f"'{escape(identity, 40)}', as in line {before:,}", "each id once"
            self._fail(
                self._problem(
                    "id-duplicate", line, 4, found, expected, "Delete one of the two sentences, or give it its own id."
                )
            )

    def _leave_header(self) -> None:
        """A header that no token follows: a comment where it names the columns, else an error."""
        header, self._header = self._header, None
        if header is None:
            return
        if self._first and _COLUMN_NAMES.fullmatch(header.text):
            self._note_comment(header.line, f"…{header.text}")
        else:
            found = f"the header of '{escape(header.text, 40)}', and no line of a token after it"
            fix = "Write its tokens, or delete the header."
            self._fail(self._problem("tokens-text", header.line, 1, found, "a token a line", fix))
            self._good = True  # what follows is another sentence

    def _note_comment(self, line: int, text: str) -> None:
        found = f"a comment, skipped: {escape(text, 40)}"
        self._report.add(Problem("comment", self._name, line, found=found, severity="note"))

    def _read_token(self, line: int, text: str) -> None:
        sentence = self._sentence
        sentence.line = sentence.line or line
        if not self._short:
            return
        cells = self._split(line, text)
        if cells is None:
            self._good = False
            return
        sentence.tokens.append(cells[0])
        sentence.tags.append(cells[-1])
        sentence.lines.append(line)
        self._characters += len(cells[0]) + 1
        if len(sentence.tokens) > MAX_TOKENS or self._characters > MAX_CHARACTERS + 1:
            self._report.add(long_sentence(self._name, sentence.line))
            self._short = False
            self._sentence = Sentence(sentence.line)

    def _split(self, line: int, text: str) -> list[str] | None:
        """The columns of a line with a token, or nothing after its error was reported."""
        separator = self._separator or ("\t" if "\t" in text else " ")
        cells = text.split(separator)
        if separator == " " and ("\t" in text or ("" in cells and text.strip(" "))):
            column = text.find("\t") + 1 if "\t" in text else _extra_space(text)
            expected = f"one {'tab' if column == 0 else 'space'} between two columns"
            fix = "Put one tab between the columns, or one space in all lines."
            return self._fail(self._problem("columns-separator", line, column, f"'{escape(text, 40)}'", expected, fix))
        if len(cells) == 1:
            if separator == "\t" and " " in text.strip(" "):
                fix = "Put one tab between the columns, as in the lines before."
                return self._fail(
                    self._problem(
                        "columns-separator", line, text.find(" ", 1) + 1, f"'{escape(text, 40)}'", "a tab", fix
                    )
                )
            fix = "Write O for a token outside of entities."
            return self._fail(
                self._problem("tag-missing", line, len(text) + 1, f"'{escape(text, 40)}' and no tag", _FORM, fix)
            )
        if len(cells) not in self._widths():
            return self._refuse_width(line, text, cells)
        if not cells[0]:
            fix = "Write the token: a space is a space, a tab and the tag. Or delete the line."
            return self._fail(
                self._problem("token-empty", line, 1, f"nothing in front of '{escape(text.strip(), 40)}'", _FORM, fix)
            )
        if not cells[-1].strip():
            found, fix = f"'{escape(text, 40)}' and no tag", "Write O for a token outside of entities."
            return self._fail(self._problem("tag-missing", line, len(text) - len(cells[-1]) + 1, found, _FORM, fix))
        if not is_tag(cells[-1]) and not is_like_tag(cells[-1]) and is_tag(cells[0]):
            problem = self._order(line, text)
            if not self._width:
                raise DataError([problem])
            self._report.add(problem)
            return None
        self._separator, self._width = separator, len(cells)
        return cells

    def _refuse_width(self, line: int, text: str, cells: list[str]) -> None:
        found = f"{len(cells):,} columns: {escape(text, 60)}"
        if self._width:
            fix = "Write all lines of the file with the same columns; two files may have been joined here."
            return self._fail(
                self._problem("columns-uneven", line, 1, found, f"{self._width}, as in the lines before", fix)
            )
        fix = "Keep the token, first, and the tag, last: `cut -f1,2 FILE` takes two columns."
        expected = f"2 to {MAX_COLUMNS}: the token first, its tag last"
        raise DataError([Problem("columns-uneven", self._name, line, 1, "", found, expected, fix)])

    def _order(self, line: int, text: str) -> Problem:
        fix = "Put the token first and its tag last."
        return Problem("columns-order", self._name, line, 1, "", f"a tag first: {escape(text, 40)}", _FORM, fix)

    def _fail(self, problem: Problem) -> None:
        self._report.add(problem)
        self._good = False

    def _problem(self, code: str, line: int, column: int, found: str, expected: str, fix: str) -> Problem:
        return Problem(code, self._name, line, column, "", found, expected, fix)


def _counts(tokens: list[str]) -> bool:
    return len(tokens) > 1 and any(tokens == [str(start + place) for place in range(len(tokens))] for start in (0, 1))


def _extra_space(text: str) -> int:
    """The column of the first space that stands at an end of the line or after another space."""
    if text.startswith(" "):
        return 1
    return text.find("  ") + 2 if "  " in text else len(text)
