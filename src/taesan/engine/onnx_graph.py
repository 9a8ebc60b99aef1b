"""An ONNX graph, opened by onnxruntime. An extra: taesan[onnx]. No torch here."""

import os
from typing import Any

from taesan.errors import StorageError, UsageError


def open_graph(graph: str | bytes) -> Any:
    """An `onnxruntime.InferenceSession` of a file or its bytes, on one core: the same bits however many there are.

    Raises: UsageError where onnxruntime is not installed; StorageError for what is no graph.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import, which else writes a device id under the home folder
    try:
        import onnxruntime  # noqa: PLC0415  an extra
        from onnxruntime.capi import (  # noqa: PLC0415
            onnxruntime_pybind11_state as faults,  # pyright: ignore[reportAttributeAccessIssue]
        )
    except ImportError:
        raise UsageError(
            "there is an ONNX graph, and onnxruntime is not installed: pip install 'taesan[onnx]'. "
            "Or type --device cpu, and torch answers."
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it keeps what the longest text took, and saves no time (measured)
    options.enable_mem_pattern = False  # one is kept for every shape that ever came
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except (faults.Fail, faults.InvalidArgument, faults.InvalidGraph, faults.InvalidProtobuf) as error:
        raise StorageError(f"onnxruntime cannot open the graph: {error}. Export it again.") from None
