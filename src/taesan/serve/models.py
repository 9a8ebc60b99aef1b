"""What is served: model folders and backbones, opened, with what there is to say about each."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import taesan
from taesan import store
from taesan.config import ServeLimits
from taesan.engine.infer import Asked, Predictor
from taesan.engine.linear import LinearPredictor
from taesan.engine.load import DEVICE, open_language_model, open_predictor
from taesan.errors import UsageError, escape
from taesan.models.locate import EMBEDDED_PREFIX, locate
from taesan.serve.worker import Worker

if TYPE_CHECKING:
    from taesan.engine.vocabulary import LanguageModel

MAX_NAME = 100  # characters


@dataclass(frozen=True)
class Served:
    """A model that is served under `name`. `asked` answers for a task or writes, `language_model` knows next words."""

    name: str
    description: Mapping[str, Any]
    worker: Worker
    inputs: tuple[str, ...] = ()
    asked: Asked | None = None
    language_model: "LanguageModel | None" = None

    @property
    def task(self) -> str:
        return self.description["task"]

    def say(self, text: str, top: int) -> dict[str, Any]:
        """The likeliest pieces of the vocabulary, next or in every blank."""
        verbs = {"next": taesan.next_words, "fill": taesan.fill}
        return verbs[self.task](self.language_model, text, top=top).as_dict()

    @property
    def writes(self) -> bool:
        return self.asked is not None and self.asked.task.head == "language_model"


def open_models(
    given: Sequence[str], *, device: str = DEVICE, queue_items: int = ServeLimits.queue_items
) -> dict[str, Served]:
    """Each of `DIR`, `NAME=DIR`, or a backbone's name, by the name that it is served under.

    Adapters over one backbone have it in memory once. Raises: UsageError for a name that is taken or cannot stand in an
    address; InputMissing, StorageError.
    """
    found: dict[str, Served] = {}
    shared: dict[str, Any] = {}
    for one in given:
        name, path = _named(one)
        if name in found:
            raise UsageError(f"two models would be served as {escape(name)}. Name them: taesan serve A=DIR B=DIR")
        found[name] = _open(name, path, device, shared, queue_items)
    return found


def _named(given: str) -> tuple[str, str]:
    name, separator, path = given.partition("=")
    if not separator or Path(given).exists():
        path = given
        name = given.removeprefix(EMBEDDED_PREFIX) if given.startswith(EMBEDDED_PREFIX) else Path(given).resolve().name
    bad = [character for character in name if character == "/" or unicodedata.category(character)[0] in "CZ"]
    if not name or bad or len(name) > MAX_NAME:
        raise UsageError(
            f"{escape(given)} cannot be served as '{escape(name)}': expected up to {MAX_NAME} characters, "
            "no space and no slash. Name it: taesan serve NAME=DIR"
        )
    return name, path


def _open(name: str, path: str, device: str, shared: dict[str, Any], queue_items: int) -> Served:
    if _is_backbone(path):
        return _open_backbone(name, path, device, shared, queue_items)
    asked, manifest = open_predictor(path, device=device, shared=shared)
    inputs = tuple(field.name for field in asked.task.fields if field.kind == "text")
    return Served(
        name, _describe(name, asked, manifest, inputs), Worker(asked.predict, queue_items=queue_items), inputs, asked
    )


def _is_backbone(path: str) -> bool:
    """Whether it is a name, a folder of transformers, or one of ours that was pretrained."""
    folder = Path(path)
    if not folder.exists() or ((folder / "config.json").exists() and not (folder / store.MANIFEST).exists()):
        return True
    return store.open_model(folder).manifest.get("kind") == "backbone"


def _open_backbone(name: str, path: str, device: str, shared: dict[str, Any], queue_items: int) -> Served:
    model, asked = open_language_model(path, device=device, shared=shared)
    backbone, causal = model.backbone, asked is not None
    description = _identity(name) | {
        "task": "next" if causal else "fill",
        "method": "backbone",
        "labels": [],
        "backbone": {"name": _shown(path), "sha256": backbone.sha256},
        "parameters": model.parameters,
        "trained_parameters": 0,
        "folder_bytes": sum(file.stat().st_size for file in locate(path).iterdir() if file.is_file()),
        "max_length": backbone.max_length,
        "session": "torch",
        "inputs": [{"name": "text"}],
    }
    return Served(name, description, Worker(queue_items=queue_items), ("text",), asked, model)


def _describe(name: str, asked: Asked, manifest: Mapping[str, Any], inputs: Sequence[str]) -> dict[str, Any]:
    backbone = manifest["backbone"]
    asking = manifest.get("asking") or {}
    return _identity(name) | {
        "task": manifest["task"],
        "method": manifest["method"],
        "labels": manifest["labels"],
        "backbone": backbone and {"name": _shown(backbone["name"]), "sha256": backbone["sha256"]},
        "parameters": manifest["parameters"],
        "trained_parameters": manifest["trained_parameters"],
        "folder_bytes": sum(record["bytes"] for record in manifest["files"].values()),
        "rows": manifest["rows"],
        "shots": asking.get("shots", 0),
        "scores": manifest["scores"],
        "max_length": asked.options.max_length,
        "session": _session(asked),
        "inputs": [{"name": one} for one in inputs],
    }


def _identity(name: str) -> dict[str, Any]:
    """What clients of OpenAI's API look for."""
    return {"name": name, "id": name, "object": "model", "created": 0, "owned_by": "taesan"}


def _session(asked: Asked) -> str:
    if isinstance(asked, LinearPredictor):
        return "linear"
    return "onnx" if isinstance(asked, Predictor) and type(asked.session).__name__.startswith("Onnx") else "torch"


def _shown(backbone: str) -> str:
    """A backbone's name; of a folder no more than its last part, as where it lies is nobody's business."""
    return backbone if backbone.startswith(EMBEDDED_PREFIX) or not Path(backbone).is_absolute() else Path(backbone).name
