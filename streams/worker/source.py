"""The behaviour topic as this group of workers reads it: the epoch, and the partitions not to be read yet."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence

from export.runtime.bundle import Bundle
from streams.broker.topic_reader import has_records
from streams.broker.topics import Topic, describe_topic, ensure_topics
from streams.config.settings import Settings
from streams.engine.epochs import Epoch, EpochView, epoch_view
from streams.store.store import Store

logger = logging.getLogger(__name__)

MOST_MARKERS = 16  # A partition ends with one transaction marker for each transaction without a record behind it.


class Source:
    """Looks at the topic, and advances the epoch. Every method blocks, and may raise BrokerError or StoreError."""

    def __init__(self, settings: Settings, bundle: Bundle, store: Store) -> None:
        self._settings = settings
        self._group_id = settings.consumer_group_id(bundle.bundle_id)
        self._store = store
        self._partitions = 0
        self._grown_at_s: float | None = None
        self._held = 0

    def refresh(self) -> EpochView:
        """The epoch in which to read from now on. The store uses the same epoch from now on."""
        topic, view = self._view()
        self._held = len(view.held)
        if not view.held:
            self._grown_at_s = None
        elif self._grown_at_s is None:
            self._grown_at_s = time.monotonic()
            logger.warning(
                "topic %s has %d partitions now: %d are held until the others are read up to where they end",
                topic.name,
                topic.partitions,
                len(view.held),
            )
        if topic.partitions != self._partitions:
            ensure_topics(self._settings)  # Output topics have as many partitions as the behaviour topic.
            self._partitions = topic.partitions
        self._store.users.use_epoch(view)
        return view

    def hand_over(self) -> bool:
        """Advance the handover of held partitions. True when the group may read some of them, after a rebalance."""
        topic, view = self._view()
        if len(view.held) < self._held:
            return True
        grown_at_s = self._grown_at_s or time.monotonic()
        if not view.barrier and time.monotonic() - grown_at_s >= self._settings.partition_handover_s:
            old = range(topic.partitions - len(view.held))
            barrier = tuple(topic.end_offsets[partition] for partition in old)
            number = max(epoch.number for epoch in self._store.registry.epochs(topic.name)) + 1
            self._store.registry.begin_epoch(topic.name, Epoch(number, topic.topic_id, topic.partitions, barrier))
        return False

    def _view(self) -> tuple[Topic, EpochView]:
        topic = describe_topic(self._settings, self._settings.behavior_topic, self._group_id)
        registry = self._store.registry
        while True:
            epochs = registry.epochs(topic.name)
            passed: Mapping[int, int] = topic.passed
            view = epoch_view(epochs, topic.topic_id, topic.partitions, passed)
            if view is not None and view.barrier:
                passed = asyncio.run(_past_markers(self._settings, topic, passed, view.barrier))
                view = epoch_view(epochs, topic.topic_id, topic.partitions, passed)
            if view is not None:
                return topic, view
            number = max((epoch.number for epoch in epochs), default=-1) + 1
            registry.begin_epoch(topic.name, Epoch(number, topic.topic_id, topic.partitions, ()))


async def _past_markers(
    settings: Settings, topic: Topic, passed: Mapping[int, int], barrier: Sequence[int]
) -> dict[int, int]:
    """`passed`, moved up to the barrier where only transaction markers lie between. Nobody can commit a marker."""
    short = [(p, end) for p, end in enumerate(barrier) if 0 < end - passed[p] <= MOST_MARKERS]
    over = {p: end for p, end in short if not await has_records(settings, topic.name, p, passed[p], end)}
    return {**passed, **over}
