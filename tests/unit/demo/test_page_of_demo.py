"""The demo's page and what the demo does when it stays."""

import json
import socket
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import pytest

from encoder.data.event_log import EventLog
from encoder.data.simulator import Shop
from streams.config.settings import Settings
from streams.demo import page_process, shop
from streams.demo.page_process import PageProcess


def test_the_page_takes_another_port_where_its_port_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(page_process, "PORT", port)
        page = PageProcess(Settings(), tmp_path / "page" / "page.log")
    assert page.address != f"127.0.0.1:{port}"
    assert page.url == f"http://{page.address}/"


def test_later_records_are_the_events_of_later_days_with_ids_of_their_own() -> None:
    log = Shop(seed=3, items=50, users=20).simulate(400)
    first = [
        json.loads(value)
        for _, value in shop.records(log)
        if b"event_time_ms" in value and value[:1] == b"{"[:1] and value[-1:] == b"}"
    ]
    span_ms = int(log.time_ms[-1] - log.time_ms[0])
    later = [
        value for _, value in islice(shop.later_records(log, later_logs(), int(log.time_ms[-1]) + 10 * span_ms), 1_500)
    ]
    events = [event for value in later if (event := readable(value)) is not None]
    known = {event["event_id"] for event in first if "event_id" in event}
    assert not known & {event["event_id"] for event in events}
    assert min(event["event_time_ms"] for event in events) > int(log.time_ms[-1])
    assert max(event["event_time_ms"] for event in events) > int(log.time_ms[-1]) + 2 * span_ms


def readable(value: bytes) -> dict[str, object] | None:
    """The event of a record; None where the record is one of the malformed ones."""
    try:
        event = json.loads(value)
        return event if isinstance(event["event_time_ms"], int) and 0 < event["event_time_ms"] < 10**13 else None
    except (ValueError, KeyError, TypeError):
        return None


def test_later_records_end_before_the_future() -> None:
    log = Shop(seed=3, items=50, users=20).simulate(400)
    assert list(shop.later_records(log, later_logs(), int(log.time_ms[-1]))) == []


def later_logs() -> Iterator[EventLog]:
    """Return logs of other events of the same small shop."""
    return (Shop(seed=3, items=50, users=20).simulate(400 + number) for number in count(1))


def test_later_days_are_not_the_first_days_again() -> None:
    first = shop.streamed_log()[0]
    later = next(shop.later_logs())
    assert first.item_ids == later.item_ids
    same = min(len(first), len(later))
    assert (first.item[:same] == later.item[:same]).mean() < 0.1
