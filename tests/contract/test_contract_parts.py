"""The contract carries what no command offers yet: a soft prompt, a zero-shot choice score."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from conftest import MASKED, MAX_LENGTH, PAIRS, REVIEWS
from taesan.config import FitConfig
from taesan.engine.batches import EpochBatches
from taesan.engine.infer import Arrays, Predictor, run_items
from taesan.engine.process import Process
from taesan.engine.session import TorchSession
from taesan.engine.train import Validation, train
from taesan.methods.base import Adapted, adapt
from taesan.models.backbone import find
from taesan.models.heads import Batch
from taesan.tasks import TASKS
from taesan.tasks.base import (
    IGNORED,
    EncodeOptions,
    Example,
    Item,
    Learnt,
    Logits,
    Task,
    Template,
)
from taesan.text.tokenizer import Tokenizer
from taesan.verbs.fit import _collate

ARCHITECTURES = (*MASKED, "gpt2")


def learn(
    task: Task, adapted: Adapted, tokenizer: Tokenizer, examples: list[Example], learnt, options, tmp_path, **config
) -> tuple[Predictor, dict[str, float]]:
    """Trains through the one loop, as `fit` does; the predictor and its scores on the same examples come back."""
    items = [item for one in task.encode(examples, tokenizer, learnt, options) for item in one.items]
    settings = FitConfig(device="cpu", threads=1, checkpoint_seconds=0, **config)
    predictor = Predictor(task, TorchSession(adapted), tokenizer, learnt, options)

    def scores() -> dict[str, float]:
        return task.scores(examples, list(predictor.predict(examples)), learnt)

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
@pytest.mark.parametrize("task", ["classification", "pair"])
def test_a_soft_prompt_goes_through_the_contract(backbones, architecture, task, tmp_path) -> None:
    backbone, method, the_task = find(str(backbones[architecture])), SoftPrompt(), TASKS[task]
    examples = [Example(row[:-1], row[-1]) for row in (REVIEWS if task == "classification" else PAIRS)]
    learnt, tokenizer = Learnt(the_task.labels(examples)), backbone.tokenizer
    model = backbone.load(the_task.head, labels=learnt.labels, seed=5)
    network, whole = model.base_model, copy.deepcopy(model).eval()
    adapted = adapt(method, model)
    options = EncodeOptions(max_length=backbone.max_length - method.room_tokens)
    trained = {name: p.detach().clone() for name, p in adapted.named_parameters() if p.requires_grad}
    assert set(trained) == {"encoder.prompt"} | {f"head.{name}" for name, _ in adapted.head.named_parameters()}
    frozen = {name: p.detach().clone() for name, p in network.named_parameters()}

    # A text that fills the model to its last place, and shorter ones.
    full = Example(tuple("재미있게 " * 60 for _ in the_task.fields[:-1]))
    items = [item for one in the_task.encode([full, *examples], tokenizer, learnt, options) for item in one.items]
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

    before = -np.mean(_chances(the_task, adapted, tokenizer, examples, learnt, options))
    learn(the_task, adapted, tokenizer, examples, learnt, options, tmp_path, epochs=20, learning_rate=2e-2)
    assert -np.mean(_chances(the_task, adapted, tokenizer, examples, learnt, options)) < before
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, frozen[name]), name
    for name, parameter in adapted.named_parameters():
        assert name not in trained or not torch.equal(parameter, trained[name]), name


def _chances(task: Task, adapted: Adapted, tokenizer: Tokenizer, examples, learnt, options) -> list[float]:
    predictions = Predictor(task, TorchSession(adapted), tokenizer, learnt, options).predict(examples)
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
@pytest.mark.parametrize("task", ["classification", "pair"])
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
