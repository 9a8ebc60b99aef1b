"""Generation gives the tokens of transformers' `generate`, whoever the neighbours are, and stops where it must."""

import dataclasses
import math
import random
import re
from collections import Counter

import numpy as np
import pytest
import torch
import transformers
from transformers.generation import logits_process

from taesan.config import GenerationOptions
from taesan.engine.choices import narrow, sample
from taesan.engine.decoding import Chosen, Generated, chances, draw
from taesan.engine.generate import Generator
from taesan.engine.torch_decoder import TorchDecoder, Way
from taesan.errors import StorageError, UsageError
from taesan.models.backbone import find

VOCABULARY, END, LENGTH = 60, 7, 64
# Ours, and what transformers calls it.
NAMES = {
    "max_tokens": "max_new_tokens",
    "min_tokens": "min_new_tokens",
    "beams": "num_beams",
    "no_repeat_ngram": "no_repeat_ngram_size",
    "sequences": "num_return_sequences",
    "repetition_penalty": "repetition_penalty",
    "length_penalty": "length_penalty",
}
KOREAN = ("오늘은 날씨가", "서울은 대한민국의", "그 사람은 아침마다", "책", "바다가 보이는 작은 마을에 사는 아이들은")


def gpt2(seed: int = 0, **shape):
    torch.manual_seed(seed)
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=LENGTH,
            n_embd=32,
            n_layer=2,
            n_head=2,
            initializer_range=0.3,  # far from uniform, so that ends and near ties are as frequent as in a real model
            bos_token_id=END,
            eos_token_id=END,
            **shape,
        )
    ).eval()
    with torch.no_grad():
        model.transformer.wte.weight[END] *= 1.5  # now and then a text ends
    return model


@pytest.fixture(scope="module")
def model():
    return gpt2()


@pytest.fixture(scope="module")
def generator(model) -> Generator:
    return Generator(TorchDecoder(model), end_id=END, max_length=LENGTH)


def prompts_of(seed: int, count: int, longest: int = 20) -> list[np.ndarray]:
    chance = np.random.default_rng(seed)
    return [chance.integers(0, VOCABULARY, chance.integers(1, longest + 1)).astype(np.int32) for _ in range(count)]


def expected(model, prompts, end_id=END, **options) -> list[list[tuple[int, ...]]]:
    """What transformers writes, its end token and padding cut off; several prompts are padded on the left."""
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), 0)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :], mask[row, width - len(prompt) :] = torch.from_numpy(prompt), 1
    with torch.inference_mode():
        found = model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=False,
            pad_token_id=END,
            **{NAMES.get(name, name): value for name, value in options.items()},
        )
    texts = [tuple(row[width:].tolist()) for row in found]
    texts = [text[: text.index(end_id)] if end_id in text else text for text in texts]
    count = options.get("sequences", 1)
    return [texts[start : start + count] for start in range(0, len(texts), count)]


def ids_of(results: list[list[Generated]]) -> list[list[tuple[int, ...]]]:
    return [[text.ids for text in texts] for texts in results]


