"""The behaviour topic as this group of workers reads it: its epoch, and which partitions are not to be read yet."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence

from export.runtime.bundle import Bundle
from streams.broker.topic_reader import is_anything
from streams.broker.topics import Topic, describe_topic, ensure_topics
from streams.config.settings import Settings
from streams.engine.epochs import Epoch, Reading, reading
from streams.store.user_rows import Store

logger = logging.getLogger(__name__)

MOST_MARKERS = 16  # at a partition's end: one for each transaction that ended without a record behind it


class Source:
    """Looks at the topic and moves its epoch on. Everything blocks, and raises BrokerError or StoreError."""

    def __init__(self, settings: Settings, bundle: Bundle, store: Store) -> None:
        self._settings = settings
        self._group = settings.consumer_group_id(bundle.bundle_id)
        self._store = store
        self._partitions = 0
        self._grown_at_s: float | None = None
        self._held = 0

    def look(self) -> Reading:
        """What to read from now on; the store uses it too."""
        topic, found = self._reading()
        self._held = len(found.held)
        if not found.held:
            self._grown_at_s = None
        elif self._grown_at_s is None:
            self._grown_at_s = time.monotonic()
            logger.warning(
                "topic %s has %d partitions now: %d are held until the others are read up to where they end",
                topic.name,
                topic.partitions,
                len(found.held),
            )
        if topic.partitions != self._partitions:
            ensure_topics(self._settings)  # output topics have as many partitions
            self._partitions = topic.partitions
        self._store.reading = found
        return found

    def hand_over(self) -> bool:
        """Called while partitions are held: True when the group may read some, after a rebalance of it."""
        topic, found = self._reading()
        if len(found.held) < self._held:
            return True
        grown_at_s = self._grown_at_s or time.monotonic()
        if not found.barrier and time.monotonic() - grown_at_s >= self._settings.partition_handover_s:
            old = range(topic.partitions - len(found.held))
            barrier = tuple(topic.end_offsets[partition] for partition in old)
            number = max(epoch.number for epoch in self._store.epochs(topic.name)) + 1
            self._store.begin_epoch(topic.name, Epoch(number, topic.topic_id, topic.partitions, barrier))
        return False

    def _reading(self) -> tuple[Topic, Reading]:
        topic = describe_topic(self._settings, self._settings.behavior_topic, self._group)
        while True:
            epochs = self._store.epochs(topic.name)
            done = passed(topic)
            found = reading(epochs, topic.topic_id, topic.partitions, done)
            if found is not None and found.barrier:
                done = asyncio.run(_past_markers(self._settings, topic, done, found.barrier))
                found = reading(epochs, topic.topic_id, topic.partitions, done)
            if found is not None:
                return topic, found
            number = max((epoch.number for epoch in epochs), default=-1) + 1
            self._store.begin_epoch(topic.name, Epoch(number, topic.topic_id, topic.partitions, ()))


async def _past_markers(
    settings: Settings, topic: Topic, done: Mapping[int, int], barrier: Sequence[int]
) -> dict[int, int]:
    """`done`, moved up to the barrier where only a transaction's markers lie between: nobody can commit those."""
    short = [(p, end) for p, end in enumerate(barrier) if 0 < end - done[p] <= MOST_MARKERS]
    over = {p: end for p, end in short if not await is_anything(settings, topic.name, p, done[p], end)}
    return {**done, **over}


def passed(topic: Topic) -> Mapping[int, int]:
    """By partition: the offset before which there is nothing left to read for the group."""
    found = {}
    for partition, start in topic.start_offsets.items():
        committed = topic.committed.get(partition, 0)
        if committed > topic.end_offsets[partition]:  # of an earlier incarnation
            committed = 0
        found[partition] = max(start, committed)
    return found
