"""The page of `thalweg serve` in a real browser, beside a real worker: by keyboard and in all languages."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from axe_playwright_python.sync_playwright import Axe
from kafka import KafkaProducer
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from export.runtime.bundle import Bundle
from streams.broker.topics import broker_admin
from streams.config.security import broker_arguments
from streams.contracts.metrics_events import MetricsEvent
from streams.local import LocalServices
from streams.serve.live.live import ALARMS_TOPIC
from tests.support.browser import needs_browser, open_browser
from tests.support.deployment import Deployment, event, record, shopping
from tests.tools.serving import Server

T = TypeVar("T")
TOKEN = "0123456789abcdef"
VIEWS = ("Live", "Quality", "User", "Item")
SIZES = {"phone": {"width": 360, "height": 740}, "desktop": {"width": 1440, "height": 900}}
TABS_TO_NAVIGATION = 30
SEEN_WITHIN_MS = 30_000

pytestmark = needs_browser


@pytest.fixture(scope="module")
def served(
    services: LocalServices, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Deployment, Server]]:
    """A worker that has applied events and written a dead letter, metrics of two bundles and an alarm, and a server."""
    deployment = Deployment(services, bundle, tmp_path_factory.mktemp("page"))
    deployment.send([*shopping(300, 20), (b"u", b"not JSON")])
    worker = deployment.worker()
    worker.start()
    deployment.wait_until_committed()
    write_metrics(deployment)
    server = started(deployment, "server")
    yield deployment, server
    server.stop()
    worker.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


def started(deployment: Deployment, name: str, *arguments: str, token: str | None = None) -> Server:
    folder = deployment.folder / name
    folder.mkdir()
    server = Server(deployment.settings, folder / "server.log", arguments, token)
    server.start()
    deadline = time.monotonic() + 30
    while server.client.get("/readyz").status_code != 200:
        assert time.monotonic() < deadline, server.last_lines()
        time.sleep(0.1)
    return server


def write_metrics(deployment: Deployment) -> None:
    """Six windows of the deployment's bundle and of another one, and an alarm that fires."""
    now_ms, mine = int(time.time() * 1000), deployment.bundle.bundle_id
    producer = KafkaProducer(**broker_arguments(deployment.settings))
    for bundle_id, recall in (("gru-0123456789ab", 0.2), (mine, 0.4)):
        for number in range(6):
            begin_ms = now_ms - 60_000 + number * 10_000
            systems = {"model": recall, "popularity": 0.1, "last_item": 0.3, "frozen_1h": recall - 0.02, "rival": 0.35}
            window = MetricsEvent(
                id=f"{bundle_id}-10000-{begin_ms}",
                bundle_id=bundle_id,
                window_start_ms=begin_ms,
                window_end_ms=begin_ms + 10_000,
                events=100,
                unknown_items=0,
                without_history=0,
                metrics={name: {"recall@20": value, "mrr@20": value / 2} for name, value in systems.items()},
            )
            producer.send(deployment.settings.metrics_topic, msgspec.json.encode(window), key=bundle_id.encode())
    topic = getattr(deployment.settings, "alarms_topic", ALARMS_TOPIC)
    with broker_admin(deployment.settings) as admin:
        if topic not in admin.list_topics():
            admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
            admin.wait_for_topics([topic], timeout_ms=10_000)
    alarm = {"id": f"{mine}-1", "bundle_id": mine, "name": "quality_drop", "slice": "all", "state": "firing"}
    alarm |= {"starts_at_ms": now_ms - 30_000, "ends_at_ms": None, "value": 0.1, "expected": 0.4, "detail": "It fell."}
    producer.send(topic, msgspec.json.encode(alarm), key=mine.encode())
    producer.flush()
    producer.close()


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
    """Go to a link of the navigation with the tabulator, and press Enter."""
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
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
    expect(page.locator("dl.tiles")).to_contain_text(deployment.bundle.bundle_id, timeout=SEEN_WITHIN_MS)
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


