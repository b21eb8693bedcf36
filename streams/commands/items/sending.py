"""Sends items to the topic of the catalogue."""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from streams.broker.partitioners.choice import choose_partitioner
from streams.broker.topic_reader import read_topic
from streams.broker.topics import ensure_catalogue_topic
from streams.commands.replay.producer import Replay
from streams.config.settings import Settings


class SentItems(NamedTuple):
    """The number of items that the broker confirmed, and the number of removals among the records."""

    items: int
    removed: int
    elapsed_s: float


def send_items(settings: Settings, values: Mapping[str, bytes], is_complete: bool = False) -> SentItems:
    """Send the record of each item, and wait until each is confirmed. Creates the topic where it is missing.

    values: by item, the JSON of the record. is_complete: items of the topic that `values` lacks are removed.
    Raises BrokerError, and SettingsError where the cleanup policy of the topic loses items.
    """
    partitions, topic = ensure_catalogue_topic(settings), settings.catalogue_topic
    removed = asyncio.run(_present_keys(settings)) - {item.encode() for item in values} if is_complete else set()
    partitioner = choose_partitioner(settings, topic) if partitions > 1 else None
    replay = Replay(settings, topic, partitioner=partitioner)
    replay.run([*((item.encode(), value) for item, value in values.items()), *((key, None) for key in sorted(removed))])
    return SentItems(replay.sent - len(removed), len(removed), replay.elapsed_s)


async def _present_keys(settings: Settings) -> set[bytes]:
    """The keys of the items that the topic has and that are not removed."""
    keys: set[bytes] = set()
    async for records in read_topic(settings, settings.catalogue_topic):
        for record in records:
            if record.key is not None:
                (keys.discard if record.value is None else keys.add)(record.key)
    return keys
