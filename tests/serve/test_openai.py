"""The real client of OpenAI; and transformers, which says what the log-probabilities are."""

import pytest

import taesan
from serve.conftest import Running
from taesan.config import GenerationOptions

openai = pytest.importorskip("openai", reason="openai is not installed: pip install 'taesan[dev]'")
PROMPT = "오늘은 날씨가 맑아서"


@pytest.fixture(scope="module")
def client(server: Running):
    with openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_a_text_is_that_of_generate(client, long_backbone) -> None:
    (choice,) = client.completions.create(model="tiny-gpt", prompt=PROMPT, max_tokens=8, temperature=0).choices
    ((written,),) = taesan.generate(str(long_backbone), [PROMPT], options=GenerationOptions(max_tokens=8))
    assert choice.text == written.text
    assert choice.finish_reason == "length"
    assert choice.logprobs is None


def test_the_log_probabilities_of_a_given_text_are_those_of_transformers(client, long_backbone, byte_tokenizer) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    answer = client.completions.create(model="tiny-gpt", prompt=PROMPT, max_tokens=0, echo=True, logprobs=2)
    (choice,) = answer.choices
    (ids,) = byte_tokenizer.ids([PROMPT])
    model = AutoModelForCausalLM.from_pretrained(long_backbone).eval()
    with torch.inference_mode():
        logits = model(torch.tensor(ids.astype("int64"))[None]).logits[0].log_softmax(-1)
    expected = [logits[place - 1, int(ids[place])].item() for place in range(1, len(ids))]
    assert choice.text == PROMPT
    assert choice.logprobs.token_logprobs[0] is None
    assert choice.logprobs.token_logprobs[1:] == pytest.approx(expected, abs=1e-5)
    assert answer.usage.prompt_tokens == len(ids)
    best = logits[:-1].topk(2).values
    for top, values in zip(choice.logprobs.top_logprobs[1:], best.tolist(), strict=True):
        assert sorted(top.values(), reverse=True) == pytest.approx(values, abs=1e-5)
    for token, offset in zip(choice.logprobs.tokens, choice.logprobs.text_offset, strict=True):
        assert PROMPT.startswith(token.partition("<")[0], offset)  # what follows is a part of a character


def test_prompt_and_answer_stand_together(client) -> None:
    both = client.completions.create(
        model="tiny-gpt", prompt=PROMPT, max_tokens=4, temperature=0, echo=True, logprobs=1
    ).choices[0]
    alone = client.completions.create(
        model="tiny-gpt", prompt=both.text, max_tokens=0, temperature=0, echo=True, logprobs=1
    ).choices[0]
    if both.logprobs.tokens == alone.logprobs.tokens:  # the text may be split elsewhere when it is read anew
        assert both.logprobs.token_logprobs[1:] == pytest.approx(alone.logprobs.token_logprobs[1:], abs=1e-5)
    assert both.text.startswith(PROMPT)
    assert len(both.logprobs.tokens) == len(both.logprobs.top_logprobs) == len(both.logprobs.text_offset)


def test_a_stream_is_the_same_text(client) -> None:
    how = {"model": "tiny-gpt", "prompt": PROMPT, "max_tokens": 12, "seed": 5, "logprobs": 1}
    whole = client.completions.create(**how).choices[0]
    chunks = list(client.completions.create(**how, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.text
    assert chunks[-1].choices[0].finish_reason == whole.finish_reason
    told = [chance for chunk in chunks if (p := chunk.choices[0].logprobs) for chance in p.token_logprobs]
    assert told[: len(whole.logprobs.token_logprobs)] == whole.logprobs.token_logprobs


def test_several_prompts_and_texts(client) -> None:
    answer = client.completions.create(model="tiny-gpt", prompt=[PROMPT, "비가"], max_tokens=5, n=2, seed=1)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.choices[0].text != answer.choices[1].text
    alone = client.completions.create(model="tiny-gpt", prompt="비가", max_tokens=5, n=2, seed=1)
    assert [choice.text for choice in alone.choices] == [choice.text for choice in answer.choices[2:]]
    same = client.completions.create(model="tiny-gpt", prompt=PROMPT, max_tokens=5, n=2, temperature=0).choices
    assert same[0].text == same[1].text


def test_models_and_errors_as_the_client_knows_them(client) -> None:
    assert "tiny-gpt" in {model.id for model in client.models.list()}
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="nobody", prompt=PROMPT)
    with pytest.raises(openai.UnprocessableEntityError):
        client.completions.create(model="tiny-gpt", prompt=PROMPT, best_of=3)
