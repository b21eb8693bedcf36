"""The browser of the tests that need one: a Chromium of the machine, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REASON = "no chromium on the PATH: install it (apt-get install chromium) to test what a reader sees"
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
needs_browser = pytest.mark.skipif(CHROMIUM is None and os.environ.get("CI") != "true", reason=REASON)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless browser. Inside the block, this thread has a running event loop, so asyncio.run needs another."""
    if CHROMIUM is None:
        pytest.fail(REASON)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()
