"""Puts a pretrained backbone into the package: python recipes/ship.py runs/bert-mini bert-mini recipes/bert-mini.md

The files are those of the run, but for its log; the model card is the one given, with the run's own figures below it.
"""

import sys
from pathlib import Path

from taesan import store
from taesan.models.locate import EMBEDDED_FOLDER

FILES = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
LIMIT_BYTES = 15_000_000


def ship(run: Path, name: str, card: Path) -> Path:
    folder = store.open_model(run)
    files: dict[str, store.Content] = {file: folder.read(file) for file in FILES if file in folder.names}
    own = folder.read("README.md").decode().split("---\n", 2)[2].split("\n", 1)[1]
    files["README.md"] = (card.read_text(encoding="utf-8") + "\n## The run\n" + own).encode()
    if folder.manifest["files"]["model.safetensors"]["bytes"] > LIMIT_BYTES:
        raise SystemExit(f"model.safetensors is larger than {LIMIT_BYTES:,} bytes")
    manifest = {key: value for key, value in folder.manifest.items() if key not in ("files", "format_version")}
    target = EMBEDDED_FOLDER / name
    store.save_folder(target, files, manifest)
    return target


if __name__ == "__main__":
    print(ship(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
