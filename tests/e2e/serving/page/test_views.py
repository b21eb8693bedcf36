"""The page of `thalweg serve` in a real browser, beside a real worker: by keyboard and in all languages."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.support.deployment import Deployment, event, record
from tests.tools.browser import needs_browser, open_browser
from tests.tools.serving import Server, started

T = TypeVar("T")
TOKEN = "0123456789abcdef"
VIEWS = ("Live", "Quality", "User", "Item")
SIZES = {"phone": {"width": 360, "height": 740}, "desktop": {"width": 1440, "height": 900}}
TABS_TO_NAVIGATION = 6
SEEN_WITHIN_MS = 30_000

pytestmark = needs_browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


def beside(call: Callable[..., T], *arguments: Any) -> T:
    """Call a function that runs an event loop of its own: this thread has that of Playwright."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call, *arguments).result()


def opened(context: BrowserContext, server: Server, path: str = "") -> tuple[Page, list[str]]:
    """A page that has data, and the list of errors of its console, which grows."""
    page, errors = context.new_page(), []

    def keep(message: ConsoleMessage) -> None:
        # The browser itself notes each 404, and the catalogue of this test knows no item.
        if message.type == "error" and "404" not in message.text:
            errors.append(message.text)

    page.on("console", keep)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"http://{server.address}/{path}")
    expect(page.locator("#connection")).to_have_attribute("data-state", "connected", timeout=SEEN_WITHIN_MS)
    return page, errors


def press_link(page: Page, name: str) -> None:
    """Go from the top of the page to a link of the navigation with the tabulator, and press Enter."""
    page.locator(".skip").focus()
    for _ in range(TABS_TO_NAVIGATION):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == name:
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"{name} has the focus, and nobody can see it"
            page.keyboard.press("Enter")
            return
    pytest.fail(f"{name} cannot be reached with the tabulator")


def check(page: Page, where: str) -> None:
    """No violation that axe knows, and nothing is cut off at the right."""
    page.wait_for_timeout(300)
    found = Axe().run(page)
    assert found.violations_count == 0, f"{where}\n{found.generate_report()}"
    wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1], f"{where} scrolls sideways: {wide}"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_views_can_be_used_by_keyboard_and_axe_finds_nothing(
    served: tuple[Deployment, Server], browser: Browser, scheme: Any, size: str
) -> None:
    deployment, server = served
    context = browser.new_context(color_scheme=scheme, viewport=SIZES[size], locale="en-GB")
    page, errors = opened(context, server)
    dead_letter = page.get_by_role("cell", name="value is not JSON").or_(
        page.get_by_role("rowheader", name="value is not JSON")
    )
    expect(dead_letter.first).to_be_visible(timeout=SEEN_WITHIN_MS)
    expect(page.locator(".bundle")).to_have_text(deployment.bundle.bundle_id, timeout=SEEN_WITHIN_MS)
    expect(page.locator("table").first.locator("tbody tr")).not_to_have_count(0, timeout=SEEN_WITHIN_MS)
    check(page, f"Live, {scheme}, {size}")

    press_link(page, "Quality")
    expect(page.get_by_role("table", name="Bundles side by side").locator("tbody tr")).to_have_count(10)
    expect(page.get_by_role("table", name="Alarms")).to_contain_text("quality_drop")
    expect(page.locator("figure.chart").first).to_contain_text("rival")
    page.get_by_text("The figures as a table").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("table", name="Recall@20").locator("tbody tr")).to_have_count(6)
    expect(page.get_by_role("table", name="Recall@20")).to_contain_text("0.3800")
    check(page, f"Quality, {scheme}, {size}")

    press_link(page, "User")
    check(page, f"User without an id, {scheme}, {size}")
    page.get_by_label("User id").focus()
    page.keyboard.type("user-3")
    page.keyboard.press("Enter")
    expect(page.get_by_role("table", name="Recommended now").locator("tbody tr")).to_have_count(
        10, timeout=SEEN_WITHIN_MS
    )
    expect(page.get_by_role("img", name="Map")).to_be_visible()
    check(page, f"User, {scheme}, {size}")

    press_link(page, "Item")
    page.get_by_label("Item id").focus()
    page.keyboard.type("item-7")
    page.keyboard.press("Enter")
    expect(page.get_by_role("table", name="Nearest items").locator("tbody tr")).to_have_count(20)
    check(page, f"Item, {scheme}, {size}")
    assert errors == []
    context.close()


