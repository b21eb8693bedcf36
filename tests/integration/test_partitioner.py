"""Producers that choose partitions by another rule, on a real Kafka: doctor, replay, dlq and a worker's start."""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaProducer

from streams.broker.partitioners.choice import choose_partitioner, judge_topic
from streams.broker.partitioners.rules import PARTITIONERS
from streams.broker.topics import broker_admin, ensure_topics
from streams.commands.doctor import command as doctor
from streams.config.errors import SettingsError
from streams.config.settings import Settings
from streams.contracts.dead_letters import dead_letter
from tests.support.topics import keyed_event, read_all

MOST_OF_A_START_S = 0.3  # A worker's start may take so much longer because of the sample.


def produce(settings: Settings, rule: str, users: int = 60, partitions: int = 3) -> None:
    """Send two events of each user as a client with this rule does."""
    producer = KafkaProducer(bootstrap_servers=settings.broker)
    for number in range(2 * users):
        key, value = keyed_event(f"user-{number % users}", number)
        producer.send(settings.behavior_topic, key=key, value=value, partition=PARTITIONERS[rule](key, partitions))
    producer.flush()
    producer.close()


def findings(settings: Settings) -> dict[str, tuple[str, str]]:
    return {found.subject: (found.state, found.detail) for found in doctor.examine(settings, None)}


def partitions_of_users(settings: Settings) -> dict[bytes, set[int]]:
    found: dict[bytes, set[int]] = {}
    for record in read_all(settings, settings.behavior_topic):
        found.setdefault(record.key, set()).add(record.partition)
    return found


@pytest.mark.parametrize("rule", PARTITIONERS)
def test_the_rule_of_the_producers_is_found(settings: Settings, rule: str) -> None:
    ensure_topics(settings)
    produce(settings, rule)
    assert choose_partitioner(settings, settings.behavior_topic) == rule
    assert findings(settings)["partitioner"] == ("ok", f"the last 60 keys follow {rule}")


def test_an_empty_topic_has_murmur2_and_the_sample_costs_a_worker_little_time(settings: Settings) -> None:
    ensure_topics(settings)
    assert choose_partitioner(settings, settings.behavior_topic) == "murmur2"
    produce(settings, "crc32", users=1_000)
    times_s = []
    for _ in range(5):
        began_s = time.monotonic()
        assert choose_partitioner(settings, settings.behavior_topic, limit_s=0.2) == "crc32"
        times_s.append(time.monotonic() - began_s)
    assert min(times_s) < MOST_OF_A_START_S


def test_records_from_before_partitions_were_added_do_not_hide_the_rule(settings: Settings) -> None:
    ensure_topics(settings)
    produce(settings, "fnv1a")
    with broker_admin(settings) as admin:
        admin.create_partitions({settings.behavior_topic: 6})
    produce(settings, "fnv1a", partitions=6)
    judgement = judge_topic(settings, settings.behavior_topic)
    assert (judgement.proven, judgement.partitions) == ("fnv1a", 6)


def test_a_setting_that_the_records_contradict_is_an_error_for_doctor_and_replay(
    settings: Settings, thalweg: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ensure_topics(settings)
    produce(settings, "crc32")
    wrong = msgspec.structs.replace(settings, partitioner="murmur2")
    state, detail = findings(wrong)["partitioner"]
    assert state == "failed"
    assert "THALWEG_PARTITIONER) is 'murmur2'" in detail
    assert "follow 'crc32'" in detail
    with pytest.raises(SettingsError, match="set THALWEG_PARTITIONER to crc32"):
        choose_partitioner(wrong, settings.behavior_topic)
    assert (
        choose_partitioner(msgspec.structs.replace(settings, partitioner="crc32"), settings.behavior_topic) == "crc32"
    )


def test_records_in_partitions_that_no_rule_explains_fail_in_doctor_and_warn_elsewhere(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """kafka-go sends each record to the next partition by default."""
    ensure_topics(settings)
    producer = KafkaProducer(bootstrap_servers=settings.broker)
    for number in range(90):
        key, value = keyed_event(f"user-{number}", number)
        producer.send(settings.behavior_topic, key=key, value=value, partition=number % 3)
    producer.flush()
    producer.close()
    state, detail = findings(settings)["partitioner"]
    assert state == "failed"
    assert "none of murmur2, crc32, fnv1a explains the partitions of the last 90 keys" in detail
    assert "the record with key 'user-" in detail
    with caplog.at_level(logging.WARNING):
        choose_partitioner(settings, settings.behavior_topic)
    assert detail in caplog.messages


def test_replay_puts_a_user_where_the_live_producers_put_the_user(
    settings: Settings, thalweg: Callable[..., int], tmp_path: Path
) -> None:
    ensure_topics(settings)
    produce(settings, "crc32")
    log = tmp_path / "log.jsonl"
    log.write_text("".join(f"{keyed_event(f'user-{n}', 500 + n)[1].decode()}\n" for n in range(60)))
    assert thalweg("replay", log, "--json") == 0
    found = partitions_of_users(settings)
    assert len(found) == 60
    assert all(len(partitions) == 1 for partitions in found.values()), "a user's events stand in two partitions"


def test_resent_dead_letters_go_where_the_live_producers_put_the_user(
    settings: Settings, thalweg: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """An event in a wrong partition becomes a dead letter, and would become one again."""
    ensure_topics(settings)
    produce(settings, "crc32")
    producer = KafkaProducer(bootstrap_servers=settings.broker)
    for record in read_all(settings, settings.behavior_topic)[:30]:
        letter = dead_letter(record, "user belongs to another partition", "partition", epoch=0)
        producer.send(settings.dead_letter_topic, key=letter.key, value=letter.value, headers=letter.headers)
    producer.flush()
    producer.close()
    assert thalweg("dlq", "--resend", "--json") == 0
    assert json.loads(capsys.readouterr().out)["resent"] == 30
    assert all(len(partitions) == 1 for partitions in partitions_of_users(settings).values())
