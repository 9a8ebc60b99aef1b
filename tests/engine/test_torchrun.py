"""Two processes give the gradients of one; only the first of them locks, writes and prints."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import load as load_tensors
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSequenceClassification

from conftest import REVIEWS, save_causal, save_masked
from taesan import cli, store
from taesan.config import FitConfig
from taesan.engine.load import open_predictor
from taesan.verbs.fit import fit
from taesan.verbs.predict import Shard, as_lines, predict, predict_file, predict_into

# Rows of each micro-batch of each step: fewer than there are processes, odd, accumulated.
STEPS = ((4,), (5,), (1,), (3, 1), (2, 1, 6))
# What each process runs: the real loop at a learning rate of zero, its gradients noted where they are clipped.
SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from taesan.config import LoopConfig
from taesan.engine.objectives import LanguageModelLoss
from taesan.engine.process import Process
from taesan.engine.train import Validation, train
from taesan.methods import METHODS
from taesan.methods.base import adapt
from taesan.models.backbone import find

class Given:
    def __init__(self, path):
        self.parts = dict(np.load(path))
        self.steps = 1 + max(int(name.split(".")[0]) for name in self.parts)

    def step(self, number):
        parts = {}
        for name, array in self.parts.items():
            step, part, field = name.split(".")
            if int(step) == number:
                parts.setdefault(int(part), {})[field] = array
        return [parts[part] for part in sorted(parts)]

root, process = Path(sys.argv[1]), Process(device="cpu", threads=1)
config = LoopConfig(learning_rate=0.0, weight_decay=0.0, device="cpu", threads=1, checkpoint_seconds=0)
validation = Validation(scores=lambda: {"s": 0.0}, metric="s", every_steps=100, keep_best=False)
clip = process.accelerator.clip_grad_norm_
for kind in sys.argv[2:]:
    base = find(str(root / ("gpt2" if kind == "causal" else "backbone")))
    raw = kind in ("masked", "causal")
    network = base.load("language_model") if raw else base.load("sequence", labels=("a", "b", "c"), seed=5)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    model = LanguageModelLoss(network) if raw else adapt(METHODS["finetune"], network)
    gradients = {}

    def note(parameters, norm):
        step = len({name.split("/")[0] for name in gradients})
        for parameter in parameters:
            if parameter.grad is not None:
                gradients[f"{step}/{names[id(parameter)]}"] = parameter.grad.numpy().copy()
        return clip(parameters, norm)

    process.accelerator.clip_grad_norm_ = note
    if process.is_main:
        (root / kind).mkdir()
    process.wait()
    given = Given(root / f"{kind}.npz")
    train(model, given, config, process, run=root / kind, validation=validation, title="test", quiet=True)
    np.savez(root / f"{kind}-{process.rank}.npz", **gradients)
"""


def torchrun(*arguments, **more):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **more}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory, tokenizer, byte_tokenizer):
    """Without dropout, which two processes draw otherwise than one; a causal one beside it."""
    folder = tmp_path_factory.mktemp("torchrun") / "backbone"
    save_causal(folder.parent / "gpt2", byte_tokenizer, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0)
    return save_masked(folder, "bert", tokenizer, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def batches(tokenizer, draw, kind):
    """Batches by name `step.part.field`, and the same rows one by one, without padding."""
    given, rows = {}, []
    for step, sizes in enumerate(STEPS):
        rows.append([])
        for part, size in enumerate(sizes):
            length = 12
            ids = np.full((size, length), tokenizer.pad_id)
            mask = np.zeros((size, length), dtype=np.int64)
            labels = np.full((size, length), -100) if kind == "masked" else draw.integers(0, 3, size)
            weights = np.array([0.5, 2.0, 1.25], dtype=np.float32)[labels] if kind == "weighted" else None
            for row in range(size):
                count = int(draw.integers(4, length + 1))
                ids[row, :count] = draw.integers(5, tokenizer.vocabulary_size, count)
                mask[row, :count] = 1
                if kind == "masked":
                    chosen = draw.permutation(count)[: int(draw.integers(1, 3))]
                    labels[row, chosen] = ids[row, chosen]
                weight = 1.0 if weights is None else float(weights[row])
                rows[-1].append((torch.tensor(ids[row : row + 1, :count]), labels[row], weight))
            fields = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids), "labels": labels}
            if weights is not None:
                fields["weights"] = weights
            given |= {f"{step}.{part}.{name}": array for name, array in fields.items()}
    return given, rows


def packed_batches(tokenizer, draw):
    """Rows of several texts each, told apart by their positions, by name; and the same texts one by one."""
    given, texts, length = {}, [], 12
    for step, sizes in enumerate(STEPS):
        texts.append([])
        for part, size in enumerate(sizes):
            shape = (size, length)
            ids, labels = draw.integers(1, tokenizer.vocabulary_size, (2, *shape))
            labels[draw.random(shape) < 0.2] = -100
            positions = np.zeros(shape, dtype=np.int64)
            for row in range(size):
                cut = int(draw.integers(2, length - 2))
                positions[row] = [*range(cut), *range(length - cut)]
                for piece in (slice(0, cut), slice(cut, length)):
                    texts[-1].append((torch.tensor(ids[row : row + 1, piece]), labels[row, piece], 1.0))
            fields = {"input_ids": ids, "position_ids": positions, "labels": labels}
            given |= {f"{step}.{part}.{name}": array for name, array in fields.items()}
    return given, texts


