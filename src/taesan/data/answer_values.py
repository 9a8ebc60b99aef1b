"""What stands under `answers`, in any of the forms that people write, as answers that are where they say."""

from collections.abc import Iterator, Mapping
from typing import cast

from taesan.data.characters import find_oddities, is_blank
from taesan.data.documents import Place
from taesan.data.jsonl import Integer, describe
from taesan.data.offsets import Offsets, where
from taesan.data.report import Report
from taesan.data.schema import Answer
from taesan.errors import Problem, escape

_MAX_DIGITS = 15
_ANSWER = '{"text": "…", "answer_start": 0}'

Found = tuple[Place, object, object]  # where an answer is in the file, its text, its start


class AnswerValues:
    """Checks the answers of one file."""

    def __init__(self, file: str, report: Report):
        self._file, self._report = file, report
        self._offsets = Offsets(file, "answers", report)

    def accept(
        self, value: object, impossible: object, place: Place, context: str | None, places: Mapping[int, Place]
    ) -> tuple[Answer, ...] | None:
        """The answers, none for a question that has none, or nothing after their errors were reported.

        `places` are those of the objects in `value`, by their `id()`; another stands at `place`, the question's.
        """
        if not isinstance(impossible, bool):
            fix = "Write true or false, without quotes."
            self._problem("json-type", place, "is_impossible", describe(impossible), "true or false", fix)
        listed = self._listed(value, place, context, places)
        if listed is None:
            return None
        if impossible is True and listed:
            count, fix = f"{len(listed):,} answers beside is_impossible true", "Delete the answers, or write false."
            self._problem("answers-impossible", place, "answers", count, "[] where a question has no answer", fix)
        elif impossible is False and not listed:
            fix = 'Write "is_impossible": true where the context holds no answer; else write the answer.'
            self._problem("answers-none", place, "answers", "no answer", "an answer, or is_impossible true", fix)
        answers = [self._answer(text, start, context, at) for at, text, start in listed]
        good = isinstance(impossible, bool) and bool(listed) != impossible
        return tuple(one for one in answers if one is not None) if good and None not in answers else None

    def finish(self) -> None:
        """Says what only the whole file shows."""
        self._offsets.finish()

    def _listed(
        self, value: object, place: Place, context: str | None, places: Mapping[int, Place]
    ) -> list[Found] | None:
        """The answers of a list of objects, or of an object of two lists, which is how `datasets` writes them."""
        if isinstance(value, list):
            items = list(self._items(cast(list[object], value), place, context, places))
            return None if None in items else cast(list[Found], items)
        if type(value) is str:
            return self._without_start(value, place, context)
        if isinstance(value, dict):
            return self._zipped(cast(dict[str, object], value), place, context)
        fix = "Write the answers, or [] with is_impossible true."
        return self._problem("json-type", place, "answers", describe(value), f"a list: [{_ANSWER}]", fix)

    def _zipped(self, lists: dict[str, object], place: Place, context: str | None) -> list[Found] | None:
        for name in ("text", "answer_start"):
            if name in lists and not isinstance(lists[name], list):
                fix = f"Write the answers as [{_ANSWER}]."
                return self._problem("json-type", place, f"answers.{name}", describe(lists[name]), "a list", fix)
        texts = cast(list[object], lists.get("text", []))
        starts = cast(list[object], lists.get("answer_start", []))
        if texts and "answer_start" not in lists:
            return self._without_start(texts[0], place, context)
        if "text" not in lists or "answer_start" not in lists:
            return self._missing(lists, place)
        if len(texts) != len(starts):
            shown, fix = f"{len(texts):,} texts and {len(starts):,} starts", "Write a start for each text."
            return self._problem("answers-unequal", place, "answers", shown, "as many of both", fix)
        return [(place, text, start) for text, start in zip(texts, starts, strict=True)]

    def _items(
        self, values: list[object], place: Place, context: str | None, places: Mapping[int, Place]
    ) -> Iterator[Found | None]:
        for value in values:
            at = places.get(id(value), place)
            if not isinstance(value, dict):
                yield self._without_start(value, at, context)
                continue
            answer = cast(dict[str, object], value)
            if "text" not in answer:
                yield self._missing(answer, at)
            elif "answer_start" not in answer:
                yield self._without_start(answer["text"], at, context)
            else:
                yield at, answer["text"], answer["answer_start"]

    def _missing(self, answer: dict[str, object], place: Place) -> None:
        keys = ", ".join(f"'{escape(key, 30)}'" for key in list(answer)[:10]) or "none"
        fix, expected = f"Write {_ANSWER}.", "'text' and 'answer_start'"
        self._problem("key-missing", place, "answers", f"the keys {keys}", expected, fix)

    def _without_start(self, text: object, place: Place, context: str | None) -> None:
        """Nothing is guessed: even an answer that occurs once is found by its author."""
        if type(text) is not str:
            return self._problem("json-type", place, "answers", describe(text), _ANSWER, f"Write {_ANSWER}.")
        fix = where(context, text) if context and text else f"Write {_ANSWER}."
        return self._problem("answer-start-missing", place, "answers", f"'{escape(text, 40)}'", _ANSWER, fix)

    def _answer(self, text: object, start: object, context: str | None, place: Place) -> Answer | None:
        if type(text) is not str:
            fix = "Write the text in quotes, as it is in the context."
            return self._problem("json-type", place, "answers.text", describe(text), "a string", fix)
        if is_blank(text):
            fix = "Write the answer, or [] with is_impossible true where there is none."
            return self._problem("answer-empty", place, "answers.text", f"'{escape(text, 20)}'", "text", fix)
        if type(start) is not Integer:
            shown = f'a string, "{escape(start, 20)}"' if type(start) is str else describe(start)
            fix = "Write it as a whole number, without quotes and point."
            return self._problem("json-type", place, "answers.answer_start", shown, "a whole number", fix)
        if len(start) > _MAX_DIGITS or start.startswith("-"):
            expected, fix = "0 or more", "Write where the answer begins in the context, from 0."
            return self._problem("answer-outside", place, "answers.answer_start", escape(start, 20), expected, fix)
        if any(oddity.code == "text-zero-width" for oddity, _ in find_oddities(text)):
            shown, fix = f"'{escape(text, 40)}'", "Delete them from context and answers, and lower the starts behind."
            return self._problem("answer-invisible", place, "answers.text", shown, "no invisible characters", fix)
        if context is None or not self._offsets.check(context, text, int(start), place):
            return None
        if text != text.strip():
            shown = f"outer white space: '{escape(text, 40)}'"
            self._report.add(
                Problem("answer-spaces", self._file, *place, "answers.text", shown, "the words alone", "", "warning")
            )
        return Answer(text, int(start))

    def _problem(self, code: str, place: Place, field: str, found: str, expected: str, fix: str) -> None:
        self._report.add(Problem(code, self._file, *place, field, found, expected, fix))
