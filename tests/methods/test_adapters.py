"""Adapters against PEFT, where it is right, and against the whole model's own arithmetic, where it is not."""

import copy
import json

import numpy as np
import peft
import pytest
import torch
from safetensors.numpy import load_file

import taesan
from conftest import MASKED, PAIRS, REVIEWS, WORDS
from taesan.config import FitConfig
from taesan.engine.infer import run_items
from taesan.engine.load import open_predictor
from taesan.engine.session import TorchSession
from taesan.engine.torch_load import open_adapted
from taesan.errors import InputMissing, StorageError, UsageError
from taesan.methods import METHODS
from taesan.methods.base import Adapter, Additions, adapt
from taesan.models.backbone import find, model_class
from taesan.tasks import TASKS
from taesan.tasks.base import EncodeOptions, Example, Learnt
from taesan.tasks.cloze import Cloze
from taesan.tasks.templates import shipped

ARCHITECTURES = (*MASKED, "gpt2")
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT asks for it
TWO_STEPS = FitConfig(epochs=2, batch_tokens=4096, device="cpu", threads=1, virtual_tokens=4, learning_rate=0.05)
PLAIN_STEPS = FitConfig(epochs=2, batch_tokens=4096, device="cpu", threads=1, rank=2, learning_rate=0.05)
PEFT_CELLS = [
    (task, method, architecture)
    for task in ("classification", "ner", "qa", "generation")
    for method in ("lora", "prefix")
    for architecture in ARCHITECTURES
    if task != "generation" or architecture == "gpt2"
]


def fitted(task, method, architecture, backbones, labelled, folder, **more):
    config = PLAIN_STEPS if method == "lora" else TWO_STEPS
    given = {"backbone": str(backbones[architecture]), "method": method, "config": config, "quiet": True}
    if method == "prompt" and task in WORDS:
        given["label_words"] = WORDS[task]
    return taesan.fit(task, labelled[task], output=folder, **(given | more))


