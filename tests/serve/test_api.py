"""What the server answers is what the verbs answer, to the last bit, whoever asks at the same time."""

import html
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import taesan
from conftest import ENTITIES, PAIRS, PROMPTS, QUESTIONS, REVIEWS
from serve.conftest import Running, post
from taesan.config import GenerationOptions
from taesan.engine.load import open_predictor

ITEMS: dict[str, list[dict[str, str]]] = {
    "reviews": [{"text": text} for text, _ in REVIEWS],
    "reviews-lora": [{"text": text} for text, _ in REVIEWS],
    "entities-lora": [{"text": text} for text, _ in ENTITIES],
    "pairs": [{"premise": premise, "hypothesis": hypothesis} for premise, hypothesis, _ in PAIRS],
    "questions": [{"question": question, "context": context} for question, context, _ in QUESTIONS],
}


def predicted(server: Running, name: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    reply = server.post(f"/v1/models/{name}:predict", body)
    assert reply.status == 200
    assert reply.json["model"] == name
    assert reply.json["seconds"] > 0
    return reply.json["predictions"]


@pytest.mark.parametrize("name", ITEMS)
def test_answers_are_those_of_predict(server: Running, folders, name: str) -> None:
    predictor, _ = open_predictor(folders[name])
    texts = [tuple(item.values()) for item in ITEMS[name]]
    expected = [one.as_dict() | one.details() for one in taesan.predict(predictor, texts)]
    assert predicted(server, name, {"items": ITEMS[name], "details": True}) == expected


def test_an_answer_does_not_depend_on_who_else_asks(server: Running) -> None:
    """Each item alone; then all at once, from many connections, so that some are answered together."""
    items = [(name, item) for name, own in ITEMS.items() for item in own] * 2
    alone = [predicted(server, name, {"item": item}) for name, item in items]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda one: predicted(server, one[0], {"item": one[1]}), items))
    assert together == alone


def test_some_were_answered_together(server: Running) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda item: predicted(server, "reviews", {"item": item}), ITEMS["reviews"] * 8))
    counts = {
        line.split()[0]: float(line.split()[1])
        for line in server.get("/metrics").body.decode().splitlines()
        if 'model="reviews"' in line
    }
    assert counts['taesan_items_total{model="reviews"}'] > counts['taesan_batches_total{model="reviews"}']
    assert counts['taesan_waiting_items{model="reviews"}'] == 0


def test_a_bad_item_harms_no_other(server: Running) -> None:
    good = {"text": "재미있다"}
    bad: list[tuple[Any, str]] = [
        ({"text": ""}, "text-empty"),
        ({"text": " \u3000"}, "text-empty"),
        ({"text": None}, "text-type"),
        ({"text": 7}, "text-type"),
        ({"text": ["재미있다"]}, "text-type"),
        ({"text": "가" * 100_001}, "text-long"),
        ({}, "key-missing"),
        ({"premise": "가", "hypothesis": "나"}, "key-missing"),
        ({"text": "가", "label": "긍정"}, "key-unknown"),
        ("재미있다", "item-type"),
        (None, "item-type"),
        ([], "item-type"),
    ]
    (whole,) = predicted(server, "reviews", {"item": good})
    answers = predicted(server, "reviews", {"items": [good, *(item for item, _ in bad), good]})
    assert answers[0] == answers[-1] == whole
    assert [answer["error"]["code"] for answer in answers[1:-1]] == [code for _, code in bad]


def test_a_model_that_cannot_take_an_item_takes_the_others(server: Running) -> None:
    """What only the model's own encoding refuses: a prompt that leaves no room."""
    items = [{"prompt": "오늘 날씨는?"}, {"prompt": "가나다 " * 2000}, {"prompt": "비가 오니?"}]
    answers = predicted(server, "replies", {"items": items})
    assert answers[1]["error"]["code"] == "prompt-long"
    assert [answers[0]] == predicted(server, "replies", {"item": items[0]})
    assert "text" in answers[2]


