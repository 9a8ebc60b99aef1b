"""A graph answers as its model does, alone or in company, without torch; or it is refused."""

import json
import random
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import taesan
from conftest import PAIRS, REVIEWS, WORDS
from taesan import store
from taesan.cli import main
from taesan.config import FitConfig
from taesan.engine.infer import Predictor, run_items
from taesan.engine.load import open_predictor
from taesan.engine.onnx_session import OnnxSession, OnnxWriter
from taesan.errors import StorageError, UsageError
from taesan.tasks.base import Example
from taesan.verbs import graph

# Every head, every method with weights, both families.
MODELS = {
    "classes": ("classification", "finetune", "bert"),
    "pre-norm": ("classification", "finetune", "roberta-prelayernorm"),
    "causal": ("classification", "finetune", "gpt2"),
    "pairs": ("pair", "lora", "bert"),
    "cloze": ("pair", "prompt", "roberta-prelayernorm"),
    "next-word": ("classification", "prompt", "gpt2"),
    "prefix": ("classification", "prefix", "bert"),
    "causal-prefix": ("classification", "prefix", "gpt2"),
    "entities": ("ner", "finetune", "bert"),
    "entities-prompt": ("ner", "prompt", "bert"),
    "answers": ("qa", "finetune", "roberta-prelayernorm"),
    "texts": ("generation", "lora", "gpt2"),
    "texts-prefix": ("generation", "prefix", "gpt2"),
}
DOCS = Path(__file__).parents[2] / "docs" / "exporting.md"


@pytest.fixture(scope="module")
def models(backbones, labelled, tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("onnx")
    config = FitConfig(epochs=1, device="cpu", threads=1, notice=0)
    made = {}
    for name, (task, method, architecture) in MODELS.items():
        words = WORDS.get(task) if method == "prompt" else None
        settings = config if method in ("finetune", "lora") else replace(config, virtual_tokens=4)
        made[name] = taesan.fit(
            task,
            labelled[task],
            output=root / name,
            backbone=str(backbones[architecture]),
            method=method,
            label_words=words,
            config=settings,
            quiet=True,
        ).folder
        assert taesan.export(made[name], format="onnx") == made[name] / "onnx"
    return made


@pytest.mark.parametrize("name", MODELS)
def test_it_answers_as_torch_does(models, labelled, name) -> None:
    predictor, _ = open_predictor(models[name])
    torch_predictor, _ = open_predictor(models[name], device="cpu")
    assert isinstance(predictor, Predictor)
    assert isinstance(predictor.session, OnnxSession | OnnxWriter)
    texts = {"classification": [text for text, _ in REVIEWS], "pair": [pair[:2] for pair in PAIRS]}
    task = MODELS[name][0]
    given = texts.get(task) or [example.texts for example in read(labelled[task], task)]
    one = task in ("ner", "generation")
    given = [text if isinstance(text, str) else tuple(text)[: 1 if one else 2] for text in given]
    for found, wanted in zip(taesan.predict(predictor, given), taesan.predict(torch_predictor, given), strict=True):
        assert close(found.as_dict() | found.details(), wanted.as_dict() | wanted.details())


def read(path: Path, task: str) -> list[Example]:
    from taesan.verbs.reading import read_all

    return read_all(path, task)


def close(one: object, other: object) -> bool:
    """The same shape, words and numbers, numbers to 1e-4."""
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= 1e-4
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(close, one, other))
    return one == other


@pytest.mark.parametrize("name", ["texts", "texts-prefix"])
def test_what_is_written_and_measured_is_the_same(models, labelled, name, capsys) -> None:
    found, wanted = (taesan.evaluate(models[name], labelled["generation"], device=one) for one in ("auto", "cpu"))
    assert found.as_dict()["scores"] == {
        score: {part: pytest.approx(value, rel=1e-4) for part, value in parts.items()}
        for score, parts in wanted.as_dict()["scores"].items()
    }
    said = []
    for device in ("auto", "cpu"):
        assert main(["generate", str(models[name]), "비가 오니?", "--json", "--sample", "--device", device]) == 0
        said.append(json.loads(capsys.readouterr().out))
    assert said[0]["text"] == said[1]["text"]


