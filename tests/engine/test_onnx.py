"""A graph answers as its model does, alone or in company, without torch; or it is refused."""

import json
import random
import re
import shutil
import subprocess
import sys
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
from taesan.engine.onnx_session import OnnxSession
from taesan.errors import StorageError, UsageError
from taesan.tasks.base import Example

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
}
DOCS = Path(__file__).parents[2] / "docs" / "exporting.md"


@pytest.fixture(scope="module")
def models(backbones, labelled, tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("onnx")
    config = FitConfig(epochs=1, device="cpu", threads=1, notice=0)
    made = {}
    for name, (task, method, architecture) in MODELS.items():
        words = WORDS.get(task) if method == "prompt" else None
        settings = config if method in ("finetune", "lora") else FitConfig(**{**vars_of(config), "virtual_tokens": 4})
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


def vars_of(config: FitConfig) -> dict[str, object]:
    return {name: getattr(config, name) for name in ("epochs", "device", "threads", "notice")}


@pytest.mark.parametrize("name", MODELS)
def test_it_answers_as_torch_does(models, labelled, name) -> None:
    predictor, _ = open_predictor(models[name])
    torch_predictor, _ = open_predictor(models[name], device="cpu")
    assert isinstance(predictor, Predictor)
    assert isinstance(predictor.session, OnnxSession)
    texts = {"classification": [text for text, _ in REVIEWS], "pair": [pair[:2] for pair in PAIRS]}
    task = MODELS[name][0]
    given = texts.get(task) or [example.texts for example in read(labelled[task], task)]
    given = [text if isinstance(text, str) else tuple(text)[: 2 if task != "ner" else 1] for text in given]
    for graph, model in zip(taesan.predict(predictor, given), taesan.predict(torch_predictor, given), strict=True):
        assert close(graph.as_dict() | graph.details(), model.as_dict() | model.details())


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
    assert {label: pytest.approx(value, abs=2e-4) for label, value in expected.items()} == eval_line(done.stdout)


def eval_line(line: str) -> dict[str, float]:
    return json.loads(line.replace("'", '"'))


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


def test_int8_needs_rows_and_says_what_it_found(models, tmp_path, capsys) -> None:
    with pytest.raises(UsageError, match="--validation FILE"):
        taesan.export(models["classes"], format="onnx", int8=True)
    few = tmp_path / "few.jsonl"
    few.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in REVIEWS), "utf-8")
    with pytest.raises(UsageError, match="held against the model on 200"):
        taesan.export(models["classes"], format="onnx", int8=True, validation=few)
    many = tmp_path / "many.jsonl"
    rows = [{"text": f"{text} {number}", "label": label} for number in range(20) for text, label in REVIEWS]
    many.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    before = (models["classes"] / "onnx" / "taesan.json").read_bytes()
    command = ["export", str(models["classes"]), "--format", "onnx", "--int8", "--validation", str(many)]
    status, talk = main(command), capsys.readouterr().err
    manifest = json.loads((models["classes"] / "onnx" / "taesan.json").read_bytes())
    found = re.search(r"([\d.]+)% of 240 answers are equal", talk)
    assert found
    if float(found[1]) >= 99.5 and status == 0:  # whether it agrees is the tiny model's luck; what follows is not
        assert manifest["precision"] == "int8"
        assert manifest["agreement"]["equal"] >= 0.995
    else:
        assert status == 2
        assert "expected 99.5%" in talk
        assert (models["classes"] / "onnx" / "taesan.json").read_bytes() == before


def test_what_has_no_graph_is_refused_by_name(masked_backbone, labelled, tmp_path) -> None:
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