def plain_gradients(model, rows, kind):
    """The mean loss of all rows of a step, each run by itself through the model of transformers."""
    model.train()
    model.zero_grad()
    losses, weights = [], []
    for ids, label, weight in rows:
        logits = model(input_ids=ids).logits
        if kind in ("masked", "causal"):
            labels = torch.tensor(label[: ids.shape[1]])
            losses += list(cross_entropy(logits[0][labels >= 0], labels[labels >= 0], reduction="none"))
            weights += [1.0] * int((labels >= 0).sum())
        else:
            losses.append(weight * cross_entropy(logits, torch.tensor([label])))
            weights.append(weight)
    (sum(losses) / sum(weights)).backward()
    return {name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}


KINDS = ("plain", "weighted", "masked", "causal")


@pytest.fixture(scope="module")
def gradients(backbone, tokenizer, byte_tokenizer):
    """By kind: the rows of every step, and the gradients that each of two processes had then."""
    root, draw = backbone.parent, np.random.default_rng(4)
    rows = {}
    for kind in KINDS:
        packed = kind == "causal"
        given, rows[kind] = packed_batches(byte_tokenizer, draw) if packed else batches(tokenizer, draw, kind)
        np.savez(root / f"{kind}.npz", **given)
    (root / "script.py").write_text(SCRIPT)
    done = torchrun(str(root / "script.py"), str(root), *KINDS)
    assert done.returncode == 0, done.stderr
    found = {}
    for kind in KINDS:
        found[kind] = []
        for rank in (0, 1):
            with np.load(root / f"{kind}-{rank}.npz") as file:
                found[kind].append(dict(file))
    return rows, found


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_give_the_gradients_of_one(backbone, gradients, kind):
    rows, found = (part[kind] for part in gradients)
    if kind == "masked":
        model = AutoModelForMaskedLM.from_pretrained(backbone)
    elif kind == "causal":
        model = AutoModelForCausalLM.from_pretrained(backbone.parent / "gpt2")
    else:
        torch.manual_seed(5)
        model = AutoModelForSequenceClassification.from_pretrained(backbone, num_labels=3)
    for step, of_step in enumerate(rows):
        expected = plain_gradients(model.double(), of_step, kind)
        largest = max(float(np.abs(gradient).max()) for gradient in expected.values())
        assert largest > 0.1  # or a mistake of scale would hide below the tolerance
        for rank in (0, 1):
            assert {name for name in found[rank] if name.startswith(f"{step}/")} == {f"{step}/{n}" for n in expected}
            for name, gradient in expected.items():
                own = found[rank][f"{step}/{name}"]
                np.testing.assert_allclose(own, gradient, rtol=0, atol=1e-6 * max(1.0, largest), err_msg=name)


@pytest.fixture(scope="module")
def rows_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows = [{"text": f"{text} {number}", "label": label} for number in range(3) for text, label in REVIEWS[:-1]]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def test_a_fit_by_two_processes(backbone, rows_file, tmp_path):
    command = ["-m", "taesan", "fit", "classification", str(rows_file), "--backbone", str(backbone)]
    command += ["--epochs", "3", "--batch-tokens", "90", "--set", "threads=1", "--set", "accumulation=2"]
    command += ["--set", "class_weights=balanced", "--set", "checkpoint_steps=2", "--learning-rate", "1e-3"]
    done = torchrun(*command, "--output", str(tmp_path / "two"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("The model is in") == 1
    assert done.stderr.count("rows to train on") == 1
    assert os.listdir(tmp_path) == ["two"]
    alone = [sys.executable, *command, "--output", str(tmp_path / "one")]
    subprocess.run(alone, check=True, capture_output=True)
    two, one = (store.open_model(tmp_path / name) for name in ("two", "one"))
    assert two.names == one.names
    for name in ("steps", "best_step"):
        assert two.manifest[name] == one.manifest[name]
    losses = [
        [json.loads(line)["loss"] for line in folder.read("log.jsonl").splitlines() if b"loss" in line]
        for folder in (one, two)
    ]
    np.testing.assert_allclose(losses[0], losses[1], atol=2e-4)
    texts = [text for text, _ in REVIEWS]
    answers = [
        [tuple(prediction.as_dict()["probabilities"].values()) for prediction in predict(tmp_path / name, texts)]
        for name in ("one", "two")
    ]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-3)
    weights = [load_tensors(folder.read("model.safetensors")) for folder in (one, two)]
    for name, array in weights[0].items():
        if "key.bias" not in name:  # its gradient is zero but for rounding, which AdamW scales up to a step
            np.testing.assert_allclose(array, weights[1][name], atol=2e-4, err_msg=name)


def test_one_process_speaks(tmp_path, monkeypatch, capsys):
    for rank, lines in (("0", 1), ("1", 0)):
        monkeypatch.setenv("RANK", rank)
        assert cli.main(["show", str(tmp_path / "nothing")]) == 66
        assert capsys.readouterr().err.count("there is no folder") == lines


@pytest.fixture(scope="module")
def model(backbone, rows_file, tmp_path_factory):
    config = FitConfig(epochs=1, device="cpu", threads=1)
    output = tmp_path_factory.mktemp("model") / "model"
    return fit("classification", rows_file, output=output, backbone=str(backbone), config=config, quiet=True).folder


def test_a_file_answered_by_two_processes(model, rows_file, tmp_path):
    """The bytes of one process; what two that were stopped had done is gone on with."""
    out = tmp_path / "out.jsonl"
    command = ["-m", "taesan", "predict", str(model), "--input", str(rows_file), "--output", str(out)]
    done = torchrun(*command)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    found = out.read_bytes()
    assert os.listdir(tmp_path) == ["out.jsonl"]
    opened = open_predictor(model)
    assert found == b"".join(as_lines(predict_file(opened[0], rows_file)))
    out.unlink()
    predict_into(out, *opened, rows_file, shard=Shard(2, 2))
    done = torchrun(*command, "--resume")
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == found
    assert os.listdir(tmp_path) == ["out.jsonl"]