@pytest.mark.parametrize("name", ["classes", "causal-prefix", "cloze", "entities", "answers"])
@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_bits_whatever_the_company(models, labelled, name, workers) -> None:
    predictor, _ = open_predictor(models[name])
    assert isinstance(predictor, Predictor)
    with (models[name] / "onnx" / "model.onnx").open("rb") as file:
        session = OnnxSession(file.read(), workers=workers)
    examples = read(labelled[MODELS[name][0]], MODELS[name][0])
    encoded = predictor.task.encode(examples, predictor.tokenizer, predictor.learnt, predictor.options)
    items = [item for one in encoded for item in one.items]
    alone = [run_items(session, [item], max_length=64, pad_id=0)[0].tobytes() for item in items]
    chance = random.Random(0)
    for _ in range(100):
        chosen = [chance.randrange(len(items)) for _ in range(chance.randint(1, 12))]
        outputs = run_items(session, [items[i] for i in chosen], max_length=64, pad_id=0)
        assert [output.tobytes() for output in outputs] == [alone[i] for i in chosen]


def test_padding_and_several_rows_are_allowed(models) -> None:
    """As other programs will use it."""
    session = OnnxSession((models["classes"] / "onnx" / "model.onnx").read_bytes())
    ids = np.array([[2, 9, 8, 3, 0, 0], [2, 7, 6, 5, 9, 3]], dtype=np.int64)
    mask = (ids > 0).astype(np.int64)
    together = session.run({"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})
    for row, size in ((0, 4), (1, 6)):
        own = {"input_ids": ids[row : row + 1, :size], "attention_mask": mask[row : row + 1, :size]}
        alone = session.run(own | {"token_type_ids": np.zeros((1, size), np.int64)})
        np.testing.assert_allclose(together[row], alone[0], atol=1e-6)


def test_no_torch_and_no_telemetry(models, tmp_path) -> None:
    code = (
        "import os, sys; from taesan.cli import main; status = main(sys.argv[1:]);"
        "assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'; assert 'onnxruntime' in sys.modules;"
        "print({'torch', 'transformers', 'peft', 'accelerate'} & set(sys.modules), file=sys.stderr)"
    )
    commands = (["predict", models["classes"], "정말 좋다"], ["predict", models["entities"], "서울에서 나왔다"])
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, command)],
            capture_output=True,
            text=True,
            check=True,
            env={"HOME": str(tmp_path), "PATH": "", "PYTHONPATH": ":".join(sys.path)},
        )
        assert done.stderr.strip() == "set()"
        assert json.loads(done.stdout)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["classes", "pairs"])
def test_the_script_of_the_docs_needs_no_taesan(models, name) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert len([line for line in script.splitlines() if line.strip()]) <= 20
    assert "taesan" not in script.replace("taesan.json", "")
    texts = ["정말 좋다"] if name == "classes" else ["비가 온다", "길이 젖는다"]
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, str(models[name]), *texts], capture_output=True, text=True, check=True
    )
    (prediction,) = taesan.predict(models[name], texts if len(texts) == 1 else [texts], device="cpu")
    expected = prediction.as_dict()["probabilities"]
    said = json.loads(done.stdout.replace("'", '"'))
    assert {label: pytest.approx(value, abs=2e-4) for label, value in expected.items()} == said


def test_a_graph_of_another_model_is_refused(models, tmp_path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models["causal"], folder)
    shutil.rmtree(folder / "onnx")
    shutil.copytree(models["classes"] / "onnx", folder / "onnx")
    with pytest.raises(StorageError, match="the graph of another model"):
        open_predictor(folder)
    assert open_predictor(folder, device="cpu")


