"""Deletes what a bundle has in Kafka: its consumer group, and its updates. A second run changes nothing."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import aclosing

from kafka.errors import GroupIdNotFoundError, UnknownTopicOrPartitionError

from streams.broker.clients import open_producer
from streams.broker.topic_reader import read_topic
from streams.broker.topics import broker_admin, topic_exists
from streams.config.errors import BrokerError
from streams.config.settings import Settings


def delete_group(settings: Settings, group: str) -> bool:
    """Delete a consumer group with its commits. False where there is none. Blocks. Raises BrokerError.

    The broker refuses to delete a group that has members.
    """
    with broker_admin(settings) as admin:
        answer = admin.delete_groups([group])[group]
    if answer not in ("OK", GroupIdNotFoundError.__name__):
        raise BrokerError(f"group {group} was not deleted: {answer}")
    return bool(answer == "OK")


def delete_topic(settings: Settings, topic: str) -> bool:
    """Delete a topic. False where there is none. Blocks. Raises BrokerError."""
    with broker_admin(settings) as admin:
        if topic not in admin.list_topics():
            return False
        try:
            admin.delete_topics([topic])
        except UnknownTopicOrPartitionError:
            return False
    return True


def forget_updates(settings: Settings, topic: str, bundle_id: str, tell: Callable[[int], None]) -> int:
    """Write a null value for each update of the bundle in a topic that other bundles publish to as well.

    Returns the number of null values. tell: gets the number so far, now and then. Blocks. Raises BrokerError.
    """
    if not topic_exists(settings, topic):
        return 0
    return asyncio.run(_forget(settings, topic, f"{bundle_id}/".encode(), tell))


def has_other_keys(settings: Settings, topic: str, known: Collection[str]) -> bool:
    """Whether a topic of updates holds the key of a bundle besides these. Blocks. Raises BrokerError.

    An update of a version before the bundle's name in the key counts as one of another bundle.
    """
    return topic_exists(settings, topic) and asyncio.run(_has_other_keys(settings, topic, known))


async def _has_other_keys(settings: Settings, topic: str, known: Collection[str]) -> bool:
    ids = {one.encode() for one in known}
    async with aclosing(read_topic(settings, topic)) as polls:
        async for records in polls:
            if any((one.key or b"").partition(b"/")[0] not in ids for one in records):
                return True
    return False


async def _forget(settings: Settings, topic: str, prefix: bytes, tell: Callable[[int], None]) -> int:
    """Only the keys of one poll are in memory. A key of several polls gets several null values, which changes nothing.

    A null value goes to the partition of the update, behind the update.
    """
    written = 0
    async with open_producer(settings, f"topic {topic} did not confirm the null values") as producer:
        async for records in read_topic(settings, topic):
            last = {(one.partition, one.key): one.value for one in records if (one.key or b"").startswith(prefix)}
            due = [place for place, value in last.items() if value is not None]
            sent = [await producer.send(topic, key=key, value=None, partition=partition) for partition, key in due]
            await asyncio.gather(*sent)
            written += len(due)
            if due:
                tell(written)
    return written
