"""`thalweg dlq` and `thalweg erase` on a real Kafka."""

import asyncio
import json
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaProducer

from streams.broker.topic_reader import read_topic
from streams.broker.topics import describe_topic, ensure_topics
from streams.commands.dead_letters.contents import read_contents
from streams.commands.dead_letters.resend import resend
from streams.commands.replay.producer import Replay
from streams.config.settings import Settings
from streams.contracts.dead_letters import dead_letter, erasure_marker
from streams.contracts.fields import MAX_VALUE_BYTES, record_id
from streams.engine.codec import Erasure, Rejected, decode
from streams.store.schema_creation import migrate
from streams.store.session import Session
from tests.support.topics import keyed_event, read_all

REJECTED = [
    (b"u1", b"not JSON"),
    (b"u2", keyed_event("u1", 1)[1]),
    (b"u1", json.dumps({"user_id": "u1"}).encode()),
    (None, keyed_event("u3", 1)[1]),
    (b"u4", b"x" * (MAX_VALUE_BYTES + 1)),
]


def reject_all(settings: Settings, records: list[tuple[bytes | None, bytes | None]]) -> None:
    """Send records to the behaviour topic, then write the dead letters and markers that a worker would write."""
    Replay(settings, settings.behavior_topic).run(records)

    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=settings.broker, compression_type="lz4")
        await producer.start()
        async for batch in read_topic(settings, settings.behavior_topic):
            for record in batch:
                outcome = decode(record.key, record.value, record.timestamp)
                if isinstance(outcome, Erasure):
                    key, value, headers = b"", b"", erasure_marker(outcome.user_id, 0, record.offset)
                else:
                    assert isinstance(outcome, Rejected)
                    letter = dead_letter(record, outcome.reason, outcome.field, epoch=0)
                    key, value, headers = letter.key, letter.value, letter.headers
                topic = settings.dead_letter_topic
                await producer.send_and_wait(topic, key=key, value=value, headers=headers, partition=record.partition)
        await producer.stop()

    asyncio.run(send())


def test_dead_letters_hold_the_original_and_its_reason(settings: Settings) -> None:
    ensure_topics(settings)
    reject_all(settings, REJECTED)
    contents = read_contents(settings, limit=100)
    assert contents.dead_letters == len(REJECTED)
    assert contents.by_field == {"value": 2, "key": 2, "event_id": 1}
    shown = {(letter.key, letter.value) for letter in contents.newest}
    assert shown == {(key, value[:MAX_VALUE_BYTES]) for key, value in REJECTED}
    sources = {letter.source for letter in contents.newest}
    arrived = read_all(settings, settings.behavior_topic)
    assert sources == {record_id(settings.behavior_topic, 0, record.partition, record.offset) for record in arrived}
    assert [letter.whole for letter in contents.newest].count(False) == 1
    assert [letter.field for letter in read_contents(settings, limit=1).newest] == [contents.newest[-1].field]


def test_matching_dead_letters_are_resent_once(settings: Settings) -> None:
    ensure_topics(settings)
    reject_all(settings, REJECTED)
    before = len(read_all(settings, settings.behavior_topic))
    assert resend(settings, "must be the user_id").sent == 2
    assert read_contents(settings).dead_letters == len(REJECTED) - 2
    result = resend(settings)
    assert result.sent == 2
    assert [letter.key for letter in result.not_whole] == [b"u4"]
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
    reject_all(settings, REJECTED)
    assert thalweg("dlq") == 0
    printed = capsys.readouterr().out
    assert "5 dead letters (by field: " in printed
    assert thalweg("dlq", "--json", "--reason", "not JSON") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["dead_letters"] == 1
    assert [(letter["key"], letter["value"]) for letter in printed["newest"]] == [("u1", "not JSON")]
    assert thalweg("dlq", "--resend") == 0
    assert "4 records sent" in capsys.readouterr().out


def test_letters_of_a_user_who_was_erased_later_are_neither_shown_nor_sent(
    settings: Settings, thalweg: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    ensure_topics(settings)
    reject_all(settings, [*REJECTED, (b"u1", None), (b"u1", b"after it")])
    assert thalweg("dlq", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["dead_letters"], printed["erased"]) == (3, 3)  # the letter with key u2 holds an event of u1
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


def test_erase_sends_nothing_where_the_keyspace_has_no_bundle(
    settings: Settings, thalweg: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    ensure_topics(settings)
    Replay(settings, settings.behavior_topic).run(keyed_event("günther", n) for n in range(10))
    assert thalweg("erase", "günther") == 1
    error = capsys.readouterr().err
    assert f"keyspace {settings.keyspace} has no bundle" in error
    assert "nothing was sent: set keyspace (THALWEG_KEYSPACE)" in error
    assert len(read_all(settings, settings.behavior_topic)) == 10


def test_erase_writes_a_null_value_behind_the_events_of_the_user_and_fails_where_no_worker_reads_it(
    settings: Settings, thalweg: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    ensure_topics(settings)
    Replay(settings, settings.behavior_topic).run(keyed_event("günther", n) for n in range(10))
    session = Session(settings)
    migrate(session, settings)
    values = f"('gru-1', 67, 20, toTimestamp(now()), '{settings.updates_topic}')"
    columns = "bundle_id, width, items, first_served_at, updates_topic"
    insert = f"INSERT INTO {settings.keyspace}.bundles ({columns}) VALUES {values}"
    session.execute("enter a bundle", insert)
    session.close()
    assert thalweg("erase", "günther", "--timeout", "0") == 1
    printed = capsys.readouterr().out
    assert "no row is stored; events may wait" in printed
    assert "gru-1: no row is stored, and group" in printed
    assert "NOT PROVEN that user 'günther' is forgotten" in printed
    records = read_all(settings, settings.behavior_topic)
    assert len({record.partition for record in records}) == 1
    assert (records[-1].key, records[-1].value) == ("günther".encode(), None)
    assert len(records) == 11


def test_an_invalid_user_id_is_not_erased(
    settings: Settings, thalweg: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    ensure_topics(settings)
    assert thalweg("erase", "") == 1
    assert "cannot be a user_id" in capsys.readouterr().err
    assert describe_topic(settings, settings.behavior_topic).records == 0