def test_what_is_served_is_listed(server: Running) -> None:
    listed = {model["name"]: model for model in server.get("/v1/models").json["models"]}
    assert list(listed) == [*ITEMS, "replies", "tiny-bert", "tiny-gpt"]
    reviews = listed["reviews"]
    assert (reviews["task"], reviews["method"], reviews["labels"]) == ("classification", "finetune", ["긍정", "부정"])
    assert reviews["inputs"] == [{"name": "text"}]
    assert reviews["trained_parameters"] == reviews["parameters"] > listed["reviews-lora"]["trained_parameters"] > 0
    assert listed["pairs"]["trained_parameters"] == 0
    assert listed["pairs"]["shots"] == 2
    assert listed["questions"]["inputs"] == [{"name": "question"}, {"name": "context"}]
    assert (listed["tiny-gpt"]["task"], listed["tiny-bert"]["task"]) == ("next", "fill")
    assert "/" not in json.dumps([model["backbone"] for model in listed.values()])  # nobody's folders


def test_next_and_fill(server: Running, masked_backbone, long_backbone) -> None:
    found = server.post("/v1/models/tiny-gpt:next", {"text": "오늘은", "top": 3}).json
    assert found["candidates"] == taesan.next_words(str(long_backbone), "오늘은", top=3).as_dict()["candidates"]
    found = server.post("/v1/models/tiny-bert:fill", {"text": "오늘은 [MASK] 좋다", "top": 3}).json
    assert found["blanks"] == taesan.fill(str(masked_backbone), "오늘은 [MASK] 좋다", top=3).as_dict()["blanks"]


