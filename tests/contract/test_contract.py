"""Every task by every method on every kind of backbone: two steps, saved, opened again, the same answers; and the proof
that the contract carries what no command offers yet: a token head, a soft prompt, a zero-shot choice score."""

import copy
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

import taesan
from conftest import MASKED, MAX_LENGTH, PAIRS, REVIEWS
from taesan import store
from taesan.config import FitConfig
from taesan.data import Field, Row
from taesan.engine.batches import EpochBatches
from taesan.engine.infer import Arrays, Predictor, run_items
from taesan.engine.load import open_predictor
from taesan.engine.process import Process
from taesan.engine.session import TorchSession
from taesan.engine.train import Validation, train
from taesan.methods import METHODS
from taesan.methods.base import Adapted, adapt
from taesan.models.backbone import find
from taesan.models.heads import Batch
from taesan.tasks import TASKS
from taesan.tasks.base import (
    IGNORED,
    Encoded,
    EncodeOptions,
    Evaluation,
    Example,
    Item,
    Logits,
    Prediction,
    Task,
    Template,
)
from taesan.text.tokenizer import Ids, Tokenizer
from taesan.text.windows import windows
from taesan.verbs.fit import _collate

ARCHITECTURES = (*MASKED, "gpt2")
TWO_STEPS = FitConfig(epochs=2, batch_tokens=4096, device="cpu", threads=1)
TEXTS = ("[SEP] 재미있게 보았다 [CLS]", "별로", "좋은 영화 [MASK] <|endoftext|>", "한글", "화면이 밝고 소리가 또렷하다")


# Every cell --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(backbones, labelled, tmp_path_factory) -> dict[tuple[str, str, str], Any]:
    """A model folder for every task, method and backbone."""
    root = tmp_path_factory.mktemp("cells")
    return {
        cell: taesan.fit(
            cell[0],
            labelled[cell[0]],
            output=root / "-".join(cell),
            backbone=str(backbones[cell[2]]),
            method=cell[1],
            config=TWO_STEPS,
            quiet=True,
        )
        for cell in CELLS
    }


CELLS = [(task, method, architecture) for task in TASKS for method in METHODS for architecture in ARCHITECTURES]
each_cell = pytest.mark.parametrize("cell", CELLS, ids="-".join)


def inputs(task: str) -> list[Any]:
    return list(TEXTS) if task == "classification" else list(zip(TEXTS, TEXTS[::-1], strict=True))


@each_cell
def test_a_fitted_folder_answers_the_same_each_time_it_is_opened(fitted, cell) -> None:
    folder = fitted[cell].folder
    manifest = taesan.show(folder)
    assert (manifest["steps"], manifest["task"], manifest["method"]) == (2, *cell[:2])
    first = [prediction.as_dict() for prediction in taesan.predict(folder, inputs(cell[0]))]
    again = [prediction.as_dict() for prediction in taesan.predict(folder, inputs(cell[0]))]
    assert json.dumps(first) == json.dumps(again)  # JSON writes every bit of a float
    assert len(first) == len(TEXTS)
    for answer in first:
        assert list(answer["probabilities"]) == manifest["labels"]
        assert math.isclose(sum(answer["probabilities"].values()), 1, abs_tol=1e-12)
        assert answer["probabilities"][answer["label"]] == max(answer["probabilities"].values())


@each_cell
def test_its_scores_are_finite_and_those_of_its_predictions(fitted, cell, labelled) -> None:
    evaluation = taesan.evaluate(fitted[cell].folder, labelled[cell[0]])
    rows = REVIEWS if cell[0] == "classification" else PAIRS
    assert evaluation.rows == len(rows)
    for score in [*evaluation.scores.values(), *fitted[cell].validation.scores.values()]:
        assert 0 <= score.low <= score.value <= score.high <= 1
    texts = [row[:-1] if cell[0] == "pair" else row[0] for row in rows]
    answers = [prediction.as_dict()["label"] for prediction in taesan.predict(fitted[cell].folder, texts)]
    assert evaluation.scores["accuracy"].value == np.mean(
        [row[-1] == answer for row, answer in zip(rows, answers, strict=True)]
    )


