"""An adapted model as one ONNX graph: `input_ids`, `attention_mask`, `token_type_ids` (B, T) in, `logits` out.

Needs the extra `taesan[onnx]`: torch's exporter stands on onnxscript, int8 on onnxruntime's own tools.
"""

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn
from torch.export import Dim
from transformers import PreTrainedModel

from taesan.methods.base import Adapted
from taesan.methods.lora import merge
from taesan.models.last_layer import compute_last_layer_at
from taesan.models.onnx_decoder import MOST_BYTES, decoder_graph

INPUTS: tuple[str, ...] = ("input_ids", "attention_mask", "token_type_ids")
_ROWS = 1024  # the most that a graph takes at once


class _Graph(nn.Module):
    def __init__(self, model: Adapted):
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        inputs = dict(zip(INPUTS, (input_ids, attention_mask, token_type_ids), strict=True))
        return self.model.head.logits(self.model.encoder(inputs), inputs)


def head_graph(adapted: Adapted, *, max_length: int, first_token: bool) -> bytes:
    """The graph of a model that answers with its head's logits, any number of rows of up to `max_length` tokens.

    LoRA's products are added to the matrices, for good; virtual tokens are part of the graph. With `first_token`, where
    the architecture allows it, the last layer is computed for the first token alone, which is all that a classifier
    reads. Raises: ValueError where torch cannot export the architecture.
    """
    backbone = cast(PreTrainedModel, adapted.encoder.get_submodule("backbone"))
    merge(backbone)
    backbone.set_attn_implementation("eager")  # three quarters of the nodes that fused attention becomes
    if first_token:
        compute_last_layer_at(backbone, lambda hidden: hidden.new_zeros((hidden.shape[0], 1), dtype=torch.long))
    if (size := 4 * sum(weight.numel() for weight in adapted.parameters())) > MOST_BYTES:
        raise ValueError(f"its weights take {size:,} bytes, and one ONNX file holds at most {MOST_BYTES:,}")
    example = torch.ones(2, 7, dtype=torch.long)  # neither 0 nor 1, which torch would take for constants
    shape = {0: Dim("rows", min=1, max=_ROWS), 1: Dim("tokens", min=2, max=max_length)}
    try:
        with _quiet():
            program = torch.onnx.export(
                _Graph(adapted.eval()),
                (example, torch.ones_like(example), torch.zeros_like(example)),
                dynamo=True,
                input_names=INPUTS,
                output_names=("logits",),
                dynamic_shapes=(shape,) * len(INPUTS),
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ValueError(str(error).partition("\n")[0]) from None
    assert program is not None
    return checked(program.model_proto.SerializeToString())


def text_graph(adapted: Adapted) -> bytes:
    """The graph of a causal language model, which goes on from keys and values; LoRA's products are added for good.

    Raises: UsageError for an architecture that has no such graph.
    """
    merge(cast(PreTrainedModel, adapted.encoder.get_submodule("backbone")))
    with adapted.whole() as model:
        return checked(decoder_graph(model, adapted.before()))


def checked(graph: bytes) -> bytes:
    """The same, which has passed ONNX's checker and shape inference. Raises: ValueError."""
    try:
        onnx.checker.check_model(graph, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ValueError(f"ONNX's checker refuses the graph: {error}") from None
    return graph


def quantized(graph: bytes) -> bytes:
    """The same with its matrices in int8, a scale for each column; of what goes in, one scale a run (dynamic).

    A run is one item (`engine/onnx_session.py`), so its scale is the item's own. Weights keep to seven bits: without
    VNNI, a CPU adds pairs of products in 16 bits, which eight bits would overflow.
    """
    model = onnx.load_from_string(graph)
    del model.graph.value_info[:]  # shape inference of the tools stumbles over what the exporter noted
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "int8.onnx"
        quantize_dynamic(
            model,
            path,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
        return checked(path.read_bytes())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporters warn of their own insides; what the graph is worth is measured afterwards."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
