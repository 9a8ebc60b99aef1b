"""A model folder as a predictor: by its ONNX graph where there is one, else by torch, which is imported only then."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taesan import store
from taesan.config import GenerationOptions
from taesan.engine.infer import Asked, Predictor
from taesan.engine.linear import open_linear
from taesan.engine.onnx_session import session_of
from taesan.errors import StorageError
from taesan.models.linear import FILES as LINEAR_FILES
from taesan.tasks import TASKS
from taesan.tasks.base import EncodeOptions, Learnt, Task
from taesan.tasks.classification import Classification
from taesan.tasks.cloze import read_cloze
from taesan.text.tokenizer import FILES as TOKENIZER_FILES
from taesan.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from taesan.engine.vocabulary import LanguageModel

DEVICE = "auto"  # the graph where there is one, else torch on the CPU
GRAPH_FOLDER = "onnx"
GRAPH_FILE = "model.onnx"


def open_predictor(
    path: str | Path, *, device: str = DEVICE, backbone: str | None = None, shared: dict[str, Any] | None = None
) -> tuple[Asked, dict[str, Any]]:
    """The predictor of a model folder, and its manifest.

    Named a device or a backbone, it is torch that answers, whether or not there is a graph. What adds to a backbone
    looks for it under `backbone`, where it was, and among the embedded ones. Folders that are opened with the same
    `shared`, a dict that starts empty, have their backbone in memory once.
    Raises: InputMissing, StorageError where it is no model for a task or does not verify, or the backbone is another;
    UsageError where onnxruntime is not installed.
    """
    if device not in (DEVICE, "cpu"):
        importlib.import_module("taesan.engine.process").check_device(device)
    folder = store.open_model(path)
    if LINEAR_FILES[1] in folder.names:
        return open_linear(folder)
    task = TASKS.get(folder.manifest.get("task", ""))
    by_graph = device == DEVICE and backbone is None and store.is_there(folder.path / GRAPH_FOLDER)
    if by_graph and task is not None:
        return _open_graph(folder, task, str(path))
    device = "cpu" if device == DEVICE else device
    return _on_torch().open_predictor(path, device=device, backbone=backbone, shared=shared)


def open_writer(name: str | Path, *, device: str = DEVICE, backbone: str | None = None) -> Asked:
    """A folder fitted for generation; or a causal backbone, which writes as if fitted on texts without prompts.

    Raises: UsageError for a masked backbone; InputMissing, StorageError.
    """
    if (Path(name) / store.MANIFEST).exists() and store.Folder(Path(name)).manifest.get("kind") == "model":
        return open_predictor(name, device=device, backbone=backbone)[0]
    return _on_torch().open_backbone(str(name), device="cpu" if device == DEVICE else device)


def open_language_model(
    name: str, *, device: str = DEVICE, shared: dict[str, Any] | None = None
) -> "tuple[LanguageModel, Asked | None]":
    """A backbone as it knows words, and where it is causal, as it writes. `shared`: as for `open_predictor`.

    Raises: InputMissing, StorageError.
    """
    return _on_torch().open_language_model(name, device="cpu" if device == DEVICE else device, shared=shared)


def _on_torch() -> Any:
    return importlib.import_module("taesan.engine.torch_load")


def _open_graph(folder: store.Folder, task: Task, name: str) -> tuple[Asked, dict[str, Any]]:
    graph, manifest = store.Folder(folder.path / GRAPH_FOLDER), folder.manifest
    if graph.manifest.get("model") != folder.sha256:
        raise StorageError(
            f"{name}/{GRAPH_FOLDER} is the graph of another model. Type taesan export {name} --format onnx again, "
            f"or remove {name}/{GRAPH_FOLDER}."
        )
    learnt = Learnt(tuple(manifest["labels"]), manifest.get("counts", {}))
    if "template.toml" in folder.names and isinstance(task, Classification):
        task = read_cloze(task, folder.read("template.toml"), learnt, masked=graph.manifest["masked"])
    tokenizer = Tokenizer.from_bytes({name: graph.read(name) for name in TOKENIZER_FILES}, name)
    with graph.open(GRAPH_FILE) as file:
        predictor = Predictor(
            task,
            session_of(f"/dev/fd/{file.fileno()}", task.head),
            tokenizer,
            learnt,
            EncodeOptions(**manifest["encode"]),
        )
    predictor.generation = GenerationOptions() if task.head == "language_model" else None
    return predictor, manifest | {"graph": graph.sha256}