@each_cell
def test_transformers_opens_it_with_the_same_ids_and_logits(fitted, cell) -> None:
    folder = fitted[cell].folder
    if not (folder / "config.json").exists():
        pytest.skip("an adapter's folder holds no whole model")
    predictor, manifest = open_predictor(folder)
    examples = [Example((one,) if isinstance(one, str) else one) for one in inputs(cell[0])]
    encoded = predictor.task.encode(examples, predictor.tokenizer, predictor.labels, predictor.options)
    items = [item for one in encoded for item in one.items]
    ours = np.stack(run_items(predictor.session, items, max_length=MAX_LENGTH, pad_id=predictor.tokenizer.pad_id))

    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert [model.config.id2label[index] for index in range(len(manifest["labels"]))] == manifest["labels"]
    columns = [list(column) for column in zip(*(example.texts for example in examples), strict=True)]
    batch = tokenizer(*columns, padding=True, return_tensors="pt")
    for item, ids, mask in zip(items, batch["input_ids"], batch["attention_mask"], strict=True):
        assert item.input_ids.tolist() == ids[mask.bool()].tolist()
    if "token_type_ids" in batch:
        for item, types, mask in zip(items, batch["token_type_ids"], batch["attention_mask"], strict=True):
            assert item.token_type_ids.tolist() == types[mask.bool()].tolist()
        assert cell[0] == "classification" or any(1 in item.token_type_ids for item in items)
    with torch.inference_mode():
        np.testing.assert_allclose(ours, model(**batch).logits.numpy(), atol=1e-5)
        for row, item in zip(ours, items, strict=True):  # and alone, where no padding can be pooled
            one = {"input_ids": torch.from_numpy(item.input_ids[None].astype(np.int64))}
            if "token_type_ids" in batch:
                one["token_type_ids"] = torch.from_numpy(item.token_type_ids[None].astype(np.int64))
            np.testing.assert_allclose(row, model(**one).logits[0].numpy(), atol=1e-5)


@each_cell
def test_from_scratch_forgets_the_backbone(backbones, labelled, tmp_path, cell) -> None:
    task, method, architecture = cell
    backbone = find(str(backbones[architecture]))
    pretrained, scratch = (
        backbone.load(TASKS[task].head, labels=("a", "b"), from_scratch=new, seed=3) for new in (False, True)
    )
    word, shape = pretrained.get_input_embeddings().weight, scratch.get_input_embeddings().weight
    assert word.shape == shape.shape
    assert not torch.equal(word, shape)
    fitted = taesan.fit(
        task,
        labelled[task],
        output=tmp_path / "model",
        backbone=str(backbones[architecture]),
        method=method,
        from_scratch=True,
        config=TWO_STEPS,
        quiet=True,
    )
    assert taesan.show(fitted.folder)["backbone"]["from_scratch"]


def test_half_precision_on_disk_is_computed_with_as_float32(masked_backbone, tmp_path) -> None:
    from safetensors.numpy import load_file

    half = tmp_path / "half"
    half.mkdir()
    for path in masked_backbone.iterdir():
        if path.name != "model.safetensors":
            (half / path.name).write_bytes(path.read_bytes())
    weights = {
        name: array.astype(np.float16) for name, array in load_file(masked_backbone / "model.safetensors").items()
    }
    (half / "model.safetensors").write_bytes(b"".join(store.tensor_chunks(weights, {"format": "pt"})))
    model = find(str(half)).load("sequence", labels=("a", "b"))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


# A token head -------------------------------------------------------------------------------------------------------

BIO = ("O", "B-장소", "I-장소", "B-사람", "I-사람")
ENTITIES = (
    ("서울에서 부산까지 기차로 두 시간 반이 걸린다", ((0, 2, "장소"), (5, 7, "장소"))),
    ("김 선생님은 학교 앞 가게에서 사과를 샀다", ((0, 5, "사람"), (7, 9, "장소"))),
    ("아이들과 강가를 오래 걸었다", ((0, 3, "사람"), (5, 7, "장소"))),
    ("오늘은 날씨가 맑아서 걸어야 한다", ()),
    ("배우들의 연기가 좋아서 부산까지 걸었다", ((0, 3, "사람"), (13, 15, "장소"))),
    ("비가 와서 서울에서 나왔다", ((6, 8, "장소"),)),
)


@dataclass(frozen=True, slots=True)
class Spanned(Item):
    """An item that remembers its tokens: `places` (T,), their numbers in the text, `offsets` (T, 2); -1: control."""

    places: Ids
    offsets: Ids


