"""Backbones: a folder, a hub name or an embedded one, opened with the model classes of transformers."""

import contextlib
import hashlib
import json
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from safetensors import SafetensorError
from tokenizers import Tokenizer as Backend
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel

from taesan.errors import InputMissing, StorageError, UsageError, escape
from taesan.models.locate import EMBEDDED_FOLDER, EMBEDDED_PREFIX, locate
from taesan.text.tokenizer import FILES as TOKENIZER_FILES
from taesan.text.tokenizer import SPECIAL_NAMES, Tokenizer

HeadKind = Literal["sequence", "token", "span", "language_model", "choice"]
HEAD_CLASSES = {
    "sequence": transformers.AutoModelForSequenceClassification,
    "token": transformers.AutoModelForTokenClassification,
    "span": transformers.AutoModelForQuestionAnswering,
}
_LANGUAGE_MODELS = {"masked": transformers.AutoModelForMaskedLM, "causal": transformers.AutoModelForCausalLM}
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
logging.getLogger("accelerate").setLevel(logging.ERROR)


def model_class(head: HeadKind, kind: str) -> Any:
    """The class of transformers that has this head on a backbone that is `masked` or `causal`."""
    return _LANGUAGE_MODELS[kind] if head in ("language_model", "choice") else HEAD_CLASSES[head]


