"""Publishes MetricsEvents: each interval once, also across restarts of the monitor."""

import asyncio
from collections.abc import Sequence

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition

from streams.broker.clients import kafka_errors, make_producer, open_consumer
from streams.broker.topics import describe_topic
from streams.config.errors import BrokerError
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
        self._producer = make_producer(self._settings)
        try:
            with kafka_errors(f"no producer for topic {self._topic} on {self._settings.broker}"):
                await self._producer.start()
            self._published_ids = await self._read_published_ids()
        except BrokerError:
            await self.stop()
            raise

    async def stop(self) -> None:
        if self._producer is not None:
            await self._producer.stop()

    async def publish(self, events: Sequence[MetricsEvent]) -> None:
        """Send the events and wait for the broker's confirmations. Raises BrokerError."""
        assert self._producer is not None, "publish() before start()"
        with kafka_errors(f"topic {self._topic} did not confirm a metrics event"):
            for event in events:
                if event.id not in self._published_ids:
                    value = msgspec.json.encode(event)
                    await self._producer.send_and_wait(self._topic, value, key=event.bundle_id.encode())
                    self._published_ids.add(event.id)

    async def _read_published_ids(self) -> set[str]:
        failure = f"topic {self._topic} on {self._settings.broker} cannot be read"
        async with open_consumer(self._settings, failure) as consumer:
            if self._topic not in await consumer.topics():
                return set()
            topic = await asyncio.to_thread(describe_topic, self._settings, self._topic)
            ends = {TopicPartition(self._topic, partition): end for partition, end in topic.stable_offsets.items()}
            consumer.assign(list(ends))
            published_ids: set[str] = set()
            while [tp for tp, end in ends.items() if await consumer.position(tp) < end]:
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    published_ids.update(msgspec.json.decode(record.value, type=MetricsEvent).id for record in records)
            return published_ids
