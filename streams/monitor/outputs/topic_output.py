"""A topic with one partition that the monitor writes and reads again at its start."""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition

from streams.broker.clients import kafka_errors, make_producer, open_consumer
from streams.broker.topics import describe_topic
from streams.config.errors import BrokerError
from streams.config.settings import Settings


class TopicOutput:
    """Sends records, each confirmed before the next one."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.topic = topic
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> list[Any]:
        """Connect and return the values that are in the topic. Raises BrokerError."""
        self._producer = make_producer(self._settings)
        try:
            with kafka_errors(f"no producer for topic {self.topic} on {self._settings.broker}"):
                await self._producer.start()
            return await self._read()
        except BrokerError:
            await self.stop()
            raise

    async def stop(self) -> None:
        if self._producer is not None:
            await self._producer.stop()

    async def send(self, key: str, value: msgspec.Struct) -> None:
        """Send one record and wait for the broker's confirmation. Raises BrokerError."""
        assert self._producer is not None, "send() before start()"
        with kafka_errors(f"topic {self.topic} did not confirm a record of the monitor"):
            await self._producer.send_and_wait(self.topic, msgspec.json.encode(value), key=key.encode())

    async def _read(self) -> list[Any]:
        failure = f"topic {self.topic} on {self._settings.broker} cannot be read"
        async with open_consumer(self._settings, failure) as consumer:
            if self.topic not in await consumer.topics():
                return []
            topic = await asyncio.to_thread(describe_topic, self._settings, self.topic)
            ends = {TopicPartition(self.topic, partition): end for partition, end in topic.stable_offsets.items()}
            consumer.assign(list(ends))
            values: list[Any] = []
            while [tp for tp, end in ends.items() if await consumer.position(tp) < end]:
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    values += [record.value for record in records]
            return values


def decoded(values: list[Any], kind: type[msgspec.Struct]) -> Iterator[Any]:
    """The values of this kind; others wrote what is not of this kind."""
    decode = msgspec.json.Decoder(kind).decode
    for value in values:
        try:
            yield decode(value)
        except (msgspec.MsgspecError, TypeError):
            continue
