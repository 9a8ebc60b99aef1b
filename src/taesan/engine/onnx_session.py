"""An ONNX graph as a `Session`. No torch here.

Every item is answered by itself, at its own length: nothing is padded, so its bits cannot depend on its neighbours, and
neither can the scales of an int8 graph, which are taken from what is in a run. On one core that is also the fastest way
(docs/lab.md); more cores answer several items at a time.
"""

import os
from collections.abc import Sequence

import numpy as np

from taesan.config import GenerationOptions
from taesan.engine.decoding import Generated
from taesan.engine.infer import Arrays, OnToken, Writing
from taesan.errors import StorageError
from taesan.tasks.base import Logits
from taesan.text.tokenizer import Ids

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import, which else writes an id of this machine under the home

import onnxruntime  # noqa: E402
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, InvalidGraph, InvalidProtobuf  # noqa: E402


class OnnxSession:
    """A head's logits out of onnxruntime, which may be asked by several threads at once."""

    def __init__(self, graph: bytes, *, workers: int = 0):
        """`workers`: items answered at a time; 0: as many as there are cores, or `OMP_NUM_THREADS` says.

        Raises: StorageError for what is no graph.
        """
        self.workers = workers or available_cores()
        self._session = open_graph(graph)
        self._inputs = [one.name for one in self._session.get_inputs()]

    def batch_shape(self, length: int, max_length: int) -> tuple[int, int]:
        return length, 1

    def run(self, batch: Arrays) -> Logits:
        (logits,) = self._session.run(None, {name: batch[name] for name in self._inputs})
        return np.asarray(logits, dtype=np.float32)

    def generate(
        self, prompts: Sequence[Ids], options: GenerationOptions, writing: Writing, *, on_token: OnToken | None = None
    ) -> list[list[Generated]]:
        raise NotImplementedError


def open_graph(graph: bytes) -> onnxruntime.InferenceSession:
    """One core a run: so the same bits on every machine of a kind. Raises: StorageError for what is no graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf) as error:
        raise StorageError(f"onnxruntime cannot open the graph: {error}. Export it again.") from None


def available_cores() -> int:
    """What this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) else len(os.sched_getaffinity(0))
