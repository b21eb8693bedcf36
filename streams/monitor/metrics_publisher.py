"""Publishes MetricsEvents: each interval once, also across restarts of the monitor."""

import asyncio
from collections.abc import Sequence

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from streams.broker.topics import describe_topic
from streams.config.errors import BrokerError
from streams.config.security import broker_arguments
from streams.config.settings import Settings
from streams.contracts.metrics_events import MetricsEvent


class MetricsPublisher:
    """Publishes to one topic, keyed by bundle id. An event whose id is already in the topic is not published again."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._published_ids: set[str] = set()
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect and read the ids in the topic. Raises BrokerError."""
        producer = AIOKafkaProducer(acks="all", enable_idempotence=True, **broker_arguments(self._settings))
        try:
            await producer.start()
            self._producer = producer
            self._published_ids = await self._read_published_ids()
        except KafkaError as error:
            await producer.stop()
            raise BrokerError(f"topic {self._topic} on {self._settings.broker} cannot be read: {error!r}") from error

    async def stop(self) -> None:
        if self._producer is not None:
            await self._producer.stop()

    async def publish(self, events: Sequence[MetricsEvent]) -> None:
        """Send the events and wait for the broker's confirmations. Raises BrokerError."""
        assert self._producer is not None, "publish() before start()"
        try:
            for event in events:
                if event.id not in self._published_ids:
                    value = msgspec.json.encode(event)
                    await self._producer.send_and_wait(self._topic, value, key=event.bundle_id.encode())
                    self._published_ids.add(event.id)
        except KafkaError as error:
            raise BrokerError(f"topic {self._topic} did not confirm a metrics event: {error!r}") from error

    async def _read_published_ids(self) -> set[str]:
        consumer = AIOKafkaConsumer(
            auto_offset_reset="earliest", enable_auto_commit=False, **broker_arguments(self._settings)
        )
        await consumer.start()
        try:
            if self._topic not in await consumer.topics():
                return set()
            topic = await asyncio.to_thread(describe_topic, self._settings, self._topic)
            ends = {TopicPartition(self._topic, partition): end for partition, end in topic.end_offsets.items()}
            consumer.assign(list(ends))
            published_ids: set[str] = set()
            while [tp for tp, end in ends.items() if await consumer.position(tp) < end]:
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    published_ids.update(msgspec.json.decode(record.value, type=MetricsEvent).id for record in records)
            return published_ids
        finally:
            await consumer.stop()
