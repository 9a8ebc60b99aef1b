"""An ONNX graph, opened by onnxruntime. An extra: taesan[onnx]. No torch here."""

import os
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from taesan.errors import StorageError, UsageError


def open_graph(graph: str | bytes) -> Any:
    """An `onnxruntime.InferenceSession` of a file or its bytes, on one core: the same bits however many there are.

    Raises: UsageError where onnxruntime is not installed; StorageError for what is no graph.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import, which else writes a device id under the home folder
    try:
        import onnxruntime  # noqa: PLC0415  an extra
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
    except Exception as error:  # onnxruntime's faults have no other class in common
        raise StorageError(f"onnxruntime cannot open the graph: {error}. Export it again.") from None


def ask_graph(graph: Any, inputs: Mapping[str, NDArray[Any]]) -> Any:
    """What comes out. Raises: StorageError where a graph, a stranger's perhaps, does not take what it should."""
    try:
        return graph.run(None, inputs)
    except Exception as error:
        raise StorageError(f"onnxruntime cannot run the graph: {error}. Export it again.") from None
