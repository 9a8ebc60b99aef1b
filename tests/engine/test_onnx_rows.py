"""The graph with keys and values: its logits are the model's, its texts those of torch, whoever the neighbours are."""

import copy
import random
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
import transformers

from taesan.config import GenerationOptions
from taesan.engine.generate import Generator
from taesan.engine.onnx_graph import open_graph
from taesan.engine.onnx_rows import OnnxDecoder
from taesan.engine.session import TorchSession
from taesan.engine.torch_decoder import TorchDecoder
from taesan.errors import UsageError
from taesan.methods import METHODS
from taesan.methods.base import Additions, adapt
from taesan.models.backbone import find
from taesan.models.cache import cache_of
from taesan.models.onnx_decoder import decoder_graph

VOCABULARY, END, LENGTH = 61, 7, 64


def gpt2(**shape):
    torch.manual_seed(3)
    sizes = {"vocab_size": VOCABULARY, "n_positions": LENGTH, "n_embd": 36, "n_layer": 3, "n_head": 2}
    sizes |= {"initializer_range": 0.3} | shape
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, bos_token_id=END, eos_token_id=END)).eval()


def states_before(model, count: int):
    """Keys and values such as prefix tuning learns."""
    torch.manual_seed(5)
    config = model.config
    shape = (1, config.n_head, count, config.n_embd // config.n_head)
    return [(torch.randn(shape), torch.randn(shape)) for _ in range(config.n_layer)]


def decoder_of(model, before=()) -> OnnxDecoder:
    return OnnxDecoder(open_graph(decoder_graph(model, list(before))))


def prompts_of(seed: int, count: int, longest: int = 30) -> list[np.ndarray]:
    chance = np.random.default_rng(seed)
    return [chance.integers(0, VOCABULARY, chance.integers(1, longest + 1)).astype(np.int32) for _ in range(count)]


@pytest.fixture(scope="module")
def model():
    return gpt2()


@pytest.fixture(scope="module")
def decoder(model) -> OnnxDecoder:
    return decoder_of(model)


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"activation_function": "relu"},
        {"activation_function": "gelu"},
        {"activation_function": "tanh"},
        {"scale_attn_by_inverse_layer_idx": True},
        {"scale_attn_weights": False, "initializer_range": 0.1},
        {"tie_word_embeddings": False},
        {"n_inner": 50},
    ],
    ids=str,
)
@pytest.mark.parametrize("virtual", [0, 3])
def test_a_valid_graph_with_the_model_s_logits(shape, virtual) -> None:
    model = gpt2(**shape)
    before = states_before(model, virtual) if virtual else []
    graph = onnx.load_from_string(decoder_graph(model, before))
    onnx.checker.check_model(graph, full_check=True)
    tied = model.lm_head.weight is model.transformer.wte.weight
    held = sum(np.prod(one.dims) for one in graph.graph.initializer if one.data_type == onnx.TensorProto.FLOAT)
    wanted = sum(one.numel() for one in model.parameters()) - virtual * model.config.n_embd
    assert held == wanted + sum(one.numel() for pair in before for one in pair)
    assert tied == shape.get("tie_word_embeddings", True)
    prompts = prompts_of(1, 5)
    rows = decoder_of(model, before).read(prompts, 1)
    found, texts = [rows.logits], [prompt.tolist() for prompt in prompts]
    for _ in range(LENGTH - virtual - max(map(len, texts))):  # from the first block of places into the second
        tokens = found[-1].argmax(axis=1)
        found.append(rows.step(tokens))
        for text, token in zip(texts, tokens.tolist(), strict=True):
            text.append(token)
    for row, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        cache = {"past_key_values": cache_of(before, 1)} if before else {}
        with torch.inference_mode():
            wanted = model(torch.tensor([text]), **cache).logits[0, len(prompt) - 1 :].numpy()
        own = np.stack([one[row] for one in found])
        np.testing.assert_allclose(own, wanted, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"repetition_penalty": 1.4, "no_repeat_ngram": 2, "min_tokens": 4},
        {"beams": 4, "sequences": 3, "length_penalty": 0.6},
        {"sample": True, "sequences": 2, "top_p": 0.9, "temperature": 0.8},
        {"sample": True, "top_k": 9},
    ],
    ids=str,
)
@pytest.mark.parametrize("virtual", [0, 5])
def test_the_texts_of_torch(model, options, virtual) -> None:
    before = states_before(model, virtual) if virtual else []
    settings = GenerationOptions(max_tokens=25, candidates=2, **options)
    limits = {"end_id": END, "max_length": LENGTH - virtual, "banned": (3, 11)}
    prompts = prompts_of(2, 24, longest=LENGTH - virtual - 2)
    found = Generator(decoder_of(model, before), **limits).generate(prompts, settings)
    wanted = Generator(TorchDecoder(model, before), **limits).generate(prompts, settings)
    for texts, others in zip(found, wanted, strict=True):
        assert [(text.ids, text.finished) for text in texts] == [(other.ids, other.finished) for other in others]
        for text, other in zip(texts, others, strict=True):
            np.testing.assert_allclose(text.token_log_probabilities, other.token_log_probabilities, atol=1e-4)
    assert any(text.finished for texts in found for text in texts)


