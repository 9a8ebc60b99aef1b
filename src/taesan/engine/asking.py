"""How a task is asked in context, on disk: `template.toml`, `shots.jsonl`, `calibration.json`. No torch here."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from taesan.data import Answer, Span
from taesan.engine.scoring import Asking
from taesan.errors import StorageError, UsageError
from taesan.tasks.base import Example, Task
from taesan.tasks.templates import label_words, read

FILES = ("template.toml", "shots.jsonl", "calibration.json")


def read_asking(contents: Mapping[str, bytes], task: Task, labels: tuple[str, ...], name: str) -> Asking:
    """What `fit` stored. Raises: StorageError."""
    try:
        given = read(contents[FILES[0]], FILES[0], task.slots)
        shots = tuple(_example(json.loads(line)) for line in contents[FILES[1]].splitlines())
        calibration = json.loads(contents[FILES[2]])
        (template,) = given.templates
        return Asking(
            template,
            label_words(labels, template, given, {}),
            shots,
            int(calibration["similar"]),
            bool(calibration["normalized"]),
            tuple(map(float, calibration["offsets"])),
        )
    except (UsageError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{name} cannot be asked: {error}. Make it again.") from None


def asking_files(asking: Asking, calibration: str) -> dict[str, bytes]:
    """An `Asking` as a model folder holds it."""
    judged = {
        "calibration": calibration,
        "normalized": asking.normalized,
        "similar": asking.similar,
        "offsets": [float(value) for value in asking.offsets],
    }
    lines = [json.dumps(_as_dict(shot), ensure_ascii=False) + "\n" for shot in asking.shots]
    return {
        FILES[0]: asking.template.toml(asking.words),
        FILES[1]: "".join(lines).encode(),
        FILES[2]: (json.dumps(judged, ensure_ascii=False, indent=1) + "\n").encode(),
    }


def _as_dict(example: Example) -> dict[str, Any]:
    label = example.label
    if isinstance(label, tuple):
        parts = cast("tuple[Span | Answer, ...]", label)
        label = [[type(part).__name__, asdict(part)] for part in parts]
    return {"texts": list(example.texts), "label": label}


def _example(content: dict[str, Any]) -> Example:
    label: Any = content["label"]
    if isinstance(label, list):
        kinds = {"Span": Span, "Answer": Answer}
        label = tuple(kinds[name](**values) for name, values in cast("list[tuple[str, dict[str, Any]]]", label))
    return Example(tuple(content["texts"]), label)
