"""Reading the committed records of a topic from its beginning to its present end, without a consumer group."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.broker.clients import open_consumer
from streams.broker.topics import describe_topic
from streams.config.settings import Settings

POLL_RECORDS = 2000
POLL_MS = 100  # Where the last offsets hold no record, a poll ends by this time. Records end a poll at once.


async def read_topic(settings: Settings, name: str) -> AsyncGenerator[list[Any], None]:
    """The records of the topic, partition after partition, in the batches of the polls. Raises BrokerError."""
    topic = await asyncio.to_thread(describe_topic, settings, name)
    # The stop of a consumer without an assignment raises CancelledError (aiokafka 0.14.0). All records of a topic may
    # belong to an open transaction.
    if not any(topic.start_offsets[partition] < end for partition, end in topic.stable_offsets.items()):
        return
    failure = f"topic {name} at {settings.broker} could not be read"
    async with open_consumer(settings, failure, max_poll_records=POLL_RECORDS) as consumer:
        for partition in range(topic.partitions):
            start, end = topic.start_offsets[partition], topic.stable_offsets[partition]
            async for records in read_partition(consumer, name, partition, start, end):
                yield records


async def read_partition(
    consumer: AIOKafkaConsumer, topic: str, partition: int, start: int, end: int
) -> AsyncIterator[list[Any]]:
    """The records of a partition from offset `start` up to `end`, in the batches of the polls.

    end: at most the partition's last stable offset. Behind it, a reader of committed records would wait for the end of
    an open transaction.
    """
    async for _, records in read_positions(consumer, topic, partition, start, end):
        yield records


async def read_positions(
    consumer: AIOKafkaConsumer, topic: str, partition: int, start: int, end: int
) -> AsyncIterator[tuple[int, list[Any]]]:
    """The same, each batch with the offset up to which the partition is then read, also over offsets without a record.

    Raises OffsetOutOfRangeError where the consumer has no reset of offsets and retention deletes records meanwhile.
    """
    if start >= end:
        return  # A stop right after an assignment would never return (aiokafka 0.14.0), so nothing is assigned.
    tp = TopicPartition(topic, partition)
    consumer.assign([tp])
    consumer.seek(tp, start)
    while start < end:
        records = (await consumer.getmany(tp, timeout_ms=POLL_MS)).get(tp, [])
        # The position also moves past records that hold no data, such as those of an aborted transaction.
        start = await consumer.position(tp)
        yield min(start, end), [record for record in records if record.offset < end]