@dataclass(frozen=True, slots=True)
class Entities:
    spans: tuple[tuple[int, int, str], ...]
    probabilities: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        return {"entities": [list(span) for span in self.spans], "probabilities": list(self.probabilities)}


class EntityTask:
    """Named entities as BIO over subwords, half-open character offsets in and out."""

    name, head, metric = "entities", "token", "f1"
    fields = (Field("text"), Field("label", kind="label"))

    def example(self, row: Row) -> Example:
        return Example((row.values["text"],), row.values.get("label"), row.line)

    def labels(self, examples: Iterable[Example]) -> tuple[str, ...]:
        kinds = sorted({kind for example in examples for _, _, kind in example.label})
        return ("O", *(f"{mark}-{kind}" for kind in kinds for mark in "BI"))

    def encode(
        self, examples: Sequence[Example], tokenizer: Tokenizer, labels: tuple[str, ...], options: EncodeOptions
    ) -> list[Encoded]:
        number = {label: index for index, label in enumerate(labels)}
        out: list[Encoded] = []
        for example, encoding in zip(examples, tokenizer.encode([one.texts[0] for one in examples]), strict=True):
            tags = np.full(len(encoding.ids), number["O"] if example.label is not None else IGNORED, dtype=np.int64)
            for start, end, kind in example.label or ():
                inside = np.flatnonzero((encoding.offsets[:, 1] > start) & (encoding.offsets[:, 0] < end))
                tags[inside] = number[f"I-{kind}"]
                tags[inside[:1]] = number[f"B-{kind}"]
            pieces = windows(len(tags), options.max_length - tokenizer.layout.single_tokens, "windows")
            items = [self._item(piece, encoding.ids, encoding.offsets, tags, tokenizer) for piece in pieces]
            out.append(Encoded(items, cut=len(items) > 1))
        return out

    def _item(self, piece: np.ndarray, ids: Ids, offsets: Ids, tags: np.ndarray, tokenizer: Tokenizer) -> Spanned:
        joined, types = tokenizer.join(ids[piece])
        control = (len(tokenizer.layout.prefix), len(tokenizer.layout.suffix))
        return Spanned(
            joined,
            types,
            np.pad(tags[piece], control, constant_values=IGNORED),
            np.pad(piece, control, constant_values=-1),
            np.pad(offsets[piece], (control, (0, 0)), constant_values=-1),
        )

    def decode(
        self, example: Example, encoded: Encoded, outputs: Sequence[Logits], labels: tuple[str, ...]
    ) -> Entities:
        """Tokens in several windows take the mean of their probabilities; an entity, that of its first token."""
        seen: dict[int, tuple[int, int, list[np.ndarray]]] = {}
        for item, logits in zip(encoded.items, outputs, strict=True):
            assert isinstance(item, Spanned)
            assert logits.shape == (len(item.input_ids), len(labels))
            for place, (start, end), row in zip(item.places, item.offsets, np.exp(log_softmax(logits)), strict=True):
                if place >= 0:
                    seen.setdefault(int(place), (int(start), int(end), []))[2].append(row)
        text, chances = example.texts[0], list[float]()
        spans = list[tuple[int, int, str]]()
        for _, (start, end, rows) in sorted(seen.items()):
            row = np.mean(rows, axis=0)
            tag = labels[int(row.argmax())]
            if tag.startswith("B-"):
                start += len(text[start:end]) - len(text[start:end].lstrip())  # byte-level tokens begin with a space
                spans.append((start, end, tag[2:]))
                chances.append(float(row.max()))
            elif spans and tag == f"I-{spans[-1][2]}" and not text[spans[-1][1] : start].strip():
                spans[-1] = (spans[-1][0], end, tag[2:])
        return Entities(tuple(spans), tuple(chances))

    def scores(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], labels: tuple[str, ...]
    ) -> dict[str, float]:
        # Where an entity begins, and its kind: bytes of two syllables may be one token, so that its end is not sharp.
        pairs = [
            tuple({(start, kind) for start, _, kind in spans} for spans in (one.label, said.spans))  # type: ignore[attr-defined]
            for one, said in zip(examples, predictions, strict=True)
        ]
        hits = sum(len(truth & found) for truth, found in pairs)
        return {"f1": 2 * hits / max(1, sum(len(truth) + len(found) for truth, found in pairs))}

    def evaluate(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], labels: tuple[str, ...], *, seed: int
    ) -> Evaluation:
        raise NotImplementedError

    def prompt(self, example: Example, template: Template, label: str) -> tuple[str, str]:
        raise NotImplementedError

    def parse(self, scores: np.ndarray, labels: tuple[str, ...]) -> Prediction:
        raise NotImplementedError


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def learn(
    task: Task, adapted: Adapted, tokenizer: Tokenizer, examples: list[Example], labels, options, tmp_path, **config
) -> tuple[Predictor, dict[str, float]]:
    """Trains through the one loop, as `fit` does; the predictor and its scores on the same examples come back."""
    items = [item for one in task.encode(examples, tokenizer, labels, options) for item in one.items]
    settings = FitConfig(device="cpu", threads=1, checkpoint_seconds=0, **config)
    predictor = Predictor(task, TorchSession(adapted), tokenizer, labels, options)

    def scores() -> dict[str, float]:
        return task.scores(examples, list(predictor.predict(examples)), labels)

    batches = EpochBatches(
        np.array([len(item.input_ids) for item in items], dtype=np.int32),
        _collate(items, tokenizer.pad_id, None),
        budget_tokens=settings.batch_tokens,
        accumulation=1,
        seed=1,
        epochs=settings.epochs,
    )
    train(
        adapted,
        batches,
        settings,
        Process(device="cpu", threads=1),
        run=tmp_path,
        validation=Validation(scores=scores, metric=task.metric, every_steps=batches.steps, keep_best=False),
        title="test",
        quiet=True,
    )
    return predictor, scores()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_token_head_goes_through_the_contract(backbones, architecture, tmp_path) -> None:
    task, backbone = EntityTask(), find(str(backbones[architecture]))
    assert EntityTask.head == "token"
    examples = [Example((text,), spans) for text, spans in ENTITIES]
    labels = task.labels(examples)
    assert sorted(labels) == sorted(BIO)
    model = backbone.load("token", labels=labels, seed=5).eval()
    whole = copy.deepcopy(model)
    tokenizer, options = backbone.tokenizer, EncodeOptions(max_length=24)
    adapted = adapt(METHODS["finetune"], model)

    # Before training: the logits and the loss are those of transformers' own model on the same ids.
    items = [item for one in task.encode(examples, tokenizer, labels, options) for item in one.items]
    assert {item.labels.shape for item in items} == {item.input_ids.shape for item in items}
    outputs = run_items(TorchSession(adapted), items, max_length=24, pad_id=tokenizer.pad_id)
    batch = {
        name: torch.from_numpy(array)
        for name, array in _collate(items, tokenizer.pad_id, None)(
            np.arange(len(items)), np.random.default_rng(0)
        ).items()
    }
    kept = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
    with torch.no_grad():
        theirs = whole(**kept)
        for row, output in zip(theirs.logits.numpy(), outputs, strict=True):
            np.testing.assert_allclose(output, row[: len(output)], atol=1e-5)
        count = int((batch["labels"] != IGNORED).sum())
        assert math.isclose(float(adapted.eval()(batch)) / count, float(theirs.loss), rel_tol=1e-5)

    predictor, scores = learn(
        task, adapted, tokenizer, examples, labels, options, tmp_path, epochs=80, learning_rate=5e-3, batch_tokens=256
    )
    assert scores["f1"] > 0.9
    # Texts of several windows, without labels: answers in order, inside the text.
    long = [Example((" ".join(text for text, _ in ENTITIES),)), Example((ENTITIES[1][0],))]
    answers = list(predictor.predict(long))
    assert predictor.cut == 1
    assert len(answers) == 2
    for example, answer in zip(long, answers, strict=True):
        for start, end, kind in answer.spans:  # type: ignore[attr-defined]
            assert 0 <= start < end <= len(example.texts[0])
            assert kind in ("장소", "사람")
    assert answers[1] == next(iter(predictor.predict(long[1:])))


