"""The webhook against a real HTTP server: what is posted, repetition after failures, and a server that is away."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from streams.contracts.alarm_events import AlarmEvent
from streams.monitor.outputs import webhook
from streams.monitor.outputs.webhook import Webhook

FIRING = AlarmEvent(
    id="gru-1-gaps-all-1000-firing",
    bundle_id="gru-1",
    name="gaps",
    state="firing",
    starts_at_ms=1_000,
    value=1.25,
    expected=2.0,
    detail="The gaps are 1.25.",
)
RESOLVED = AlarmEvent(
    id="gru-1-item_mix-all-500-resolved",
    bundle_id="gru-1",
    name="item_mix",
    state="resolved",
    starts_at_ms=500,
    ends_at_ms=1_500,
    value=1.0,
    expected=2.0,
    detail="x",
)


class Server:
    """Takes posts, and answers with the given statuses before it answers with 200."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, Any]] = []
        self.statuses: list[int] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.posts.append((self.path, body))
                self.send_response(owner.statuses.pop(0) if owner.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


async def wait_for(posts: list[Any], count: int) -> None:
    deadline = time.monotonic() + 10
    while len(posts) < count:
        assert time.monotonic() < deadline, posts
        await asyncio.sleep(0.01)


def test_alarms_are_posted_as_alertmanager_takes_them_and_an_end_is_posted_once(server: Server) -> None:
    async def scenario() -> None:
        firing = [FIRING]
        hook = Webhook(server.url + "/", lambda: firing)
        hook.start([])
        await wait_for(server.posts, 1)
        hook.tell(RESOLVED)
        await wait_for(server.posts, 2)
        hook.tell(FIRING)
        await wait_for(server.posts, 3)
        await hook.stop()

    asyncio.run(scenario())
    assert {path for path, _ in server.posts} == {"/api/v2/alerts"}
    first, second, third = (alerts for _, alerts in server.posts)
    assert first == [
        {
            "labels": {"alertname": "thalweg_gaps", "bundle": "gru-1", "slice": "all"},
            "annotations": {"summary": "The gaps are 1.25.", "value": "1.25", "expected": "2"},
            "startsAt": "1970-01-01T00:00:01.000Z",
        }
    ]
    assert second[0]["endsAt"] == "1970-01-01T00:00:01.500Z"
    assert second[1:] == first
    assert third == first


def test_a_refused_post_is_repeated_and_an_end_is_not_lost(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "FIRST_WAIT_S", 0.05)
    server.statuses = [500, 503]

    async def scenario() -> None:
        hook = Webhook(server.url, list)
        hook.start([RESOLVED])
        await wait_for(server.posts, 3)
        await hook.stop()

    asyncio.run(scenario())
    assert [alerts[0]["labels"]["alertname"] for _, alerts in server.posts] == ["thalweg_item_mix"] * 3


def test_alarms_that_fire_are_repeated(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "REPEAT_S", 0.05)

    async def scenario() -> None:
        hook = Webhook(server.url, lambda: [FIRING])
        hook.start([])
        await wait_for(server.posts, 3)
        await hook.stop()

    asyncio.run(scenario())


def test_a_server_that_is_away_delays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "FIRST_WAIT_S", 0.01)

    async def scenario() -> float:
        hook = Webhook("http://127.0.0.1:1", lambda: [FIRING])
        hook.start([])
        begin_s = time.monotonic()
        for _ in range(100):
            hook.tell(FIRING)
            await asyncio.sleep(0)
        told_s = time.monotonic() - begin_s
        await asyncio.sleep(0.2)
        await hook.stop()
        return told_s

    assert asyncio.run(scenario()) < 0.1
