"""Tags of tokens (`O`, `B-LOC`, `I-LOC`) as spans of tokens; BIO, IOB1, BIOES and BILOU, told apart over the file.

All four are read alike: `B`, `S` and `U` begin an entity, `I`, `E` and `L` go on with one of their type or begin one,
`S`, `U`, `E` and `L` end it. What differs is what each forbids. That is gathered, and judged when the file has ended.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from taesan.data.report import KEPT_ERRORS, KEPT_LINES, Report
from taesan.errors import DataError, Problem, escape

TokenSpan = tuple[int, int, str]  # the first token, the one after the last, the type

MAX_BAD_TAGS = 100
_TAG = re.compile(r"([BIESLU])-(.+)", re.DOTALL)
_UNTYPED = re.compile(r"[-_]?[BIESLU][-_]?", re.IGNORECASE)
_PREFIX = re.compile(r"([BIESLU])[-_](.+)", re.IGNORECASE)
_SUFFIX = re.compile(r"(.+)[-_]([BIESLU])", re.IGNORECASE)
_ANY = "O, or B- or I- and a type: B-LOC"


def is_tag(tag: str) -> bool:
    return tag == "O" or _TAG.fullmatch(tag) is not None


def is_like_tag(tag: str) -> bool:
    """Whether it is a tag, or one in another spelling: `B_PER`, `b-per`, `PER-B`, `o`, `B`."""
    return tag in ("O", "o") or any(form.fullmatch(tag) for form in (_UNTYPED, _PREFIX, _SUFFIX))


@dataclass(slots=True)
class _Bad:
    """A spelling that is no tag, and where it stands."""

    problem: Problem
    lines: list[int] = field(default_factory=list[int])
    count: int = 0


@dataclass(slots=True)
class _Places:
    """Where something was seen that one of the schemes forbids: line, tag and tag before, the first thousand."""

    unit: str
    seen: list[tuple[int, str, str]] = field(default_factory=list[tuple[int, str, str]])
    count: int = 0

    def add(self, line: int, tag: str, before: str) -> None:
        self.count += 1
        if len(self.seen) < KEPT_ERRORS:
            self.seen.append((line, tag, before))

    @property
    def first(self) -> str:
        line, tag, _ = self.seen[0]
        return f"'{escape(tag, 30)}' in {self.unit} {line:,}"


class Tags:
    """Reads the tags of one file."""

    def __init__(self, file: str, name: str, report: Report):
        self._file, self._name, self._report = file, name, report
        self._bad: dict[str, _Bad] = {}
        unit = report.unit(file)
        self._fresh = _Places(unit)  # B where no entity of its type stands before: not in IOB1
        self._orphans = _Places(unit)  # I, E or L without an entity of its type before: I only in IOB1
        self._unended = _Places(unit)  # an entity that ends in B or I: not in BIOES
        self._bioes, self._bilou = _Places(unit), _Places(unit)  # E and S; L and U

    def spans(self, tags: Sequence[str], lines: Sequence[int]) -> list[TokenSpan] | None:
        """The entities of a sentence; nothing where one of its tags is none. `lines` has the line of each tag.

        Raises:
            DataError: too many different strings are no tags: this is another column.
        """
        bad = [place for place, tag in enumerate(tags) if not is_tag(tag)]
        for place in bad:
            self._note_bad(tags[place], lines[place])
        if bad:
            return None
        spans = list[TokenSpan]()
        start, kind = -1, ""  # the entity that is open
        for place, tag in enumerate(tags):
            mark, of = tag[0], tag[2:]
            goes_on = start >= 0 and mark in "IEL" and of == kind
            if start >= 0 and not goes_on:
                self._unended.add(lines[place - 1], tags[place - 1], "")
                spans.append((start, place, kind))
                start = -1
            if mark == "O":
                continue
            before = tags[place - 1] if place else ""
            if not goes_on:
                self._note_beginning(lines[place], tag, before)
                start, kind = place, of
            if mark in "ESLU":
                (self._bioes if mark in "ES" else self._bilou).add(lines[place], tag, before)
                spans.append((start, place + 1, kind))
                start = -1
        if start >= 0:
            self._unended.add(lines[-1], tags[-1], "")
            spans.append((start, len(tags), kind))
        return spans

    def finish(self) -> None:
        """Says what only the whole file shows: what is no tag, how often, and whether the tags are of one scheme."""
        for problem in self._bad_problems():
            self._report.add(problem)
        ends = self._bioes.count + self._bilou.count
        if self._bioes.count and self._bilou.count:
            less, more = sorted((self._bioes, self._bilou), key=lambda places: places.count)
            self._report_each(less, self._mixed, f"one scheme for the whole file, that of {more.first}")
        elif ends:
            self._finish_with_ends(self._bioes if self._bioes.count else self._bilou)
        elif self._orphans.count and self._fresh.count:
            if self._orphans.count <= self._fresh.count:
                self._report_each(self._orphans, self._orphan, f"as other entities begin: {self._fresh.first}")
            else:
                self._report_each(self._fresh, self._mixed, f"I-, as other entities begin: {self._orphans.first}")
        elif self._orphans.count:
            self._note("IOB1", "B- only where an entity follows one of its type", self._orphans)

    def _finish_with_ends(self, ends: _Places) -> None:
        """Every entity of the file has an end mark, or none has."""
        scheme = "BIOES" if ends is self._bioes else "BILOU"
        if self._unended.count > ends.count:
            self._report_each(ends, self._mixed, f"BIO: other entities end in B- or I-, as {self._unended.first}")
            return
        self._report_each(self._unended, self._mixed, f"an entity's last tag as in {scheme}: {ends.first}")
        self._report_each(self._orphans, self._orphan, f"as in {scheme}: {ends.first}")
        if not self._unended.count and not self._orphans.count:
            self._note(scheme, "every entity has an end mark", ends)

    def _note_beginning(self, line: int, tag: str, before: str) -> None:
        if tag[0] in "IEL":
            self._orphans.add(line, tag, before)
        elif tag[0] == "B" and (before in ("", "O") or before[2:] != tag[2:]):
            self._fresh.add(line, tag, before)

    def _note_bad(self, tag: str, line: int) -> None:
        bad = self._bad.get(tag)
        if bad is None:
            if len(self._bad) >= MAX_BAD_TAGS:
                found = f"more than {MAX_BAD_TAGS} different strings that are no tags, as '{escape(tag, 30)}'"
                fix = "The last column of CoNLL, or `ner_tags` in JSON, holds the tags."
                last = Problem("tag-scheme", self._file, line, 0, self._name, found, _ANY, fix)
                raise DataError([*self._bad_problems(), last])
            bad = self._bad[tag] = _Bad(self._judge(tag, line))
        bad.count += 1
        if len(bad.lines) < KEPT_LINES and line not in bad.lines:
            bad.lines.append(line)

    def _judge(self, tag: str, line: int) -> Problem:
        """What is wrong with a string that is no tag."""
        found = f"'{escape(tag, 40)}'"
        if not tag.strip():
            return self._problem("tag-missing", line, found, _ANY, "Write O for a token outside of entities.")
        if tag.isdecimal():
            fix = (
                'Write names instead of their numbers: "B-LOC". With datasets: `features["ner_tags"].feature.int2str`.'
            )
            return self._problem("tag-number", line, found, _ANY, fix)
        if tag == "o":
            return self._problem("tag-style", line, found, "'O'", "Write a capital O.")
        if _UNTYPED.fullmatch(tag):
            fix = "Write the type after the mark; where there is one type only, name it: B-X."
            return self._problem("tag-type", line, f"{found}, without a type", _ANY, fix)
        if (match := _PREFIX.fullmatch(tag)) is not None:
            return self._style(line, found, match[1], match[2])
        if (match := _SUFFIX.fullmatch(tag)) is not None:
            return self._style(line, f"{found}, its type in front", match[2], match[1])
        fix = "Write O outside, B-TYPE at an entity's beginning, I-TYPE inside it."
        return self._problem("tag-scheme", line, found, _ANY, fix)

    def _style(self, line: int, found: str, mark: str, kind: str) -> Problem:
        right = f"'{mark.upper()}-{escape(kind, 40)}'"
        return self._problem("tag-style", line, found, right, f"Write {right}, and all other tags in this way.")

    def _bad_problems(self) -> list[Problem]:
        return [_counted(bad, self._report.unit(self._file)) for bad in self._bad.values()]

    def _report_each(self, places: _Places, make: Callable[[int, str, str, str], Problem], expected: str) -> None:
        problems = [make(*place, expected) for place in places.seen]
        for problem in problems:
            self._report.add(problem)
        # All are counted, the first are kept.
        for _ in range(places.count - len(problems)):
            self._report.add(problems[-1])

    def _orphan(self, line: int, tag: str, before: str, expected: str) -> Problem:
        where = f"after '{escape(before, 30)}'" if before else "at the beginning of a sentence"
        begin = f"'B-{escape(tag[2:], 30)}'"
        fix = f"Write {begin} if an entity begins here, else the type of the one that goes on."
        return self._problem("tag-orphan", line, f"'{escape(tag, 30)}' {where}", f"{begin}, {expected}", fix)

    def _mixed(self, line: int, tag: str, before: str, expected: str) -> Problem:
        fix = "Write all entities of the file in one scheme: BIO, IOB1, BIOES or BILOU."
        return self._problem("tags-mixed", line, f"'{escape(tag, 30)}'", expected, fix)

    def _note(self, scheme: str, words: str, places: _Places) -> None:
        found = f"{scheme} tags, read as such ({words}): {places.first}"
        self._report.add(replace(self._problem("tags-read", places.seen[0][0], found, "", ""), severity="note"))

    def _problem(self, code: str, line: int, found: str, expected: str, fix: str) -> Problem:
        return Problem(code, self._file, line, 0, self._name, found, expected, fix)


def _counted(bad: _Bad, unit: str) -> Problem:
    if bad.count == 1:
        return bad.problem
    lines = ", ".join(f"{line:,}" for line in bad.lines) + (", …" if bad.count > len(bad.lines) else "")
    return replace(bad.problem, found=f"{bad.problem.found} ({bad.count:,} times, {unit}s {lines})")
