"""A model folder as a predictor: verified, rebuilt, ready to answer."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.numpy import load as load_tensors
from transformers import AutoConfig

from taesan import store
from taesan.config import GenerationOptions
from taesan.engine.infer import Predictor
from taesan.engine.session import TorchSession
from taesan.errors import StorageError, escape
from taesan.methods import METHODS, refuse_combination
from taesan.methods.base import adapt
from taesan.models.backbone import find, load_arrays, model_class
from taesan.tasks import TASKS
from taesan.tasks.base import EncodeOptions, Learnt
from taesan.text.tokenizer import Tokenizer


def open_predictor(path: str | Path, *, device: str = "cpu") -> tuple[Predictor, dict[str, Any]]:
    """The predictor of a model folder, and its manifest.

    Raises: InputMissing, StorageError where it is no model for a task or does not verify.
    """
    folder = store.open_model(path)
    manifest = folder.manifest
    task, method = TASKS.get(manifest.get("task", "")), METHODS.get(manifest.get("method", ""))
    if task is None or method is None:
        kind = manifest.get("kind")
        raise StorageError(
            f"{path} is a {escape(kind)}, not a model for a task. Fit one: taesan fit TASK TRAIN --backbone {path}"
            if kind == "backbone"
            else f"{path} is for the task {escape(manifest.get('task'))} by {escape(manifest.get('method'))}, "
            "which this taesan does not know. Upgrade taesan."
        )
    contents = folder.read_all()
    config = json.loads(contents["config.json"])
    if config.get("model_type") not in transformers.CONFIG_MAPPING:
        raise StorageError(f"{path} is of type {escape(config.get('model_type'))}, which transformers does not have")
    # A language model that answers for a task is a causal one: no other is let through.
    kind = model_class(task.head, "causal")
    model = kind.from_config(AutoConfig.for_model(**config), trust_remote_code=False)
    load_arrays(model, load_tensors(contents["model.safetensors"]))
    predictor = Predictor(
        task,
        TorchSession(adapt(method, model).to(torch.device(device)), device),
        Tokenizer.from_bytes(contents, str(path)),
        Learnt(tuple(manifest["labels"]), manifest.get("counts", {})),
        EncodeOptions(**manifest["encode"]),
    )
    if task.head == "language_model":
        predictor.generation = GenerationOptions()
    return predictor, manifest


def open_writer(name: str | Path, *, device: str = "cpu") -> Predictor:
    """A folder fitted for generation; or a causal backbone, which writes as if fitted on texts without prompts.

    Raises: UsageError for a masked backbone; InputMissing, StorageError.
    """
    if (Path(name) / store.MANIFEST).exists() and store.Folder(Path(name)).manifest.get("kind") == "model":
        return open_predictor(name, device=device)[0]
    backbone, task, method = find(str(name)), TASKS["generation"], METHODS["finetune"]
    refuse_combination(task, method, str(name), backbone.kind)
    if (backbone.path / store.MANIFEST).exists():
        store.Folder(backbone.path).read_all()
    model = adapt(method, backbone.load(task.head)).to(torch.device(device))
    options = EncodeOptions(max_length=backbone.max_length)
    session = TorchSession(model, device)
    return Predictor(task, session, backbone.tokenizer, Learnt((), {"prompted": False}), options)
