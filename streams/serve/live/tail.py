"""Follows a topic from near its end, for as long as somebody wants to know."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from aiokafka import TopicPartition

from streams.broker.clients import open_consumer
from streams.broker.topics import describe_topic, topic_exists
from streams.config.errors import ThalwegError
from streams.config.settings import Settings

logger = logging.getLogger(__name__)

POLL_RECORDS = 500  # decoding them holds up other requests of the server for a few milliseconds
POLL_TIMEOUT_MS = 1_000
RETRY_S = 5.0


async def follow_tail(settings: Settings, topic: str, last_records: int, take: Callable[[Sequence[Any]], None]) -> None:
    """Give the last records of each partition to `take`, and then every new record, until cancelled.

    last_records: of each partition. A topic that does not exist yet is waited for. Kafka may be away for a while: the
    log says so once, and reading goes on where it stopped.
    """
    positions: dict[int, int] = {}
    told = ""
    while True:
        failure = ""
        try:
            if await asyncio.to_thread(topic_exists, settings, topic):
                await _read(settings, topic, last_records, positions, take)
        except ThalwegError as error:
            failure = str(error)
        if failure and failure != told:
            logger.warning("the page cannot read topic %s: %s", topic, failure)
        told = failure
        await asyncio.sleep(RETRY_S)


async def _read(
    settings: Settings, name: str, last_records: int, positions: dict[int, int], take: Callable[[Sequence[Any]], None]
) -> None:
    """Read until partitions are added. `positions` holds the next offset of each partition, and is kept up to date.

    Raises BrokerError.
    """
    topic = await asyncio.to_thread(describe_topic, settings, name)
    failure = f"topic {name} at {settings.broker} could not be read"
    async with open_consumer(settings, failure, fetch_max_wait_ms=POLL_TIMEOUT_MS) as consumer:
        partitions = [TopicPartition(name, partition) for partition in range(topic.partitions)]
        consumer.assign(partitions)
        for partition, end in topic.stable_offsets.items():
            wanted = min(positions.get(partition, end - last_records), end)  # above the end: a topic made again
            positions[partition] = max(topic.start_offsets[partition], wanted)
            consumer.seek(TopicPartition(name, partition), positions[partition])
        while len(consumer.partitions_for_topic(name) or partitions) <= topic.partitions:
            found = await consumer.getmany(timeout_ms=POLL_TIMEOUT_MS, max_records=POLL_RECORDS)
            for tp, records in found.items():
                take(records)
                positions[tp.partition] = records[-1].offset + 1
            await asyncio.sleep(0)  # where the consumer holds many records, other requests get their turn
