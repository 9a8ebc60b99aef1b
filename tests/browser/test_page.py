"""The page in a real Chromium, before a real server with small models: what it draws is what the server answers."""

import contextlib
import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from urllib.parse import quote, unquote, urlencode, urlsplit

import pytest

import taesan
from conftest import WORDS
from taesan.config import FitConfig

pytest.importorskip("fastapi", reason="fastapi is not installed: pip install 'taesan[serve]'")

FITS = {
    "reviews": ("classification", "finetune"),
    "reviews-prompt": ("classification", "prompt"),
    "reviews-in-context": ("classification", "in-context"),
    "pairs": ("pair", "finetune"),
    "entities": ("ner", "finetune"),
    "questions": ("qa", "finetune"),
    "replies": ("generation", "finetune"),
}
TASKS = {
    "classification": "Classification",
    "pair": "Pairs",
    "ner": "Entities",
    "qa": "Questions",
    "generation": "Writing",
    "next": "Next word",
    "fill": "Blanks",
}
# Emoji of several code points, a character beyond 16 bits, jamo and an accent that combine.
AWKWARD = "👩‍👩‍👧 𝒜가 서울에 e\u0301 \u1112\u1161\u11ab글 🇰🇷 왔다"
PAYLOADS = (
    "<img/src=x onerror=alert(1)>",
    '"><script>alert(1)</script>',
    "</textarea></span><svg onload=alert(1)>",
    "javascript:alert(1)//",
    "{{constructor.constructor('alert(1)')()}}",
    "__proto__",
    "\u202e&lt;b&gt;&#60;",
)


@pytest.fixture(scope="session")
def server(labelled, masked_backbone, long_backbone, tmp_path_factory):
    """The address of a server with a model for every task, three of them for classification."""
    root = tmp_path_factory.mktemp("served")
    steps = {"epochs": 2, "batch_tokens": 4096, "device": "cpu", "threads": 1}
    configs = {
        "finetune": FitConfig(**steps),
        "prompt": FitConfig(**steps, virtual_tokens=3, notice=0),
        "in-context": FitConfig(shots=2, device="cpu", threads=1),
    }
    for name, (task, method) in FITS.items():
        taesan.fit(
            task,
            labelled[task],
            output=root / name,
            backbone=str(long_backbone if task == "generation" or method == "in-context" else masked_backbone),
            method=method,
            label_words=WORDS.get(task) if method in ("prompt", "in-context") else None,
            config=configs[method],
            quiet=True,
        )
    given = [*(f"{name}={root / name}" for name in FITS), f"tiny-bert={masked_backbone}", f"tiny-gpt={long_backbone}"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "taesan", "serve", *given, "--port", str(port)])
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 60
        while not _ready(address):
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < until, "the server did not get ready"
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _ready(address: str) -> bool:
    with contextlib.suppress(urllib.error.URLError, ConnectionError):
        return urllib.request.urlopen(f"{address}/readyz", timeout=5).status == 200
    return False


