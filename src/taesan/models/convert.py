"""`python -m taesan.models.convert FOLDER`: a pytorch_model.bin as model.safetensors, once.

A `.bin` is a pickle. torch reads it here with `weights_only=True`, which refuses everything but tensors, and in this
process of its own, which does nothing else.
"""

import argparse
import os
import sys
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.numpy import save_file

from taesan.errors import InputMissing, StorageError, TaesanError


def convert(folder: Path) -> Path:
    """The path of the new file. Raises: InputMissing, StorageError where the file holds more than tensors."""
    source, target = folder / "pytorch_model.bin", folder / "model.safetensors"
    if not source.is_file():
        raise InputMissing(f"there is no {source}")
    if target.exists():
        raise StorageError(f"{target} is there already; there is nothing to convert")
    try:
        weights = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a stranger's pickle makes torch say
        raise StorageError(f"{source} cannot be read as plain tensors: {type(error).__name__}") from None
    tensors = {name: tensor for name, tensor in weights.items() if torch.is_tensor(tensor)}
    arrays = {
        name: (tensor.float() if tensor.is_floating_point() else tensor).numpy(force=True)
        for name, tensor in tensors.items()
    }
    temporary = target.with_name(f".{target.name}.new")
    try:
        save_file(arrays, temporary, metadata={"format": "pt"})
        os.replace(temporary, target)
    except (OSError, SafetensorError) as error:
        raise StorageError(f"{target} could not be written: {error}") from None
    return target


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m taesan.models.convert", description=__doc__)
    parser.add_argument("folder", type=Path, help="a model folder with pytorch_model.bin")
    try:
        path = convert(parser.parse_args().folder)
    except TaesanError as error:
        sys.stderr.write(f"taesan: {error}\n")
        return error.exit_status
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
