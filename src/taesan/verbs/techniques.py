"""What `compare` sets beside each other, by name: every method, and the same shape learnt from random weights."""

from dataclasses import dataclass

from taesan.methods import METHODS
from taesan.methods.base import Method


@dataclass(frozen=True)
class Technique:
    """A method, and whether it begins with the backbone's weights or with random ones of its shape."""

    name: str
    method: Method
    from_scratch: bool = False


SCRATCH = Technique("scratch", METHODS["finetune"], from_scratch=True)
TECHNIQUES = {name: Technique(name, method) for name, method in METHODS.items()} | {SCRATCH.name: SCRATCH}
