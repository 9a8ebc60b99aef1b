"""Tagged tokens as a text with spans: words, between which a space belongs, or characters, of which spaces are some.

Which of the two is a matter of the file, not of a sentence: the first that shows it decides, and what was undecided
until then waits. A line that holds a space shows characters; a token of two letters shows words; twenty tokens of one
character each, most of them letters, show characters, of which `_` is the space where no line holds one.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from taesan.data.characters import is_blank
from taesan.data.markup import mark
from taesan.data.report import Report
from taesan.data.schema import Span
from taesan.data.tags import TokenSpan
from taesan.errors import Problem, escape

MAX_TOKENS = 100_000
MAX_CHARACTERS = 1_000_000
MANY = 20
# Conjoining vowels and finals: with the consonant before them they are one character.
_CONJOINING = re.compile("[\u1160-\u11ff\ud7b0-\ud7ff]")
_SPACE = re.compile(r"\s")


@dataclass(frozen=True, slots=True)
class Given:
    """The text as the file has it beside the tokens. `exact` is whether white space between tokens counts."""

    text: str
    line: int
    column: int
    exact: bool


@dataclass(slots=True)
class Sentence:
    """`line` is where it begins, `lines` has the line of each token."""

    line: int
    tokens: list[str] = field(default_factory=list[str])
    tags: list[str] = field(default_factory=list[str])
    lines: list[int] = field(default_factory=list[int])
    given: Given | None = None
    entities: list[TokenSpan] = field(default_factory=list[TokenSpan])


@dataclass(frozen=True, slots=True)
class Found:
    """A text and its entities. For tokens, `starts` are their places in the text and `lines` in the file."""

    line: int
    text: str
    spans: list[Span]
    starts: Sequence[int] = ()
    lines: Sequence[int] = ()

    def line_at(self, position: int) -> int:
        """The line in which a character of the text stands."""
        return self.lines[bisect_right(self.starts, position) - 1] if self.lines else self.line


def long_sentence(name: str, line: int) -> Problem:
    found = f"a sentence of more than {MAX_TOKENS:,} tokens or {MAX_CHARACTERS:,} characters"
    fix = "Break it into sentences; in CoNLL an empty line ends one."
    return Problem("sentence-long", name, line, 0, "", found, "a sentence or a paragraph", fix)


class Joiner:
    """Joins the tokens of one file's sentences."""

    def __init__(self, file: str, name: str, report: Report):
        self._file, self._name, self._report = file, name, report
        self._words: bool | None = None
        self._shown = 0  # the line that showed it
        self._space: str | None = None  # which token is a space, among characters
        self._held = list[Sentence]()

    def add(self, sentence: Sentence) -> Iterator[Found]:
        """The sentences that can be read now."""
        if sentence.given is not None:
            if (found := self._join_given(sentence, sentence.given)) is not None:
                yield found
            return
        self._look(sentence)
        self._held.append(sentence)
        if self._words is None or (not self._words and self._space is None):
            return
        yield from self._release()

    def finish(self) -> Iterator[Found]:
        """The sentences that nothing decided about: every token is one character, and no line holds a space."""
        if self._held:
            self._words = False
            if any("_" in sentence.tokens for sentence in self._held):
                self._space = "_"
            else:
                found = "tokens of one character each and no space among them, read as a text without spaces"
                fix = "Where the text has spaces, give each its line: a space, a tab, and its tag."
                line = self._held[0].line
                problem = Problem("tokens-no-space", self._file, line, 0, self._name, found, "", fix, "warning")
                self._report.add(problem)
            yield from self._release()

    def _release(self) -> Iterator[Found]:
        for sentence in self._held:
            problem = self._word_problem(sentence) if self._words else self._character_problem(sentence)
            if problem is not None:
                self._report.add(problem)
            else:
                yield _found(sentence, _offsets(sentence.tokens, self._words is True), self._text(sentence.tokens))
        self._held.clear()

    def _text(self, tokens: list[str]) -> str:
        if self._words:
            return " ".join(tokens)
        return "".join(" " if token == "_" else token for token in tokens) if self._space == "_" else "".join(tokens)

    def _look(self, sentence: Sentence) -> None:
        """Notes what the sentence shows, where nothing has shown it yet."""
        tokens = sentence.tokens
        if self._words is None and (shown := _shows_words(tokens)) is not None:
            self._words, self._shown = shown, sentence.line
        if self._words is False and self._space is None:
            self._space = next((space for space in (" ", "_") if space in tokens), None)

    def _word_problem(self, sentence: Sentence) -> Problem | None:
        if _shows_words(sentence.tokens) is False:
            place = sentence.tokens.index(" ") if " " in sentence.tokens else 0
            return self._mixed(sentence, place, "tokens of one character each", "words")
        for place, token in enumerate(sentence.tokens):
            if _SPACE.search(token):
                found, fix = f"'{escape(token, 40)}', with white space inside", "Give each word a line and a tag."
                return self._problem("token-space", sentence.lines[place], found, "one word", fix)
            if is_blank(token):
                fix = "Delete the token, or write the word."
                return self._problem("token-empty", sentence.lines[place], f"'{escape(token, 40)}'", "a word", fix)
        return None

    def _character_problem(self, sentence: Sentence) -> Problem | None:
        for place, token in enumerate(sentence.tokens):
            if token == " " and self._space == "_":
                fix = "Write a space as it is in all lines."
                found = "a space, where '_' stood for one before"
                return self._problem("tokens-mixed", sentence.lines[place], found, "one sign for a space", fix)
            if _letters(token) > 1:
                return self._mixed(sentence, place, f"'{escape(token, 40)}'", "one character a token")
        return None

    def _mixed(self, sentence: Sentence, place: int, found: str, expected: str) -> Problem:
        expected = f"{expected}, as from {self._report.unit(self._file)} {self._shown:,} on"
        fix = "Write the whole file by words, or the whole file by characters with a line for each space."
        return self._problem("tokens-mixed", sentence.lines[place], found, expected, fix)

    def _join_given(self, sentence: Sentence, given: Given) -> Found | None:
        tokens = sentence.tokens
        for words, space in ((False, " "), (False, "_"), (True, " ")):
            joined = " ".join(tokens) if words else "".join(" " if token == space else token for token in tokens)
            found = _found(sentence, _offsets(tokens, words), joined)
            if given.text in (joined, mark(joined, found.spans)):
                # One token alone shows neither words nor characters.
                if given.exact and len(tokens) > 1:
                    if self._words not in (None, words):
                        form = "words" if words else "characters"
                        expected = "words" if self._words else "characters"
                        self._report.add(self._mixed(sentence, 0, form, expected))
                        return None
                    if not words and (problem := self._character_problem(sentence)) is not None:
                        self._report.add(problem)
                        return None
                    self._words, self._shown = words, self._shown or sentence.line
                return found
        if not given.exact and (offsets := _place(tokens, given.text)) is not None:
            return _found(sentence, offsets, given.text)
        self._report.add(self._unlike(sentence, given))
        return None

    def _unlike(self, sentence: Sentence, given: Given) -> Problem:
        """Where the text beside the tokens is another than theirs."""
        words = self._words if self._words is not None else _shows_words(sentence.tokens) is True
        joined = (" " if words else "").join(sentence.tokens)
        marked = mark(joined, _found(sentence, _offsets(sentence.tokens, words), joined).spans)
        own = max((joined, marked), key=lambda text: _shared(text, given.text))
        at = _shared(own, given.text)
        found = f"'{escape(given.text[max(0, at - 8) : at + 12])}'"
        expected = f"'{escape(own[max(0, at - 8) : at + 12])}', as the tokens and their tags have it"
        fix = "Mend the sentence, or its tokens: each character once, spaces too."
        if unicodedata.normalize("NFC", given.text) == unicodedata.normalize("NFC", own):
            fix = "One is in composed characters (NFC), the other in decomposed ones (NFD): write both in NFC."
        column = given.column + at if given.column else 0
        return Problem("tokens-text", self._file, given.line, column, "", found, expected, fix)

    def _problem(self, code: str, line: int, found: str, expected: str, fix: str) -> Problem:
        return Problem(code, self._file, line, 0, self._name, found, expected, fix)