def combinations(count: int, seed: int) -> list[dict]:
    """Options drawn so that each meets each."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        options = {"max_tokens": chance.choice([1, 5, 20])}
        if chance.random() < 0.4:
            options["min_tokens"] = chance.randint(1, options["max_tokens"])
        if chance.random() < 0.4:
            options["repetition_penalty"] = chance.choice([0.8, 1.2, 1.7])
        if chance.random() < 0.4:
            options["no_repeat_ngram"] = chance.choice([1, 2, 3])
        if chance.random() < 0.6:
            options["beams"] = chance.randint(2, 5)
            options["sequences"] = chance.randint(1, options["beams"])
            options["length_penalty"] = chance.choice([1.0, 0.0, -1.0, 0.6, 2.0])
        found.append(options)
    return found


def test_the_tokens_are_those_of_transformers(model, generator) -> None:
    ended = whole = 0
    for number, options in enumerate(combinations(60, seed=1)):
        prompts = prompts_of(number, 4)
        found = generator.generate(prompts, GenerationOptions(**options))
        # One at a time: beside padding, transformers' no_repeat_ngram counts runs of padding too.
        assert ids_of(found) == [expected(model, [prompt], **options)[0] for prompt in prompts], options
        ended += sum(text.finished for texts in found for text in texts)
        whole += sum(not text.finished for texts in found for text in texts)
    assert min(ended, whole) > 50  # both kinds were there


@pytest.mark.parametrize("beams", [1, 4])
def test_a_batch_is_the_batch_of_transformers(model, generator, beams) -> None:
    prompts = prompts_of(99, 16)
    options = {"max_tokens": 24, "beams": beams, "repetition_penalty": 1.3}
    assert ids_of(generator.generate(prompts, GenerationOptions(**options))) == expected(model, prompts, **options)


def test_banned_tokens_are_suppressed_and_a_model_may_have_no_end(model) -> None:
    banned = (3, 11, 12, 40)
    prompts = prompts_of(5, 6)
    for beams in (1, 3):
        options = {"max_tokens": 15, "beams": beams}
        found = Generator(TorchDecoder(model), end_id=END, max_length=LENGTH, banned=banned).generate(
            prompts, GenerationOptions(**options)
        )
        assert ids_of(found) == [
            expected(model, [prompt], suppress_tokens=list(banned), **options)[0] for prompt in prompts
        ]
        found = Generator(TorchDecoder(model), end_id=None, max_length=LENGTH).generate(
            prompts, GenerationOptions(**options)
        )
        endless = {**options, "eos_token_id": VOCABULARY}  # an id that does not exist
        assert ids_of(found) == [expected(model, [prompt], None, **endless)[0] for prompt in prompts]
        assert {len(text.ids) for (text, *_) in found} == {15}
        assert any(END in text.ids for texts in found for text in texts)


@pytest.mark.parametrize("beams", [1, 4])
def test_the_embedded_model_writes_korean_as_transformers_does(beams) -> None:
    backbone = find("taesan:gpt-mini")
    model = backbone.load("language_model").eval()
    prompts = list(backbone.tokenizer.ids(KOREAN))
    ending = backbone.tokenizer.separator_id
    decoder = TorchDecoder(model)
    assert decoder.way is Way.DIRECT
    generator = Generator(decoder, end_id=ending, max_length=backbone.max_length)
    options = {"max_tokens": 24, "beams": beams}
    found = generator.generate(prompts, GenerationOptions(**options))
    for prompt, (text,) in zip(prompts, found, strict=True):
        with torch.inference_mode():
            whole = model.generate(
                input_ids=torch.from_numpy(prompt[None].astype(np.int64)),
                attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                do_sample=False,
                num_beams=beams,
                max_new_tokens=24,
            )[0, len(prompt) :].tolist()
        assert list(text.ids) == [one for one in whole if one not in (ending, backbone.tokenizer.pad_id)]


LLAMA = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
LLAMA |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": LENGTH, "eos_token_id": END}
SLIDING = {"sliding_window": 5, "use_cache": True}
BLOOM = {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 2, "eos_token_id": END}


@pytest.mark.parametrize(
    ("name", "shape", "way"),
    [
        ("Llama", LLAMA, Way.JOINT),  # other positions, fewer heads for keys than for queries
        ("Mistral", LLAMA | SLIDING, Way.LONE),  # layers that forget
        ("Bloom", BLOOM, Way.LONE),  # no positions: it counts the mask, and a mask of our own is not for counting
    ],
)
def test_other_architectures_too(name, shape, way) -> None:
    torch.manual_seed(1)
    config = getattr(transformers, f"{name}Config")(**shape, initializer_range=0.3, pad_token_id=None, bos_token_id=1)
    model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    decoder = TorchDecoder(model)
    assert decoder.way is way
    generator = Generator(decoder, end_id=END, max_length=LENGTH)
    prompts = prompts_of(3, 5)
    for options in ({"max_tokens": 12}, {"max_tokens": 12, "beams": 3, "sequences": 2}):
        found = generator.generate(prompts, GenerationOptions(**options))
        assert ids_of(found) == [expected(model, [prompt], **options)[0] for prompt in prompts]
    drawn = GenerationOptions(max_tokens=8, sample=True, sequences=3)
    alone = [generator.generate([prompt], drawn)[0] for prompt in prompts]
    assert ids_of(generator.generate(prompts, drawn)) == ids_of(alone)


@pytest.mark.parametrize(
    "options",
    [
        {"repetition_penalty": 1.1},
        {"beams": 3, "sequences": 2, "length_penalty": 0.5},
        {"sample": True, "sequences": 2, "top_p": 0.95, "temperature": 1.2},
    ],
    ids=["greedy", "beams", "sampling"],
)
@pytest.mark.parametrize("plain", [False, True], ids=["packed", "plain"])
def test_the_same_text_whatever_the_company(monkeypatch, model, options, plain) -> None:
    """To the last bit of its log-probabilities, and in any order."""
    if plain:
        monkeypatch.setattr("taesan.engine.torch_decoder.packed", lambda model: None)
    generator = Generator(TorchDecoder(model), end_id=END, max_length=LENGTH)
    prompts = prompts_of(8, 40, longest=40)
    settings = GenerationOptions(max_tokens=8, candidates=2, **options)
    alone = [generator.generate([prompt], settings)[0] for prompt in prompts]
    chance = random.Random(0)
    for _ in range(200 if not plain else 40):
        chosen = [chance.randrange(len(prompts)) for _ in range(chance.randint(2, 6))]
        found = generator.generate([prompts[number] for number in chosen], settings)
        assert found == [alone[number] for number in chosen]
    assert generator.generate(prompts, settings) == alone


def test_the_same_korean_whatever_the_company() -> None:
    backbone = find("taesan:gpt-mini")
    generator = Generator(TorchDecoder(backbone.load("language_model")), end_id=None, max_length=backbone.max_length)
    prompts = list(backbone.tokenizer.ids([*KOREAN, *(text[:4] for text in KOREAN)]))
    chance = random.Random(0)
    for options in ({}, {"sample": True, "top_k": 50}, {"beams": 3}):
        settings = GenerationOptions(max_tokens=40 if "beams" not in options else 12, **options)
        alone = [generator.generate([prompt], settings)[0] for prompt in prompts]
        for _ in range(4):
            chosen = [chance.randrange(len(prompts)) for _ in range(chance.randint(2, 9))]
            assert generator.generate([prompts[number] for number in chosen], settings) == [alone[i] for i in chosen]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("temperature", "top_k", "top_p"), [
    (0.7, 0, 1.0), (1.0, 5, 1.0), (1.5, 0, 0.9), (0.8, 12, 0.7), (1.0, 1000, 0.3), (1.0, 1, 1.0), (2.0, 0, 1e-9),
    (1.0, 0, 0.999999),
])  # fmt: skip
def test_sampling_draws_from_the_distribution_of_transformers(temperature, top_k, top_p, ties) -> None:
    generator = torch.Generator().manual_seed(3)
    scores = torch.randn(30, 500, generator=generator) * 3
    if ties:
        scores = scores.round()
    scores[:, :7] = float("-inf")
    wanted = scores
    if temperature != 1:
        wanted = logits_process.TemperatureLogitsWarper(temperature)(None, wanted)
    if top_k:
        wanted = logits_process.TopKLogitsWarper(top_k)(None, wanted)
    if top_p < 1:
        wanted = logits_process.TopPLogitsWarper(top_p)(None, wanted)
    options = GenerationOptions(sample=True, temperature=temperature, top_k=top_k, top_p=top_p)
    found = torch.from_numpy(narrow(scores.numpy(), options))
    one, other = found, wanted
    if ties and top_p < 1:  # of those at the nucleus's edge torch keeps the ones that its sort happens to put last
        for row, column in torch.argwhere(found.isfinite() != wanted.isfinite()).tolist():
            assert max(found[row, column], wanted[row, column]) == wanted[row][wanted[row].isfinite()].min()
        one, other, wanted = found.sort(dim=1).values, wanted.sort(dim=1).values, found
    np.testing.assert_array_equal(one.softmax(dim=1).numpy(), other.softmax(dim=1).numpy())
    # And what is drawn is in the quantile of that distribution into which the number falls.
    chance = np.random.default_rng(0).random(30)
    tokens = sample(scores.numpy(), options, chance)
    sums = wanted.double().softmax(dim=1).cumsum(dim=1)
    for row, (token, number) in enumerate(zip(tokens.tolist(), chance, strict=True)):
        below = float(sums[row, token - 1]) if token else 0.0
        assert below - 1e-12 <= number <= float(sums[row, token]) + 1e-12
        assert torch.isfinite(wanted[row, token])


def test_drawn_tokens_have_their_frequencies() -> None:
    scores = np.log(np.array([[0.5, 0.0, 0.25, 0.2, 0.05, 0.0]], dtype=np.float32), where=[True, False, True, True, True, False], out=np.full((1, 6), -np.inf, dtype=np.float32))  # fmt: skip  # noqa: E501
    count = 20_000
    drawn = draw(np.repeat(scores, count, axis=0), chances(1, np.array([1, 2]), 0, count))
    shares = Counter(drawn.tolist())
    assert set(shares) == {0, 2, 3, 4}
    for token, probability in ((0, 0.5), (2, 0.25), (3, 0.2), (4, 0.05)):
        assert abs(shares[token] / count - probability) < 4 * math.sqrt(probability / count)
    edge = draw(np.repeat(scores, 2, axis=0), np.array([0.0, np.nextafter(1.0, 0)]))
    assert edge.tolist() == [0, 4]


def test_sampling_repeats_by_seed_and_differs_by_sequence(generator) -> None:
    prompts = prompts_of(2, 3)

    def write(seed: int, sequences: int = 4) -> list[list[tuple[int, ...]]]:
        return ids_of(
            generator.generate(prompts, GenerationOptions(sample=True, max_tokens=12, seed=seed, sequences=sequences))
        )

    assert write(1) == write(1) != write(2)
    assert all(len(set(texts)) > 1 for texts in write(1))
    assert [texts[:2] for texts in write(1)] == write(1, 2)  # asking for more does not change the first ones
    torch.manual_seed(0)
    np.random.seed(0)
    assert write(1) == write(1)


def test_log_probabilities_and_candidates_are_the_model_s_own(model, generator) -> None:
    prompts = prompts_of(4, 5)
    for options in ({}, {"beams": 3, "sequences": 3}, {"sample": True, "top_k": 5, "temperature": 0.5}):
        settings = GenerationOptions(max_tokens=20, candidates=4, repetition_penalty=1.5, **options)
        finished = 0
        for prompt, texts in zip(prompts, generator.generate(prompts, settings), strict=True):
            for text in texts:
                new = [*text.ids, *[END] * text.finished]
                finished += text.finished
                whole = torch.tensor([[*prompt.tolist(), *new]])
                with torch.inference_mode():
                    own = model(whole).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
                chosen = own[torch.arange(len(new)), new].numpy()
                np.testing.assert_allclose(text.token_log_probabilities, chosen, atol=2e-5)
                assert text.log_probability == pytest.approx(float(chosen.sum()), abs=1e-4)
                best = own.topk(4)
                assert [[one for one, _ in step] for step in text.candidates] == best.indices.tolist()
                np.testing.assert_allclose([[p for _, p in s] for s in text.candidates], best.values.exp(), atol=1e-5)
        assert finished
    assert generator.generate(prompts[:1], GenerationOptions())[0][0].candidates == []


def test_tokens_come_as_they_are_chosen(generator) -> None:
    prompts = prompts_of(6, 4)
    for options in ({"candidates": 3}, {"sample": True, "sequences": 2}, {"beams": 2, "sequences": 2, "candidates": 3}):
        heard: list[tuple[int, int, Chosen]] = []
        settings = GenerationOptions(max_tokens=10, **options)
        found = generator.generate(prompts, settings, on_token=lambda *one, heard=heard: heard.append(one))
        for number, texts in enumerate(found):
            for sequence, text in enumerate(texts):
                own = [one for p, s, one in heard if (p, s) == (number, sequence)]
                assert [one.token for one in own] == list(text.ids)
                assert [one.log_probability for one in own] == list(text.token_log_probabilities[: len(own)])
                told = text.candidates[: len(own)] if text.candidates else [[]] * len(own)
                assert [one.candidates for one in own] == told
        if "beams" not in options:  # side by side: the second tokens come after all first ones
            assert len({one[:2] for one in heard[: len(found) * settings.sequences]}) > 1


def test_a_text_stops_at_the_longest_the_model_reads(model) -> None:
    generator = Generator(TorchDecoder(model), end_id=None, max_length=LENGTH)
    prompts = [np.arange(length, dtype=np.int32) % VOCABULARY for length in (LENGTH - 1, LENGTH - 3, 2)]
    for options in ({}, {"sample": True}, {"beams": 3}):
        found = generator.generate(prompts, GenerationOptions(max_tokens=500, **options))
        assert [len(texts[0].ids) for texts in found] == [1, 3, LENGTH - 2]
        assert not any(text.finished for texts in found for text in texts)
    with pytest.raises(UsageError, match=f"prompt 2 has {LENGTH} tokens, and the model reads at most {LENGTH}"):
        generator.generate([prompts[0], np.zeros(LENGTH, np.int32)], GenerationOptions())
    with pytest.raises(UsageError, match="prompt 1 is empty"):
        generator.generate([np.zeros(0, np.int32)], GenerationOptions())
    with pytest.raises(UsageError, match="expected 0 to 59"):
        generator.generate([np.array([VOCABULARY], np.int32)], GenerationOptions())
    assert generator.generate([], GenerationOptions()) == []


@pytest.mark.parametrize("beams", [1, 3])
def test_what_forbids_every_token_is_said(model, beams) -> None:
    generator = Generator(TorchDecoder(model), end_id=END, max_length=LENGTH, banned=tuple(range(10, VOCABULARY)))
    with pytest.raises(UsageError, match="every token is forbidden; expected a larger no_repeat_ngram"):
        generator.generate([np.array([1], np.int32)], GenerationOptions(no_repeat_ngram=1, min_tokens=30, beams=beams))
    broken = gpt2()
    torch.nn.init.constant_(broken.transformer.ln_f.weight, math.nan)
    generator = Generator(TorchDecoder(broken), end_id=END, max_length=LENGTH)
    with pytest.raises(StorageError, match="not numbers"):
        generator.generate([np.array([1], np.int32)], GenerationOptions(beams=beams))


def test_many_prompts_come_in_batches_and_in_their_places(monkeypatch, generator) -> None:
    prompts = prompts_of(11, 30)
    settings = GenerationOptions(max_tokens=6)
    whole = generator.generate(prompts, settings)
    monkeypatch.setattr("taesan.engine.generate.BATCH_ROWS", 7)
    monkeypatch.setattr("taesan.engine.rows.PREFILL_TOKENS", 16)
    assert generator.generate(prompts, settings) == whole
    monkeypatch.setattr("taesan.engine.generate.BATCH_TOKENS", 1)
    assert generator.generate(prompts, settings) == whole


def test_the_model_itself_is_left_alone() -> None:
    model = gpt2(resid_pdrop=0.5, embd_pdrop=0.5).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    prompts = prompts_of(1, 3)
    generator = Generator(TorchDecoder(model), end_id=END, max_length=LENGTH)
    first = generator.generate(prompts, GenerationOptions(max_tokens=10))
    assert first == generator.generate(prompts, GenerationOptions(max_tokens=10))
    assert model.training
    assert all(module.training for module in model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert type(model.lm_head) is torch.nn.Linear
    model(torch.zeros(1, 2, dtype=torch.long), labels=torch.zeros(1, 2, dtype=torch.long)).loss.backward()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0, "sample": True}, "temperature is 0.0; expected 0.001 to 1000; for the likeliest token"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": math.nan}, "temperature is nan; expected 0.001 to 1000"),
        ({"top_k": -1}, "top_k is -1; expected at least 0"),
        ({"top_k": 2.5}, "top_k is 2.5; expected a whole number"),
        ({"top_p": 0.0, "sample": True}, "top_p is 0.0; expected a number above 0 and at most 1"),
        ({"top_p": 1.01, "sample": True}, "top_p is 1.01"),
        ({"beams": 0}, "beams is 0; expected at least 1"),
        ({"beams": 1000}, "beams is 1000; expected 1 to 256"),
        ({"beams": True}, "beams is True; expected a whole number"),
        ({"max_tokens": 0}, "max_tokens is 0; expected at least 1"),
        ({"max_tokens": "5"}, "max_tokens is '5'; expected a whole number"),
        ({"min_tokens": 65}, "min_tokens is 65; expected at most max_tokens, 64"),
        ({"repetition_penalty": 0.0}, "repetition_penalty is 0.0; expected 0.01 to 100"),
        ({"repetition_penalty": math.inf}, "repetition_penalty is inf; expected a finite number"),
        ({"no_repeat_ngram": -2}, "no_repeat_ngram is -2"),
        ({"length_penalty": 11.0, "beams": 2}, "length_penalty is 11.0; expected -10 to 10"),
        ({"sequences": 3, "beams": 2}, "sequences is 3; expected at most the 2 beams"),
        ({"sequences": 2}, "sequences is 2; expected 1 where the likeliest token is taken"),
        ({"seed": -1, "sample": True}, "seed is -1"),
        ({"candidates": -1}, "candidates is -1"),
        ({"sample": 1}, "sample is 1; expected true or false"),
        ({"sample": True, "beams": 2}, "beams is 2; expected 1 with sampling"),
        ({"top_k": 5}, "top_k is 5; expected 0 without sampling"),
        ({"temperature": 0.7}, "temperature is 0.7; expected 1 without sampling"),
        ({"length_penalty": 2.0}, "length_penalty is 2.0; expected 1 without beams"),
    ],
)
def test_absurd_options_are_refused(options, message) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        GenerationOptions(**options)


def test_every_option_has_its_help() -> None:
    for one in dataclasses.fields(GenerationOptions):
        assert one.metadata["help"]
    GenerationOptions(temperature=1, sample=True, top_p=1)  # whole numbers are numbers too