@pytest.mark.parametrize(
    "options",
    [{}, {"beams": 3, "sequences": 2}, {"sample": True, "sequences": 2, "top_p": 0.95}],
    ids=["greedy", "beams", "sampling"],
)
@pytest.mark.parametrize("virtual", [0, 5])
def test_the_same_text_whatever_the_company(model, options, virtual) -> None:
    """To the last bit of its log-probabilities; widths here are no multiples of what a processor multiplies at once."""
    decoder = decoder_of(model, states_before(model, virtual) if virtual else [])
    generator = Generator(decoder, end_id=END, max_length=LENGTH - virtual)
    prompts = prompts_of(8, 40, longest=45)
    settings = GenerationOptions(max_tokens=10, candidates=2, **options)
    alone = [generator.generate([prompt], settings)[0] for prompt in prompts]
    chance = random.Random(0)
    for _ in range(30):
        chosen = [chance.randrange(len(prompts)) for _ in range(chance.randint(2, 12))]
        assert generator.generate([prompts[number] for number in chosen], settings) == [alone[i] for i in chosen]


def test_the_embedded_model_writes_the_same_korean() -> None:
    backbone = find("taesan:gpt-mini")
    model = backbone.load("language_model").eval()
    prompts = list(backbone.tokenizer.ids(("오늘은 날씨가", "책", "바다가 보이는 작은 마을에 사는 아이들은")))
    limits = {"end_id": backbone.tokenizer.separator_id, "max_length": backbone.max_length}
    own, torches = (Generator(one, **limits) for one in (decoder_of(model), TorchDecoder(model)))
    for options in ({}, {"beams": 4}):
        settings = GenerationOptions(max_tokens=40, **options)
        found, wanted = own.generate(prompts, settings), torches.generate(prompts, settings)
        assert [text.ids for (text,) in found] == [text.ids for (text,) in wanted]
        assert [own.generate([prompt], settings)[0] for prompt in prompts] == found


@pytest.mark.parametrize("virtual", [0, 4])
def test_log_probabilities_of_given_texts(model, virtual) -> None:
    before = states_before(model, virtual) if virtual else []
    decoder, chance = decoder_of(model, before), np.random.default_rng(0)
    ids = chance.integers(0, VOCABULARY, (5, 20))
    labels = np.where(chance.random((5, 20)) < 0.5, chance.integers(0, VOCABULARY, (5, 20)), -100)
    labels[2] = -100  # a row that is asked for nothing
    found = decoder.log_probabilities(ids, labels)
    cache = {"past_key_values": cache_of(before, 5)} if before else {}
    with torch.inference_mode():
        likely = model(torch.from_numpy(ids), **cache).logits.log_softmax(-1).numpy()
    wanted = [likely[row, labels[row] >= 0, labels[row][labels[row] >= 0]].sum() for row in range(5)]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-4)
    for row in range(5):  # the same bits with others asked in the same batch, and with none
        others = np.where(np.arange(5)[:, None] == row, labels, -100)
        assert decoder.log_probabilities(ids, others)[row] == found[row]


@pytest.mark.parametrize("method", ["finetune", "prefix", "prompt"])
def test_a_method_s_graph_answers_as_its_session(model, method) -> None:
    additions = Additions(virtual_tokens=3, initial_ids=(4, 9, 20))
    adapted = adapt(METHODS[method], copy.deepcopy(model), additions)
    with adapted.whole() as whole:
        decoder = OnnxDecoder(open_graph(decoder_graph(whole, adapted.before())))
    chance = np.random.default_rng(1)
    ids, mask = chance.integers(0, VOCABULARY, (4, 24)), np.arange(24) < np.array([[24], [11], [3], [17]])
    labels = np.where(mask, chance.integers(0, VOCABULARY, (4, 24)), -100)
    batch = {"input_ids": ids, "token_type_ids": np.zeros_like(ids), "attention_mask": mask.astype(np.int64)}
    wanted = TorchSession(adapted).run(batch | {"labels": labels})
    np.testing.assert_allclose(decoder.log_probabilities(ids, labels), wanted, rtol=1e-6, atol=1e-4)


def test_what_has_no_graph_is_refused_by_name() -> None:
    sizes = {"vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    other = transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**sizes, intermediate_size=8))
    with pytest.raises(UsageError, match="GPTNeoXForCausalLM has no graph that writes"):
        decoder_graph(other, [])
    with pytest.raises(UsageError, match="activation is silu; a graph has one of gelu, "):
        decoder_graph(gpt2(activation_function="silu"), [])


def test_a_graph_writes_without_torch(tmp_path, model) -> None:
    (tmp_path / "model.onnx").write_bytes(decoder_graph(model, []))
    code = (
        "import sys, pathlib, numpy as np; from taesan.engine.onnx_graph import open_graph\n"
        "from taesan.engine.onnx_rows import OnnxDecoder; from taesan.engine.generate import Generator\n"
        "from taesan.config import GenerationOptions; graph = open_graph(pathlib.Path(sys.argv[1]))\n"
        "generator = Generator(OnnxDecoder(graph), end_id=None, max_length=64)\n"
        "print(generator.generate([np.array([1, 2])], GenerationOptions(max_tokens=3))[0][0].ids)\n"
        "assert not {'torch', 'transformers', 'onnx'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model.onnx")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    generator = Generator(TorchDecoder(model), end_id=None, max_length=LENGTH)
    (text,) = generator.generate([np.array([1, 2])], GenerationOptions(max_tokens=3))[0]
    assert shown.strip() == str(text.ids)