@dataclass(frozen=True)
class Backbone:
    """A pretrained language model on disk. `name` is what the user called it."""

    name: str
    path: Path

    @cached_property
    def config(self) -> Any:
        """Raises: StorageError for a config that transformers does not know or that would run its own code."""
        try:
            content = json.loads((self.path / "config.json").read_bytes())
        except FileNotFoundError:
            raise InputMissing(
                f"{self.path} has no config.json; expected a folder that transformers can open"
            ) from None
        except (ValueError, RecursionError) as error:
            raise StorageError(f"{self.path / 'config.json'} is not JSON: {error}") from None
        kind = content.get("model_type") if isinstance(content, dict) else None
        if kind not in transformers.CONFIG_MAPPING:
            raise StorageError(
                f"the backbone {self.name} is of type {escape(kind)}, which transformers {transformers.__version__} "
                "does not have. Code inside a model folder is never run; choose a backbone of a known type."
            )
        try:
            return AutoConfig.from_pretrained(self.path, trust_remote_code=False)
        except Exception as error:  # whatever a stranger's config makes transformers say
            raise StorageError(f"the config of {self.name} cannot be read: {error}") from None

    @cached_property
    def kind(self) -> Literal["masked", "causal"]:
        architectures = " ".join(self.config.architectures or [])
        if "MaskedLM" in architectures or "PreTraining" in architectures:
            return "masked"
        if "CausalLM" in architectures or "LMHead" in architectures:
            return "causal"
        masked = type(self.config) in transformers.MODEL_FOR_MASKED_LM_MAPPING
        return "masked" if masked and not getattr(self.config, "is_decoder", False) else "causal"

    @cached_property
    def tokenizer_files(self) -> dict[str, bytes]:
        """`tokenizer.json` and `tokenizer_config.json`; an older vocabulary is converted by transformers."""
        contents = {name: (self.path / name).read_bytes() for name in TOKENIZER_FILES if (self.path / name).exists()}
        if TOKENIZER_FILES[0] not in contents:
            contents |= self._converted_tokenizer()
        return self._with_names(contents)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.from_bytes(self.tokenizer_files, self.name)

    @property
    def token_types(self) -> bool:
        """Whether the model tells a second text by its token type."""
        return getattr(self.config, "type_vocab_size", 0) > 1

    @cached_property
    def max_length(self) -> int:
        """Longest input in tokens."""
        positions = getattr(self.config, "max_position_embeddings", None) or 1 << 20
        if "roberta" in self.config.model_type:  # their positions count on from the padding token's id
            positions -= (self.config.pad_token_id or 0) + 1
        return min(positions, self.tokenizer.max_length or positions)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the weights file; of the shards one after another where there are several."""
        digest = hashlib.sha256()
        for path in self._weights():
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()

    @cached_property
    def tokenizer_sha256(self) -> str:
        return hashlib.sha256(self.tokenizer_files[TOKENIZER_FILES[0]]).hexdigest()

    @cached_property
    def config_sha256(self) -> str:
        return hashlib.sha256((self.path / "config.json").read_bytes()).hexdigest()

    @property
    def record(self) -> dict[str, Any]:
        """How a model folder remembers it."""
        place = (
            "" if self.name.startswith(EMBEDDED_PREFIX) or not Path(self.name).is_dir() else str(self.path.resolve())
        )
        return {"name": self.name, "path": place, "sha256": self.sha256, "config_sha256": self.config_sha256} | {
            "tokenizer_sha256": self.tokenizer_sha256
        }

    def load(
        self,
        head: HeadKind,
        *,
        labels: tuple[str, ...] = (),
        from_scratch: bool = False,
        seed: int = 0,
        whole: bool = False,
    ) -> PreTrainedModel:
        """The model with a head, float32, in training mode; the head (or everything) drawn from `seed`.

        Raises: StorageError where a tensor of the backbone itself is missing or of another shape; `whole`, UsageError
        where the head is not among the weights.
        """
        config = labelled_config(self, labels)
        the_class = model_class(head, self.kind)
        torch.manual_seed(seed)
        if from_scratch:
            return the_class.from_config(config, trust_remote_code=False).float()
        self._weights()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model, info = the_class.from_pretrained(
                    self.path,
                    config=config,
                    dtype=torch.float32,
                    use_safetensors=True,
                    trust_remote_code=False,
                    output_loading_info=True,
                )
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            raise StorageError(f"the backbone {self.name} cannot be loaded: {error}") from None
        own = [
            key
            for key in info["missing_keys"]
            if key.startswith(f"{model.base_model_prefix}.") and ".pooler." not in key
        ]
        if own or info.get("mismatched_keys"):
            raise StorageError(
                f"the weights of {self.name} are not whole: {escape(own[0] if own else info['mismatched_keys'][0])} "
                "is missing or of another shape. Copy the backbone again."
            )
        if whole and (new := [key for key in info["missing_keys"] if ".pooler." not in key]):
            raise UsageError(
                f"{escape(self.name)} has no head of a language model ({escape(new[0])} is missing), so that there are "
                "no words to ask for; take --method finetune or lora, or another backbone"
            )
        return model

    def _weights(self) -> list[Path]:
        paths = sorted(self.path.glob("model*.safetensors"))
        if not paths:
            if (self.path / "pytorch_model.bin").exists():
                raise UsageError(
                    f"{self.name} has its weights as pytorch_model.bin only, a format that can run code when opened. "
                    f"Convert them once: python -m taesan.models.convert {self.path}"
                )
            raise InputMissing(f"{self.path} has no model.safetensors")
        return paths

    def _with_names(self, contents: dict[str, bytes]) -> dict[str, bytes]:
        """The same, naming the control tokens: the files of GPT-2 and of BERT on the hub leave that to a class."""
        try:
            given = json.loads(contents.get(TOKENIZER_FILES[1], b"{}"))
            backend = Backend.from_buffer(contents[TOKENIZER_FILES[0]])
        except Exception:  # tokenizers raises bare Exception; `Tokenizer` says what is wrong
            return contents
        if any(given.get(name) for name in SPECIAL_NAMES):
            return contents
        named: dict[str, str] = {}
        with contextlib.suppress(Exception):  # a stranger's class may be missing or fail: then the config's ids remain
            named |= AutoTokenizer.from_pretrained(self.path, trust_remote_code=False).special_tokens_map
        for name in ("bos_token", "eos_token", "pad_token"):
            number = getattr(self.config, f"{name}_id", None)
            token = backend.id_to_token(number) if isinstance(number, int) else None
            if token is not None:
                named[name] = token
        return contents | {TOKENIZER_FILES[1]: json.dumps(given | named).encode()}

    def _converted_tokenizer(self) -> dict[str, bytes]:
        try:
            wrapped = AutoTokenizer.from_pretrained(self.path, trust_remote_code=False)
            backend = wrapped.backend_tokenizer
        except Exception as error:
            raise InputMissing(f"{self.name} has no tokenizer that transformers can open: {error}") from None
        if len(wrapped) <= len(wrapped.all_special_ids):  # transformers makes an empty one where no vocabulary lies
            raise InputMissing(f"{self.name} has no tokenizer: neither tokenizer.json nor a vocabulary")
        config = {name: str(token) for name, token in wrapped.special_tokens_map.items() if isinstance(token, str)}
        config |= {
            "model_max_length": wrapped.model_max_length,
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_input_names": wrapped.model_input_names,
        }
        return {TOKENIZER_FILES[0]: backend.to_str().encode(), TOKENIZER_FILES[1]: json.dumps(config).encode()}


def labelled_config(backbone: Backbone, labels: tuple[str, ...]) -> Any:
    """The backbone's config with the labels of a head."""
    config = backbone.config.__class__.from_dict(backbone.config.to_dict())
    if labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: index for index, label in enumerate(labels)}
    if config.pad_token_id is None:
        config.pad_token_id = backbone.tokenizer.pad_id
    return config


