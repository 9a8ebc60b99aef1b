"""The local scorer against one plain forward an answer, without caches, trees or batches."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import MASKED, MAX_LENGTH, REVIEWS
from taesan.engine.blanks import PART_TOKENS as MASKED_PART_TOKENS
from taesan.engine.score import local_scorer
from taesan.engine.scoring import PART_TOKENS, Parts, Scorer
from taesan.engine.trees import CausalScorer
from taesan.methods import METHODS
from taesan.methods.base import adapt
from taesan.models.backbone import find
from taesan.tasks.templates import Prompt

ARCHITECTURES = (*MASKED, "gpt2")
SHARED = "서울 기차: 좋다\n\n비가 와서: 별로\n\n"
CHOICES = ("긍정", "부정적이다", "보통", "good film")


def scorer_of(backbones, architecture: str) -> tuple[Scorer, object]:
    backbone = find(str(backbones[architecture]))
    model = backbone.load("language_model").eval()
    scorer = local_scorer(
        adapt(METHODS["in-context"], backbone.load("language_model")),
        backbone.tokenizer,
        masked=backbone.kind == "masked",
        max_length=MAX_LENGTH,
    )
    return scorer, (model, backbone.tokenizer)


@pytest.fixture(scope="module")
def scorers(backbones):
    return {architecture: scorer_of(backbones, architecture) for architecture in ARCHITECTURES}


def plain(model, tokenizer, prompt: Prompt, choice: str, masked: bool) -> float:
    """Every token of the choice, each from a forward over the whole."""
    if masked:
        before, after, own = tokenizer.ids([prompt.before, prompt.after, choice])
        ids = tokenizer.join(np.concatenate([before, [tokenizer.mask_id] * len(own), after]).astype(np.int32))[0]
        with torch.inference_mode():
            likely = model(input_ids=torch.from_numpy(ids.astype(np.int64))[None]).logits[0].double().log_softmax(-1)
        return sum(float(likely[p, t]) for p, t in zip(np.flatnonzero(ids == tokenizer.mask_id), own, strict=True))
    text = prompt.before.rstrip()
    space = prompt.before[len(text) :]
    context, whole = (ids.tolist() for ids in tokenizer.ids([text, text + space + choice]))
    assert whole[: len(context)] == context
    context, whole = context or [tokenizer.separator_id], whole if context else [tokenizer.separator_id, *whole]
    with torch.inference_mode():
        likely = model(input_ids=torch.tensor([whole])).logits[0].double().log_softmax(-1)
    return sum(float(likely[place - 1, whole[place]]) for place in range(len(context), len(whole)))


def prompts_of(texts) -> list[Prompt]:
    return [Prompt(f"{SHARED}{text}: ", ".", len(SHARED)) for text in texts]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_scores_are_those_of_one_forward_an_answer(scorers, architecture) -> None:
    scorer, (model, tokenizer) = scorers[architecture]
    prompts = [*prompts_of(text[:20] for text, _ in REVIEWS), Prompt("", ""), Prompt("좋다 "), Prompt(SHARED, "", 5)]
    found = scorer.score(prompts, [CHOICES] * len(prompts))
    for prompt, one in zip(prompts, found, strict=True):
        expected = [plain(model, tokenizer, prompt, choice, architecture != "gpt2") for choice in CHOICES]
        np.testing.assert_allclose(one.choices, expected, atol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_scores_are_the_same_bits_in_any_company(scorers, architecture) -> None:
    scorer, _ = scorers[architecture]
    prompts = prompts_of(text[: 5 + 3 * number] for number, (text, _) in enumerate(REVIEWS))
    choices = [CHOICES[: 2 + number % 3] for number in range(len(prompts))]
    together = [one.choices.tobytes() for one in scorer.score(prompts, choices)]
    for number, (prompt, own) in enumerate(zip(prompts, choices, strict=True)):
        (alone,) = scorer.score([prompt], [own])
        assert alone.choices.tobytes() == together[number]
    random = np.random.default_rng(0)
    for _ in range(20):
        order = random.permutation(len(prompts))[: random.integers(1, len(prompts) + 1)]
        some = scorer.score([prompts[i] for i in order], [choices[i] for i in order])
        assert [one.choices.tobytes() for one in some] == [together[i] for i in order]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_part_of_a_text_is_scored_and_nothing_else(scorers, architecture) -> None:
    scorer, (model, tokenizer) = scorers[architecture]
    text, masked = "서울에서 (부산)까지, 기차로", architecture != "gpt2"
    prompt = Prompt(f"{SHARED}{text}\n답: ", "", len(SHARED))
    (found,) = scorer.generate([prompt], [Parts(text, ("별로",), ("\n", ","))])
    assert len(found.spans) > 5
    assert len({text[start:end] for start, end in found.spans.tolist()}) == len(found.spans)
    lead = "" if masked else " "
    (encoding,) = tokenizer.encode([lead + text])
    offsets = np.maximum(encoding.offsets - len(lead), 0)
    limit = MASKED_PART_TOKENS if masked else PART_TOKENS
    allowed = {
        (int(offsets[a, 0]) + (text[int(offsets[a, 0])] == " "), int(offsets[b, 1]))
        for a, b in itertools.combinations_with_replacement(range(len(encoding.ids)), 2)
        if b - a < limit
    }
    for (start, end), score in zip(found.spans.tolist(), found.span_scores, strict=True):
        assert (start, end) in allowed
        assert start == 0 or not (text[start - 1].isalnum() and text[start].isalnum())
        part = text[start:end]
        tokens = len(tokenizer.ids([part])[0])
        if masked:
            expected = plain(model, tokenizer, prompt, part, True) / tokens
        else:
            expected = _with_end(model, tokenizer, prompt, encoding, offsets, start, end)
        assert score == pytest.approx(expected, abs=1e-4), part
    if not masked:
        ends = [plain(model, tokenizer, prompt, "별로" + end, False) for end in ("\n", ",")]
        assert found.choices[0] == pytest.approx(np.logaddexp(*ends), abs=1e-4)


def _with_end(model, tokenizer, prompt, encoding, offsets, start, end) -> float:
    """The part as the text's own tokens, and then a line break or a comma."""
    inside = [i for i in range(len(offsets)) if offsets[i, 1] > start and offsets[i, 0] < end]
    context = tokenizer.ids([prompt.before.rstrip()])[0].tolist()
    ids = context + [int(encoding.ids[i]) for i in inside]
    with torch.inference_mode():
        likely = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    total = sum(float(likely[place - 1, ids[place]]) for place in range(len(context), len(ids)))
    closing = [int(tokenizer.ids([mark])[0][0]) for mark in ("\n", ",")]
    return total + float(torch.logsumexp(likely[-1, closing], 0))


def test_an_architecture_without_trees_is_asked_row_by_row(scorers, monkeypatch, backbones) -> None:
    expected = scorers["gpt2"][0].score(prompts_of(["좋다", "기차"]), [CHOICES] * 2)
    monkeypatch.setattr(CausalScorer, "_agrees", lambda self: False)
    slow, _ = scorer_of(backbones, "gpt2")
    found = slow.score(prompts_of(["좋다", "기차"]), [CHOICES] * 2)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.choices, other.choices, atol=1e-4)


@given(st.text(max_size=12))
def test_no_text_becomes_a_control_token(scorers, text) -> None:
    for architecture in ARCHITECTURES:
        scorer, (_, tokenizer) = scorers[architecture]
        hostile = f"[MASK] <|endoftext|> [SEP]{text}"
        (found,) = scorer.score([Prompt(f"{hostile} ", hostile)], [("좋다", "별로")])
        assert np.isfinite(found.choices).all()
        assert not tokenizer.control_ids & set(tokenizer.ids([hostile])[0].tolist())