def test_an_event_shows_at_once_what_it_did_to_the_user(served: tuple[Deployment, Server], browser: Browser) -> None:
    deployment, server = served
    context = browser.new_context(locale="en-GB")
    page, errors = opened(context, server, "#/user/walker")
    expect(page.get_by_role("status").nth(1)).to_contain_text("no stored row", timeout=SEEN_WITHIN_MS)
    for number in (1, 2, 3):
        sent = event(f"walk-{number}", "walker", f"item-{number}", time_ms=2 * 10**12 // 2 + number * 60_000)
        beside(deployment.send, [record(sent)])
        expect(page.get_by_text(f"{number} events applied so far").first).to_be_visible(timeout=SEEN_WITHIN_MS)
    events = page.get_by_role("table", name="Events lately seen").locator("tbody tr")
    expect(events).to_have_count(3)
    expect(events.first).to_contain_text("°")
    expect(page.get_by_role("img", name="Map: 3 places of the user")).to_be_visible()
    expect(page.get_by_role("table", name="Recommended before the last update").locator("tbody tr")).to_have_count(10)
    seen = server.ask("/v1/live/users/walker", k=5)
    assert [one["item_id"] for one in seen["events"]] == ["item-3", "item-2", "item-1"]
    assert [place["steps"] for place in seen["places"]] == [1, 2, 3]
    assert (seen["before"]["steps"], seen["after"]["steps"]) == (2, 3)
    wanted = server.ask("/v1/users/walker/recommendations", k=5)["items"]
    assert [one["item_id"] for one in seen["after"]["items"]] == [one["item_id"] for one in wanted]
    freshness = page.locator("dl.tiles dd").nth(3)
    press_link(page, "Live")
    expect(freshness).to_contain_text("ms", timeout=SEEN_WITHIN_MS)
    assert errors == []
    context.close()


@pytest.mark.parametrize(
    ("locale", "language", "views"),
    [
        ("de-DE", "de", ["Live", "Güte", "Nutzer", "Artikel"]),
        ("zh-CN", "zh", ["实时", "质量", "用户", "商品"]),
        ("fr-FR", "en", ["Live", "Quality", "User", "Item"]),
    ],
)
def test_the_language_is_that_of_the_browser_and_the_switch_changes_it(
    served: tuple[Deployment, Server], browser: Browser, locale: str, language: str, views: list[str]
) -> None:
    context = browser.new_context(locale=locale)
    page, errors = opened(context, served[1], "#/quality")
    assert page.locator("html").get_attribute("lang") == language
    assert page.locator("#views a").all_text_contents() == views
    for other, heading in (("de", "Güte"), ("zh", "质量"), ("en", "Quality")):
        page.locator("#language").select_option(other)
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        assert page.locator("html").get_attribute("lang") == other
        check(page, f"Quality in {other}")
    page.locator("#theme").select_option("dark")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    assert errors == []
    context.close()


def test_the_page_asks_for_a_token_and_goes_on_with_it(
    served: tuple[Deployment, Server], browser: Browser, tmp_path: Path
) -> None:
    deployment, _ = served
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'[desk]\ntoken = "{TOKEN}"\nscopes = ["read"]\n')
    server = started(deployment.settings, deployment.folder / "with_tokens", "--tokens", str(tokens))
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    page.goto(f"http://{server.address}/")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    check(page, "the question for a token")
    page.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    page.keyboard.type("a wrong token")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("does not know this token")
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("#connection")).to_have_attribute("data-state", "connected")
    expect(dialog).to_be_hidden()
    page.reload()
    expect(page.locator("#connection")).to_have_attribute("data-state", "connected")
    assert TOKEN not in server.log.read_text()
    context.close()
    server.stop()
