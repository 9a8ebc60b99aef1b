"""The log of a run as TensorBoard reads it. An extra: taesan[tensorboard]."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from taesan.errors import UsageError


def check_installed(folder: str) -> None:
    """Raises: UsageError where events are asked for and TensorBoard is not there."""
    if folder and find_spec("tensorboard") is None:
        raise UsageError("TensorBoard is not installed: pip install 'taesan[tensorboard]', or leave the setting out")


class Board:
    """Writes a run's events into a folder; what a stopped run wrote after its last checkpoint is hidden."""

    def __init__(self, folder: str, step: int):
        check_installed(folder)
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  an extra

        self._writer = SummaryWriter(folder, purge_step=step + 1)

    def write(self, event: Mapping[str, Any]) -> None:
        for name, value in event.items():
            if isinstance(value, Mapping):
                for part, number in value.items():
                    self._writer.add_scalar(f"{name}/{part}", number, event["step"])
            elif name in ("loss", "learning_rate"):
                self._writer.add_scalar(f"training/{name}", value, event["step"])

    def close(self) -> None:
        self._writer.close()
