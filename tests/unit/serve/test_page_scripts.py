"""Functions of the page's scripts that need no server, called in a Chromium."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route

from streams.serve.routes.page import FOLDER
from tests.tools.browser import needs_browser, open_browser

ADDRESS = "http://page.test"
TYPES = {".js": "text/javascript", ".css": "text/css"}

pytestmark = needs_browser


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    def answer(route: Route) -> None:
        path = route.request.url.removeprefix(f"{ADDRESS}/page/")
        if path == "empty":
            route.fulfill(body="<!doctype html>", content_type="text/html")
        else:
            route.fulfill(body=(FOLDER / path).read_text(), content_type=TYPES["." + path.rpartition(".")[2]])

    with open_browser() as browser:
        opened = browser.new_page()
        opened.route("**/*", answer)
        opened.goto(f"{ADDRESS}/page/empty")
        yield opened


def called(page: Page, script: str, call: str, argument: Any) -> Any:
    """What a function over a module and an argument returns."""
    load = f"async argument => {{ const module = await import('/page/{script}'); return ({call})(module, argument); }}"
    return page.evaluate(load, argument)


def test_a_system_weighs_by_the_events_on_which_it_was_scored(page: Page) -> None:
    one = {"events": 100, "metrics": {"model": {"mrr": 0.2}, "frozen": {"mrr": 0.1}}}
    other = {"events": 100, "metrics": {"model": {"mrr": 0.4}, "frozen": {"mrr": 0.5}}}
    events = [one | {"compared": {"frozen": {"events": 10}}}, other | {"compared": {"frozen": {"events": 30}}}]
    call = "(module, events) => ['model', 'frozen'].map(name => module.mean(events, name, 'mrr'))"
    assert called(page, "views/quality.js", call, events) == pytest.approx([0.3, 0.4])
    call = "(module, events) => ['model', 'frozen', 'none'].map(name => module.eventsOf(events[1], name))"
    assert called(page, "views/quality.js", call, events) == [100, 30, 0]


def test_the_page_keeps_as_many_alarms_as_the_server_and_the_last_state_of_each(page: Page) -> None:
    alarms = [
        {"bundle_id": "b", "name": "n", "slice": "", "starts_at_ms": number, "state": "firing"} for number in range(250)
    ]
    resolved = alarms[60] | {"state": "resolved"}
    call = "(module, batches) => { batches.forEach(one => module.take('alarms', one)); return module.state.alarms; }"
    kept = called(page, "state.js", call, [alarms, [resolved]])
    assert len(kept) == 200
    assert kept[-1] == resolved
