"""The topic that `thalweg rekey` reads: whether it is still the same topic, and which records were deleted unread."""

import asyncio
import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError
from kafka.errors import KafkaError, UnknownTopicOrPartitionError

from streams.broker.topics import Topic, TopicIdReader
from streams.config.errors import BrokerError
from streams.config.settings import Settings

logger = logging.getLogger(__name__)

RETRY_S = 1.0

Batches = Mapping[TopicPartition, Sequence[Any]]


class Source:
    """Reads the records of one incarnation of a topic.

    Offsets name other records in a topic that was deleted and made again. So the topic's id is read after each poll and
    before the records of the poll are written.
    """

    def __init__(self, settings: Settings, name: str, stop: asyncio.Event) -> None:
        """stop: ends the attempts to read the topic's id where no broker answers."""
        self._name = name
        self._stop = stop
        self._topic_id: uuid.UUID | None = None
        self._ids = TopicIdReader(settings, name)

    @property
    def topic_id(self) -> str:
        """The id of the incarnation that is read."""
        return str(self._topic_id)

    def open(self, topic: Topic) -> dict[int, int]:
        """Return the offset by partition at which reading begins, and log records that were deleted unread."""
        self._topic_id = topic.topic_id
        for partition, committed in topic.committed.items():
            self._tell_deleted(partition, committed, topic.start_offsets[partition])
        return topic.passed

    def close(self) -> None:
        """Close the connection that reads the topic's id."""
        self._ids.close()

    async def poll(self, consumer: AIOKafkaConsumer, timeout_ms: int, most: int) -> Batches:
        """The next records. Empty where none come in time, and after a stop.

        consumer: one without a reset of offsets (`auto_offset_reset="none"`). Raises BrokerError where the topic was
        deleted, made again or cut.
        """
        try:
            batches: Batches = await consumer.getmany(timeout_ms=timeout_ms, max_records=most)
        except OffsetOutOfRangeError as error:
            offsets: dict[TopicPartition, int] = error.args[0]
            if await self.is_same():
                await self._go_on(consumer, offsets)
            return {}
        return batches if batches and await self.is_same() else {}

    async def is_same(self) -> bool:
        """Whether the topic is still the one that was opened. False after a stop, where nothing more is written.

        Waits while no broker answers. Raises BrokerError where the topic was deleted or made again.
        """
        is_told = False
        while not self._stop.is_set():
            try:
                found = await asyncio.to_thread(self._ids.read)
            except BrokerError as error:
                cause = error.__cause__
                if isinstance(cause, UnknownTopicOrPartitionError):
                    raise BrokerError(
                        f"topic {self._name} was deleted while this command read the topic; start the command again "
                        "when the topic is there"
                    ) from error
                if not isinstance(cause, KafkaError) or not cause.retriable:
                    raise
                if not is_told:
                    logger.warning("%s; the command waits for a broker", error)
                is_told = True
                await asyncio.sleep(RETRY_S)
                continue
            if found != self._topic_id:
                raise BrokerError(
                    f"topic {self._name} was deleted and made again while this command read the topic; start the "
                    "command again, and the command reads the new topic from its beginning"
                )
            return True
        return False

    async def _go_on(self, consumer: AIOKafkaConsumer, offsets: Mapping[TopicPartition, int]) -> None:
        """Go to the first record that is left. offsets: outside of their partitions, and to be read next."""
        starts = await consumer.beginning_offsets(list(offsets))
        for tp, offset in offsets.items():
            if await consumer.position(tp) != offset:
                continue  # A fetch that was under way has the same error once more.
            if offset > starts[tp]:
                raise BrokerError(
                    f"{self._name} partition {tp.partition} ends before offset {offset}, which comes next: the "
                    "partition was cut; start the command again"
                )
            self._tell_deleted(tp.partition, offset, starts[tp])
            consumer.seek(tp, starts[tp])

    def _tell_deleted(self, partition: int, offset: int, start: int) -> None:
        if start > offset:
            logger.error(
                "%d records of %s partition %d (offsets %d to %d) were deleted by retention before they were read",
                *(start - offset, self._name, partition, offset, start - 1),
            )
