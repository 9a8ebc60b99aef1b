"""`taesan predict DIR TEXT...`: answers with probabilities."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from taesan.engine.infer import Predictor
from taesan.engine.load import open_predictor
from taesan.errors import DataError, Problem, escape
from taesan.tasks.base import Example, Prediction


def predict(
    model: str | Path | Predictor, texts: Iterable[str | Sequence[str]], *, device: str = "cpu"
) -> Iterator[Prediction]:
    """One prediction a text, in order, as they come; for `pair`, `texts` are (premise, hypothesis).

    `model` is a folder, or an opened one where many calls are to share it. Raises: DataError for a text that is
    empty or no text; InputMissing, StorageError.
    """
    predictor = model if isinstance(model, Predictor) else open_predictor(model, device=device)[0]
    wanted = sum(field.kind == "text" for field in predictor.task.fields)
    return predictor.predict(_example(text, number, wanted) for number, text in enumerate(texts, 1))


def _example(text: str | Sequence[str], number: int, wanted: int) -> Example:
    texts = (text,) if isinstance(text, str) else tuple(text)
    problem = None
    if len(texts) != wanted:
        problem = ("text-count", f"{len(texts)} texts", f"{wanted} for this task")
    elif any(not isinstance(one, str) for one in texts):
        problem = ("text-type", escape(texts), "text")
    elif any(not one.strip() for one in texts):
        problem = ("text-empty", "an empty text", "some characters")
    elif any("\ud800" <= character <= "\udfff" for one in texts for character in one):
        problem = ("text-surrogate", escape(texts[0]), "text that UTF-8 can write")
    if problem:
        code, found, expected = problem
        raise DataError([Problem(code, "input", number, found=found, expected=expected)])
    return Example(texts, line=number)
