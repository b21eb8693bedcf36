"""Events and records of the topics that one test has for itself."""

import asyncio
import json
import time
from typing import Any

from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from streams.broker.topic_reader import read_topic
from streams.broker.topics import broker_admin, describe_topic
from streams.config.settings import Settings

TOPIC_SETTINGS = [
    "behavior_topic",
    "dead_letter_topic",
    "updates_topic",
    "evaluation_topic",
    "metrics_topic",
    "alarms_topic",
    "predictions_topic",
]
NOW_MS = int(time.time() * 1000)


def keyed_event(user: str, number: int) -> tuple[bytes, bytes]:
    """Return the key and the value of a behaviour event, whose event time is `number` ms after NOW_MS."""
    fields = {"event_id": f"{user}-{number}", "user_id": user, "item_id": "i1", "action": "view"}
    return user.encode(), json.dumps(fields | {"event_time_ms": NOW_MS + number}).encode()


def read_all(settings: Settings, topic: str) -> list[Any]:
    """Return all records of a topic, one partition after the other."""

    async def read() -> list[Any]:
        return [record async for records in read_topic(settings, topic) for record in records]

    return asyncio.run(read())


def compact_topic(settings: Settings, topic: str) -> None:
    """Make the broker compact the topic now.

    The broker compacts only closed segments, and a later record closes a segment.
    """
    options = {
        "segment.ms": "1000",
        "min.cleanable.dirty.ratio": "0.001",
        "delete.retention.ms": "100",
        "max.compaction.lag.ms": "1000",
    }
    with broker_admin(settings) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, options)])
    time.sleep(1.5)
    partitions = describe_topic(settings, topic).partitions
    producer = KafkaProducer(bootstrap_servers=settings.broker)
    for number in range(2):
        for partition in range(partitions):
            producer.send(topic, key=b"other-%d" % number, value=b"{}", partition=partition)
        producer.flush()
        time.sleep(1.5)
    producer.close()