# A soft prompt ------------------------------------------------------------------------------------------------------

PROMPT_TOKENS = 4


class SoftPrompt:
    """Virtual token embeddings before the text, the backbone frozen (Lester et al. 2021)."""

    name, view, trains, room_tokens = "prompt", "head", True, PROMPT_TOKENS

    def adapt(self, backbone: PreTrainedModel) -> nn.Module:
        return _Prompted(backbone, self.room_tokens)


class _Prompted(nn.Module):
    def __init__(self, backbone: PreTrainedModel, tokens: int):
        super().__init__()
        self.backbone = backbone.requires_grad_(False)
        embeddings = backbone.get_input_embeddings().weight
        self.prompt = nn.Parameter(embeddings[5 : 5 + tokens].detach().clone())  # from the vocabulary
        self._types = getattr(backbone.config, "type_vocab_size", 0) > 1

    def forward(self, batch: Batch) -> torch.Tensor:
        rows, tokens = len(batch["input_ids"]), len(self.prompt)
        words = self.backbone.get_input_embeddings()(batch["input_ids"])
        embeddings = torch.cat([self.prompt.expand(rows, -1, -1), words], dim=1)  # (B, V + T, D)
        mask = torch.cat([batch["attention_mask"].new_ones(rows, tokens), batch["attention_mask"]], dim=1)
        types = {}
        if self._types:
            given = batch["token_type_ids"]
            types = {"token_type_ids": torch.cat([given.new_zeros(rows, tokens), given], dim=1)}
        out = self.backbone(inputs_embeds=embeddings, attention_mask=mask, **types)
        return out.last_hidden_state[:, tokens:]  # (B, T, D)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("task", TASKS)
