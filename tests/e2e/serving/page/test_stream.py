"""The stream of the page: ids, what is forgotten, an outage of Kafka, the end of the server."""

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from streams.local import LocalServices
from tests.support.deployment import Deployment, event, record
from tests.tools.serving import Server, started

SEEN_WITHIN_S = 30.0


def test_an_erased_user_is_forgotten_by_the_page(served: tuple[Deployment, Server]) -> None:
    deployment, server = served
    with server.client.stream("GET", "/v1/live") as stream:
        next(stream.iter_lines())
        deployment.send([record(event("short-1", "short", "item-1"))])
        wait_for(lambda: server.client.get("/v1/live/users/short").json().get("events"))  # 503 until there is a map
        deployment.send([(b"short", None)])
        wait_for(lambda: not server.ask("/v1/live/users/short")["known"])
        assert server.ask("/v1/live/users/short")["events"] == []


def wait_for(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SEEN_WITHIN_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


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
    deadline = time.monotonic() + SEEN_WITHIN_S
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
    server = started(deployment.settings, deployment.folder / "stopped")
    streams = [server.client.stream("GET", "/v1/live") for _ in range(32)]
    opened_streams = [stream.__enter__() for stream in streams]
    refused = server.client.get("/v1/live")
    assert (refused.status_code, refused.json()["type"]) == (503, "too-many-pages")
    began_s = time.monotonic()
    server.stop()
    assert time.monotonic() - began_s < 6
    assert server.exit_code == 128 + signal.SIGTERM, server.last_lines()
    for stream, answer in zip(streams, opened_streams, strict=True):
        for _ in answer.iter_bytes():
            pass
        stream.__exit__(None, None, None)
