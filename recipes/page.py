"""Draws docs/page.png: taesan serve reviews-finetune reviews-prompt … ; python recipes/page.py http://127.0.0.1:8000

The picture is of the first task that is served, asked ten times before, on a machine that should do nothing else: its
latencies are in it.
"""

import os
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

TARGET = Path(__file__).parents[1] / "docs" / "page.png"
SIZE = {"width": 1180, "height": 760}


def main(address: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport=SIZE, device_scale_factor=1.5, reduced_motion="reduce", color_scheme="light")
        page.goto(f"{address}/#language=en")
        for _ in range(10):
            page.locator(".card .bars").first.wait_for()
            page.locator("#send").click()
            page.locator("#results:not(:has([aria-busy=true]))").wait_for()
        page.mouse.move(1, 1)
        page.screenshot(path=TARGET)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