def test_a_soft_prompt_goes_through_the_contract(backbones, architecture, task, tmp_path) -> None:
    backbone, method, the_task = find(str(backbones[architecture])), SoftPrompt(), TASKS[task]
    examples = [Example(row[:-1], row[-1]) for row in (REVIEWS if task == "classification" else PAIRS)]
    labels, tokenizer = the_task.labels(examples), backbone.tokenizer
    model = backbone.load(the_task.head, labels=labels, seed=5)
    network, whole = model.base_model, copy.deepcopy(model).eval()
    adapted = adapt(method, model)
    options = EncodeOptions(max_length=backbone.max_length - method.room_tokens)
    trained = {name: p.detach().clone() for name, p in adapted.named_parameters() if p.requires_grad}
    assert set(trained) == {"encoder.prompt"} | {f"head.{name}" for name, _ in adapted.head.named_parameters()}
    frozen = {name: p.detach().clone() for name, p in network.named_parameters()}

    # A text that fills the model to its last place, and shorter ones.
    full = Example(tuple("재미있게 " * 60 for _ in the_task.fields[:-1]))
    items = [item for one in the_task.encode([full, *examples], tokenizer, labels, options) for item in one.items]
    assert len(items[0].input_ids) == options.max_length
    outputs = run_items(TorchSession(adapted), items, max_length=options.max_length, pad_id=tokenizer.pad_id)
    # The prompt still holds the embeddings of tokens 5 to 8: the whole model reads these as tokens, and pools where
    # the text stands. It is given one item at a time, without padding.
    prompt = np.arange(5, 5 + PROMPT_TOKENS)
    adapted.eval()
    for item, output in zip(items, outputs, strict=True):
        batch = {
            "input_ids": torch.from_numpy(np.concatenate([prompt, item.input_ids]))[None],
            "attention_mask": torch.ones(1, len(item.input_ids) + PROMPT_TOKENS, dtype=torch.long),
        }
        if backbone.token_types:
            types = np.concatenate([np.zeros(PROMPT_TOKENS, np.int64), item.token_type_ids])
            batch["token_type_ids"] = torch.from_numpy(types)[None]
        with torch.inference_mode():
            hidden = whole.base_model(**batch).last_hidden_state[:, PROMPT_TOKENS:]
            if architecture == "gpt2":
                expected = whole.score(hidden[:, -1])
            elif architecture == "bert":
                expected = whole.classifier(whole.bert.pooler(hidden))
            else:
                expected = whole.classifier(hidden)
        np.testing.assert_allclose(output, expected[0].numpy(), atol=1e-5)

    before = -np.mean(_chances(the_task, adapted, tokenizer, examples, labels, options))
    learn(the_task, adapted, tokenizer, examples, labels, options, tmp_path, epochs=20, learning_rate=2e-2)
    assert -np.mean(_chances(the_task, adapted, tokenizer, examples, labels, options)) < before
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, frozen[name]), name
    for name, parameter in adapted.named_parameters():
        assert name not in trained or not torch.equal(parameter, trained[name]), name


def _chances(task: Task, adapted: Adapted, tokenizer: Tokenizer, examples, labels, options) -> list[float]:
    predictions = Predictor(task, TorchSession(adapted), tokenizer, labels, options).predict(examples)
    return [math.log(said.probabilities[one.label]) for one, said in zip(examples, predictions, strict=True)]  # type: ignore[attr-defined]


