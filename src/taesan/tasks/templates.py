"""Templates: how an example becomes a question to a language model. Data, checked when loaded; no template engine.

A template is text with `{slots}`; `{{` and `}}` are braces. What fills a slot is never looked into, so a text that
contains `{answer}` stays as it is.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

from taesan.errors import InputMissing, UsageError, escape

ANSWER = "answer"
SHIPPED = Path(__file__).parent / "templates"
_KEYS = {"name": "template", "language": "", "text": "", "nothing": "", "between": ", ", "separator": "\n\n"}


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked: what stands before the answer, and what after it, which masked models alone read.

    The first `shared` characters stand before other prompts too: a hint that may spare work.
    """

    before: str
    after: str = ""
    shared: int = 0


@dataclass(frozen=True, slots=True)
class Template:
    """`parts` are pieces of text and, at the odd places, names of slots.

    `nothing` is the answer that there is none, `between` stands between several, `separator` between shots.
    """

    name: str
    language: str
    parts: tuple[str, ...]
    nothing: str = ""
    between: str = ", "
    separator: str = "\n\n"

    @property
    def place(self) -> int:
        """Where in `parts` the answer belongs."""
        return 1 + 2 * self.parts[1::2].index(ANSWER)

    def prompt(self, slots: Mapping[str, str], shots: str = "") -> Prompt:
        """The question, after `shots` as they are written out."""
        place = self.place
        before, after = (self._filled(part, slots) for part in (self.parts[:place], self.parts[place + 1 :]))
        return Prompt(shots + before, after, len(shots))

    def shot(self, slots: Mapping[str, str], answer: str) -> str:
        """The question with its answer, as an example for others."""
        prompt = self.prompt(slots)
        return prompt.before + answer + prompt.after + self.separator

    @property
    def source(self) -> str:
        """The text as a file has it."""
        literal = [part.replace("{", "{{").replace("}", "}}") for part in self.parts[::2]]
        slots = [f"{{{name}}}" for name in self.parts[1::2]]
        return "".join(a + b for a, b in zip(literal, [*slots, ""], strict=True))

    def toml(self, words: Mapping[str, str]) -> bytes:
        """The template and the labels' words as a file that `load` reads."""
        values = {key: getattr(self, key) for key in _KEYS if key != "text"} | {"text": self.source}
        lines = ["[[template]]", *(f"{key} = {_quoted(value)}" for key, value in values.items())]
        if words:
            lines += ["", "[[words]]", f"language = {_quoted(self.language)}", "", "[words.words]"]
            lines += [f"{_quoted(label)} = {_quoted(word)}" for label, word in words.items()]
        return ("\n".join(lines) + "\n").encode()

    def _filled(self, parts: tuple[str, ...], slots: Mapping[str, str]) -> str:
        # Literal text and slots alternate; a part of the parts begins with literal text too.
        return "".join(slots[part] if place % 2 else part for place, part in enumerate(parts))


@dataclass(frozen=True, slots=True)
class Templates:
    """What a file of templates holds; `words` by language."""

    templates: tuple[Template, ...]
    words: Mapping[str, Mapping[str, str]]


@cache
def shipped(task: str, slots: tuple[str, ...]) -> Templates:
    """Those that come along for a task."""
    path = SHIPPED / f"{task}.toml"
    return read(path.read_bytes(), path.name, slots)


