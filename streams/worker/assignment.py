"""Which partitions this worker holds, and what happens when the group assigns partitions."""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping

import faust
from faust.exceptions import ConsumerNotStarted
from faust.types import TP

from streams.broker.consumer import Opened
from streams.broker.publisher import Publisher
from streams.config.errors import BrokerError, ThalwegError
from streams.health.metrics import WorkerMetrics
from streams.store.store import Store
from streams.worker.process import in_daemon_thread
from streams.worker.restored_store import RestoredStore
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

    def owned(self) -> list[int]:
        """The partitions of the behaviour topic that are this worker's; none while the group rebalances."""
        return [] if self._app.rebalancing else sorted(tp.partition for tp in self.partitions())

    def holds(self, partition: int) -> bool:
        """True where the partition of the behaviour topic is this worker's, and the group does not rebalance."""
        return not self._app.rebalancing and TP(self._topic, partition) in self.partitions()

    def is_settled(self) -> bool:
        """True where this worker holds partitions, and the group does not rebalance."""
        return not self._app.rebalancing and bool(self.partitions())

    def lag(self, metrics: WorkerMetrics) -> dict[int, int]:
        """The records that can be read and are not applied yet, by partition.

        Records behind the beginning of an open transaction cannot be read yet (`open_transaction_records`).
        """
        lags = {}
        for tp, (stable, _) in self._ends().items():
            consumer = self._app.consumer
            applied = metrics.next_offset.get(tp.partition, consumer._committed_offset[tp] or 0)
            lags[tp.partition] = max(0, stable - consumer.unapplied_from(tp, applied))
        return lags

    def open_transaction_records(self) -> dict[int, int]:
        """The records that wait for the end of an open transaction, by partition."""
        return {tp.partition: end - stable for tp, (stable, end) in self._ends().items()}

    def _ends(self) -> dict[TP, tuple[int, int]]:
        """The last stable offset and the end of each assigned partition whose ends are known."""
        found = {tp: self._app.consumer.ends(tp) for tp in self.partitions() if tp.topic == self._topic}
        return {TP(*tp): ends for tp, ends in found.items() if ends is not None}


class Handover:
    """Prepares newly assigned partitions, and holds added partitions back until they may be read."""

    def __init__(
        self, app: faust.App, source: Source, publisher: Publisher, store: Store, restored: RestoredStore
    ) -> None:
        self._app = app
        self._source = source
        self._publisher = publisher
        self._erasures = store.erasures
        self._positions = store.positions
        self._restored = restored
        self._held: Collection[int] = ()

    async def begin(self, partitions: Collection[int]) -> Opened:
        """Fence earlier owners and refresh the epoch, before any record is read. A stop ends the wait for this.

        The leader of a transaction, Kafka and Cassandra may each take long to answer. The consumer's thread waits for
        this call, and a stop waits for the consumer's thread.
        """
        nothing = Opened("", {}, partitions, ())
        if self._app.should_stop:  # Another worker's end began this rebalance.
            return nothing
        preparing = asyncio.ensure_future(self._prepare(partitions))
        stopping = asyncio.ensure_future(self._app.wait_for_stopped())
        done, _ = await asyncio.wait({preparing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (preparing, stopping):
            task.cancel()
        return preparing.result() if preparing in done else nothing

    async def _prepare(self, partitions: Collection[int]) -> Opened:
        await self._publisher.own(partitions)
        while True:  # The group may rebalance while Cassandra is away, which is no reason to end.
            try:
                opened = await in_daemon_thread(self._source.refresh)
                await self._erasures.load(partitions, opened.comparable)
                set_back = await self._restored.look(partitions, opened)
                await self._erasures.drop_passed({**opened.committed, **set_back})
                self._held = opened.held
                return opened._replace(set_back=set_back)
            except ThalwegError as error:
                if not error.retryable:
                    raise
                logger.warning("the assigned partitions cannot be read yet: %s", error)
            await asyncio.sleep(RETRY_S)

    async def store_positions(self, offsets: Mapping[int, int]) -> None:
        """Enter in Cassandra what is about to be committed. Waits while Cassandra is away."""
        if (topic_id := self._source.topic_id) is not None:
            await self._positions.advance(topic_id, offsets, time.time())

    async def confirm_topic(self) -> None:
        """Return when the topic is known to be the one that is read. Raises BrokerError where the topic is another one.

        While the broker does not answer, nobody knows, and the call waits.
        """
        while not self._app.should_stop:
            try:
                await in_daemon_thread(self._source.check_incarnation)
                return
            except BrokerError as error:
                if not error.retryable:
                    raise
                logger.warning("records wait: %s", error)
                await asyncio.sleep(HAND_OVER_POLL_S)

    async def run(self) -> None:
        """Watch for another incarnation of the topic. Make the group rebalance whenever held partitions may be read."""
        while not self._app.should_stop:
            await asyncio.sleep(HAND_OVER_POLL_S)
            if self._app.rebalancing:
                continue
            try:
                await in_daemon_thread(self._source.check_incarnation)
                await self._erasures.drop_passed(dict(self._app.consumer.group_commits))
                may_rejoin = bool(self._held) and await in_daemon_thread(self._source.hand_over)
                if may_rejoin:
                    self._held = ()
                    await self._app.consumer.rejoin()
            except ThalwegError as error:
                if not error.retryable:
                    raise
                if self._held:
                    logger.warning("held partitions are held on: %s", error)

    def close(self) -> None:
        self._source.close()
