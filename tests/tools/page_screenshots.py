"""Takes the pictures of the page in docs/images while `thalweg demo --stay` runs.

    python -m tests.tools.page_screenshots URL

The first picture shows the view Live. The second shows a user with a recent event, in dark colours.
"""

import argparse
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.tools.browser import open_browser

FOLDER = Path(__file__).parents[2] / "docs" / "images"
SIZE = {"width": 1200, "height": 780}
LIVE_FOR_MS = 7_000  # some points of each curve, while the demo still sends its events
MAX_BYTES = 150_000


def take(page: Page, name: str) -> None:
    path = FOLDER / name
    page.screenshot(path=path)
    assert path.stat().st_size <= MAX_BYTES, f"{path} has {path.stat().st_size} bytes"
    print(f"wrote {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="address that the demo prints")
    parser.add_argument("--wait", type=float, default=LIVE_FOR_MS / 1000, metavar="S", help="before the first picture")
    arguments = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    with open_browser() as browser:
        page = browser.new_context(viewport=SIZE, locale="en-GB", color_scheme="light").new_page()
        page.goto(arguments.url)
        expect(page.locator("table tbody tr").first).to_be_visible(timeout=60_000)
        page.wait_for_timeout(arguments.wait * 1000)
        take(page, "page-live.png")
        page.emulate_media(color_scheme="dark")
        page.get_by_role("table", name="Last events").get_by_role("link").first.click()
        expect(page.get_by_role("table", name="Recommended before the last update")).to_be_visible(timeout=60_000)
        page.wait_for_timeout(1_500)  # names of items
        take(page, "page-user.png")


if __name__ == "__main__":
    main()