@pytest.mark.parametrize("cell", PEFT_CELLS, ids="-".join)
def test_peft_opens_an_export_with_the_same_logits(cell, backbones, labelled, tmp_path) -> None:
    task, method, architecture = cell
    folder = fitted(task, method, architecture, backbones, labelled, tmp_path / "model").folder
    out = taesan.export(folder, format="peft", output=tmp_path / "out")
    adapted, shared, _ = open_adapted(folder)
    the_task = TASKS[task]
    kind = model_class(the_task.head, shared.backbone.kind)
    theirs = peft.PeftModel.from_pretrained(kind.from_pretrained(out / "backbone"), out).eval()
    ids = torch.tensor([[5, 9, 11, 7, 23, 4], [8, 31, 6, 40, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    batch = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    own = batch if shared.backbone.token_types else {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        adapted.eval()
        ours = adapted.head.logits(adapted.encoder(batch), batch)
        out_ = theirs(**own)
    expected = out_.logits if hasattr(out_, "logits") else torch.stack([out_.start_logits, out_.end_logits], -1)
    if task == "classification":
        np.testing.assert_allclose(ours, expected, atol=1e-5)
    else:  # what stands at a padded place is nobody's
        np.testing.assert_allclose(ours[mask == 1], expected[mask == 1], atol=1e-5)
    moved = load_file(folder / "adapter_model.safetensors")
    assert any(np.abs(array).max() > 0.01 for name, array in moved.items() if "lora_B" in name or method == "prefix")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("task", ["classification", "pair", "ner", "qa"])
def test_a_soft_prompt_is_what_its_tokens_would_be(backbones, task, architecture) -> None:
    """In the head view, against the whole model given the tokens whose embeddings the prompt begins as."""
    backbone, method, the_task = find(str(backbones[architecture])), METHODS["prompt"], TASKS[task]
    prompt = (5, 9, 6, 8)
    additions = Additions(virtual_tokens=4, initial_ids=prompt)
    learnt = Learnt(("긍정", "부정"), {"endings": {}, "unanswerable": True, "answer_tokens": 4, "threshold": 0.5})
    model = backbone.load(the_task.head, labels=the_task.outputs(learnt), seed=5)
    whole = copy.deepcopy(model).eval()
    adapted = adapt(method, model, additions).eval()
    options = EncodeOptions(max_length=backbone.max_length - 4, long_text="windows" if the_task.windowed else "head")
    count = sum(field.kind == "text" for field in the_task.fields)
    rows = [tuple(text[:14] for text in row[:-1]) * count for row in REVIEWS]
    examples = [Example(row[:count]) for row in rows] + [Example(("재미있게 " * (2, 60)[count == 1],) * count)]
    items = [item for one in the_task.encode(examples, backbone.tokenizer, learnt, options) for item in one.items]
    outputs = run_items(TorchSession(adapted), items, max_length=options.max_length, pad_id=backbone.tokenizer.pad_id)
    for item, output in zip(items, outputs, strict=True):
        batch = {"input_ids": torch.from_numpy(np.concatenate([prompt, item.input_ids]))[None].long()}
        batch["attention_mask"] = torch.ones_like(batch["input_ids"])
        if backbone.token_types:
            batch["token_type_ids"] = torch.from_numpy(np.concatenate([[0] * 4, item.token_type_ids]))[None].long()
        with torch.inference_mode():
            hidden = whole.base_model(**batch).last_hidden_state[:, 4:]
            if the_task.head == "token":
                expected = whole.classifier(hidden)
            elif the_task.head == "span":
                expected = whole.qa_outputs(hidden)
            elif architecture == "gpt2":
                expected = whole.score(hidden[:, -1])
            else:
                expected = whole.classifier(whole.bert.pooler(hidden) if architecture == "bert" else hidden)
        np.testing.assert_allclose(output, expected[0].numpy(), atol=2e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_cloze_asks_for_the_words_where_the_answer_belongs(backbones, architecture) -> None:
    backbone, task = find(str(backbones[architecture])), TASKS["pair"]
    masked, tokenizer = backbone.kind == "masked", backbone.tokenizer
    template = shipped("pair", task.slots).templates[0]
    words = {"함의": "좋다", "모순": "별로다", "중립": "정말"}
    cloze = Cloze(task, template, words, masked=masked)
    model = backbone.load("language_model")
    whole = copy.deepcopy(model).eval()
    choices = cloze.choices(tokenizer)
    adapted = adapt(
        METHODS["prompt"],
        model,
        Additions(virtual_tokens=3, initial_ids=(5, 6, 7)),
        choices=choices,
        mask_id=tokenizer.mask_id if masked else None,
    )
    options, learnt = EncodeOptions(max_length=backbone.max_length - 3), Learnt(tuple(words))
    examples = [Example(row[:2], row[2]) for row in PAIRS] + [Example(("[MASK] " * 90, "{answer} [SEP]"))]
    encoded = cloze.encode(examples, tokenizer, learnt, options)
    assert encoded[-1].cut
    assert masked is not any(one.cut for one in encoded[:-1])  # bytes take more room
    items = [one.items[0] for one in encoded]
    outputs = run_items(TorchSession(adapted), items, max_length=options.max_length, pad_id=tokenizer.pad_id)
    for item, output in zip(items, outputs, strict=True):
        assert len(item.input_ids) <= options.max_length
        ids = torch.from_numpy(np.concatenate([(5, 6, 7), item.input_ids]))[None].long()
        place = len(ids[0]) - 1
        if masked:  # one blank, ours, whatever the texts say
            (place,) = torch.nonzero(ids[0] == tokenizer.mask_id)[:, 0].tolist()
        with torch.inference_mode():
            likely = whole(input_ids=ids).logits[0, place].log_softmax(-1)
        expected = [float(likely[list(own)].mean()) for own in choices]
        np.testing.assert_allclose(output, expected, atol=2e-5)


@pytest.mark.parametrize("method", ["lora", "prefix", "prompt"])
def test_only_what_was_added_moves(backbones, labelled, tmp_path, method) -> None:
    folder = fitted("classification", method, "bert", backbones, labelled, tmp_path / "m").folder
    manifest = taesan.show(folder)
    adapted, shared, _ = open_adapted(folder)
    before = find(str(backbones["bert"])).load("language_model")
    after = shared.model("language_model")
    for (name, one), other in zip(before.named_parameters(), after.parameters(), strict=True):
        assert torch.equal(one, other), name
    trained = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
    assert manifest["trained_parameters"] == trained
    added = {"lora": 2 * 2 * (4 * 64 + 2 * 80), "prefix": 4 * 2 * 2 * 32, "prompt": 4 * 32}[method]
    head = {"prompt": 0}.get(method, 32 * 32 + 32 + 2 * 32 + 2)  # the pooler, which is new, and the classifier
    assert trained == added + head
    assert sum(path.stat().st_size for path in folder.iterdir()) < 40_000


def test_adapters_share_one_backbone(backbones, labelled, tmp_path) -> None:
    shared = {}
    alone, together = [], []
    for method in ("lora", "prefix", "prompt", "lora"):
        folder = tmp_path / f"{method}{len(alone)}"
        fitted("classification", method, "gpt2", backbones, labelled, folder)
        alone.append([one.as_dict() for one in taesan.predict(folder, ["정말 좋다", "지루하다"])])
        together.append(open_predictor(folder, shared=shared)[0])
    (one,) = shared.values()
    word = one.model("language_model").get_input_embeddings().weight.data_ptr()
    for expected, predictor in zip(alone, together, strict=True):
        assert [one.as_dict() for one in taesan.predict(predictor, ["정말 좋다", "지루하다"])] == expected
        backbone = predictor.session.model.encoder.get_submodule("backbone")
        assert backbone.get_input_embeddings().weight.data_ptr() == word


def test_another_backbone_is_refused_also_after_moving(backbones, labelled, tmp_path) -> None:
    own = tmp_path / "backbone"
    own.mkdir()
    for path in backbones["bert"].iterdir():
        (own / path.name).write_bytes(path.read_bytes())
    folder = fitted("ner", "lora", "bert", backbones, labelled, tmp_path / "m", backbone=str(own)).folder
    expected = [one.as_dict() for one in taesan.predict(folder, ["서울에서 부산까지"])]
    moved = own.rename(tmp_path / "elsewhere")
    with pytest.raises(InputMissing, match=r"is not to be found.*--backbone"):
        taesan.predict(folder, ["서울"])
    found = taesan.predict(folder, ["서울에서 부산까지"], backbone=str(moved))
    assert [one.as_dict() for one in found] == expected
    with pytest.raises(StorageError, match="is not the backbone that the model was made on"):
        taesan.predict(folder, ["서울"], backbone=str(backbones["roberta-prelayernorm"]))
    weights = (moved / "model.safetensors").read_bytes()
    (moved / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(StorageError, match="its config or its tokenizer differ"):
        taesan.predict(folder, ["서울"], backbone=str(moved))
    (moved / "model.safetensors").write_bytes(weights)
    tokens = (moved / "tokenizer.json").read_text("utf-8")
    (moved / "tokenizer.json").write_text(tokens.replace('"##', '"#', 1), "utf-8")
    with pytest.raises(StorageError, match="its config or its tokenizer differ"):
        taesan.predict(folder, ["서울"], backbone=str(moved))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("task", ["classification", "ner"])
def test_lora_merges_into_a_model_of_transformers(backbones, labelled, tmp_path, task, architecture) -> None:
    folder = fitted(task, "lora", architecture, backbones, labelled, tmp_path / "m").folder
    out = taesan.export(folder, format="hf", output=tmp_path / "out")
    model = model_class(TASKS[task].head, "").from_pretrained(out).eval()
    adapted, _, _ = open_adapted(folder)
    ids = torch.tensor([[5, 9, 11, 7, 23, 4]])
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    with torch.inference_mode():
        ours = adapted.eval().head.logits(adapted.encoder(batch), batch)
        np.testing.assert_allclose(ours, model(input_ids=ids).logits, atol=1e-5)
    with pytest.raises(UsageError, match="expected one of"):
        taesan.export(folder, format="onyx", output=tmp_path / "no")


def test_virtual_tokens_do_not_merge(backbones, labelled, tmp_path) -> None:
    folder = fitted("classification", "prefix", "bert", backbones, labelled, tmp_path / "m").folder
    with pytest.raises(UsageError, match="--format peft"):
        taesan.export(folder, format="hf", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("method", ["prefix", "prompt"])
def test_reparametrized_tokens_are_stored_as_what_they_came_to(backbones, labelled, tmp_path, method) -> None:
    config = FitConfig(**{**vars(TWO_STEPS), "reparametrization": True, "initialization": "label-words"})
    made = fitted("classification", method, "gpt2", backbones, labelled, tmp_path / "m", config=config)
    arrays = load_file(made.folder / "adapter_model.safetensors")
    assert arrays["prompt_embeddings"].shape == (4, {"prefix": 2 * 2 * 32, "prompt": 32}[method])
    assert json.loads((made.folder / "adapter_config.json").read_bytes())["num_virtual_tokens"] == 4
    again = taesan.evaluate(made.folder, labelled["classification"])
    assert 0 <= again.scores["accuracy"].value <= 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_prefix_begins_as_real_keys_and_values(backbones, architecture) -> None:
    """Left to right, a text after a prefix that is the keys and values of tokens is the text after these tokens."""
    backbone = find(str(backbones[architecture]))
    begun = (5, 9, 6)
    model = backbone.load("language_model").eval()
    whole = copy.deepcopy(model)
    adapted = adapt(METHODS["prefix"], model, Additions(virtual_tokens=3, initial_ids=begun)).eval()
    ids = torch.tensor([[11, 7, 23, 4]])
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    with torch.inference_mode():
        ours = adapted.encoder(batch)
        theirs = whole.base_model(input_ids=torch.cat([torch.tensor([begun]), ids], 1)).last_hidden_state[:, 3:]
    if architecture == "gpt2":
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert ours.shape == theirs.shape
    assert isinstance(METHODS["prefix"], Adapter)


@pytest.mark.parametrize("method", ["lora", "prefix", "prompt"])
def test_generation_goes_on_behind_what_was_added(backbones, labelled, tmp_path, method) -> None:
    """Greedy, against the whole sequence computed anew for every token."""
    folder = fitted("generation", method, "gpt2", backbones, labelled, tmp_path / "m").folder
    predictor, _ = open_predictor(folder)
    adapted, shared, _ = open_adapted(folder)
    tokenizer = shared.backbone.tokenizer
    prompts = ["오늘 날씨는?", "비가"]
    examples = [Example((prompt,)) for prompt in prompts]
    written = predictor.write(examples, taesan.config.GenerationOptions(max_tokens=8))
    encoded = predictor.task.encode(examples, tokenizer, predictor.learnt, predictor.options)
    banned = list(predictor.writing().banned)
    for one, (text,) in zip(encoded, written, strict=True):
        ids, expected = one.prompt.tolist(), []
        for _ in range(8):
            given = torch.tensor([ids + expected])
            batch = {"input_ids": given, "attention_mask": torch.ones_like(given)}
            with torch.inference_mode():
                logits = adapted.eval().head.logits(adapted.encoder(batch), batch)[0, -1]
            logits = logits.clone()
            logits[banned] = -torch.inf
            token = int(logits.argmax())
            if token == tokenizer.separator_id:
                break
            expected.append(token)
        assert list(text.ids) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "prefix", "config": FitConfig(rank=2)}, "rank is 2, which prefix does not use"),
        ({"method": "lora", "config": FitConfig(virtual_tokens=2)}, "which lora does not use"),
        ({"method": "lora", "from_scratch": True}, "of random weights"),
        ({"method": "prompt", "config": FitConfig(virtual_tokens=60)}, "too few are left"),
        ({"method": "prompt", "label_words": {"긍정": "좋다", "부정": "좋다"}}, "have the same word"),
        ({"method": "prompt", "label_words": {"좋음": "좋다"}}, "the labels are"),
        ({"method": "prompt", "label_words": {"긍정": "좋다", "부정": "부정적"}}, "is not in its vocabulary"),
        ({"method": "prompt", "config": FitConfig(template="없다")}, "there is no template"),
        ({"method": "prompt", "config": FitConfig(language="xx")}, "there are templates in"),
        ({"method": "prompt", "config": FitConfig(initialization="text")}, "initial_text is empty"),
        ({"method": "lora", "label_words": {"긍정": "좋다"}}, "leave --label-words"),
    ],
)
def test_what_makes_no_sense_is_refused(backbones, labelled, tmp_path, given, message) -> None:
    given = {"backbone": str(backbones["bert"]), "quiet": True} | given
    if given["method"] == "prompt":
        given.setdefault("label_words", WORDS["classification"])
    with pytest.raises(UsageError, match=message):
        taesan.fit("classification", labelled["classification"], output=tmp_path / "m", **given)
    assert not (tmp_path / "m").exists()
