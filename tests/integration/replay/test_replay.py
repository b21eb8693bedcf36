"""Replays into a real Kafka."""

import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from streams.broker.topics import describe_topic, ensure_topics
from streams.commands.replay import producer as replay_producer
from streams.commands.replay.producer import MAX_RECORD_BYTES, Replay
from streams.config.errors import BrokerError, InputError
from streams.config.settings import Settings
from streams.local import local_services
from tests.support.topics import NOW_MS, keyed_event, read_all


def test_records_arrive_once_and_in_order_in_the_partition_of_kafkas_partitioner(settings: Settings) -> None:
    ensure_topics(settings)
    sent = [keyed_event(f"user-{n % 257}", n) for n in range(20_000)]
    replay = Replay(settings, settings.behavior_topic)
    replay.run(sent)
    assert (replay.sent, replay.failed) == (len(sent), 0)
    arrived = read_all(settings, settings.behavior_topic)
    by_user, expected = defaultdict(list), defaultdict(list)
    for record in arrived:
        by_user[record.key].append(record.value)
    for key, value in sent:
        expected[key].append(value)
    assert by_user == expected
    partition_of = {record.key: record.partition for record in arrived}
    producer = KafkaProducer(bootstrap_servers=settings.broker)
    for key in expected:
        placed = producer.send(settings.behavior_topic, key=key, value=b"{}").get(timeout=10)
        assert placed.partition == partition_of[key]
    producer.close()


def test_a_rate_is_kept(settings: Settings) -> None:
    ensure_topics(settings)
    replay = Replay(settings, settings.behavior_topic, rate=2000)
    replay.run(keyed_event(f"u{n}", n) for n in range(2000))
    assert replay.sent == 2000
    stamps = sorted(record.timestamp for record in read_all(settings, settings.behavior_topic))
    assert 900 <= stamps[-1] - stamps[0] <= 1500
    halfway = stamps[1000] - stamps[0]
    assert 350 <= halfway <= 900  # the records are spread over the second


def test_records_that_no_broker_accepts_are_left_out(settings: Settings) -> None:
    ensure_topics(settings)
    around = [keyed_event("u1", n) for n in range(100)]
    replay = Replay(settings, settings.behavior_topic)
    huge = (b"u1", os.urandom(2 * MAX_RECORD_BYTES))
    compressible = (b"u1", b"x" * 2_000_000)
    replay.run([*around, huge, *around, compressible, (b"u1", None), (None, b"{}"), *around])
    assert (replay.sent, replay.failed) == (303, 1)
    assert len(read_all(settings, settings.behavior_topic)) == 303


def test_a_replay_can_be_stopped(settings: Settings) -> None:
    ensure_topics(settings)
    replay = Replay(settings, settings.behavior_topic)

    def endless() -> Any:
        number = 0
        while True:
            number += 1
            if number == 10_000:
                replay.stop()
            yield keyed_event("u1", number)

    replay.run(endless())
    assert replay.sent >= 10_000
    assert describe_topic(settings, settings.behavior_topic).records == replay.sent


def test_a_replay_survives_a_restart_of_the_broker_and_reports_its_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    with local_services(cassandra=False) as own:
        settings = Settings(broker=own.bootstrap)
        ensure_topics(settings)
        replay = Replay(settings, settings.behavior_topic, rate=2000)
        thread = threading.Thread(target=replay.run, args=[[keyed_event(f"u{n % 50}", n) for n in range(6000)]])
        thread.start()
        time.sleep(1)
        own.kafka.kill()
        time.sleep(1)
        own.kafka.start()
        thread.join()
        assert replay.sent == 6000
        numbers: dict[bytes, list[int]] = defaultdict(list)
        for record in read_all(settings, settings.behavior_topic):
            numbers[record.key].append(json.loads(record.value)["event_time_ms"] - NOW_MS)
        assert dict(numbers) == {f"u{user}".encode(): list(range(user, 6000, 50)) for user in range(50)}

        monkeypatch.setattr(replay_producer, "REQUEST_TIMEOUT_S", 2.0)
        lost = Replay(settings, settings.behavior_topic, rate=2000)

        def killing() -> Iterator[tuple[bytes, bytes]]:
            for n in range(4000):
                if n == 1000:
                    own.kafka.kill()
                yield keyed_event("u1", n)

        with pytest.raises(BrokerError, match=r"ended after \d+ confirmed records"):
            lost.run(killing())
        assert 0 < lost.sent <= 1000


def test_the_command_also_sends_broken_lines_of_a_log(
    settings: Settings, thalweg: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "events.jsonl"
    lines = [keyed_event(f"u{n % 7}", n)[1] for n in range(500)]
    lines[100:100] = [b"not JSON", b'{"user_id":"u1"}']
    log.write_bytes(b"\n".join(lines) + b"\n")
    assert thalweg("replay", log, "--json") == 0
    counts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (counts["sent"], counts["failed"]) == (502, 0)
    assert sorted(record.value for record in read_all(settings, settings.behavior_topic)) == sorted(lines)


def test_the_command_names_a_topic_that_does_not_exist(
    thalweg: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "events.jsonl"
    log.write_bytes(keyed_event("u1", 1)[1])
    assert thalweg("replay", log, "--topic", "nowhere") == 1
    assert "there is no topic nowhere" in capsys.readouterr().err


def test_a_rate_must_be_positive() -> None:
    with pytest.raises(InputError, match="rate is 0"):
        Replay(Settings(), "nowhere", rate=0)
