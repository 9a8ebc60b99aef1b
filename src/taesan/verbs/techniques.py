"""What `compare` sets beside each other, by name: methods, baselines, and the same shape learnt from random weights."""

from dataclasses import dataclass

from taesan.methods import BASELINES, METHODS
from taesan.methods.base import Method
from taesan.methods.baseline import Baseline


@dataclass(frozen=True)
class Technique:
    """A method or a baseline; and whether it begins with the backbone's weights or with random ones of its shape."""

    name: str
    method: Method | Baseline
    from_scratch: bool = False

    @property
    def needs_backbone(self) -> bool:
        return not isinstance(self.method, Baseline)


SCRATCH = Technique("scratch", METHODS["finetune"], from_scratch=True)
TECHNIQUES = {name: Technique(name, method) for name, method in {**METHODS, **BASELINES}.items()}
TECHNIQUES[SCRATCH.name] = SCRATCH
