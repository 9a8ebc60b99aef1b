"""With an ONNX graph in the folder torch is never loaded, and the answers are those of `predict`."""

import shutil
import sys
from pathlib import Path

import pytest

import taesan
from conftest import REVIEWS
from serve.conftest import running

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'taesan[onnx]'")
pytest.importorskip("onnxscript", reason="onnxscript is not installed: pip install 'taesan[dev]'")


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has loaded is read from /proc")
def test_it_serves_without_torch(folders, tmp_path) -> None:
    folder = shutil.copytree(folders["reviews"], tmp_path / "reviews")
    taesan.export(folder, format="onnx")
    texts = [text for text, _ in REVIEWS]
    with running(str(folder)) as server:
        reply = server.post("/v1/models/reviews:predict", {"items": [{"text": text} for text in texts]})
        (model,) = server.get("/v1/models").json["models"]
        loaded = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert reply.json["predictions"] == [one.as_dict() for one in taesan.predict(folder, texts)]
    assert model["session"] == "onnx"
    assert "onnxruntime" in loaded
    assert "libtorch" not in loaded