def _found(sentence: Sentence, offsets: list[tuple[int, int]], text: str) -> Found:
    spans = [Span(offsets[first][0], offsets[end - 1][1], kind) for first, end, kind in sentence.entities]
    return Found(sentence.line, text, spans, [start for start, _ in offsets], sentence.lines)


def _offsets(tokens: list[str], words: bool) -> list[tuple[int, int]]:
    offsets, start = list[tuple[int, int]](), 0
    for token in tokens:
        offsets.append((start, start + len(token)))
        start += len(token) + words
    return offsets


def _place(tokens: list[str], text: str) -> list[tuple[int, int]] | None:
    """Where the tokens stand in a text that has nothing but white space between them."""
    offsets, at = list[tuple[int, int]](), 0
    for token in tokens:
        while not text.startswith(token, at):
            if not text[at : at + 1].isspace():
                return None
            at += 1
        offsets.append((at, at + len(token)))
        at += len(token)
    return None if text[at:].strip() else offsets


def _shows_words(tokens: list[str]) -> bool | None:
    """Whether the tokens are words; nothing where they could be either."""
    words = sum(_letters(token) > 1 for token in tokens)
    if " " in tokens and 2 * words < len(tokens) - tokens.count(" "):
        return False
    if words:
        return True
    if " " in tokens:
        return False
    # Not letters: the columns of a results table.
    single = all(len(token) == 1 for token in tokens) and 2 * sum(map(str.isalpha, tokens)) > len(tokens)
    return False if single and len(tokens) >= MANY else None


def _letters(token: str) -> int:
    """Letters and digits, a syllable in parts as one: an emoji of several code points has none."""
    if len(token) < 2:
        return len(token)
    composed = _CONJOINING.sub("", unicodedata.normalize("NFC", token))
    return sum(unicodedata.category(character)[0] in "LN" for character in composed)


def _shared(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
