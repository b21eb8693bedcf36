"""Reads topics from where the monitor stopped, or from the beginning, and then follows them, in order of timestamps.

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
from streams.monitor.partition_merge import Partition, PartitionMerge

# Scoring this many records blocks the event loop for about 30 ms: docs/decisions.md#a-plain-consumer-instead-of-faust
POLL_RECORDS = 2_000
TOPIC_WAIT_S = 60.0
TOPIC_POLL_S = 0.5
ASSIGNMENT_POLL_S = 0.05

Positions = dict[str, dict[int, int]]  # topic -> partition -> the next offset to be read


class TopicFollower:
    """Follows all partitions of some topics, also partitions that are added later.

    At equal timestamps, a record of an earlier topic comes first.
    """

    def __init__(self, settings: Settings, topics: Sequence[str]) -> None:
        self.topics = tuple(topics)
        self.lag = 0  # records that were not released by the last poll
        self.is_caught_up = False  # whether the last poll has released every record that the topics hold
        self.is_past_start = False  # whether every record was released that the topics held when the follower began
        self.expired = 0  # records that retention deleted after the position at which the monitor goes on
        self._settings = settings
        self._merge = PartitionMerge()
        self._end_offsets: dict[TopicPartition, int] = {}  # asked once; later ends come with each fetch
        self._positions: Positions = {}
        self._consumer: AIOKafkaConsumer | None = None

    async def connect(self) -> None:
        """Connect, and wait until the topics exist. Raises BrokerError, SettingsError."""
        await asyncio.to_thread(check_broker, self._settings)
        consumer = self._consumer = make_consumer(self._settings, max_partition_fetch_bytes=4 * 1024 * 1024)
        try:
            with no_broker_errors(self._settings):
                await consumer.start()
        except BrokerError:
            await consumer.stop()
            raise
        waited_s = 0.0
        while missing := set(self.topics) - await consumer.topics():
            if waited_s >= TOPIC_WAIT_S:
                raise BrokerError(
                    f"topic {min(missing)} does not exist on {self._settings.broker} after {TOPIC_WAIT_S:.0f} s: "
                    "start a worker, which creates the topic"
                )
            await asyncio.sleep(TOPIC_POLL_S)
            waited_s += TOPIC_POLL_S

    def follow(self, positions: Positions) -> None:
        """Begin to read. A partition that has no position is read from the beginning."""
        assert self._consumer is not None, "follow() before connect()"
        self._positions = positions
        self._consumer.subscribe(list(self.topics))

    async def stop(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()

    @property
    def positions(self) -> Positions:
        """Where another follower goes on after the records that `poll` has returned."""
        return {topic: dict(offsets) for topic, offsets in self._positions.items()}

    async def poll(self, timeout_s: float) -> Sequence[Any]:
        """The next records in order of time; empty when none comes within `timeout_s`. Raises BrokerError."""
        consumer = self._consumer
        assert consumer is not None, "poll() before connect()"
        partitions = {(self.topics.index(tp.topic), tp.partition): tp for tp in consumer.assignment()}
        if not partitions:
            await asyncio.sleep(ASSIGNMENT_POLL_S)
            return ()
        with kafka_errors(lambda: f"topics {', '.join(self.topics)} on {self._settings.broker} could not be read"):
            await self._seek_new(consumer, partitions)
            fetched = await consumer.getmany(timeout_ms=int(timeout_s * 1000), max_records=POLL_RECORDS)
            for tp, records in fetched.items():
                self._merge.push((self.topics.index(tp.topic), tp.partition), records)
            lags = await self._partition_lags(consumer, partitions)
        released = self._merge.release(lags)
        _pause_only(consumer, {partitions[partition] for partition in self._merge.full(lags)})
        self.lag = sum(lags.values()) + self._merge.buffered
        self.is_caught_up = not self.lag
        self.is_past_start = self.is_past_start or await self._has_passed_start(consumer, partitions)
        for record in released:
            self._positions.setdefault(record.topic, {})[record.partition] = record.offset + 1
        return released

    async def _seek_new(self, consumer: AIOKafkaConsumer, partitions: dict[Partition, TopicPartition]) -> None:
        """Go to the positions of partitions that are read for the first time, and ask for their ends."""
        new = [tp for tp in partitions.values() if tp not in self._end_offsets]
        if not new:
            return
        begin_offsets = await consumer.beginning_offsets(new)
        self._end_offsets.update(await consumer.end_offsets(new))
        for tp in new:
            position = self._positions.get(tp.topic, {}).get(tp.partition)
            if position is not None:
                self.expired += max(0, begin_offsets[tp] - position)
                consumer.seek(tp, max(position, begin_offsets[tp]))

    async def _has_passed_start(self, consumer: AIOKafkaConsumer, partitions: dict[Partition, TopicPartition]) -> bool:
        if {tp.topic for tp in partitions.values()} != set(self.topics):
            return False  # the partitions of some topics are not assigned yet
        for partition, tp in partitions.items():
            position = self._merge.next_offset(partition)
            if position is None:
                position = await consumer.position(tp)
            if position < self._end_offsets[tp]:
                return False
        return True

    async def _partition_lags(
        self, consumer: AIOKafkaConsumer, partitions: dict[Partition, TopicPartition]
    ) -> dict[Partition, int]:
        """Partition -> number of records on the broker that were not fetched; only partitions that have any."""
        lags = {}
        for partition, tp in partitions.items():
            end = max(self._end_offsets[tp], consumer.last_stable_offset(tp) or 0)
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
