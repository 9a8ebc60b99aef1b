"""A model folder as a predictor on torch: verified, rebuilt, ready to answer."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.numpy import load as load_tensors
from transformers import AutoConfig

from taesan import store
from taesan.config import GenerationOptions
from taesan.engine.asking import read_asking
from taesan.engine.infer import Asked, Predictor
from taesan.engine.process import check_device
from taesan.engine.score import local_scorer
from taesan.engine.scoring import TextPredictor
from taesan.engine.session import TorchSession
from taesan.engine.vocabulary import LanguageModel
from taesan.errors import StorageError, UsageError, escape
from taesan.methods import METHODS, refuse_combination
from taesan.methods.base import Adapted, Adapter, Additions, Method, adapt
from taesan.models.adapters import FILES as ADAPTER_FILES
from taesan.models.adapters import load_head, read_arrays
from taesan.models.backbone import Backbone, find, load_arrays, model_class, seek
from taesan.models.shared import SharedBackbone
from taesan.tasks import TASKS
from taesan.tasks.base import EncodeOptions, Learnt, Task
from taesan.tasks.classification import Classification
from taesan.tasks.cloze import Cloze, read_cloze
from taesan.text.tokenizer import Tokenizer

SharedBackbones = dict[str, SharedBackbone]  # by SHA-256: adapters that are opened with the same one share it


def open_predictor(
    path: str | Path,
    *,
    device: str = "cpu",
    backbone: str | None = None,
    shared: SharedBackbones | None = None,
) -> tuple[Asked, dict[str, Any]]:
    """As `engine.load.open_predictor`, on torch whether or not there is a graph."""
    check_device(device)
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
    learnt = Learnt(tuple(manifest["labels"]), manifest.get("counts", {}))
    options = EncodeOptions(**manifest["encode"])
    if method.trains and not isinstance(method, Adapter):
        tokenizer = Tokenizer.from_bytes(contents, str(path))
        adapted = _whole(task, method, contents, str(path)).to(torch.device(device))
    else:
        base = _shared(manifest, backbone, {} if shared is None else shared)
        tokenizer = base.backbone.tokenizer
        if not method.trains:
            asking = read_asking(contents, task, learnt.labels, str(path))
            model = adapt(method, base.model("language_model")).to(torch.device(device))
            masked = base.backbone.kind == "masked"
            scorer = local_scorer(model, tokenizer, masked=masked, max_length=options.max_length)
            answers = TextPredictor(task, scorer, tokenizer, learnt, options, asking)
            answers.generation = GenerationOptions() if task.head == "language_model" else None
            return answers, manifest
        if "template.toml" in contents and isinstance(task, Classification):
            task = read_cloze(task, contents["template.toml"], learnt, masked=base.backbone.kind == "masked")
        adapted = _adapter(task, method, base, manifest, contents, learnt, str(path)).to(torch.device(device))
    predictor = Predictor(task, TorchSession(adapted, device), tokenizer, learnt, options)
    predictor.generation = GenerationOptions() if task.head == "language_model" else None
    return predictor, manifest


def open_adapted(path: str | Path, *, backbone: str | None = None) -> tuple[Adapted, SharedBackbone, store.Folder]:
    """The model of an adapter's folder, its backbone, and the folder. Raises: UsageError where it is no adapter."""
    shared: SharedBackbones = {}
    folder = store.open_model(path)
    predictor, manifest = open_predictor(path, backbone=backbone, shared=shared)
    if not isinstance(METHODS[manifest["method"]], Adapter) or not isinstance(predictor, Predictor):
        raise UsageError(f"{path} is by {manifest['method']}, which adds nothing to a backbone")
    session = predictor.session
    assert isinstance(session, TorchSession)
    (base,) = shared.values()
    return session.model, base, folder


def _whole(task: Task, method: Method, contents: Mapping[str, bytes], name: str) -> Adapted:
    config = json.loads(contents["config.json"])
    if config.get("model_type") not in transformers.CONFIG_MAPPING:
        raise StorageError(f"{name} is of type {escape(config.get('model_type'))}, which transformers does not have")
    # A language model that answers for a task is a causal one: no other is let through.
    kind = model_class(task.head, "causal")
    model = kind.from_config(AutoConfig.for_model(**config), trust_remote_code=False)
    load_arrays(model, load_tensors(contents["model.safetensors"]))
    return adapt(method, model)


def _shared(manifest: Mapping[str, Any], name: str | None, shared: SharedBackbones) -> SharedBackbone:
    record = manifest["backbone"]
    if record["sha256"] not in shared or name is not None:
        shared[record["sha256"]] = _verified(seek(record, name=name))
    return shared[record["sha256"]]


def _verified(base: Backbone) -> SharedBackbone:
    if (base.path / store.MANIFEST).exists():
        store.Folder(base.path).read_all()
    return SharedBackbone(base)


def _adapter(
    task: Task,
    method: Method,
    base: SharedBackbone,
    manifest: Mapping[str, Any],
    contents: Mapping[str, bytes],
    learnt: Learnt,
    name: str,
) -> Adapted:
    tokenizer, config = base.backbone.tokenizer, manifest["config"]
    additions = Additions(
        virtual_tokens=config["virtual_tokens"], rank=config["rank"], alpha=config["alpha"], seed=config["seed"]
    )
    choices, mask_id = (), None
    if isinstance(task, Cloze):
        choices, mask_id = task.choices(tokenizer), task.mask_id(tokenizer)
    model = base.model(task.head, task.outputs(learnt))
    adapted = adapt(method, model, additions, choices=choices, mask_id=mask_id)
    assert isinstance(method, Adapter)
    arrays = read_arrays(contents[ADAPTER_FILES[1]], f"{name}/{ADAPTER_FILES[1]}")
    try:
        method.load(adapted.encoder, adapted.head.prefix, arrays)
        load_head(adapted.head, method.peft_config(adapted.encoder, additions), arrays)
    except (KeyError, ValueError, RuntimeError) as error:
        raise StorageError(f"{name} does not fit its backbone: {escape(error)}. Make it again.") from None
    return adapted


def open_backbone(name: str, *, device: str = "cpu") -> Asked:
    """A causal backbone, which writes as if fitted on texts without prompts.

    Raises: UsageError for a masked backbone; InputMissing, StorageError.
    """
    base = find(name)
    refuse_combination(TASKS["generation"], METHODS["finetune"], name, base.kind)
    return _writer(_verified(base), device)


def open_language_model(
    name: str, *, device: str = "cpu", shared: SharedBackbones | None = None
) -> tuple[LanguageModel, Asked | None]:
    """A backbone as it knows words, and where it is causal, as it writes. Raises: InputMissing, StorageError."""
    check_device(device)
    base, shared = find(name), {} if shared is None else shared
    if base.sha256 not in shared:
        shared[base.sha256] = _verified(base)
    own = shared[base.sha256]
    model = LanguageModel(name, base.kind, device=device, base=own)
    return model, _writer(own, device) if base.kind == "causal" else None


def _writer(base: SharedBackbone, device: str) -> Asked:
    task, backbone = TASKS["generation"], base.backbone
    model = adapt(METHODS["finetune"], base.model(task.head)).to(torch.device(device))
    options = EncodeOptions(max_length=backbone.max_length)
    learnt = Learnt((), {"prompted": False})
    return Predictor(task, TorchSession(model, device), backbone.tokenizer, learnt, options)
