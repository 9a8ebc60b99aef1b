"""A pytorch_model.bin becomes a model.safetensors of the same numbers; a pickle that holds code is refused."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from taesan.errors import InputMissing, StorageError, UsageError
from taesan.models.backbone import find
from taesan.models.convert import convert


@pytest.fixture
def folder(masked_backbone, tmp_path) -> Path:
    """A backbone as old ones lie on the hub: weights in a pickle, here in half precision."""
    for path in masked_backbone.iterdir():
        if path.suffix != ".safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = find(str(masked_backbone)).load("language_model").state_dict()
    weights = {name: tensor.half() for name, tensor in weights.items()} | {"steps": torch.tensor([7])}
    torch.save(weights, tmp_path / "pytorch_model.bin")
    return tmp_path


def test_the_command_that_the_refusal_names(folder, masked_backbone) -> None:
    with pytest.raises(UsageError) as raised:
        find(str(folder)).load("language_model")
    command = str(raised.value).split("Convert them once: python ")[1]
    done = subprocess.run([sys.executable, *command.split()], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(folder / "model.safetensors")
    before = dict(find(str(masked_backbone)).load("language_model").named_parameters())
    after = dict(find(str(folder)).load("language_model").named_parameters())
    for name, parameter in before.items():
        assert torch.equal(after[name], parameter.half().float()), name
    assert not list(folder.glob(".*"))


def test_a_pickle_with_code_is_refused_and_not_run(folder) -> None:
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {folder / 'ran'}",)

    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Evil()}))
    with pytest.raises(StorageError, match="cannot be read as plain tensors"):
        convert(folder)
    assert not (folder / "ran").exists()
    assert not (folder / "model.safetensors").exists()


def test_nothing_to_convert(folder, tmp_path_factory) -> None:
    with pytest.raises(InputMissing, match=r"pytorch_model\.bin"):
        convert(tmp_path_factory.mktemp("empty"))
    convert(folder)
    with pytest.raises(StorageError, match="there already"):
        convert(folder)