def test_a_damaged_graph_is_refused(models, tmp_path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models["classes"], folder)
    path = folder / "onnx" / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(StorageError, match="damaged or was changed"):
        open_predictor(folder)
    path.write_bytes(content[:-9])
    with pytest.raises(StorageError, match="is damaged"):
        open_predictor(folder)


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(StorageError, match="cannot open the graph"):
        OnnxSession(b"no graph")


def test_replacing_a_model_drops_its_graph(models, labelled, backbones, tmp_path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models["classes"], folder)
    config = FitConfig(epochs=1, device="cpu", threads=1)
    how = {"backbone": str(backbones["bert"]), "config": config, "quiet": True}
    taesan.fit("classification", labelled["classification"], output=folder, overwrite=True, **how)
    assert not (folder / "onnx").exists()
    assert store.Folder(folder).read_all()


def test_int8_is_written_where_it_agrees_and_refused_where_not(models, tmp_path, capsys, monkeypatch) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models["classes"], folder)
    with pytest.raises(UsageError, match="--validation FILE"):
        taesan.export(folder, format="onnx", int8=True)
    few = tmp_path / "few.jsonl"
    few.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in REVIEWS), "utf-8")
    with pytest.raises(UsageError, match="held against the model on 200"):
        taesan.export(folder, format="onnx", int8=True, validation=few)
    many = tmp_path / "many.jsonl"
    rows = [{"text": f"{text} {number}", "label": label} for number in range(20) for text, label in REVIEWS]
    many.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    path = folder / "onnx" / "taesan.json"
    exact_bytes = path.with_name("model.onnx").stat().st_size
    before = path.read_bytes()
    command = ["export", str(folder), "--format", "onnx", "--int8", "--validation", str(many)]
    monkeypatch.setattr(graph, "LEAST_EQUAL", 1.1)  # whether a tiny model agrees is luck: here none can
    assert main(command) == UsageError.exit_status
    assert re.search(r"[\d.]+% of 240 answers are equal, accuracy [\d.]+ becomes", capsys.readouterr().err)
    assert path.read_bytes() == before
    monkeypatch.setattr(graph, "LEAST_EQUAL", 0.0)  # and here all do
    monkeypatch.setattr(graph, "MOST_LOST", 1.0)
    assert main(command) == 0
    manifest = json.loads(path.read_bytes())
    assert manifest["precision"] == "int8"
    assert path.with_name("model.onnx").stat().st_size < 0.9 * exact_bytes
    monkeypatch.undo()
    given = [json.loads(line)["text"] for line in many.read_text("utf-8").splitlines()]
    answers = [list(taesan.predict(folder, given, device=device)) for device in ("auto", "cpu")]
    equal = np.mean([one.decision == other.decision for one, other in zip(*answers, strict=True)])
    assert equal == pytest.approx(manifest["agreement"]["equal"], abs=1e-9)


def test_what_has_no_graph_is_refused_by_name(models, masked_backbone, labelled, tmp_path) -> None:
    with pytest.raises(UsageError, match="int8 is for answers"):
        taesan.export(models["texts"], format="onnx", int8=True, validation=labelled["generation"])
    folder = taesan.fit(
        "classification",
        labelled["classification"],
        output=tmp_path / "model",
        backbone=str(masked_backbone),
        method="in-context",
        label_words=WORDS["classification"],
        config=FitConfig(device="cpu", threads=1),
        quiet=True,
    ).folder
    with pytest.raises(UsageError, match="in-context, which has no weights of its own"):
        taesan.export(folder, format="onnx")
    with pytest.raises(UsageError, match="leave --output out"):
        taesan.export(folder, format="onnx", output=tmp_path / "out")
    with pytest.raises(UsageError, match="name it, --output FOLDER"):
        taesan.export(folder, format="hf")
    with pytest.raises(UsageError, match="are for --format onnx"):
        taesan.export(folder, format="hf", output=tmp_path / "out", int8=True)
