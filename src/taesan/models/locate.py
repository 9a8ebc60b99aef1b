"""Where a backbone lies on disk. No torch here."""

import os
from pathlib import Path

from taesan.errors import InputMissing, escape

EMBEDDED_PREFIX = "taesan:"
EMBEDDED_FOLDER = Path(__file__).parent / "embedded"
DEFAULT, DEFAULT_CAUSAL = "taesan:bert-mini", "taesan:gpt-mini"
HUB_FILES = ["*.json", "*.safetensors", "*.safetensors.index.json", "vocab.txt", "merges.txt", "*.model"]


def default_backbone(head: str) -> str:
    """The embedded one for a task that needs this head: only a causal one generates."""
    return DEFAULT_CAUSAL if head == "language_model" else DEFAULT


def locate(name: str, *, cached: bool = False) -> Path:
    """The folder of `taesan:…`, of a path, or of a name on the Hugging Face hub (its cache, when offline).

    `cached`: nothing is fetched. It is what a folder may ask for that somebody else made.
    Raises: InputMissing where there is none, saying what was looked for.
    """
    if name.startswith(EMBEDDED_PREFIX):
        path = EMBEDDED_FOLDER / name.removeprefix(EMBEDDED_PREFIX)
        if not (path / "config.json").exists():
            there = ", ".join(sorted(f"{EMBEDDED_PREFIX}{p.name}" for p in EMBEDDED_FOLDER.glob("*") if p.is_dir()))
            raise InputMissing(f"there is no embedded backbone {escape(name)}; there are: {there}")
        return path
    path = Path(name)
    if path.is_dir():
        return path
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InputMissing(f"there is no backbone folder {escape(name)}")
    return _from_hub(name, cached=cached)


def _from_hub(name: str, *, cached: bool) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415  a hub name is the rare case

    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        return Path(snapshot_download(name, allow_patterns=HUB_FILES, local_files_only=cached))
    except Exception as error:
        raise InputMissing(
            f"there is no folder {escape(name)}, and the hub did not answer for that name ({type(error).__name__}). "
            f"Expected {DEFAULT}, a folder, or a hub name that is reachable or in the cache."
        ) from None