@pytest.fixture
def visit(browser, server):
    """Opens the page in a fresh browser. Whatever a test does there, no script, dialog, style or address is let in."""
    contexts, problems = [], []

    def visit(task: str = "", language: str = "en", models=(), routes=None, **options):
        context = browser.new_context(**{"locale": "en-GB", "reduced_motion": "reduce", **options})
        contexts.append(context)
        context.add_init_script(
            "addEventListener('securitypolicyviolation', (event) => console.error('CSP ' + event.violatedDirective))"
        )
        page = context.new_page()
        page.set_default_timeout(10_000)
        context.on("request", lambda request: problems.append(request.url) if not _own(request.url, server) else None)
        page.on("dialog", lambda dialog: (problems.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("pageerror", lambda error: problems.append(f"error {error}"))
        page.on("console", lambda message: problems.append(message.text) if "CSP" in message.text else None)
        for pattern, answer in (routes or {}).items():
            page.route(pattern, answer)
        chosen = [("task", task)] * bool(task) + [("language", language)] * bool(language)
        page.goto(f"{server}/#{urlencode([*chosen, *(('model', name) for name in models)])}")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert problems == []


def _own(url: str, server: str) -> bool:
    return urlsplit(url)[:2] == urlsplit(server)[:2]


def settle(page, task: str = "") -> None:
    """Waits until every card has its answer, those of `task` where it is named."""
    page.locator(f"#results{f'[data-task={task}]' if task else ''} > .card").first.wait_for()
    page.locator("#results:not(:has([aria-busy=true]))").wait_for()


def go(page, task: str) -> None:
    page.get_by_role("link", name=TASKS[task], exact=True).click()
    settle(page, task)


def ask(page, **values: str) -> None:
    """Writes into the fields and asks."""
    settle(page)
    for name, value in values.items():
        page.locator(f"#input-{name}").fill(value)
    page.locator("#send").click()
    settle(page)


def card(page, name: str):
    return page.get_by_role("article", name=name, exact=True)


def bars(scope) -> list[tuple[str, str]]:
    """What a person reads beside the bars of `scope`."""
    names, values = (scope.locator(part).all_text_contents() for part in (".name", ".value"))
    return list(zip(names, values, strict=True))


def answering(content):
    """A route that the server is not asked by."""
    return lambda route: route.fulfill(json=content)


def percent(value: float) -> str:
    if 0.9995 <= value < 1:
        return ">99.9%"
    return "<0.1%" if 0 < value < 0.0005 else f"{100 * value:.1f}%"


def post(server: str, name: str, action: str, body) -> dict:
    request = urllib.request.Request(
        f"{server}/v1/models/{quote(name)}:{action}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    return json.load(urllib.request.urlopen(request))


def predict(server: str, name: str, **values: str) -> dict:
    return post(server, name, "predict", {"items": [values], "details": True})["predictions"][0]


# Every task ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("language", ["en", "ko"])
def test_nobody_meets_an_empty_page(visit, task: str, language: str) -> None:
    """Each task shows an answer to its first example at once."""
    page = visit(task, language)
    settle(page)
    assert page.locator("#results .fault").all_text_contents() == []
    assert page.locator(".card .bars li").count() > 1
    assert all(page.locator(".card .time").all_text_contents())
    assert page.locator("html").get_attribute("lang") == language


@pytest.mark.parametrize(
    ("task", "names", "values"),
    [
        ("classification", ["reviews", "reviews-prompt", "reviews-in-context"], {"text": f"정말 재미있다 {AWKWARD}"}),
        ("pair", ["pairs"], {"premise": "비가 온다", "hypothesis": "길이 말랐다"}),
    ],
)
def test_every_class_has_its_bar_in_every_model(visit, server, task, names, values) -> None:
    page = visit(task)
    ask(page, **values)
    for name in names:
        answer = predict(server, name, **values)
        shown = card(page, name)
        assert bars(shown) == [(label, percent(value)) for label, value in answer["probabilities"].items()]
        assert shown.locator(".best .name").text_content() == answer["label"]
        assert f"{name}: {answer['label']}" in page.get_by_role("status").text_content()
        for track, value in zip(shown.locator(".track").all(), answer["probabilities"].values(), strict=True):
            drawn = track.locator(".fill").bounding_box()["width"] / track.bounding_box()["width"]
            assert drawn == pytest.approx(value, abs=0.02)


def test_entities_and_words_are_those_of_the_text(visit, server) -> None:
    text = f"서울에서 {AWKWARD} 부산까지 기차로 걸렸다"
    page = visit("ner")
    ask(page, text=text)
    answer, shown = predict(server, "entities", text=text), card(page, "entities")
    words = shown.get_by_role("option")
    assert words.count() == len(answer["words"])
    for word, expected in zip(words.all(), answer["words"], strict=True):
        word.hover()
        assert bars(shown) == [
            ({"O": "none"}.get(label, label), percent(value)) for label, value in expected["probabilities"].items()
        ]
    assert _spoken(shown) == text
    marked = "".join(shown.locator("mark").evaluate_all(_OWN_TEXT))
    assert marked == "".join(text[entity["start"] : entity["end"]] for entity in answer["entities"])


_OWN_TEXT = "(marks) => marks.map((mark) => mark.firstChild.data)"


def _spoken(scope) -> str:
    """The text of the listbox without the labels that were put into it."""
    return scope.get_by_role("listbox").evaluate(
        "(box) => { const own = box.cloneNode(true); own.querySelectorAll('small').forEach((s) => s.remove());"
        " return own.textContent; }"
    )


def test_offsets_count_code_points(visit) -> None:
    """A made-up answer, so that the marks do not hang on what a small model finds."""
    spans = [(part, AWKWARD.index(part)) for part in ("서울", "\u1112\u1161\u11ab글", "🇰🇷 왔다")]
    entities = [
        {"text": part, "label": "장소", "start": start, "end": start + len(part), "probability": 0.9}
        for part, start in spans
    ]
    words = [
        {"text": found[0], "start": found.start(), "end": found.end(), "probabilities": {"O": 0.25, "장소": 0.75}}
        for found in re.finditer(r"\S+", AWKWARD)
    ]
    answer = {"predictions": [{"entities": entities, "words": words}], "seconds": 0.001}
    page = visit("ner", routes={"**/*:predict": answering(answer)})
    ask(page, text=AWKWARD)
    assert _spoken(page) == AWKWARD
    assert page.get_by_role("option").evaluate_all(
        "(all) => all.map((one) => { const own = one.cloneNode(true); own.querySelectorAll('small').forEach((s) =>"
        " s.remove()); return own.textContent; })"
    ) == [word["text"] for word in words]
    # The last entity goes over two words and the space between them.
    marks = page.locator("mark").evaluate_all(_OWN_TEXT)
    assert marks == ["서울", "\u1112\u1161\u11ab글", "🇰🇷", " ", "왔다"]
    assert page.locator("mark small").all_text_contents() == ["장소"] * 3


def test_the_answer_is_marked_between_two_strips(visit, server) -> None:
    values = {"question": "무엇을 샀는가?", "context": f"{AWKWARD} 김 선생님은 가게에서 사과와 배를 샀다."}
    page = visit("qa")
    ask(page, **values)
    answer, shown = predict(server, "questions", **values), card(page, "questions")
    assert "".join(shown.locator("mark").evaluate_all(_OWN_TEXT)) == answer["answer"]
    assert _spoken(shown) == values["context"]
    strips = shown.get_by_role("option").evaluate_all(
        "(all) => all.map(({ style }) => ['--starts', '--ends'].map((name) => Number(style.getPropertyValue(name))))"
    )
    assert strips == [pytest.approx([word["starts"] ** 0.5, word["ends"] ** 0.5]) for word in answer["words"]]
    listed = bars(shown.locator(".bars").first)
    expected = [(one["text"], percent(one["probability"])) for one in answer["candidates"]]
    if "no_answer_probability" in answer:
        expected.append(("No answer in the text", percent(answer["no_answer_probability"])))
    assert listed == expected


def test_a_click_goes_on_with_the_next_word(visit, server) -> None:
    text = "오늘은 날씨가"
    page = visit("next")
    ask(page, text=text)
    for _ in range(2):
        candidates = post(server, "tiny-gpt", "next", {"text": text, "top": 10})["candidates"]
        shown = card(page, "tiny-gpt")
        assert [value for _, value in bars(shown)] == [percent(one["probability"]) for one in candidates]
        whole = next(number for number, one in enumerate(candidates) if one["text"] and "\ufffd" not in one["text"])
        text += candidates[whole]["text"]
        shown.locator(".bars button").nth(whole).click()
        settle(page)
        assert page.locator("#input-text").input_value() == text


def test_a_click_fills_its_own_blank(visit, server) -> None:
    page = visit("fill")
    ask(page, text="이 영화는 [MASK] 재미있게 [MASK]")
    shown = card(page, "tiny-bert")
    answer = post(server, "tiny-bert", "fill", {"text": "이 영화는 [MASK] 재미있게 [MASK]", "top": 10})
    assert [value for _, value in bars(shown)] == [
        percent(one["probability"]) for blank in answer["blanks"] for one in blank["candidates"]
    ]
    shown.locator(".bars").nth(1).locator("button").first.click()
    settle(page)
    filled = answer["blanks"][1]["candidates"][0]["text"].lstrip()
    assert page.locator("#input-text").input_value() == f"이 영화는 [MASK] 재미있게 {filled}"
    page.locator("#input-text").fill("빈칸이 없다")
    page.locator("#send").click()
    assert "[MASK]" in page.get_by_role("alert").text_content()


def test_a_text_is_written_step_by_step(visit, server) -> None:
    page = visit("generation", models=["replies"])
    settle(page)
    page.get_by_text("Options").click()
    page.get_by_label("Most tokens").fill("6")
    ask(page, prompt="오늘 날씨는?")
    options = {"max_tokens": 6, "repetition_penalty": 1, "sample": False, "candidates": 5}
    written = post(server, "replies", "generate", {"prompt": "오늘 날씨는?", **options})
    steps, shown = _texts(written)[0]["steps"], card(page, "replies")
    tokens = shown.get_by_role("option")
    assert tokens.count() == len(steps)
    for token, step in zip(tokens.all(), steps, strict=True):
        token.click()
        assert [value for _, value in bars(shown)] == [percent(one["probability"]) for one in step]
        assert shown.locator(".best .value").text_content() == percent(step[0]["probability"])  # the likeliest is taken


def _texts(written: dict) -> list[dict]:
    return written["texts"]


def test_drawing_has_its_options_only_where_tokens_are_drawn(visit) -> None:
    sent = []
    page = visit("generation", models=["replies"])
    page.on("request", lambda request: sent.append(request.post_data_json) if "generate" in request.url else None)
    settle(page)
    page.get_by_text("Options").click()
    assert page.get_by_label("Temperature").is_disabled()
    page.get_by_label("Draw by probability").check()
    page.get_by_label("Temperature").fill("0.5")
    ask(page)
    assert sent[-1]["sample"] is True
    assert sent[-1]["temperature"] == 0.5
    assert page.locator(".fault").count() == 0


def test_writing_can_be_stopped(visit) -> None:
    held = []
    page = visit("generation", models=["replies"], routes={"**/*:generate": lambda route: held.append(route)})
    page.get_by_role("button", name="Stop").click()
    settle(page)
    assert page.get_by_role("button", name="Write").is_visible()
    held[0].abort()


def test_models_stand_side_by_side_with_what_they_changed(visit, server) -> None:
    page = visit("classification", viewport={"width": 1280, "height": 800})
    settle(page)
    boxes = [one.bounding_box() for one in page.locator(".card").all()]
    assert len({box["y"] for box in boxes}) == 1
    assert len({box["x"] for box in boxes}) == 3
    assert "All" in card(page, "reviews").locator("footer").text_content()
    assert "No weight moved" in card(page, "reviews-in-context").locator("footer").text_content()
    moved = {name: card(page, name).locator(".anatomy .moved").count() for name in FITS if name.startswith("reviews")}
    assert moved["reviews"] > moved["reviews-prompt"] > moved["reviews-in-context"] == 0
    page.get_by_role("checkbox", name="reviews-prompt").uncheck()
    settle(page)
    assert page.locator(".card").count() == 2
    page.reload()  # what was chosen stands in the address
    settle(page)
    assert page.get_by_role("checkbox", name="reviews-prompt").is_checked() is False


# Nobody's text goes anywhere -----------------------------------------------------------------------------------------


def test_no_text_is_kept_in_the_address_or_in_the_browser(visit) -> None:
    page = visit("classification")
    ask(page, text="비밀스러운 글")
    go(page, "pair")
    go(page, "classification")
    assert page.locator("#input-text").input_value() == "비밀스러운 글"  # while the page is open
    assert quote("비밀") not in page.url
    kept = page.evaluate("[localStorage.length, sessionStorage.length, document.cookie, history.state]")
    assert kept == [0, 0, "", None]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_comes_from_elsewhere_is_only_text(visit, plain: Counter, payload: str) -> None:
    """As name, method, label, backbone, text, answer and error: as many elements of each kind as with a plain word."""
    assert _census(visit, payload) == plain


@pytest.fixture
def plain(visit, cache={}) -> Counter:  # noqa: B006  counted once
    if not cache:
        cache.update(_census(visit, "말"))
    return Counter(cache)


def _census(visit, word: str) -> Counter:
    """How many elements of each kind there are where everything is called `word`."""
    size = len(word)
    words = [
        {"text": word, "start": 0, "end": size, "probabilities": {"O": 0.1, word: 0.9}, "starts": 0.5, "ends": 0.5}
    ]
    span = {"text": word, "label": word, "start": 0, "end": size, "probability": 0.9}
    answers = {
        "classification": {"label": word, "probabilities": {word: 0.9, "다른": 0.1}},
        "pair": {"error": {"code": word, "message": word}},
        "ner": {"entities": [span], "words": words},
        "qa": {"answer": word, "start": 0, "end": size, "candidates": [span], "words": words},
        "next": {"candidates": [{"text": word, "token": word, "probability": 0.5}]},
    }
    served = [
        {
            "name": f"{task}{word}",
            "task": task,
            "method": word,
            "labels": [word, "다른"],
            "backbone": {"name": word},
            "parameters": 10,
            "trained_parameters": 1,
            "folder_bytes": 10,
        }
        for task in answers
    ]

    def answer(route) -> None:
        name, _, action = unquote(urlsplit(route.request.url).path.rpartition("/v1/models/")[2]).rpartition(":")
        found = answers[name.removesuffix(word)]
        route.fulfill(json=found if action == "next" else {"predictions": [found], "seconds": 0.1})

    page = visit(routes={"**/v1/models": answering({"models": served}), re.compile("/v1/models/."): answer})
    found: Counter = Counter()
    for task in answers:
        go(page, task)
        ask(page, **dict.fromkeys(_fields(task), f"{word} 끝"))
        assert word in page.locator("#results .body").text_content()
        found.update(page.locator("*").evaluate_all("(all) => all.map((one) => one.localName)"))
    return found


def _fields(task: str) -> tuple[str, ...]:
    return {"pair": ("premise", "hypothesis"), "qa": ("question", "context")}.get(task, ("text",))


def test_the_page_lets_nothing_in(server) -> None:
    """Whatever the page draws, the policy lets no script in that is not a file of ours, and no style."""
    policy = urllib.request.urlopen(f"{server}/").headers["Content-Security-Policy"]
    directives = dict(part.strip().partition(" ")[::2] for part in policy.split(";") if part.strip())
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == "'self'"
    assert directives["connect-src"] == "'self'"


@pytest.mark.parametrize("width", [320, 1000])
def test_the_reference_is_one_click_away_and_fits(visit, width: int) -> None:
    page = visit("classification", viewport={"width": width, "height": 700})
    settle(page)
    page.get_by_role("link", name="For programs").click()
    page.wait_for_url("**/docs")
    headings = page.get_by_role("heading", level=2).all_text_contents()
    assert "POST /v1/models/{name}:predict" in headings
    assert page.get_by_role("rowheader", name="max_tokens").first.is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('h2')).fontFamily").startswith("ui-monospace")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("link", name="taesan", exact=True).click()
    settle(page)


def test_the_files_name_no_other_place_and_write_no_markup() -> None:
    files = [file for file in (Path(taesan.__file__).parent / "serve" / "page").iterdir() if file.is_file()]
    assert {file.suffix for file in files} == {".html", ".css", ".js", ".svg"}
    for file in files:
        content = file.read_text("utf-8").replace('"http://www.w3.org/2000/svg"', "")  # a name, not a place
        assert not re.search(r"https?:|//[a-z]+\.|url\(|@import", content), file.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(", content)
        assert file.suffix != ".html" or not re.search(r"<style|\sstyle=|\son\w+=", content)


# Errors --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ({"status": 429, "headers": {"Retry-After": "3"}, "json": {"error": {"code": "busy"}}}, "in 3 seconds"),
        ({"status": 503, "json": {"error": {"code": "draining"}}}, "about to stop"),
        ({"status": 500, "body": "<h1>oh</h1>"}, "could not answer"),
        ({"status": 400, "json": {"error": {"code": "x", "message": "One plain line."}}}, "One plain line."),
    ],
)
def test_an_error_is_one_calm_line(visit, answer, line: str) -> None:
    page = visit("pair", routes={"**/*:predict": lambda route: route.fulfill(**answer)})
    settle(page)
    assert line in page.locator(".fault").text_content()
    page.unroute("**/*:predict")
    ask(page)
    assert page.locator(".fault").count() == 0


def test_a_server_that_is_gone_is_said(visit) -> None:
    page = visit("pair")
    settle(page)
    page.route("**/*:predict", lambda route: route.abort())
    page.locator("#send").click()
    page.locator(".fault").wait_for()
    assert "does not answer" in page.locator(".fault").text_content()
    page.locator("#input-premise").fill(" ")
    page.locator("#send").click()
    assert "“Premise”" in page.get_by_role("alert").text_content()


def test_a_key_is_asked_for_where_the_server_wants_one(visit) -> None:
    given = []

    def guard(route) -> None:
        given.append(route.request.headers.get("authorization"))
        route.continue_() if given[-1] == "Bearer key" else route.fulfill(
            status=401, json={"error": {"code": "key", "message": "no"}}
        )

    page = visit("classification", routes={"**/v1/**": guard})
    for key in ("lock", "key"):
        page.get_by_label("asks for a key").fill(key)
        page.get_by_role("button", name="Use it").click()
        if key == "lock":
            page.get_by_text("does not take that key").wait_for()
    settle(page)
    assert page.locator(".card .bars").count() == 3
    assert given[0] is None


# For everybody -------------------------------------------------------------------------------------------------------


def test_the_keyboard_reaches_everything_in_order(visit) -> None:
    page = visit("ner")
    settle(page)
    page.locator("body").click(position={"x": 1, "y": 1})
    order = []
    for _ in range(40):
        page.keyboard.press("Tab")
        order.append(
            page.evaluate(
                "(() => { const own = document.activeElement, style = getComputedStyle(own);"
                " return [own.role ?? own.localName, own.textContent.trim(), style.outlineStyle]; })()"
            )
        )
        if order[-1][0] == "option":
            break
    names = [name for name, *_ in order]
    assert [text for _, text, _ in order[:5]] == ["Skip to the answers", "English", "한국어", "Classification", "Pairs"]
    assert names.index("textarea") < names.index("button") < names.index("input") < names.index("option")
    assert all(outline != "none" for *_, outline in order)
    first = page.get_by_role("option").first
    page.keyboard.press("Home")
    assert first.get_attribute("aria-selected") == "true"
    page.keyboard.press("ArrowRight")
    second = page.get_by_role("option").nth(1)
    assert second.evaluate("(own) => own === document.activeElement")
    assert second.get_attribute("aria-selected") == "true"
    assert page.locator("[role=option][tabindex='0']").count() == 1


def test_a_text_is_asked_by_the_keyboard(visit) -> None:
    page = visit("classification", models=["reviews"])
    settle(page)
    page.locator("#input-text").fill("별로다")
    with page.expect_request("**/*:predict") as asked:
        page.locator("#input-text").press("Control+Enter")
    assert asked.value.post_data_json["items"] == [{"text": "별로다"}]


def test_a_click_on_a_candidate_keeps_the_keyboard_there(visit) -> None:
    page = visit("next")
    settle(page)
    page.locator(".bars button:enabled").first.focus()
    page.keyboard.press("Enter")
    settle(page)
    assert page.evaluate("document.activeElement.matches('.bars button')")


def test_every_field_and_picture_has_a_name(visit) -> None:
    page = visit("generation")
    for task in TASKS:
        go(page, task)
        for element in page.locator("input, textarea, button, select").all():
            if element.is_visible():
                assert element.evaluate(
                    "(own) => (own.labels?.[0]?.textContent ?? own.ariaLabel ?? own.textContent).trim()"
                )
        assert page.locator("svg:not([aria-label]), img:not([alt])").count() == 0
        assert page.locator("h1").count() == 1


def test_korean_is_spoken_to_those_who_speak_it(visit) -> None:
    page = visit("classification", language="", locale="ko-KR")
    settle(page)
    assert page.locator("html").get_attribute("lang") == "ko"
    assert page.locator("h1").text_content() == "모델은 이렇게 생각한다"
    page.locator("#input-text").fill("다시 보고 싶다")
    page.get_by_role("link", name="English").click()
    page.locator("html[lang=en]").wait_for()
    settle(page)
    assert page.locator("h1").text_content() == "What the models think"
    assert page.locator("#input-text").input_value() == "다시 보고 싶다"
    assert page.evaluate("document.activeElement.lang") == "en"


def test_both_languages_say_the_same_things(visit) -> None:
    page = visit("classification")
    keys = page.evaluate(
        "import('./texts.js').then(({ TEXTS }) => { const keys = (value, at) => typeof value === 'object'"
        " ? Object.keys(value).flatMap((key) => keys(value[key], at + '.' + key)) : [at + ':' + typeof value];"
        " return ['en', 'ko'].map((language) => keys(TEXTS[language], '')); })"
    )
    assert keys[0] == keys[1]


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_needs_no_sideways_scrolling(visit, width: int) -> None:
    page = visit("classification", viewport={"width": width, "height": 700}, has_touch=True, is_mobile=True)
    for task in TASKS:
        page.goto(f"{page.url.split('#')[0]}#task={task}&language=ko")
        settle(page, task)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.goto(f"{page.url.split('#')[0]}#task=ner&language=ko")
    settle(page, "ner")
    word = page.get_by_role("option").last
    word.tap()
    assert word.get_attribute("aria-selected") == "true"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(visit, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1."""
    page = visit("ner", color_scheme=scheme)
    settle(page)
    for place in (
        ".lead",
        ".card h2",
        ".method",
        ".time",
        ".value",
        ".tasks a",
        ".send",
        "mark",
        "mark small",
        ".fault",
    ):
        if page.locator(place).count():
            ink, ground = page.locator(place).first.evaluate(_PIXELS)
            assert _contrast(ink, ground) >= 4.5, place


# Colours as the browser paints them, the ground being the nearest one that is painted.
_PIXELS = """(element) => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const paint = (...colours) => {
    context.clearRect(0, 0, 1, 1);
    for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const grounds = [];
  for (let at = element; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
  context.globalAlpha = 1;
  const ground = paint(...grounds);
  const { color, opacity } = getComputedStyle(element);
  const ink = paint(color);
  return [ink.map((value, index) => value * opacity + ground[index] * (1 - opacity)), ground];
}"""


def _contrast(first: list[float], second: list[float]) -> float:
    """WCAG 2.2, contrast ratio."""

    def luminance(colour: list[float]) -> float:
        parts = [value / 255 for value in colour]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
