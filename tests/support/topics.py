"""Events and records of the topics that one test has for itself."""

import asyncio
import json
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from aiokafka import AIOKafkaProducer
from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from streams.broker.clients import make_producer
from streams.broker.topic_reader import read_topic
from streams.broker.topics import broker_admin, describe_topic, ensure_topics
from streams.config.errors import ThalwegError
from streams.config.settings import Settings

TOPIC_SETTINGS = [
    "behavior_topic",
    "dead_letter_topic",
    "updates_topic",
    "evaluation_topic",
    "metrics_topic",
    "alarms_topic",
    "predictions_topic",
    "comparisons_topic",
]
Pair = tuple[bytes | None, bytes | None]  # key and value
NOW_MS = int(time.time() * 1000)
MADE_WITHIN_S = 20.0


def keyed_event(user: str, number: int) -> tuple[bytes, bytes]:
    """Return the key and the value of a behaviour event, whose event time is `number` ms after NOW_MS."""
    fields = {"event_id": f"{user}-{number}", "user_id": user, "item_id": "i1", "action": "view"}
    return user.encode(), json.dumps(fields | {"event_time_ms": NOW_MS + number}).encode()


def read_all(settings: Settings, topic: str) -> list[Any]:
    """Return all records of a topic, one partition after the other."""

    async def read() -> list[Any]:
        return [record async for records in read_topic(settings, topic) for record in records]

    return asyncio.run(read())


def keep_records_of_any_age(settings: Settings, topic: str) -> None:
    """Let the broker keep records whose timestamps lie long ago. Every five minutes it deletes those of a week ago."""
    with broker_admin(settings) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "-1"})])


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


class TransactionalProducer:
    """Use as a context manager. Each method blocks."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._producer: AIOKafkaProducer | None = None

    def __enter__(self) -> "TransactionalProducer":
        async def start() -> AIOKafkaProducer:
            producer = make_producer(self._settings, transactional_id=f"{self._settings.behavior_topic}-producer")
            await producer.start()
            return producer

        self._producer = self._loop.run_until_complete(start())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.run_until_complete(self._started.stop())
        self._loop.close()

    def begin(self, records: Iterable[Pair]) -> None:
        """Begin a transaction, and send records that the broker confirms."""

        async def begin() -> None:
            await self._started.begin_transaction()
            for key, value in records:
                await self._started.send_and_wait(self._settings.behavior_topic, value, key=key)

        self._loop.run_until_complete(begin())

    def commit(self) -> None:
        self._loop.run_until_complete(self._started.commit_transaction())

    def abort(self) -> None:
        self._loop.run_until_complete(self._started.abort_transaction())

    @property
    def _started(self) -> AIOKafkaProducer:
        assert self._producer is not None
        return self._producer


def make_again(settings: Settings) -> None:
    """Delete the behaviour topic, and make another one of this name."""
    before = describe_topic(settings, settings.behavior_topic).topic_id
    with broker_admin(settings) as admin:
        admin.delete_topics([settings.behavior_topic])
    deadline = time.monotonic() + MADE_WITHIN_S
    while True:
        try:
            ensure_topics(settings)
            if describe_topic(settings, settings.behavior_topic).topic_id != before:
                return
        except ThalwegError:  # The broker still deletes the topic.
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)
