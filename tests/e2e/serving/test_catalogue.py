"""The catalogue of items beside a real Kafka: from a file to names and filters in answers."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from export.runtime.bundle import Bundle
from streams.broker.topics import broker_admin, topic_exists
from streams.commands.replay.producer import Replay
from streams.local import LocalServices
from tests.support.deployment import Deployment, run_thalweg, shopping
from tests.tools.serving import Server

CHANGED_WITHIN_S = 10.0
NOTICED_WITHIN_S = 30.0  # that Kafka is away, and that Kafka is there again
DAY_MS = 86_400_000
NOW_MS = int(time.time() * 1000)
USER = "/v1/users/user-3/recommendations"


def catalogue_item(number: int) -> dict[str, Any]:
    """Return what the catalogue says of an item of the bundle. Each third item has no price."""
    return {
        "item_id": f"item-{number}",
        "name": f"Product {number}",
        "category": f"c{number % 4}",
        **({"price": float(number)} if number % 3 else {}),
        "available": number % 10 != 5,
        "first_seen_ms": NOW_MS - number * DAY_MS - DAY_MS // 2,
    }


ITEMS = {f"item-{number}": catalogue_item(number) for number in range(1, 401)}  # the bundle knows 500 items
EXTRA = {"item_id": "extra", "name": "Unknown to the model", "category": "c1", "price": 2.0}
AVAILABLE = {item_id for item_id, item in ITEMS.items() if item["available"]}


@pytest.fixture(scope="module")
def served(
    services: LocalServices, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Deployment, Server]]:
    """A server that was started after the catalogue was sent, on the rows of a worker that has stopped."""
    deployment = Deployment(services, bundle, tmp_path_factory.mktemp("catalogue"))
    deployment.send(shopping(300, 10))
    worker = deployment.worker()
    worker.start()
    deployment.wait_until_committed()
    worker.stop()
    send_file(deployment, [*ITEMS.values(), EXTRA])
    server = Server(deployment.settings, deployment.folder / "server.log")
    server.start()
    wait_until(lambda: server.client.get("/readyz").status_code == 200)
    yield deployment, server
    server.stop()


def send_file(deployment: Deployment, items: list[dict[str, Any]], *arguments: str) -> dict[str, Any]:
    """Send items with `thalweg items`, and return the counts."""
    path = deployment.folder / "items.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    ended = run_thalweg(deployment.settings, "items", str(path), "--json", *arguments)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def send_records(deployment: Deployment, *records: tuple[str, bytes | None]) -> None:
    settings = deployment.settings
    Replay(settings, settings.catalogue_topic).run((key.encode(), value) for key, value in records)


def wait_until(condition: Callable[[], bool], within_s: float = CHANGED_WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.05)


def recommended(server: Server, **parameters: Any) -> set[str]:
    return {item["item_id"] for item in server.ask(USER, k=1000, **parameters)["items"]}


def test_items_have_names_and_an_item_that_the_catalogue_lacks_is_not_recommended(
    served: tuple[Deployment, Server],
) -> None:
    _, server = served
    found = server.ask(USER, k=1000)["items"]
    assert {item["item_id"] for item in found} == AVAILABLE
    assert all(item["name"] == ITEMS[item["item_id"]]["name"] for item in found)
    unknown_user = server.ask("/v1/users/nobody/recommendations", k=1000)
    assert unknown_user["known"] is False
    assert {item["item_id"] for item in unknown_user["items"]} == AVAILABLE
    one = server.ask("/v1/items/item-6")
    assert one == {
        **ITEMS["item-6"],
        **{"price": None, "brand": None, "image_url": None},
        **{"bundle_id": served[0].bundle.bundle_id, "known_to_bundle": True},
    }
    assert server.ask("/v1/items/extra")["known_to_bundle"] is False
    assert "'item-450'" in server.ask("/v1/items/item-450", status=404)["detail"]
    status = server.ask("/v1/catalogue")
    assert status == {"state": "following", "items": 401, "lag_records": 0, "broken": 0}
    assert "thalweg_catalogue_items 401.0" in server.client.get("/metrics").text


def test_an_item_that_is_not_available_comes_in_no_answer_that_recommends(served: tuple[Deployment, Server]) -> None:
    _, server = served
    similar = server.ask("/v1/items/item-5/similar", k=1000)["items"]
    assert {item["item_id"] for item in similar} == AVAILABLE
    assert similar[0]["name"] == ITEMS[similar[0]["item_id"]]["name"]
    events = [{"item_id": "item-5", "action": "view", "event_time_ms": 10**12}]
    stepped = server.send("/v1/step", {"events": events, "k": 1000})["items"]
    assert {item["item_id"] for item in stepped} == AVAILABLE
    ranked = server.send("/v1/rank", {"user_id": "user-3", "item_ids": ["item-5", "item-6", "extra"]})
    assert {item["item_id"] for item in ranked["items"]} == {"item-5", "item-6"}
    assert ranked["unknown_items"] == ["extra"]


@pytest.mark.parametrize(
    ("parameters", "passes"),
    [
        ({"category": "c1"}, lambda item: item["category"] == "c1"),
        ({"category": ["c1", "c2", "none"]}, lambda item: item["category"] in ("c1", "c2")),
        ({"category": "none"}, lambda _: False),
        ({"price_min": 100, "price_max": 200.5}, lambda item: 100 <= item.get("price", -1) <= 200.5),
        ({"price_max": 1}, lambda item: item.get("price") == 1),
        ({"price_min": 9, "price_max": 8}, lambda _: False),
        ({"scenario": "new"}, lambda item: item["first_seen_ms"] >= NOW_MS - 7 * DAY_MS),
        ({"scenario": "new", "new_days": 60}, lambda item: item["first_seen_ms"] >= NOW_MS - 60 * DAY_MS),
        ({"new_days": 30}, lambda item: item["first_seen_ms"] >= NOW_MS - 30 * DAY_MS),
        (
            {"category": "c3", "price_min": 0, "new_days": 90},
            lambda item: item["category"] == "c3" and "price" in item and item["first_seen_ms"] >= NOW_MS - 90 * DAY_MS,
        ),
    ],
)
def test_filters_leave_exactly_the_available_items_that_pass(
    served: tuple[Deployment, Server], parameters: dict[str, Any], passes: Callable[[dict[str, Any]], bool]
) -> None:
    expected = {item_id for item_id in AVAILABLE if passes(ITEMS[item_id])}
    assert recommended(served[1], **parameters) == expected


def test_an_unknown_user_gets_popular_items_and_every_fifth_is_fresh(served: tuple[Deployment, Server]) -> None:
    _, server = served
    path = "/v1/users/nobody/recommendations"
    fresh = {item_id for item_id in AVAILABLE if ITEMS[item_id]["first_seen_ms"] >= NOW_MS - 7 * DAY_MS}
    best = [item["item_id"] for item in server.ask(path, k=1000)["items"]]
    found = server.ask(path, k=20)["items"]
    assert len(found) == 20
    assert len(fresh & {item["item_id"] for item in found}) == 4  # the fresh ones are not among the best by chance
    others = [item["item_id"] for item in found if item["item_id"] not in fresh]
    assert others == [item_id for item_id in best if item_id not in fresh][:16]
    scores = [item["score"] for item in found]
    assert scores == sorted(scores, reverse=True)


def test_a_changed_removed_and_broken_record_counts_from_the_next_answers_on(
    served: tuple[Deployment, Server],
) -> None:
    deployment, server = served
    first, second = [item["item_id"] for item in server.ask(USER, k=2)["items"]]
    changed = send_file(deployment, [{**ITEMS[first], "available": False}])
    assert (changed["sent"], changed["removed"]) == (1, 0)
    send_records(deployment, (second, None))
    wait_until(lambda: recommended(server) == AVAILABLE - {first, second})
    server.ask(f"/v1/items/{second}", status=404)
    value = json.dumps({**ITEMS["item-7"], "name": "Renamed", "price": -1}).encode()
    send_records(deployment, ("item-7", value), ("item-8", b"{"), ("item-9", json.dumps(ITEMS["item-7"]).encode()))
    send_records(deployment, (first, json.dumps(ITEMS[first]).encode()))  # behind the broken records
    wait_until(lambda: first in recommended(server))
    assert server.ask("/v1/catalogue")["broken"] == 3
    assert server.ask("/v1/items/item-7")["name"] == "Product 7"
    assert "price is -1" in server.log.read_text()
    assert f"{deployment.settings.catalogue_topic} partition 0 offset" in server.log.read_text()
    before = server.ask(USER, k=1000)
    server.kill()
    server.start()
    wait_until(lambda: server.client.get("/readyz").status_code == 200)
    assert server.ask(USER, k=1000) == before


def test_a_complete_file_removes_the_items_that_it_lacks(served: tuple[Deployment, Server]) -> None:
    deployment, server = served
    kept = [ITEMS[item_id] for item_id in sorted(AVAILABLE)[:50]]
    counts = send_file(deployment, kept, "--complete")
    assert (counts["sent"], counts["removed"]) == (50, 401 - 1 - 50)  # one item was removed before
    wait_until(lambda: recommended(server) == {item["item_id"] for item in kept})
    assert server.ask("/v1/items/item-5/similar", k=1000)["items"]
    server.ask("/v1/items/extra", status=404)


def test_a_file_with_a_broken_row_changes_nothing(served: tuple[Deployment, Server], tmp_path: Path) -> None:
    deployment, server = served
    path = tmp_path / "items.csv"
    path.write_text("item_id,price\nitem-1,3.50\nitem-2,cheap\n")
    ended = run_thalweg(deployment.settings, "items", str(path))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "line 3 of" in ended.stderr
    assert "price is 'cheap'" in ended.stderr
    assert server.ask("/v1/items/item-1")["price"] == 1.0


def test_while_kafka_is_away_the_catalogue_stays_and_afterwards_it_is_followed_again(
    served: tuple[Deployment, Server], services: LocalServices
) -> None:
    deployment, server = served
    before = recommended(server)
    services.kafka.pause()
    try:
        wait_until(lambda: server.ask("/v1/catalogue")["state"] == "unreachable", NOTICED_WITHIN_S)
        assert recommended(server) == before
    finally:
        services.kafka.resume()
    send_records(deployment, ("item-1", None))
    wait_until(lambda: recommended(server) == before - {"item-1"}, NOTICED_WITHIN_S)
    assert server.ask("/v1/catalogue")["state"] == "following"
    assert server.log.read_text().count("the catalogue of items cannot be followed") == 1


def test_a_topic_that_is_made_again_replaces_the_catalogue(served: tuple[Deployment, Server]) -> None:
    deployment, server = served
    assert recommended(server) != {"item-7", "item-8"}
    with broker_admin(deployment.settings) as admin:
        admin.delete_topics([deployment.settings.catalogue_topic])
    wait_until(lambda: not topic_exists(deployment.settings, deployment.settings.catalogue_topic))
    send_file(deployment, [ITEMS["item-7"], ITEMS["item-8"]])
    wait_until(lambda: recommended(server) == {"item-7", "item-8"}, NOTICED_WITHIN_S)
