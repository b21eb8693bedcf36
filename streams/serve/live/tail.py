"""Follows a topic from near its end, for as long as somebody wants to know."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiokafka import TopicPartition

from streams.broker.topics import describe_topic, topic_exists
from streams.config.settings import Settings
from streams.serve.following import connected, keep_following

POLL_RECORDS = 500  # decoding them holds up other requests of the server for a few milliseconds
POLL_TIMEOUT_MS = 1_000
RETRY_S = 5.0


Take = Callable[[Sequence[Any]], None]
Prepare = Callable[[Sequence[Any]], Awaitable[None]]


async def _nothing(records: Sequence[Any]) -> None:
    """Prepare records that need nothing."""


async def follow_tail(
    settings: Settings, topic: str, last_records: int, take: Take, prepare: Prepare = _nothing
) -> None:
    """Give the last records of each partition to `take`, and then every new record, until cancelled.

    last_records: of each partition. prepare: is awaited with the records before `take` gets them. A topic that does not
    exist yet is waited for. Kafka may be away for a while: the log says so once, and reading goes on where it stopped.
    """
    positions: dict[int, int] = {}

    async def follow() -> None:
        if await asyncio.to_thread(topic_exists, settings, topic):
            await _read(settings, topic, last_records, positions, take, prepare)

    await keep_following(follow, f"the page cannot read topic {topic}", RETRY_S)


async def _read(
    settings: Settings, name: str, last_records: int, positions: dict[int, int], take: Take, prepare: Prepare
) -> None:
    """Read until partitions are added. `positions` holds the next offset of each partition, and is kept up to date.

    Raises BrokerError.
    """
    topic = await asyncio.to_thread(describe_topic, settings, name)
    async with connected(settings, name, fetch_max_wait_ms=POLL_TIMEOUT_MS) as consumer:
        partitions = [TopicPartition(name, partition) for partition in range(topic.partitions)]
        consumer.assign(partitions)
        for partition, end in topic.stable_offsets.items():
            wanted = min(positions.get(partition, end - last_records), end)  # above the end: a topic made again
            positions[partition] = max(topic.start_offsets[partition], wanted)
            consumer.seek(TopicPartition(name, partition), positions[partition])
        while len(consumer.partitions_for_topic(name) or partitions) <= topic.partitions:
            found = await consumer.getmany(timeout_ms=POLL_TIMEOUT_MS, max_records=POLL_RECORDS)
            for tp, records in found.items():
                await prepare(records)
                take(records)
                positions[tp.partition] = records[-1].offset + 1
            await asyncio.sleep(0)  # where the consumer holds many records, other requests get their turn
