"""`thalweg map TOPIC` and `thalweg rekey` on a real Kafka."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from encoder.data.events import BehaviorEvent
from encoder.data.loaders import load_log
from streams.broker.topics import ensure_topics
from streams.config.settings import Settings
from streams.engine.codec import decode
from tests.support.topics import read_all

TRACK = {"type": "track", "event": "Product Viewed", "timestamp": "2026-03-01T10:00:00Z"}
HEADERS = [
    ("ce_specversion", b"1.0"),
    ("ce_source", b"/shop"),
    ("ce_type", b"viewed"),
    ("ce_time", b"2026-03-01T10:00:00Z"),
]


def read_committed(settings: Settings, topic: str, count: int) -> list[Any]:
    """The records of a topic. A broker ends a transaction shortly after its producer has got the answer."""
    give_up_at = time.monotonic() + 10
    while len(records := read_all(settings, topic)) < count and time.monotonic() < give_up_at:
        time.sleep(0.1)
    return records


def test_a_topic_of_tracked_events_is_read_by_its_preset(
    settings: Settings, thalweg: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The producer chose the id of the message as the key, so the records of a user stand in several partitions."""
    ensure_topics(settings)
    producer = KafkaProducer(bootstrap_servers=settings.broker)
    for number in range(120):
        ids = {"messageId": f"m-{number}", "userId": f"u-{number % 4}", "properties": {"product_id": f"p-{number % 9}"}}
        value = json.dumps({**TRACK, **ids} if number % 40 else {"type": "identify"}).encode()
        producer.send(settings.behavior_topic, value, key=f"m-{number}".encode())
    producer.send(settings.behavior_topic, b"no JSON", key=b"u-1")
    producer.send(settings.behavior_topic, None, key=b"u-1")
    producer.flush()
    assert thalweg("map", settings.behavior_topic) == 0
    out, err = capsys.readouterr()
    assert 'extends = "segment"' in out
    assert "the first 10 of 117 events" in err
    assert "122 records: 117 give 117 events, 4 are skipped, 1 would become a dead letter" in err
    assert '3 skipped (filter), type is "identify"' in err
    key = "the key of 117 of 117 records with events is not the user; the records of 4 of"
    assert f"{key} the 4 users with several records in this sample stand in several partitions" in err
    assert thalweg("map", settings.behavior_topic, "--mapping", "segment", "--sample", 30) == 0
    out = capsys.readouterr().out
    assert "30 records: " in out  # ten of each partition
    assert '5 of the 6 actions in the mapping do not occur in these records: "Product Clicked", ' in out
    assert "no event has the field price: nothing stands at line:price or properties.price\n" in out
    history = tmp_path / "history.jsonl.gz"
    assert thalweg("map", settings.behavior_topic, "--mapping", "segment", "--events", history) == 0
    out = capsys.readouterr().out
    assert "122 records: 117 give 117 events" in out
    assert f"{key} 4 users stand in several partitions: 117 of 117 records with events (100.0%), and " in out
    assert "`thalweg rekey`" in out
    assert len(load_log(history)[0]) == 117


def test_headers_and_timestamps_of_a_topic_are_read(
    settings: Settings, thalweg: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    ensure_topics(settings)
    producer = KafkaProducer(bootstrap_servers=settings.broker, compression_type="gzip")
    for number in range(9):
        value = json.dumps({"user_id": "u-1", "item_id": f"p-{number}"}).encode()
        headers = [*HEADERS, ("ce_id", str(number).encode())]
        producer.send(settings.behavior_topic, value, key=b"u-1", headers=headers)
    producer.flush()
    assert thalweg("map", settings.behavior_topic) == 0
    out, err = capsys.readouterr()
    assert 'extends = "cloudevents"' in out
    assert "9 records: 9 give 9 events, 0 are skipped, 0 would become dead letters" in err
    assert "/shop#8" in err
    assert "is not the user" not in err
    assert thalweg("map", "no-such-topic") == 1
    assert "no-such-topic" in capsys.readouterr().err


def test_a_topic_with_other_keys_becomes_a_topic_keyed_by_user(
    settings: Settings, thalweg: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """A second run carries the new records alone, and a broken record keeps its bytes in the dead-letter topic."""
    ensure_topics(settings)
    source, target = settings.behavior_topic, f"{settings.behavior_topic}.keyed"
    producer = KafkaProducer(bootstrap_servers=settings.broker)

    def send(numbers: range) -> None:
        for number in numbers:
            products = [{"product_id": f"p-{number}"}, {"product_id": "p-2"}]
            user = f"u-{number % 7}"
            order = {**TRACK, "event": "Order Completed", "messageId": f"m-{number}", "userId": user}
            value = json.dumps({**order, "properties": {"products": products}}).encode()
            producer.send(source, value, key=f"m-{number}".encode())
        producer.flush()

    send(range(50))
    producer.send(source, b"no JSON", key=b"m-x").get()
    assert thalweg("rekey", source, "--mapping", "segment", "--to", target) == 0
    out = capsys.readouterr().out
    assert "51 records: 50 give 100 events, 0 are skipped, 1 became a dead letter" in out
    assert f"the dead letters stand in {source}.dlq" in out
    (letter,) = read_committed(settings, f"{source}.dlq", 1)
    assert (letter.key, letter.value) == (b"m-x", b"no JSON")
    send(range(50, 60))
    assert thalweg("rekey", source, "--mapping", "segment", "--to", target) == 0
    assert "10 records: 10 give 20 events" in capsys.readouterr().out
    assert thalweg("rekey", source, "--mapping", "segment", "--to", target) == 0
    assert "0 records: 0 give 0 events" in capsys.readouterr().out
    records = read_committed(settings, target, 120)
    outcomes = [decode(record.key, record.value, record.timestamp) for record in records]
    events = [outcome for outcome in outcomes if isinstance(outcome, BehaviorEvent)]
    ids = {f"m-{number}#{line}" for number in range(60) for line in (1, 2)}
    assert (len(events), {event.event_id for event in events}) == (120, ids)
    homes = {(record.key, record.partition) for record in records}
    assert len(homes) == 7


def test_an_erasure_of_a_mapped_topic_becomes_an_erasure(
    settings: Settings, thalweg: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ensure_topics(settings)
    mapping = tmp_path / "keyed.toml"
    mapping.write_text('user = "key:"\nitem = "i"\naction = { const = "view" }\ntime = "timestamp:"\n')
    producer = KafkaProducer(bootstrap_servers=settings.broker)
    for key, value in [(b"u-1", b'{"i": "p-1"}'), (b"u-1", None), (b"\xff", None)]:
        producer.send(settings.behavior_topic, value, key=key, partition=0)
    producer.flush()
    target = f"{settings.behavior_topic}.keyed"
    assert thalweg("rekey", settings.behavior_topic, "--mapping", mapping, "--to", target) == 0
    out = capsys.readouterr().out
    assert "2 records: 1 give 1 events, 0 are skipped, 1 became a dead letter" in out
    assert "1 erasure" in out
    seen, erased = read_committed(settings, target, 2)
    assert (seen.key, erased.key, erased.value) == (b"u-1", b"u-1", None)
    assert thalweg("rekey", target, "--mapping", mapping, "--to", target) == 1
    assert "is the topic to read: name another topic" in capsys.readouterr().err