def test_an_erased_user_is_forgotten_by_the_page(served: tuple[Deployment, Server]) -> None:
    deployment, server = served
    with server.client.stream("GET", "/v1/live") as stream:
        next(stream.iter_lines())
        beside(deployment.send, [record(event("short-1", "short", "item-1"))])
        wait_for(lambda: server.ask("/v1/live/users/short")["events"])
        beside(deployment.send, [(b"short", None)])
        wait_for(lambda: not server.ask("/v1/live/users/short")["known"])
        assert server.ask("/v1/live/users/short")["events"] == []


def wait_for(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SEEN_WITHIN_MS / 1000
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


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
    server = started(deployment, "with_tokens", "--tokens", str(tokens))
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


def messages(server: Server, count: int, last_id: str | None = None) -> list[dict[str, str]]:
    """The next messages of the stream."""
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    found: list[dict[str, str]] = [{}]
    with server.client.stream("GET", "/v1/live", headers=headers) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            if name:
                found[-1][name] = value
            elif "id" in found[-1]:
                if len(found) == count:
                    return found
                found.append({})
    raise AssertionError(f"the stream ended after {found}")


def test_a_stream_goes_on_after_the_last_message_and_begins_anew_where_it_cannot(
    served: tuple[Deployment, Server],
) -> None:
    _, server = served
    first = messages(server, 3)
    assert [one["event"] for one in first] == ["snapshot", "status", "status"]
    second = messages(server, 2, first[1]["id"])
    assert second[0] == first[2], "the message after the one that was read last"
    ids = [int(one["id"].rpartition("-")[2]) for one in (*first[1:], second[1])]
    assert ids == list(range(ids[0], ids[0] + 3))
    for lost in ("0badcafe-1", "nothing", first[0]["id"].rpartition("-")[0] + "-99999"):
        assert messages(server, 1, lost)[0]["event"] == "snapshot"
    snapshot = msgspec.json.decode(first[0]["data"])
    assert {"metrics", "alarms", "dead_letters", "statuses"} == set(snapshot)


def test_while_kafka_is_away_the_api_answers_and_the_stream_goes_on(
    services: LocalServices, served: tuple[Deployment, Server]
) -> None:
    _, server = served
    with server.client.stream("GET", "/v1/live") as stream:
        lines = stream.iter_lines()
        assert next_status(lines, lambda status: status["lag"] is not None)
        services.kafka.pause()
        try:
            assert next_status(lines, lambda status: status["lag"] is None)
            assert server.ask("/v1/users/user-3/recommendations")["known"]
            assert server.client.get("/readyz").status_code == 200
        finally:
            services.kafka.resume()
        assert next_status(lines, lambda status: status["lag"] is not None)


def next_status(lines: Iterator[str], is_wanted: Callable[[dict[str, Any]], bool]) -> bool:
    """Whether a status is as wanted, of the next that come. The server sends at least a comment every 10 s."""
    deadline = time.monotonic() + SEEN_WITHIN_MS / 1000
    for line in lines:
        found = msgspec.json.decode(line.removeprefix("data: ")) if line.startswith("data: {") else {}
        if "lag" in found and is_wanted(found):
            return True
        assert time.monotonic() < deadline
    return False


def test_open_streams_end_at_once_when_the_server_stops_and_there_is_a_limit_of_streams(
    served: tuple[Deployment, Server],
) -> None:
    deployment, _ = served
    server = started(deployment, "stopped")
    streams = [server.client.stream("GET", "/v1/live") for _ in range(32)]
    opened_streams = [stream.__enter__() for stream in streams]
    refused = server.client.get("/v1/live")
    assert (refused.status_code, refused.json()["type"]) == (503, "too-many-pages")
    began_s = time.monotonic()
    server.stop()
    assert time.monotonic() - began_s < 6
    assert server.exit_code == 0, server.last_lines()
    for stream, answer in zip(streams, opened_streams, strict=True):
        for _ in answer.iter_bytes():
            pass
        stream.__exit__(None, None, None)
