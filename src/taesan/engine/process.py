"""The only file that knows ranks: alone, or one of several processes started by `torchrun`."""

import atexit
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from torch import nn

from taesan.errors import UsageError

T = TypeVar("T")


class Process:
    """This process among its peers: which part of a batch is its own, and sums over all of them."""

    def __init__(self, *, device: str = "auto", precision: str = "auto", threads: int = 0):
        """Raises: UsageError for a device that is not there."""
        if threads:
            torch.set_num_threads(threads)
        if device != "auto":
            check_device(device)
        # Without a GPU accelerate has to be told so: else processes started by torchrun take each other for alone.
        on_cpu = device == "cpu" or (device == "auto" and not torch.accelerator.is_available())
        self.accelerator = Accelerator(cpu=on_cpu, mixed_precision=_precision(precision, device))
        self.rank = self.accelerator.process_index
        self.count = self.accelerator.num_processes
        self.device: torch.device = self.accelerator.device
        if self.count > 1:  # a group that outlives the interpreter's own end may abort the process then
            atexit.register(_leave)

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that locks, writes and prints."""
        return self.rank == 0

    def part(self, rows: int) -> slice:
        """The rows of a batch that are this process's own."""
        return slice(self.rank, rows, self.count)

    def total(self, value: float) -> float:
        """The sum of every process's value."""
        if self.count == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(tensor)
        return float(tensor)

    def share(self, value: T) -> T:
        """The main process's value, in every process."""
        if self.count == 1:
            return value
        box: list[Any] = [value]
        torch.distributed.broadcast_object_list(box, src=0)
        return box[0]

    def wait(self) -> None:
        self.accelerator.wait_for_everyone()

    def unwrap(self, model: nn.Module) -> nn.Module:
        return self.accelerator.unwrap_model(model)


def check_device(device: str) -> None:
    """Raises: UsageError for a device that is not there."""
    if device != "cpu" and not _available(device):
        raise UsageError(f"the device {device!r} is not there; expected auto, cpu{_devices()}")


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _precision(precision: str, device: str) -> str:
    if precision == "auto":  # bfloat16 needs hardware; on a CPU without it, it is a hundred times slower (FACTS)
        on_gpu = device in ("auto", "cuda") and torch.cuda.is_available()
        return "bf16" if on_gpu and torch.cuda.is_bf16_supported() else "no"
    return {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}[precision]


def _available(device: str) -> bool:
    if device.split(":")[0] == "cuda":
        return torch.cuda.is_available()
    return device == "mps" and torch.backends.mps.is_available()


def _devices() -> str:
    return "".join(f", {name}" for name in ("cuda", "mps") if _available(name))