def load(path: str | Path, slots: tuple[str, ...]) -> Templates:
    """A file of the user's own. Raises: InputMissing; UsageError saying what is wrong with it."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputMissing(f"the template file {path} cannot be read: {error.strerror}") from None
    return read(content, str(path), slots)


def read(content: bytes, name: str, slots: tuple[str, ...]) -> Templates:
    """Raises: UsageError."""
    try:
        file: dict[str, Any] = tomllib.loads(content.decode("utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{name} is not TOML: {error}") from None
    if unknown := sorted(set(file) - {"template", "words"}):
        raise UsageError(f"{name} has a table {escape(unknown[0])}; expected [[template]] and [[words]]")
    given = _tables(file, "template", name)
    if not given:
        raise UsageError(f"{name} has no [[template]]")
    templates = tuple(_template(entry, f"template {number} of {name}", slots) for number, entry in enumerate(given, 1))
    words: dict[str, dict[str, str]] = {}
    for entry in _tables(file, "words", name):
        own: Any = entry.get("words")
        language: Any = entry.get("language")
        table = cast("dict[str, Any]", own) if isinstance(own, dict) else {}
        good = (
            isinstance(language, str)
            and table
            and all(isinstance(word, str) and word.strip() for word in table.values())
        )
        if not good or set(entry) != {"language", "words"}:
            raise UsageError(f"[[words]] of {name}: expected a language and a table of words, a word a label")
        words.setdefault(language, {}).update(table)
    lonely = next((one for one in templates if words and one.language not in words), None)
    if lonely is not None:
        raise UsageError(
            f"the template {escape(lonely.name)} of {name} has the language {escape(lonely.language)!r}, and the words "
            f"are in {', '.join(map(escape, words))}"
        )
    return Templates(templates, words)


def label_words(
    labels: tuple[str, ...], template: Template, known: Templates, given: Mapping[str, str]
) -> dict[str, str]:
    """Each label's word: the one given, the known one in the template's language, or the label itself.

    Raises: UsageError for a word of no label, and for two labels with the same word.
    """
    if unknown := [label for label in given if label not in labels]:
        raise UsageError(f"--label-words names {escape(unknown[0])}; the labels are: {', '.join(map(escape, labels))}")
    words = {label: given.get(label) or known.words.get(template.language, {}).get(label, label) for label in labels}
    for label, word in words.items():
        twin = next((other for other in labels if other != label and words[other] == word), None)
        if twin is not None:
            raise UsageError(
                f"the labels {escape(label)} and {escape(twin)} have the same word, {escape(word)}; name others: "
                f"--label-words {escape(label)}=…,{escape(twin)}=…"
            )
    return words


def is_word(label: str) -> bool:
    """Whether a language model can know what a label means: 긍정 and IT과학, but not 0 or LABEL_1."""
    return any(character.isalpha() for character in label) and not label.upper().startswith("LABEL_")


def _tables(file: dict[str, Any], key: str, name: str) -> list[dict[str, Any]]:
    value: Any = file.get(key, [])
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in cast("list[Any]", value)):
        raise UsageError(f"{key} of {name} is no list of tables; expected [[{key}]]")
    return cast("list[dict[str, Any]]", value)


def _template(entry: dict[str, Any], place: str, slots: tuple[str, ...]) -> Template:
    if unknown := sorted(set(entry) - set(_KEYS)):
        raise UsageError(f"{place} has {escape(unknown[0])}; expected {', '.join(_KEYS)}")
    for key, value in entry.items():
        if not isinstance(value, str) or "\0" in value:
            raise UsageError(f"{key} of {place} is {escape(value)}; expected text")
    values: dict[str, str] = _KEYS | entry
    parts = _parts(values.pop("text"), place)
    found = parts[1::2]
    for name in found:
        if name not in (*slots, ANSWER):
            raise UsageError(
                f"{place} has a slot {{{escape(name)}}}; expected {', '.join(f'{{{s}}}' for s in (*slots, ANSWER))}. "
                "A brace is written twice: {{ }}."
            )
    for name in (*slots, ANSWER):
        if found.count(name) != 1:
            raise UsageError(f"{place} has {{{name}}} {found.count(name)} times; expected once")
    template = Template(parts=parts, **values)
    if not template.separator.strip(" "):
        raise UsageError(f'separator of {place} is blank; expected a line break or a mark, as "\\n\\n"')
    return template


def _parts(text: str, place: str) -> tuple[str, ...]:
    parts, index = [""], 0
    while index < len(text):
        character = text[index]
        if text[index : index + 2] in ("{{", "}}"):
            parts[-1] += character
            index += 2
        elif character == "{":
            end = text.find("}", index)
            if end < 0:
                raise UsageError(f"{place} has {{ without }}; a brace is written twice: {{{{")
            parts += [text[index + 1 : end], ""]
            index = end + 1
        elif character == "}":
            raise UsageError(f"{place} has }} without {{; a brace is written twice: }}}}")
        else:
            parts[-1] += character
            index += 1
    return tuple(parts)


def _quoted(text: str) -> str:
    """A TOML basic string. JSON's escapes are a part of TOML's, but for the delete character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def for_causal(template: Template, name: str) -> Template:
    """The same for a model that reads left to right. Raises: UsageError where something follows the answer."""
    if "".join(template.parts[template.place + 1 :]).strip():
        raise UsageError(
            f"the template {escape(template.name)} goes on after {{answer}}, which {escape(name)}, a causal model, "
            "cannot read; end it with {answer}"
        )
    return replace(template, parts=(*template.parts[: template.place + 1], ""))