@pytest.mark.parametrize("name", ["replies", "tiny-gpt"])
def test_texts_are_those_of_generate(server: Running, folders, long_backbone, name: str) -> None:
    prompt, _ = PROMPTS[0]
    options = {"max_tokens": 6, "candidates": 3, "sample": True, "temperature": 1.5, "sequences": 2, "seed": 3}
    folder = folders.get(name, long_backbone)
    ((first, second),) = taesan.generate(str(folder), [prompt], options=GenerationOptions(**options))
    reply = server.post(f"/v1/models/{name}:generate", {"prompt": prompt, **options})
    assert reply.json["texts"] == [first.as_dict(), second.as_dict()]
    reply = server.post(f"/v1/models/{name}:generate", {"prompt": prompt, **options, "stream": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    *steps, done = [json.loads(event.removeprefix("data: ")) for event in events(reply.body)]
    assert [step["candidates"] for step in steps if step["token"]] == first.as_dict()["steps"][: len(steps)]
    assert "".join(step["text"] for step in steps) == first.text == done["text"]
    assert done["done"] is True
    assert done["log_probability"] == first.log_probability


def events(body: bytes) -> list[str]:
    """The events of a chunked body."""
    text = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        text += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    return text.decode().strip().split("\n\n")


@pytest.mark.parametrize(
    ("address", "body", "status", "code"),
    [
        ("/v1/models/tiny-gpt:predict", {"item": {"text": "가"}}, 400, "no-task"),
        ("/v1/models/reviews:next", {"text": "가"}, 400, "no-vocabulary"),
        ("/v1/models/tiny-gpt:fill", {"text": "가 [MASK]"}, 400, "no-vocabulary"),
        ("/v1/models/reviews:generate", {"prompt": "가"}, 400, "no-writer"),
        ("/v1/models/tiny-bert:generate", {"prompt": "가", "stream": True}, 400, "no-writer"),
        ("/v1/models/tiny-bert:fill", {"text": "빈칸이 없다"}, 422, "refused"),
        ("/v1/models/tiny-gpt:next", {"text": " "}, 422, "body-shape"),
        ("/v1/models/tiny-gpt:next", {"text": "가나다 " * 2000}, 422, "refused"),
        ("/v1/models/tiny-gpt:next", {"text": "가", "top": 0}, 422, "body-shape"),
        ("/v1/models/tiny-gpt:next", {"text": "가", "top": "3"}, 422, "body-shape"),
        ("/v1/models/tiny-gpt:generate", {"prompt": "가나다 " * 2000, "stream": True}, 422, "prompt-long"),
        ("/v1/models/tiny-gpt:generate", {"prompt": "가", "temperature": 2}, 422, "refused"),
        ("/v1/models/tiny-gpt:generate", {"prompt": "가", "max_tokens": 1e6}, 422, "body-shape"),
        ("/v1/models/tiny-gpt:generate", {"prompt": "가", "max_tokens": 100_000}, 422, "body-shape"),
        ("/v1/models/tiny-gpt:generate", {"prompt": "가", "beams": 1000}, 422, "body-shape"),
        ("/v1/completions", {"model": "nobody", "prompt": "가"}, 404, "model-unknown"),
        ("/v1/completions", {"model": "reviews", "prompt": "가"}, 400, "no-writer"),
        ("/v1/completions", {"model": "tiny-gpt", "prompt": "가", "max_tokens": 0}, 422, "body-shape"),
        ("/v1/completions", {"model": "tiny-gpt", "prompt": "가", "n": 2, "stream": True}, 422, "body-shape"),
    ],
)
def test_what_a_model_does_not_do_is_said(server: Running, address: str, body: Any, status: int, code: str) -> None:
    reply = server.post(address, body)
    assert (reply.status, reply.code) == (status, code)


def test_its_description_is_its_own(server: Running) -> None:
    """Every address is described, and the page of that loads nothing from elsewhere and names no model."""
    described = server.get("/openapi.json").json
    assert set(described["paths"]) == {
        "/v1/models",
        "/v1/completions",
        *(f"/v1/models/{{name}}:{verb}" for verb in ("predict", "generate", "next", "fill")),
    }
    page = server.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    shown = html.unescape(page.body.decode())
    for address, methods in described["paths"].items():
        assert all(f"{method.upper()} {address}" in shown for method in methods)
    for schema in ("Predict", "Generate", "Next", "Blanks", "Complete"):
        body = described["components"]["schemas"][schema]
        assert all(f"<code>{name}</code>" in shown for name in body["properties"])
        assert json.dumps(body["examples"][0], ensure_ascii=False) in shown
    assert set(re.findall(r'(?:src|href)="([^"]*)"', shown)) == {".", "icon.svg", "style.css", "openapi.json"}
    assert "<script" not in shown
    served = [model["name"] for model in server.get("/v1/models").json["models"]]
    assert not any(f">{name}<" in shown or f"/{name}:" in shown for name in served)


def test_the_examples_of_the_description_are_answered(server: Running) -> None:
    described = server.get("/openapi.json").json
    models = {model["task"]: model["name"] for model in server.get("/v1/models").json["models"]}
    asked = {"predict": "classification", "fill": "fill"}  # the others of a causal backbone
    for address, methods in described["paths"].items():
        if "post" not in methods:
            continue
        body = methods["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        (example,) = described["components"]["schemas"][body]["examples"]
        name = models[asked.get(address.rpartition(":")[2], "next")]
        if "model" in example:
            example["model"] = name
        assert server.post(address.replace("{name}", name), example).status == 200, address


SECRET = "비밀스러운글귀"


def test_no_text_is_repeated_in_logs_metrics_or_errors(server: Running) -> None:
    bodies: list[tuple[str, bytes]] = [
        (f"/v1/models/{SECRET}:predict", json.dumps({"item": {"text": SECRET}}).encode()),
        ("/v1/models/reviews:predict", json.dumps({"items": [{"text": SECRET}, {SECRET: 1}, SECRET]}).encode()),
        ("/v1/models/reviews:predict", f'{{"{SECRET}": {SECRET}}}'.encode()),
        ("/v1/models/reviews:predict", json.dumps({SECRET: SECRET, "item": 1}).encode()),
        ("/v1/models/reviews:predict", json.dumps({"item": {"text": SECRET}, "details": SECRET}).encode()),
        ("/v1/models/tiny-gpt:next", json.dumps({"text": SECRET * 3000}).encode()),
        ("/v1/models/tiny-bert:fill", json.dumps({"text": SECRET}).encode()),
        ("/v1/models/tiny-gpt:generate", json.dumps({"prompt": SECRET * 3000}).encode()),
        ("/v1/models/tiny-gpt:generate", json.dumps({"prompt": "가", "temperature": SECRET}).encode()),
        ("/v1/completions", json.dumps({"model": SECRET, "prompt": SECRET}).encode()),
        (f"/v1/{SECRET}?text={SECRET}", json.dumps({"text": SECRET}).encode()),
    ]
    for address, content in bodies:
        quoted = address.encode().decode("latin-1") if address.isascii() else address.replace(SECRET, "%EB%B9%84")
        reply = server.exchange(post(quoted, content))
        assert reply.status < 500
        for name in (SECRET, json.dumps(SECRET).strip('"'), "비밀"):
            assert name not in reply.body.decode()
    for said in ("".join(server.said), server.get("/metrics").body.decode()):
        assert SECRET not in said
        assert "비" not in said
        assert "%EB" not in said
