"""Topics, replay, dead letters and erasure on a real Kafka."""

import asyncio
import json
import os
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition

from streams import cli
from streams.broker.topic_reader import is_anything, read_topic
from streams.broker.topics import broker_admin, describe_topic, ensure_topics
from streams.commands.dead_letters.contents import read_contents
from streams.commands.dead_letters.resend import resend
from streams.commands.replay import producer as replay_producer
from streams.commands.replay.producer import MAX_RECORD_BYTES, Replay
from streams.config.errors import BrokerError, InputError, SettingsError
from streams.config.settings import Settings
from streams.contracts.dead_letters import dead_letter, erasure_marker
from streams.contracts.fields import MAX_VALUE_BYTES
from streams.engine.codec import Erasure, Rejected, decode
from streams.local import LocalServices, local_services

TOPICS = ["behavior_topic", "dead_letter_topic", "updates_topic", "evaluation_topic", "metrics_topic"]
NOW_MS = int(time.time() * 1000)


@pytest.fixture
def settings(services: LocalServices) -> Settings:
    """Settings with topics that no other test uses; nothing is created yet."""
    prefix = uuid.uuid4().hex[:8]
    return Settings(broker=services.bootstrap, partitions=3, **{name: f"{prefix}.{name}" for name in TOPICS})


