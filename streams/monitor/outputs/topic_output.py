"""A topic with one partition that the monitor writes and reads again at its start."""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from streams.broker.clients import kafka_errors, make_producer
from streams.broker.topic_reader import read_topic
from streams.broker.topics import topic_exists
from streams.config.errors import BrokerError
from streams.config.settings import Settings


class TopicOutput:
    """Sends records, each confirmed before the next one."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.topic = topic
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None

    async def connect(self) -> None:
        """Connect. Raises BrokerError."""
        self._producer = make_producer(self._settings)
        try:
            with kafka_errors(f"no producer for topic {self.topic} on {self._settings.broker}"):
                await self._producer.start()
        except BrokerError:
            await self.stop()
            raise

    async def start(self) -> list[Any]:
        """Connect and return the values that are in the topic. Raises BrokerError."""
        await self.connect()
        try:
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
        if not await asyncio.to_thread(topic_exists, self._settings, self.topic):
            return []
        return [record.value async for records in read_topic(self._settings, self.topic) for record in records]


def decoded(values: list[Any], kind: type[msgspec.Struct]) -> Iterator[Any]:
    """The values of this kind; others wrote what is not of this kind."""
    decode = msgspec.json.Decoder(kind).decode
    for value in values:
        try:
            yield decode(value)
        except (msgspec.MsgspecError, TypeError):
            continue