# A zero-shot choice score -------------------------------------------------------------------------------------------


class ChoiceSession:
    """A language model as a `Session`: the log-probability of an item's labels, (B,)."""

    def __init__(self, model: PreTrainedModel, kind: str):
        self._model, self._shift = model.eval(), int(kind == "causal")

    def run(self, batch: Arrays) -> Logits:
        labels = torch.from_numpy(batch["labels"])
        with torch.inference_mode():
            out = self._model(
                input_ids=torch.from_numpy(batch["input_ids"]), attention_mask=torch.from_numpy(batch["attention_mask"])
            )
        logits = out.logits
        if self._shift:  # a causal model's state says the next token
            logits, labels = logits[:, :-1], labels[:, 1:]
        rows = torch.log_softmax(logits.float(), dim=-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
        return torch.where(labels != IGNORED, rows, 0.0).sum(dim=1).numpy()


def choice_item(prompt: str, choice: str, tokenizer: Tokenizer, kind: str) -> Item:
    """A prompt and a choice as one input: masked tokens to be guessed, or the choice as what follows."""
    first, second = tokenizer.ids([prompt, choice])
    ids, types = tokenizer.join(np.concatenate([first, second]))
    place = len(tokenizer.layout.prefix) + len(first)
    labels = np.full(len(ids), IGNORED, dtype=np.int64)
    labels[place : place + len(second)] = second
    if kind == "masked":
        ids[place : place + len(second)] = tokenizer.mask_id
    return Item(ids, types, labels)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("task", TASKS)
def test_a_zero_shot_choice_score_goes_through_the_contract(backbones, architecture, task) -> None:
    backbone, the_task = find(str(backbones[architecture])), TASKS[task]
    kind, tokenizer = backbone.kind, backbone.tokenizer
    assert kind == ("causal" if architecture == "gpt2" else "masked")
    model = backbone.load("language_model")
    session = ChoiceSession(model, kind)
    texts = [row[:-1] for row in (REVIEWS if task == "classification" else PAIRS)]
    words = {"긍정": " 재미있다", "부정": " 지루하다", "보통": " 좋다"}
    template = Template("{text} 한마디로" if task == "classification" else "{premise} {hypothesis} 한마디로", words)
    labels = tuple(words)
    examples = [Example(text) for text in texts] + [Example(tuple("{text} {hypothesis} [MASK]" for _ in texts[0]))]
    pairs = [the_task.prompt(example, template, label) for example in examples for label in labels]
    assert pairs[0] == (" ".join([*texts[0], "한마디로"]), " 재미있다")
    assert pairs[-1][0].startswith("{text} {hypothesis} [MASK]")  # what a text holds is never a slot
    items = [choice_item(prompt, choice, tokenizer, kind) for prompt, choice in pairs]
    outputs = run_items(session, items, max_length=MAX_LENGTH, pad_id=tokenizer.pad_id)
    assert {output.shape for output in outputs} == {()}

    # Brute force: each token of the choice by itself, in an input without padding.
    for item, output in zip(items, outputs, strict=True):
        with torch.inference_mode():
            logits = model(input_ids=torch.from_numpy(item.input_ids.astype(np.int64))[None]).logits[0]
        total = 0.0
        for place in np.flatnonzero(item.labels != IGNORED):
            row = logits[place - (kind == "causal")].double()
            total += float(row[item.labels[place]] - torch.logsumexp(row, 0))
        assert math.isclose(float(output), total, abs_tol=1e-4)

    # Whatever the order and the company of the items, the same bits; and from them, an answer.
    order = np.random.default_rng(0).permutation(len(items))
    again = run_items(session, [items[i] for i in order], max_length=MAX_LENGTH, pad_id=tokenizer.pad_id)
    assert [again[i].tobytes() for i in np.argsort(order)] == [output.tobytes() for output in outputs]
    for index in range(len(examples)):
        scores = np.array(outputs[index * 3 : index * 3 + 3])
        prediction = the_task.parse(scores, labels)
        answer = prediction.as_dict()
        assert answer["label"] == labels[int(scores.argmax())]
        expected = np.exp(scores.astype(np.float64)) / np.exp(scores.astype(np.float64)).sum()
        np.testing.assert_allclose(list(answer["probabilities"].values()), expected, rtol=1e-9)
