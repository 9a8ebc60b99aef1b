"""ONNX graphs as sessions. No torch here.

Every item is answered by itself, at its own length: nothing is padded, so its bits cannot depend on its neighbours, and
neither can the scales of an int8 graph, which are taken from what is in a run. On one core that is also the fastest way
(docs/lab.md); more cores answer several items at a time.
"""

import os
from collections.abc import Sequence

import numpy as np

from taesan.config import GenerationOptions
from taesan.engine.decoding import Generated
from taesan.engine.generate import Generator
from taesan.engine.infer import Arrays, OnToken, Writing
from taesan.engine.onnx_graph import ask_graph, open_graph
from taesan.engine.onnx_rows import OnnxDecoder
from taesan.errors import UsageError
from taesan.tasks.base import Logits
from taesan.text.tokenizer import Ids


class OnnxSession:
    """A head's logits out of onnxruntime, which may be asked by several threads at once."""

    def __init__(self, graph: str | bytes, *, workers: int = 0):
        """`workers`: items answered at a time; 0: as many as there are cores, or `OMP_NUM_THREADS` says.

        Raises: StorageError for what is no graph; UsageError where onnxruntime is not installed.
        """
        self.workers = workers or _cores()
        self._graph = open_graph(graph)
        self._inputs = [one.name for one in self._graph.get_inputs()]

    def batch_shape(self, length: int, max_length: int) -> tuple[int, int]:
        return length, 1

    def run(self, batch: Arrays) -> Logits:
        (logits,) = ask_graph(self._graph, {name: batch[name] for name in self._inputs})
        return np.asarray(logits, dtype=np.float32)

    def generate(
        self, prompts: Sequence[Ids], options: GenerationOptions, writing: Writing, *, on_token: OnToken | None = None
    ) -> list[list[Generated]]:
        raise UsageError("this graph answers with a head; only a language model writes")


class OnnxWriter:
    """A causal language model's graph: how likely texts are, and new ones."""

    def __init__(self, graph: str | bytes, *, workers: int = 0):
        """Raises: as `OnnxSession`."""
        self.workers = workers or _cores()
        self._decoder = OnnxDecoder(open_graph(graph))

    def batch_shape(self, length: int, max_length: int) -> tuple[int, int]:
        return length, 1

    def run(self, batch: Arrays) -> Logits:
        return self._decoder.log_probabilities(batch["input_ids"], batch["labels"])

    def generate(
        self, prompts: Sequence[Ids], options: GenerationOptions, writing: Writing, *, on_token: OnToken | None = None
    ) -> list[list[Generated]]:
        generator = Generator(
            self._decoder, end_id=writing.end_id, max_length=writing.max_length, banned=writing.banned
        )
        return generator.generate(prompts, options, on_token=on_token)


def session_of(graph: str | bytes, head: str) -> OnnxSession | OnnxWriter:
    """The session of a graph for that head."""
    return OnnxWriter(graph) if head == "language_model" else OnnxSession(graph)


def _cores() -> int:
    """What this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) else len(os.sched_getaffinity(0))
