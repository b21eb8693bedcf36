"""Reads a topic from its beginning and goes on following it, in the order of the records' timestamps.

Plain aiokafka rather than Faust: a monitor needs no group, no table and no acks, `getmany` hands over whole polls
(Faust's per-event machinery alone costs more than the scoring), and a group would split the topic between monitors.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.broker.topics import NO_BROKER_REMEDY, check_broker
from streams.config.errors import BrokerError
from streams.config.security import broker_arguments
from streams.config.settings import Settings
from streams.monitor.merge import PartitionMerge

POLL_RECORDS = 2_000  # a poll's scoring blocks the event loop for about 10 ms
TOPIC_WAIT_S = 60.0


class Follower:
    """All partitions of one topic, those added later included."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.topic = topic
        self.lag = 0  # records on the broker that were not released yet, as of the last poll
        self._settings = settings
        self._merge = PartitionMerge()
        self._ends: dict[int, int] = {}  # partition -> end offset, until a fetch has told a newer one
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Connect, and wait for the topic where it does not exist yet. Raises BrokerError, SettingsError."""
        await asyncio.to_thread(check_broker, self._settings)
        consumer = AIOKafkaConsumer(
            **broker_arguments(self._settings),
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )
        try:
            await consumer.start()
        except KafkaError as error:
            await consumer.stop()
            raise BrokerError(f"no broker answers at {self._settings.broker}: {error}; {NO_BROKER_REMEDY}") from error
        self._consumer = consumer
        waited_s = 0.0
        while self.topic not in await consumer.topics():
            if waited_s >= TOPIC_WAIT_S:
                where = f"on {self._settings.broker} after {TOPIC_WAIT_S:.0f} s"
                raise BrokerError(f"topic {self.topic} is not {where}: a worker creates it")
            await asyncio.sleep(0.5)
            waited_s += 0.5
        consumer.subscribe([self.topic])

    async def stop(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()

    async def poll(self, timeout_s: float) -> Sequence[Any]:
        """The next records in order of time; empty where there are none within `timeout_s`. Raises BrokerError."""
        consumer = self._consumer
        assert consumer is not None, "started"
        partitions = {tp.partition: tp for tp in consumer.assignment()}
        if not partitions:
            await asyncio.sleep(0.05)
            return ()
        try:
            fetched = await consumer.getmany(timeout_ms=int(timeout_s * 1000), max_records=POLL_RECORDS)
        except KafkaError as error:
            raise BrokerError(f"reading {self.topic} from {self._settings.broker} failed: {error!r}") from error
        for tp, records in fetched.items():
            self._merge.push(tp.partition, records)
        behind = await self._behind(partitions)
        released = self._merge.release(behind)
        self._pause(consumer, {partitions[partition] for partition in self._merge.full(behind)})
        self.lag = sum(behind.values()) + self._merge.buffered
        return released

    @staticmethod
    def _pause(consumer: AIOKafkaConsumer, full: set[TopicPartition]) -> None:
        """Fetch no more of the partitions whose buffers are full, until these are shorter again."""
        paused = consumer.paused()
        if full - paused:
            consumer.pause(*(full - paused))
        if paused - full:
            consumer.resume(*(paused - full))

    async def _behind(self, partitions: dict[int, TopicPartition]) -> dict[int, int]:
        """Partition -> records that the broker has and we have not fetched, for those that have any."""
        consumer = self._consumer
        assert consumer is not None, "started"
        new = [tp for partition, tp in partitions.items() if partition not in self._ends]
        if new:
            ends = await consumer.end_offsets(new)
            self._ends.update({tp.partition: end for tp, end in ends.items()})
        behind = {}
        for partition, tp in partitions.items():
            end = max(self._ends[partition], consumer.highwater(tp) or 0)
            missing = end - await consumer.position(tp)
            if missing > 0:
                behind[partition] = missing
        return behind
