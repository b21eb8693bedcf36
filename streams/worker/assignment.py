"""Which partitions this worker holds, and what happens when the group assigns partitions."""

import asyncio
import logging
from collections.abc import Collection

import faust
from faust.exceptions import ConsumerNotStarted
from faust.types import TP

from streams.broker.publisher import Publisher
from streams.config.errors import ThalwegError
from streams.health.metrics import WorkerMetrics
from streams.worker.source import Source

logger = logging.getLogger(__name__)

HAND_OVER_POLL_S = 1.0
RETRY_S = 2.0


class Assignment:
    """The partitions that the group has assigned to the worker of this application."""

    def __init__(self, app: faust.App, topic: str) -> None:
        self._app = app
        self._topic = topic

    def partitions(self) -> set[TP]:
        """The assigned topic partitions; none before the consumer has started."""
        try:
            return set(self._app.consumer.assignment())
        except ConsumerNotStarted:
            return set()

    def holds(self, partition: int) -> bool:
        """True where the partition of the behaviour topic is this worker's, and the group does not rebalance."""
        return not self._app.rebalancing and TP(self._topic, partition) in self.partitions()

    def is_settled(self) -> bool:
        """True where this worker holds partitions, and the group does not rebalance."""
        return not self._app.rebalancing and bool(self.partitions())

    def lag(self, metrics: WorkerMetrics) -> dict[int, int]:
        """The records between each assigned partition's end and what is applied, by partition."""
        lags = {}
        for tp in self.partitions():
            consumer = self._app.consumer
            end = consumer.highwater(tp)
            if tp.topic == self._topic and end is not None:
                start = metrics.next_offset.get(tp.partition, consumer._committed_offset[TP(*tp)] or 0)
                lags[tp.partition] = max(0, end - start)
        return lags


class Handover:
    """Prepares newly assigned partitions, and holds added partitions back until they may be read."""

    def __init__(self, app: faust.App, source: Source, publisher: Publisher) -> None:
        self._app = app
        self._source = source
        self._publisher = publisher
        self._held: Collection[int] = ()

    async def begin(self, partitions: Collection[int]) -> Collection[int]:
        """Fence earlier owners and refresh the epoch, before any record is read. Returns the partitions to hold."""
        if self._app.should_stop:  # Another worker's end began this rebalance.
            return partitions
        await self._publisher.own(partitions)
        while True:  # The group may rebalance while Cassandra is away, which is no reason to end.
            try:
                self._held = (await asyncio.to_thread(self._source.refresh)).held
                return self._held
            except ThalwegError as error:
                if not error.retryable or self._app.should_stop:
                    raise
                logger.warning("the topic's epoch is not known yet: %s", error)
            await asyncio.sleep(RETRY_S)

    async def run(self) -> None:
        """Make the group rebalance whenever held partitions may be read."""
        while not self._app.should_stop:
            await asyncio.sleep(HAND_OVER_POLL_S)
            if not self._held or self._app.rebalancing:
                continue
            try:
                if await asyncio.to_thread(self._source.hand_over):
                    self._held = ()
                    await self._app.consumer.rejoin()
            except ThalwegError as error:
                if not error.retryable:
                    raise
                logger.warning("held partitions are held on: %s", error)
