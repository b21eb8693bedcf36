"""Reading what is in a topic now, from its beginning to its present end, without a consumer group."""

from collections.abc import AsyncIterator
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.broker.topics import describe_topic
from streams.config.errors import BrokerError
from streams.config.security import broker_arguments
from streams.config.settings import Settings

POLL_RECORDS = 2000


async def read_topic(settings: Settings, name: str) -> AsyncIterator[list[Any]]:
    """The topic's records, partition after partition, in batches as they come. Raises BrokerError."""
    topic = describe_topic(settings, name)
    if not topic.records:
        return  # a consumer that is stopped before it was assigned anything raises CancelledError (aiokafka 0.14.0)
    consumer = AIOKafkaConsumer(
        **broker_arguments(settings),
        enable_auto_commit=False,
        max_poll_records=POLL_RECORDS,
        isolation_level="read_committed",  # updates come in transactions
    )
    try:
        await consumer.start()
        for partition in range(topic.partitions):
            start, end = topic.start_offsets[partition], topic.end_offsets[partition]
            async for records in read_partition(consumer, name, partition, start, end):
                yield records
    except KafkaError as error:
        raise BrokerError(f"topic {name} at {settings.broker} could not be read: {error!r}") from error
    finally:
        await consumer.stop()


async def read_partition(
    consumer: AIOKafkaConsumer, topic: str, partition: int, start: int, end: int
) -> AsyncIterator[list[Any]]:
    """The records of a partition from offset `start` up to `end`, in batches as they come."""
    if start >= end:
        return  # and no assignment: a `stop` that follows one at once never returns (aiokafka 0.14.0)
    tp = TopicPartition(topic, partition)
    consumer.assign([tp])
    consumer.seek(tp, start)
    while start < end:
        records = (await consumer.getmany(tp, timeout_ms=1000)).get(tp, [])
        start = await consumer.position(tp)  # past records too that hold no data, as of an aborted transaction
        yield [record for record in records if record.offset < end]


async def is_anything(settings: Settings, topic: str, partition: int, start: int, end: int) -> bool:
    """True where a record stands between the offsets; markers of transactions are none. Raises BrokerError."""
    consumer = AIOKafkaConsumer(enable_auto_commit=False, auto_offset_reset="earliest", **broker_arguments(settings))
    try:
        await consumer.start()
        async for records in read_partition(consumer, topic, partition, start, end):
            if records:
                return True
        return False
    except KafkaError as error:
        raise BrokerError(f"topic {topic} at {settings.broker} could not be read: {error!r}") from error
    finally:
        await consumer.stop()
