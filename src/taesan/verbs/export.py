"""`taesan export DIR --format onnx`, or `--format hf --output FOLDER`: a model for other libraries."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from transformers import PreTrainedModel

from taesan import store
from taesan.engine.torch_load import open_adapted, open_predictor
from taesan.errors import OutputError, UsageError, escape
from taesan.methods import BASELINES, METHODS
from taesan.methods.base import Adapter
from taesan.methods.lora import merge
from taesan.models.adapters import FILES as ADAPTER_FILES
from taesan.models.backbone import config_bytes, labelled_config, model_arrays
from taesan.progress import Progress
from taesan.text.tokenizer import Tokenizer
from taesan.verbs.graph import export_graph
from taesan.verbs.reading import Source

FORMATS = ("onnx", "hf", "peft")
FULL = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


def export(
    model: str | Path,
    *,
    format: str,
    output: str | Path | None = None,
    int8: bool = False,
    validation: str | Path | None = None,
    encoding: str = "utf-8",
    columns: Mapping[str, str] | None = None,
    backbone: str | None = None,
    overwrite: bool = False,
    quiet: bool = True,
) -> Path:
    """The folder which was made: `output`, or, of a graph, `onnx` in the model's own, where `predict` finds it.

    `onnx`: one graph, held against the model on the rows of `validation`, else on samples; with `int8` its matrices are
    in 8 bits, and it is written only where it answers these rows, labelled and unseen, as the model does.
    `hf`: the whole model for transformers; LoRA's products are added to the matrices. `peft`: the adapter, and in
    `backbone/` beside it what it adds to, so that PEFT opens it.
    Raises: UsageError for a format that the model does not go into, or a graph that does not agree with it; DataError,
    InputMissing, OutputError, StorageError.
    """
    if format not in FORMATS:
        raise UsageError(f"format is {escape(format)}; expected one of {', '.join(FORMATS)}")
    folder = store.open_model(model)
    if (name := folder.manifest.get("method")) in BASELINES:
        raise UsageError(
            f"{model} is by {name}, which other libraries do not have. It answers without torch as it is: "
            f"taesan predict {model} …"
        )
    if format == "onnx":
        if output is not None:
            raise UsageError(f"a graph lies in the model's own folder, {model}/onnx; leave --output out")
        source, say = Source(encoding, columns or {}), Progress("", enabled=not quiet).say
        return export_graph(model, int8=int8, validation=validation, source=source, backbone=backbone, say=say)
    if int8 or validation is not None:
        raise UsageError("--int8 and --validation are for --format onnx")
    if output is None:
        raise UsageError(f"--format {format} makes a folder of its own: name it, --output FOLDER")
    method, out = METHODS.get(name or ""), Path(output)
    if folder.manifest.get("kind") != "model" or method is None:
        open_predictor(model)  # says why it is none
        raise UsageError(f"{model} is no model for a task")
    if format == "peft":
        files = _peft(model, out, backbone)
    elif isinstance(method, Adapter):
        files = _merged(model, backbone)
    elif method.trains:
        contents = folder.read_all()
        files = {name: contents[name] for name in FULL} | {"README.md": contents["README.md"]}
    else:
        raise UsageError(f"{model} is {method.name}: it has no weights to export. It answers with its backbone alone.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not overwrite:
            raise OutputError(f"{out} is not empty. Replace it by --overwrite, or choose another --output.")
        if not (out / store.MANIFEST).exists():
            raise OutputError(f"{out} was not made by taesan, so --overwrite leaves it alone. Choose another --output.")
    with store.Lock(out):
        store.recover(out)
        store.save_folder(out, files, {"kind": "export", "format": format, "task": folder.manifest["task"]})
    return out


def _merged(model: str | Path, backbone: str | None) -> dict[str, store.Content]:
    adapted, base, folder = open_adapted(model, backbone=backbone)
    if folder.manifest["method"] != "lora":
        raise UsageError(
            f"{model} is by {folder.manifest['method']}: virtual tokens are no part of the weights, so transformers "
            "alone cannot open them. Type --format peft."
        )
    merge(cast(PreTrainedModel, adapted.encoder.get_submodule("backbone")))
    with adapted.whole() as whole:
        whole.config.architectures = [type(whole).__name__]
        config, weights = config_bytes(whole), model_arrays(whole)
    return {
        "config.json": config,
        "model.safetensors": store.tensor_chunks(weights, {"format": "pt"}),
        **_tokenizer(base.backbone.tokenizer_files, folder.manifest, token_types=base.backbone.token_types),
        "README.md": folder.read("README.md"),
    }


def _peft(model: str | Path, out: Path, backbone: str | None) -> dict[str, store.Content]:
    adapted, base, folder = open_adapted(model, backbone=backbone)
    config: dict[str, Any] = json.loads(folder.read(ADAPTER_FILES[0]))
    config["base_model_name_or_path"] = str((out / "backbone").resolve())  # as PEFT itself writes it
    own = labelled_config(base.backbone, tuple((adapted.head.model.config.id2label or {}).values()))
    language_model = base.model("language_model")
    language_model.config = own
    own.architectures = [type(language_model).__name__]
    return {
        ADAPTER_FILES[0]: (json.dumps(config, indent=2, sort_keys=True) + "\n").encode(),
        ADAPTER_FILES[1]: folder.read(ADAPTER_FILES[1]),
        "README.md": folder.read("README.md"),
        "backbone/config.json": config_bytes(language_model),
        "backbone/model.safetensors": store.tensor_chunks(model_arrays(language_model), {"format": "pt"}),
        **{
            f"backbone/{name}": content
            for name, content in _tokenizer(
                base.backbone.tokenizer_files, folder.manifest, token_types=base.backbone.token_types
            ).items()
        },
    }


def _tokenizer(files: dict[str, bytes], manifest: dict[str, Any], *, token_types: bool) -> dict[str, bytes]:
    own = Tokenizer.from_bytes(files, "the backbone")
    return own.files(max_length=manifest["encode"]["max_length"], token_types=token_types)
