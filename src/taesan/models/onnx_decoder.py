"""A causal language model of GPT-2's family as an ONNX graph that goes on from keys and values.

Of T new tokens in each of B rows, after W places of keys and values:

    input_ids (B, T), position_ids (B, T), mask (B, 1, T, W + T) to be added, logit_places (M,) in the B * T tokens,
    past_keys_i (B, H, D/H, W), past_values_i (B, H, W, D/H) of each layer
    to logits (M, V), new_keys_i (B, H, D/H, T), new_values_i (B, H, T, D/H)

Only what is new comes back: the past stays with the caller, who writes the new into it. Past and new meet in the
softmax alone, so that neither is copied. What stands before every text (virtual tokens) is part of the graph;
positions begin at 0 behind it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from torch import Tensor
from transformers import GPT2LMHeadModel, PreTrainedModel

from taesan.errors import UsageError
from taesan.models.cache import KeysValues

OPSET, IR_VERSION = 20, 10  # the first with Gelu
MOST_BYTES = (1 << 31) - (1 << 20)  # a protobuf message holds 2 GiB: what nodes and names take is left free
_TANH = ("Gelu", {"approximate": "tanh"})
_ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    **{"gelu": ("Gelu", {}), "gelu_new": _TANH, "gelu_pytorch_tanh": _TANH},
    **{"relu": ("Relu", {}), "tanh": ("Tanh", {})},
}


def decoder_graph(model: PreTrainedModel, before: KeysValues) -> bytes:
    """The serialized graph of a model whose adapters are merged; it passes ONNX's checker with shape inference.

    `before`: each layer's keys and values (1, H, V, D/H) that stand before every text.
    Raises: UsageError for an architecture, an activation or a size that has no such graph.
    """
    config = model.config
    if type(model) is not GPT2LMHeadModel or config.add_cross_attention:
        raise UsageError(f"{type(model).__name__} has no graph that writes; expected one of GPT-2's family")
    if config.activation_function not in _ACTIVATIONS:
        known = ", ".join(_ACTIVATIONS)
        raise UsageError(f"the model's activation is {config.activation_function}; a graph has one of {known}")
    if (size := 4 * sum(weight.numel() for weight in model.parameters())) > MOST_BYTES:
        raise UsageError(f"the model's weights take {size:,} bytes; one ONNX file holds at most {MOST_BYTES:,}")
    return _Graph(model, before).proto().SerializeToString()


class _Graph:
    """Nodes in their order, and the weights that they read. A value is known by its name."""

    def __init__(self, model: Any, before: KeysValues):
        self._model, self._config, self._before = model, model.config, before
        self._nodes: list[NodeProto] = []
        self._weights: list[TensorProto] = []
        self._heads, self._width = self._config.n_head, self._config.n_embd // self._config.n_head

    def proto(self) -> ModelProto:
        core, virtual = self._model.transformer, self._before[0][0].shape[2] if self._before else 0
        operation, attributes = _ACTIVATIONS[self._config.activation_function]
        words, flat = self._weight("words", core.wte.weight), self._whole("flat", [-1])
        positions = self._weight("positions", core.wpe.weight[virtual:])
        hidden = self._node(
            "Add",
            self._node("Gather", words, self._node("Reshape", "input_ids", flat)),
            self._node("Gather", positions, self._node("Reshape", "position_ids", flat)),
        )  # (B * T, D)
        heads = self._node(
            "Concat", self._node("Shape", "input_ids"), self._whole("heads", [3 * self._heads, self._width]), axis=0
        )
        past, new = self._node("Shape", "past_values_0", start=2, end=3), self._node("Shape", "input_ids", start=1)
        parts = self._node("Concat", *[self._whole("virtual", [virtual])] * bool(virtual), past, new, axis=0)
        rows = self._whole("rows", [-1, self._config.n_embd])
        for number, block in enumerate(core.h):
            query, key, value = self._project_heads(number, block.attn, self._normalize(block.ln_1, hidden), heads)
            context = self._node("Reshape", self._attend(number, query, key, value, parts), rows)
            hidden = self._node("Add", hidden, self._project(block.attn.c_proj, context))
            inner = self._project(block.mlp.c_fc, self._normalize(block.ln_2, hidden))
            hidden = self._node(
                "Add", hidden, self._project(block.mlp.c_proj, self._node(operation, inner, **attributes))
            )
        asked = self._normalize(core.ln_f, self._node("Gather", hidden, "logit_places"))  # (M, D)
        head = self._model.lm_head.weight
        words = words if head.data_ptr() == core.wte.weight.data_ptr() else self._weight("lm_head", head)
        self._node("Gemm", asked, words, output="logits", transB=1)
        graph = helper.make_graph(self._nodes, "decoder", self._inputs(), self._outputs(), self._weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)

    def _project_heads(self, number: int, attention: Any, hidden: str, heads: str) -> list[str]:
        """Queries (B, H, T, D/H), keys (B, H, D/H, T) and values (B, H, T, D/H); queries are scaled in the weights."""
        weight, bias = attention.c_attn.weight.detach().clone(), attention.c_attn.bias.detach().clone()
        weight[:, : self._config.n_embd] *= attention.scaling
        bias[: self._config.n_embd] *= attention.scaling
        weights = self._weight(f"c_attn_{number}", weight), self._weight(f"c_attn_bias_{number}", bias)
        states = self._node("Reshape", self._node("Gemm", hidden, *weights), heads)  # (B, T, 3H, D/H)
        states = self._node("Transpose", states, perm=[0, 2, 1, 3])
        outputs = [f"queries_{number}", f"keys_{number}", f"new_values_{number}"]
        query, key, value = self._split(states, outputs, axis=1, num_outputs=3)
        return [query, self._node("Transpose", key, perm=[0, 1, 3, 2], output=f"new_keys_{number}"), value]

    def _attend(self, number: int, query: str, key: str, value: str, parts: str) -> str:
        """What each token gathers from those that it sees, (B, T, H, D/H)."""
        keys, values = [f"past_keys_{number}", key], [f"past_values_{number}", value]
        scores = self._node("Concat", *[self._node("MatMul", query, one) for one in keys], axis=-1)
        scores = self._node("Add", scores, "mask")
        if self._before:
            first_keys, first_values = self._before[number]
            first = self._node("MatMul", query, self._weight(f"first_keys_{number}", first_keys.transpose(2, 3)))
            scores = self._node("Concat", first, scores, axis=-1)
            values = [self._weight(f"first_values_{number}", first_values), *values]
        weights = self._node("Softmax", scores, axis=-1)
        outputs = [f"weights_{number}_{part}" for part in range(len(values))]
        total = ""
        for own in zip(self._split(weights, outputs, parts, axis=-1), values, strict=True):
            gathered = self._node("MatMul", *own)
            total = self._node("Add", total, gathered) if total else gathered
        return self._node("Transpose", total, perm=[0, 2, 1, 3])

    def _normalize(self, layer: Any, hidden: str) -> str:
        return self._node("LayerNormalization", hidden, *self._both(layer), axis=-1, epsilon=layer.eps)

    def _project(self, layer: Any, hidden: str) -> str:
        return self._node("Gemm", hidden, *self._both(layer))

    def _both(self, layer: Any) -> tuple[str, str]:
        number = len(self._nodes)
        return self._weight(f"weight_{number}", layer.weight), self._weight(f"bias_{number}", layer.bias)

    def _inputs(self) -> list[ValueInfoProto]:
        tokens = [_value(name, ["B", "T"], TensorProto.INT64) for name in ("input_ids", "position_ids")]
        places = _value("logit_places", ["M"], TensorProto.INT64)
        return [*tokens, _value("mask", ["B", 1, "T", "W + T"]), places, *self._states("past", "W")]

    def _outputs(self) -> list[ValueInfoProto]:
        return [_value("logits", ["M", self._config.vocab_size]), *self._states("new", "T")]

    def _states(self, kind: str, length: str) -> list[ValueInfoProto]:
        shapes = {"keys": ["B", self._heads, self._width, length], "values": ["B", self._heads, length, self._width]}
        layers = range(self._config.n_layer)
        return [_value(f"{kind}_{name}_{layer}", shape) for layer in layers for name, shape in shapes.items()]

    def _weight(self, name: str, tensor: Tensor) -> str:
        return self._constant(name, tensor.detach().float().cpu().contiguous().numpy())

    def _whole(self, name: str, numbers: list[int]) -> str:
        return self._constant(name, np.array(numbers, dtype=np.int64))

    def _constant(self, name: str, array: NDArray[Any]) -> str:
        self._weights.append(numpy_helper.from_array(array, name))
        return name

    def _node(self, operation: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"{operation}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operation, inputs, [output], **attributes))
        return output

    def _split(self, states: str, outputs: list[str], *sizes: str, **attributes: Any) -> list[str]:
        self._nodes.append(helper.make_node("Split", [states, *sizes], outputs, **attributes))
        return outputs


def _value(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)
