"""Reads a topic from the beginning and then follows the topic, in the order of the records' timestamps.

The reader is plain aiokafka and not Faust. A monitor needs no consumer group, no table and no acknowledgements, and a
group would divide the topic among several monitors. `getmany` returns whole polls, while Faust's work for a single
event costs more than the scoring.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.broker.clients import kafka_errors, make_consumer, no_broker_errors
from streams.broker.topics import check_broker
from streams.config.errors import BrokerError
from streams.config.settings import Settings
from streams.monitor.partition_merge import PartitionMerge

# Scoring this many records blocks the event loop for about 10 ms: docs/decisions.md#a-plain-consumer-instead-of-faust
POLL_RECORDS = 2_000
TOPIC_WAIT_S = 60.0
TOPIC_POLL_S = 0.5
ASSIGNMENT_POLL_S = 0.05


class TopicFollower:
    """Follows all partitions of one topic, also partitions that are added later."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.topic = topic
        self.lag = 0  # records that were not released by the last poll
        self._settings = settings
        self._merge = PartitionMerge()
        self._end_offsets: dict[int, int] = {}  # by partition, asked once; later ends come with each fetch
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Connect, and wait until the topic exists. Raises BrokerError, SettingsError."""
        await asyncio.to_thread(check_broker, self._settings)
        consumer = self._consumer = make_consumer(self._settings, max_partition_fetch_bytes=4 * 1024 * 1024)
        try:
            with no_broker_errors(self._settings):
                await consumer.start()
        except BrokerError:
            await consumer.stop()
            raise
        waited_s = 0.0
        while self.topic not in await consumer.topics():
            if waited_s >= TOPIC_WAIT_S:
                raise BrokerError(
                    f"topic {self.topic} does not exist on {self._settings.broker} after {TOPIC_WAIT_S:.0f} s: "
                    "start a worker, which creates the topic"
                )
            await asyncio.sleep(TOPIC_POLL_S)
            waited_s += TOPIC_POLL_S
        consumer.subscribe([self.topic])

    async def stop(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()

    async def poll(self, timeout_s: float) -> Sequence[Any]:
        """The next records in order of time; empty when none comes within `timeout_s`. Raises BrokerError."""
        consumer = self._consumer
        assert consumer is not None, "poll() before start()"
        partitions = {tp.partition: tp for tp in consumer.assignment()}
        if not partitions:
            await asyncio.sleep(ASSIGNMENT_POLL_S)
            return ()
        with kafka_errors(f"topic {self.topic} on {self._settings.broker} could not be read"):
            fetched = await consumer.getmany(timeout_ms=int(timeout_s * 1000), max_records=POLL_RECORDS)
        for tp, records in fetched.items():
            self._merge.push(tp.partition, records)
        lags = await self._partition_lags(consumer, partitions)
        released = self._merge.release(lags)
        _pause_only(consumer, {partitions[partition] for partition in self._merge.full(lags)})
        self.lag = sum(lags.values()) + self._merge.buffered
        return released

    async def _partition_lags(
        self, consumer: AIOKafkaConsumer, partitions: dict[int, TopicPartition]
    ) -> dict[int, int]:
        """Partition -> number of records on the broker that were not fetched; only partitions that have any."""
        new = [tp for partition, tp in partitions.items() if partition not in self._end_offsets]
        if new:
            end_offsets = await consumer.end_offsets(new)
            self._end_offsets.update({tp.partition: end for tp, end in end_offsets.items()})
        lags = {}
        for partition, tp in partitions.items():
            end = max(self._end_offsets[partition], consumer.last_stable_offset(tp) or 0)
            lag = end - await consumer.position(tp)
            if lag > 0:
                lags[partition] = lag
        return lags


def _pause_only(consumer: AIOKafkaConsumer, full: set[TopicPartition]) -> None:
    """Pause the partitions whose buffers are full, and resume all others."""
    paused = consumer.paused()
    if full - paused:
        consumer.pause(*(full - paused))
    if paused - full:
        consumer.resume(*(paused - full))