@pytest.fixture
def thalweg(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    for name in ["broker", "partitions", *TOPICS]:
        monkeypatch.setenv(f"THALWEG_{name.upper()}", str(getattr(settings, name)))
    return lambda *arguments: cli.main([str(argument) for argument in arguments])


def read_all(settings: Settings, topic: str) -> list[Any]:
    async def read() -> list[Any]:
        return [record async for records in read_topic(settings, topic) for record in records]

    return asyncio.run(read())


def event(user: str, number: int) -> tuple[bytes, bytes]:
    fields = {"event_id": f"{user}-{number}", "user_id": user, "item_id": "i1", "action": "view"}
    return user.encode(), json.dumps(fields | {"event_time_ms": NOW_MS + number}).encode()


# topics


def test_topics_are_made_once_and_outputs_follow_the_behaviour_topic(settings: Settings) -> None:
    ensure_topics(settings)
    before = {name: describe_topic(settings, getattr(settings, name)) for name in TOPICS}
    ensure_topics(msgspec.structs.replace(settings, partitions=7))
    after = {name: describe_topic(settings, getattr(settings, name)) for name in TOPICS}
    assert after == before
    assert [before[name].partitions for name in TOPICS] == [3, 3, 3, 3, 1]


def test_missing_outputs_of_an_existing_topic_get_its_count(settings: Settings) -> None:
    with broker_admin(settings) as admin:
        admin.create_topics({settings.behavior_topic: {"num_partitions": 5}})
    ensure_topics(settings)
    assert describe_topic(settings, settings.evaluation_topic).partitions == 5


def test_the_marker_at_the_end_of_a_transaction_is_no_record(settings: Settings) -> None:
    ensure_topics(settings)
    topic = settings.behavior_topic

    async def run() -> tuple[bool, bool]:
        producer = AIOKafkaProducer(bootstrap_servers=settings.broker, transactional_id=topic)
        await producer.start()
        async with producer.transaction():
            for _ in range(3):
                await producer.send(topic, b"x", key=b"x", partition=0)
        await producer.stop()
        return await is_anything(settings, topic, 0, 2, 4), await is_anything(settings, topic, 0, 3, 4)

    assert asyncio.run(run()) == (True, False)
    assert describe_topic(settings, topic).end_offsets[0] == 4


def test_an_output_topic_with_fewer_partitions_grows(settings: Settings) -> None:
    with broker_admin(settings) as admin:
        admin.create_topics({settings.evaluation_topic: {"num_partitions": 2}})
    ensure_topics(settings)
    assert describe_topic(settings, settings.evaluation_topic).partitions == 3


def test_an_output_topic_with_more_partitions_is_an_error_that_names_both(settings: Settings) -> None:
    with broker_admin(settings) as admin:
        admin.create_topics({settings.evaluation_topic: {"num_partitions": 4}})
    with pytest.raises(SettingsError) as caught:
        ensure_topics(settings)
    for part in (settings.evaluation_topic, "has 4", settings.behavior_topic, "has 3"):
        assert part in str(caught.value)


def test_an_updates_topic_that_is_not_compacted_is_an_error(settings: Settings) -> None:
    with broker_admin(settings) as admin:
        admin.create_topics({settings.updates_topic: {"num_partitions": 3}})
    with pytest.raises(SettingsError, match=r"updates_topic has cleanup.policy 'delete'"):
        ensure_topics(settings)


def test_a_topic_made_again_has_another_id(settings: Settings) -> None:
    ensure_topics(settings)
    first = describe_topic(settings, settings.metrics_topic).topic_id
    with broker_admin(settings) as admin:
        admin.delete_topics([settings.metrics_topic])
    ensure_topics(settings)
    assert describe_topic(settings, settings.metrics_topic).topic_id != first


def test_lag_is_what_the_group_has_not_committed(settings: Settings) -> None:
    ensure_topics(settings)
    Replay(settings, settings.behavior_topic).run(event(f"u{n % 20}", n) for n in range(100))
    topic = describe_topic(settings, settings.behavior_topic, "readers")
    assert (topic.records, topic.lag, topic.committed) == (100, 100, {})
    partition = max(topic.end_offsets, key=lambda p: topic.end_offsets[p])
    with broker_admin(settings) as admin:
        at = OffsetAndMetadata(topic.end_offsets[partition], "", -1)
        admin.alter_group_offsets("readers", {TopicPartition(topic.name, partition): at})
    topic = describe_topic(settings, settings.behavior_topic, "readers")
    assert topic.committed == {partition: topic.end_offsets[partition]}
    assert topic.lag == 100 - topic.end_offsets[partition]


def test_no_broker_and_no_topic_are_clear_errors(settings: Settings) -> None:
    with pytest.raises(BrokerError, match=r"there is no topic nowhere at 127\.0\.0\.1"):
        describe_topic(settings, "nowhere")
    with pytest.raises(BrokerError, match=r"no broker answers at 127\.0\.0\.1:1: .*; start one with `thalweg up`"):
        describe_topic(Settings(broker="127.0.0.1:1"), "nowhere")


# replay


def test_records_arrive_once_in_their_order_where_kafkas_partitioner_puts_them(settings: Settings) -> None:
    ensure_topics(settings)
    sent = [event(f"user-{n % 257}", n) for n in range(20_000)]
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
    replay.run(event(f"u{n}", n) for n in range(2000))
    assert replay.sent == 2000
    stamps = sorted(record.timestamp for record in read_all(settings, settings.behavior_topic))
    assert 900 <= stamps[-1] - stamps[0] <= 1500
    halfway = stamps[1000] - stamps[0]
    assert 350 <= halfway <= 900  # spread over the second, not sent at once at its end


def test_what_no_broker_takes_is_left_out_and_the_rest_goes(settings: Settings) -> None:
    ensure_topics(settings)
    around = [event("u1", n) for n in range(100)]
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
            yield event("u1", number)

    replay.run(endless())
    assert replay.sent >= 10_000
    assert describe_topic(settings, settings.behavior_topic).records == replay.sent


def test_a_replay_outlives_a_restart_of_the_broker_and_names_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with local_services(cassandra=False) as own:
        settings = Settings(broker=own.bootstrap)
        ensure_topics(settings)
        replay = Replay(settings, settings.behavior_topic, rate=2000)
        thread = threading.Thread(target=replay.run, args=[[event(f"u{n % 50}", n) for n in range(6000)]])
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
                yield event("u1", n)

        with pytest.raises(BrokerError, match=r"ended after \d+ confirmed records"):
            lost.run(killing())
        assert 0 < lost.sent <= 1000


def test_the_command_sends_every_line_of_a_log_also_broken_ones(
    settings: Settings, thalweg: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "events.jsonl"
    lines = [event(f"u{n % 7}", n)[1] for n in range(500)]
    lines[100:100] = [b"no JSON", b'{"user_id":"u1"}']
    log.write_bytes(b"\n".join(lines) + b"\n")
    assert thalweg("replay", log, "--json") == 0
    counts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (counts["sent"], counts["failed"]) == (502, 0)
    assert sorted(record.value for record in read_all(settings, settings.behavior_topic)) == sorted(lines)


def test_the_command_names_a_topic_that_is_not_there(
    thalweg: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "events.jsonl"
    log.write_bytes(event("u1", 1)[1])
    assert thalweg("replay", log, "--topic", "nowhere") == 1
    assert "there is no topic nowhere" in capsys.readouterr().err


# dead letters

REJECTED = [
    (b"u1", b"no JSON"),
    (b"u2", event("u1", 1)[1]),
    (b"u1", json.dumps({"user_id": "u1"}).encode()),
    (None, event("u3", 1)[1]),
    (b"u4", b"x" * (MAX_VALUE_BYTES + 1)),
]


def bury(settings: Settings, records: list[tuple[bytes | None, bytes | None]]) -> None:
    """Send records to the behaviour topic and, of what arrived, letters and markers where a worker would."""
    Replay(settings, settings.behavior_topic).run(records)

    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=settings.broker, compression_type="lz4")
        await producer.start()
        async for batch in read_topic(settings, settings.behavior_topic):
            for record in batch:
                outcome = decode(record.key, record.value, record.timestamp)
                if isinstance(outcome, Erasure):
                    key, value, headers = b"", b"", erasure_marker(outcome.user_id, record.offset)
                else:
                    assert isinstance(outcome, Rejected)
                    letter = dead_letter(record, outcome.reason, outcome.field)
                    key, value, headers = letter.key, letter.value, letter.headers
                topic = settings.dead_letter_topic
                await producer.send_and_wait(topic, key=key, value=value, headers=headers, partition=record.partition)
        await producer.stop()

    asyncio.run(send())


def test_dead_letters_hold_the_original_and_its_reason(settings: Settings) -> None:
    ensure_topics(settings)
    bury(settings, REJECTED)
    contents = read_contents(settings, limit=100)
    assert contents.dead_letters == len(REJECTED)
    assert contents.by_field == {"value": 2, "key": 2, "event_id": 1}
    shown = {(letter.key, letter.value) for letter in contents.newest}
    assert shown == {(key, value[:MAX_VALUE_BYTES]) for key, value in REJECTED}
    sources = {letter.source for letter in contents.newest}
    arrived = read_all(settings, settings.behavior_topic)
    assert sources == {f"{settings.behavior_topic}-{record.partition}-{record.offset}" for record in arrived}
    assert [letter.whole for letter in contents.newest].count(False) == 1
    assert [letter.field for letter in read_contents(settings, limit=1).newest] == [contents.newest[-1].field]


def test_matching_letters_are_sent_again_once(settings: Settings) -> None:
    ensure_topics(settings)
    bury(settings, REJECTED)
    before = len(read_all(settings, settings.behavior_topic))
    assert resend(settings, "must be the user_id").sent == 2
    assert read_contents(settings).dead_letters == len(REJECTED) - 2
    resending = resend(settings)
    assert resending.sent == 2
    assert [letter.key for letter in resending.not_whole] == [b"u4"]
    assert resend(settings).sent == 0
    arrived = [(record.key, record.value) for record in read_all(settings, settings.behavior_topic)]
    assert len(arrived) == before + 4
    for key, value in REJECTED[:4]:
        assert arrived.count((key, value)) == 2
    left = read_contents(settings)
    assert (left.dead_letters, left.resent) == (1, 4)


def test_the_dlq_command_prints_a_table_and_json(
    settings: Settings, thalweg: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    ensure_topics(settings)
    bury(settings, REJECTED)
    assert thalweg("dlq") == 0
    printed = capsys.readouterr().out
    assert "5 dead letters (by field: " in printed
    assert thalweg("dlq", "--json", "--reason", "not JSON") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["dead_letters"] == 1
    assert [(letter["key"], letter["value"]) for letter in printed["newest"]] == [("u1", "no JSON")]
    assert thalweg("dlq", "--resend") == 0
    assert "4 records sent" in capsys.readouterr().out


def test_letters_from_before_their_users_erasure_are_neither_shown_nor_sent(
    settings: Settings, thalweg: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    ensure_topics(settings)
    bury(settings, [*REJECTED, (b"u1", None), (b"u1", b"after it")])
    assert thalweg("dlq", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["dead_letters"], printed["erased"]) == (3, 3)  # the value of u2's letter is an event of u1
    assert sorted((letter["key"] or "", letter["value"][:8]) for letter in printed["newest"]) == [
        ("", '{"event_'),
        ("u1", "after it"),
        ("u4", "xxxxxxxx"),
    ]
    assert thalweg("dlq") == 0
    assert (
        "3 dead letters (by field: value 2, key 1); 3 dead letters of erased users are left out"
        in capsys.readouterr().out
    )
    before = len(read_all(settings, settings.behavior_topic))
    assert thalweg("dlq", "--resend", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["resent"], printed["erased"]) == (2, 3)
    assert len(read_all(settings, settings.behavior_topic)) == before + 2
    left = read_contents(settings)
    assert (left.dead_letters, left.resent, left.erased) == (1, 2, 3)


# erasure


def test_erase_puts_a_null_value_behind_the_users_events(settings: Settings, thalweg: Callable[..., int]) -> None:
    ensure_topics(settings)
    Replay(settings, settings.behavior_topic).run(event("günther", n) for n in range(10))
    assert thalweg("erase", "günther") == 0
    records = read_all(settings, settings.behavior_topic)
    assert len({record.partition for record in records}) == 1
    assert (records[-1].key, records[-1].value) == ("günther".encode(), None)
    assert len(records) == 11


def test_who_cannot_be_a_user_is_not_erased(
    settings: Settings, thalweg: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    ensure_topics(settings)
    assert thalweg("erase", "") == 1
    assert "cannot be a user_id" in capsys.readouterr().err
    assert describe_topic(settings, settings.behavior_topic).records == 0


def test_a_rate_must_be_positive() -> None:
    with pytest.raises(InputError, match="rate is 0"):
        Replay(Settings(), "nowhere", rate=0)
