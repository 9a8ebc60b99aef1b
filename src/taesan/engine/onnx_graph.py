"""An ONNX graph, opened by onnxruntime. An extra: taesan[onnx]. No torch here."""

import os
from pathlib import Path
from typing import Any

from taesan.errors import UsageError


def open_graph(graph: Path | bytes, *, threads: int = 1) -> Any:
    """An `onnxruntime.InferenceSession` on the CPU. Raises: UsageError where onnxruntime is not installed."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import, which else writes a device id under the home folder
    try:
        import onnxruntime  # noqa: PLC0415  an extra
    except ImportError:
        raise UsageError("onnxruntime is not installed; type: pip install 'taesan[onnx]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.enable_cpu_mem_arena = False  # it keeps what the longest prompt took, and saves no time (measured)
    options.enable_mem_pattern = False  # one is kept for every shape that ever came
    options.log_severity_level = 3
    source = graph if isinstance(graph, bytes) else str(graph)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
