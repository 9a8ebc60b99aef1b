"""One backbone in memory for many models: copies whose modules are their own and whose tensors are the same."""

import copy
from typing import TypeVar, cast

from torch import nn
from transformers import PreTrainedModel

from taesan.models.backbone import Backbone, HeadKind, labelled_config, model_class

M = TypeVar("M", bound=nn.Module)


def shared_copy(model: M) -> M:
    """A copy that may be taken apart and given other modules; its tensors are the model's own."""
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


class SharedBackbone:
    """A backbone that is read once."""

    def __init__(self, backbone: Backbone):
        self.backbone = backbone
        self._model: PreTrainedModel | None = None

    def model(self, head: HeadKind, labels: tuple[str, ...] = ()) -> PreTrainedModel:
        """A model of transformers on it; a head that the backbone does not bring is new. Raises: StorageError."""
        if self._model is None:
            self._model = self.backbone.load("language_model", whole=True)
        if head in ("language_model", "choice"):
            return shared_copy(self._model)
        kind = model_class(head, self.backbone.kind)
        model = kind.from_config(labelled_config(self.backbone, labels), trust_remote_code=False)
        network = cast(PreTrainedModel, model.base_model)
        own = dict(network.named_parameters()) | dict(network.named_buffers())
        for name, tensor in [*self._model.base_model.named_parameters(), *self._model.base_model.named_buffers()]:
            if name in own:  # a head may have the backbone without what a language model needs, and the reverse
                parent, _, leaf = name.rpartition(".")
                setattr(network.get_submodule(parent), leaf, tensor)
        return model
