"""One real Chromium for all of these tests: two at a time playwright does not allow. CHROMIUM names another."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
QUIET = ("background-networking", "component-update", "gpu", "sync")  # it would speak to its makers


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Skips where playwright or Chromium is missing."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no Chromium at {CHROMIUM}; CHROMIUM names another")
    with api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET)]
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield opened
        opened.close()
