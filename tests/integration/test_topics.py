"""Topics on a real Kafka: what is created, checked and described."""

import asyncio

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from kafka import OffsetAndMetadata, TopicPartition

from streams.broker.topic_reader import read_topic
from streams.broker.topic_settings import read_topic_settings
from streams.broker.topics import (
    Topic,
    broker_admin,
    describe_topic,
    ensure_catalogue_topic,
    ensure_monitor_topics,
    ensure_topics,
)
from streams.commands.replay.producer import Replay
from streams.config.errors import BrokerError, SettingsError
from streams.config.settings import Settings
from tests.support.topics import TOPIC_SETTINGS, keyed_event


def test_topics_are_created_once_and_outputs_follow_the_behaviour_topic(settings: Settings) -> None:
    ensure_topics(settings)
    ensure_monitor_topics(settings)
    with broker_admin(settings) as admin:
        name = settings.comparisons_topic
        assert read_topic_settings(admin, [name])[name]["cleanup.policy"] == "compact"
    before = {name: describe_topic(settings, getattr(settings, name)) for name in TOPIC_SETTINGS}
    more = msgspec.structs.replace(settings, partitions=7)
    ensure_topics(more)
    ensure_monitor_topics(more)
    after = {name: describe_topic(settings, getattr(settings, name)) for name in TOPIC_SETTINGS}
    assert after == before
    partitions = {name: topic.partitions for name, topic in before.items()}
    assert {name for name, number in partitions.items() if number == 1} == {
        "metrics_topic", "alarms_topic", "comparisons_topic",
    }  # fmt: skip
    assert set(partitions.values()) == {1, 3}


def test_missing_output_topics_get_the_partition_count_of_an_existing_topic(settings: Settings) -> None:
    with broker_admin(settings) as admin:
        admin.create_topics({settings.behavior_topic: {"num_partitions": 5}})
    ensure_topics(settings)
    assert describe_topic(settings, settings.evaluation_topic).partitions == 5


def test_readers_of_committed_records_read_up_to_an_open_transaction(settings: Settings) -> None:
    ensure_topics(settings)
    topic = settings.behavior_topic

    async def run() -> tuple[list[int], Topic, Topic]:
        producer = AIOKafkaProducer(bootstrap_servers=settings.broker, transactional_id=topic)
        await producer.start()
        async with producer.transaction():
            for _ in range(3):
                await producer.send(topic, b"x", key=b"x", partition=0)
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"x", key=b"x", partition=0)
        is_open = await asyncio.to_thread(describe_topic, settings, topic)
        read = [r.offset async for records in read_topic(settings, topic) for r in records]
        await producer.abort_transaction()
        await producer.stop()
        return read, is_open, await asyncio.to_thread(describe_topic, settings, topic)

    read, is_open, is_aborted = asyncio.run(run())
    assert read == [0, 1, 2]
    assert (is_open.stable_offsets[0], is_open.end_offsets[0], is_open.lag) == (4, 5, 4)
    assert (is_aborted.stable_offsets[0], is_aborted.end_offsets[0]) == (6, 6)


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


def test_a_catalogue_topic_is_made_compacted_and_another_policy_is_an_error(settings: Settings) -> None:
    assert ensure_catalogue_topic(settings) == 1
    assert ensure_catalogue_topic(settings) == 1
    other = msgspec.structs.replace(settings, catalogue_topic=f"{settings.catalogue_topic}.deleted")
    with broker_admin(settings) as admin:
        policy = read_topic_settings(admin, [settings.catalogue_topic])[settings.catalogue_topic]["cleanup.policy"]
        admin.create_topics({other.catalogue_topic: {"num_partitions": 2}})
    assert policy == "compact"
    with pytest.raises(SettingsError, match=r"cleanup.policy 'delete': items would be lost"):
        ensure_catalogue_topic(other)


def test_a_topic_that_is_created_again_has_another_id(settings: Settings) -> None:
    ensure_topics(settings)
    first = describe_topic(settings, settings.metrics_topic).topic_id
    with broker_admin(settings) as admin:
        admin.delete_topics([settings.metrics_topic])
    ensure_topics(settings)
    assert describe_topic(settings, settings.metrics_topic).topic_id != first


def test_lag_is_what_the_group_has_not_committed(settings: Settings) -> None:
    ensure_topics(settings)
    Replay(settings, settings.behavior_topic).run(keyed_event(f"u{n % 20}", n) for n in range(100))
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
