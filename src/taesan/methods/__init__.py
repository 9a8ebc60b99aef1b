"""The methods, by name."""

from taesan.methods.base import Method
from taesan.methods.finetune import Finetune

METHODS: dict[str, Method] = {method.name: method for method in (Finetune(),)}
