"""The report in a real Chromium: on a desk and on a phone, in both languages, in the dark, on paper.

Run by `make test-browser`; each test skips where playwright or Chromium is missing.
"""

import json
from pathlib import Path

import fake_records
import pytest

from taesan import report

pytestmark = pytest.mark.filterwarnings("default")
EVIL = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
LABELS = (f"긍정{EVIL}", "부정")


@pytest.fixture(scope="module")
def page_path(tmp_path_factory) -> Path:
    """A report in which every name and text that a user gives is an attack."""
    out = tmp_path_factory.mktemp("compared")
    fake_records.write(out, labels=LABELS, texts=(EVIL,), methods=("tfidf", "finetune", "in-context"))
    plan = json.loads((out / "plan.json").read_text("utf-8"))
    plan["train"]["name"] = EVIL
    (out / "plan.json").write_text(json.dumps(plan), "utf-8")
    return report.write(out).page


class Watched:
    """A page with what it asked the network for and what it said on the console."""

    def __init__(self, browser, path: Path, **how):
        self.context = browser.new_context(**how)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.goto(path.as_uri())


@pytest.fixture(params=[(1200, "light"), (390, "dark")], ids=["desk", "phone"])
def watched(request, browser, page_path):
    width, scheme = request.param
    found = Watched(browser, page_path, viewport={"width": width, "height": 800}, color_scheme=scheme)
    yield found
    found.context.close()


def test_it_asks_for_nothing_and_complains_of_nothing(watched, page_path) -> None:
    assert watched.requests == [page_path.as_uri()]
    assert not watched.said


def test_it_fits_its_width(watched) -> None:
    width, room = watched.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= room


def test_what_users_typed_does_not_run(watched) -> None:
    watched.page.wait_for_timeout(100)
    assert watched.page.title().startswith("classification")
    assert watched.page.locator("script, img").count() == 0
    assert EVIL in watched.page.locator(".kicker").inner_text()


def test_it_changes_language(watched) -> None:
    headline = watched.page.locator("h1")
    assert headline.inner_text().startswith("Use ")
    watched.page.locator("label[for=ko]").click()
    assert "쓰세요" in headline.inner_text()
    assert "Use " not in headline.inner_text()
    # Texts of a chart as well: what is not shown takes no room.
    script = """[...document.querySelectorAll('tspan')]
        .filter(one => getComputedStyle(one).display != 'none').map(one => one.getAttribute('lang'))"""
    assert set(watched.page.evaluate(script)) == {"ko"}


def test_it_is_dark_in_the_dark(browser, page_path) -> None:
    brightness = {}
    for scheme in ("light", "dark"):
        found = Watched(browser, page_path, color_scheme=scheme)
        for part, script in {
            "paper": "getComputedStyle(document.body).backgroundColor",
            "ink": "getComputedStyle(document.querySelector('.chart text')).fill",
        }.items():
            values = found.page.evaluate(script).removeprefix("rgb(").rstrip(")").split(",")
            brightness[scheme, part] = sum(map(float, values)) / 3
        found.context.close()
    assert brightness["light", "paper"] > 200 > 100 > brightness["light", "ink"] - 10
    assert brightness["dark", "paper"] < 50 < 120 < brightness["dark", "ink"]


def test_it_prints(browser, page_path) -> None:
    found = Watched(browser, page_path)
    assert len(found.page.pdf(format="A4")) > 20_000
    found.page.emulate_media(media="print")
    assert found.page.locator(".languages").is_hidden()
    found.context.close()


def test_paper_cuts_nothing_off(browser, page_path) -> None:
    found = Watched(browser, page_path, viewport={"width": 690, "height": 1000})  # A4 between its margins
    found.page.emulate_media(media="print")
    width, room = found.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= room
    found.context.close()