def seek(record: Mapping[str, Any], *, name: str | None = None) -> Backbone:
    """The backbone that a model folder names: the one that `name` says, else where it was, else an embedded one.

    Raises: StorageError where weights, config or tokenizer are others; InputMissing where there is none.
    """
    if name is not None:
        found = find(name)
        if not _is(found, record):
            raise StorageError(
                f"{escape(name)} is not the backbone that the model was made on, {escape(record['name'])}: its "
                f"weights, its config or its tokenizer differ (weights: SHA-256 {found.sha256[:16]}…, expected "
                f"{record['sha256'][:16]}…)"
            )
        return found
    embedded = sorted(f"{EMBEDDED_PREFIX}{path.name}" for path in EMBEDDED_FOLDER.glob("*") if path.is_dir())
    other = ""
    for place in dict.fromkeys((record["name"], record.get("path") or record["name"], *embedded)):
        try:
            found = find(place, cached=True)
            if _is(found, record):
                return found
            other = other or place
        except (InputMissing, StorageError, UsageError):
            continue
    there = f"; what is at {escape(other)} has other weights, another config or another tokenizer" if other else ""
    raise InputMissing(
        f"the backbone {escape(record['name'])} (SHA-256 {record['sha256'][:16]}…), which the model adds to, is not to "
        f"be found{there}. Name it: --backbone NAME"
    )


def _is(backbone: Backbone, record: Mapping[str, Any]) -> bool:
    own = backbone.record
    return all(own[name] == record.get(name) for name in ("sha256", "config_sha256", "tokenizer_sha256"))


def find(name: str, *, cached: bool = False) -> Backbone:
    """The backbone of that name. Raises: InputMissing where there is none, saying what was looked for."""
    return Backbone(name, locate(name, cached=cached))


def model_arrays(model: PreTrainedModel, *, half: bool = False) -> dict[str, NDArray[Any]]:
    """The weights as transformers saves them: every parameter once, tied ones under their first name; buffers too."""
    tensors = dict(model.named_parameters())
    volatile = {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        for name in module._non_persistent_buffers_set
    }
    tensors |= {name: buffer for name, buffer in model.named_buffers() if name not in volatile}
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    if half:
        arrays = {k: a.astype(np.float16) if a.dtype == np.float32 else a for k, a in arrays.items()}
    return arrays


def load_arrays(model: PreTrainedModel, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Puts saved weights into `model`; half precision becomes float32. Raises: StorageError where names differ."""
    own = dict(model.named_parameters()) | dict(model.named_buffers())
    missing = set(dict(model.named_parameters())) - set(arrays)
    if missing or set(arrays) - set(own):
        raise StorageError(f"the weights do not fit the config: {escape(sorted(missing or set(arrays) - set(own))[0])}")
    with torch.no_grad():
        for name, array in arrays.items():
            own[name].copy_(torch.from_numpy(array))


def config_bytes(model: PreTrainedModel) -> bytes:
    """`config.json` as transformers writes it, but for where it was loaded from and as what."""
    content = json.loads(model.config.to_json_string(use_diff=False))
    kept = {name: value for name, value in content.items() if name not in ("_name_or_path", "dtype")}
    return (json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
