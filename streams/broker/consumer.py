"""Faust's aiokafka consumer with whole record batches: what it delivers, what it commits, and when it rejoins.

See `streams.broker.transport` for what differs from Faust, and docs/decisions.md#record-batches-as-faust-messages.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.protocol.group import LeaveGroupRequest
from faust.transport.consumer import ensure_TP
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, ensure_aiokafka_TP
from faust.transport.drivers.aiokafka import Consumer as AiokafkaConsumer
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.utils.futures import notify

from streams.broker.ledger import Ledger, LedgerEntry
from streams.config.errors import BrokerError

logger = logging.getLogger(__name__)

BATCH_TOPICS: set[str] = set()  # the topics that this process delivers as batches
LEAVE_AFTER_S = 1.0  # Leaving a group at rest takes less time.


class BatchMessage(ConsumerMessage):
    """A record batch as one Faust message; `value` is the list of aiokafka records."""

    __slots__ = ("entry",)
    entry: LedgerEntry | None


class BatchConsumerThread(AIOKafkaConsumerThread):
    """Leaves its group also while the group rebalances.

    A stop waits for the running rebalance, which lasts until the session of a dead member has ended. The request to
    leave would queue behind the request to join. On a connection of its own, the request to leave is answered at once.
    """

    async def on_thread_stop(self) -> None:
        leaving = asyncio.create_task(self._leave_a_rebalance())
        try:
            await super().on_thread_stop()
        finally:
            leaving.cancel()

    async def _leave_a_rebalance(self) -> None:
        await asyncio.sleep(LEAVE_AFTER_S)
        coordinator = self._ensure_consumer()._coordinator
        if coordinator.member_id and coordinator.coordinator_id is not None:
            with contextlib.suppress(KafkaError):  # The broker ends the session by itself later.
                request = LeaveGroupRequest(coordinator.group_id, coordinator.member_id)
                await coordinator._client.send(coordinator.coordinator_id, request)


class BatchConsumer(AiokafkaConsumer):
    """Faust's aiokafka consumer with a batch ledger for each partition of a batch topic."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ledgers: defaultdict[TP, Ledger] = defaultdict(Ledger)
        self.held: set[TP] = set()  # assigned, but not to be read yet
        self._expected: dict[TP, int] = {}  # offset of the record that comes next

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def batches_in_flight(self) -> int:
        """The number of batches that were read and are not acknowledged yet."""
        return sum(len(ledger) for ledger in self._ledgers.values())

    def _to_message(self, tp: TP, record: Any) -> Any:
        if tp.topic not in BATCH_TOPICS:
            return super()._to_message(tp, record)
        self._look_for_a_gap(tp, record)
        last = record[-1]
        generation_id = self.app.consumer_generation_id
        message = BatchMessage(
            last.topic,
            last.partition,
            last.offset,
            last.timestamp / 1000.0,
            last.timestamp_type,
            None,
            None,
            record,
            None,
            tp=tp,
            generation_id=generation_id,
        )
        read = self._read_offset[tp]
        # Faust drops a message below its read position after this call. A ledger entry would never be acknowledged.
        dropped = read is not None and last.offset < read
        message.entry = None if dropped else self._ledgers[tp].enter(last.offset, generation_id)
        if dropped:
            self._unacked_messages.discard(message)
        return message

    def _look_for_a_gap(self, tp: TP, records: list[Any]) -> None:
        expected, first = self._expected.get(tp), records[0].offset
        if expected is not None and first < expected:  # The client went back to the beginning by itself.
            raise BrokerError(
                f"{tp.topic} partition {tp.partition} goes on at offset {first} where offset {expected} comes next: "
                "the topic was made again or cut; start the worker again"
            )
        self._expected[tp] = records[-1].offset + 1
        if expected is not None and first > expected:
            self.add_future(self._explain_gap(tp, expected, first))

    async def _explain_gap(self, tp: TP, expected: int, first: int) -> None:
        """Log records that retention deleted unread. Transaction markers and compaction leave gaps as well."""
        with contextlib.suppress(KafkaError):
            earliest = next(iter((await self.earliest_offsets(ensure_aiokafka_TP(tp))).values()))
            if (lost := min(earliest, first) - expected) > 0:
                logger.error(
                    "%d records of %s partition %d (offsets %d to %d) were deleted by retention before they were read",
                    *(lost, tp.topic, tp.partition, expected, expected + lost - 1),
                )
                self.app.on_expired_records(lost)

    def on_buffer_full(self, tp: TP) -> None:
        # Faust's handler stops fetching a partition, and sleeps a second where all partitions are stopped. A full queue
        # of batches holds the fetcher up by itself (docs/decisions.md#fetching-while-a-queue-is-full).
        if tp.topic not in BATCH_TOPICS:
            super().on_buffer_full(tp)

    def ack(self, message: Any) -> bool:
        if message.topic not in BATCH_TOPICS:
            return bool(super().ack(message))
        message.acked = True
        self._unacked_messages.discard(message)
        current = bool(message.generation_id == self.app.consumer_generation_id)
        if message.entry is not None and current:
            message.entry.acked = True
            self._acked[message.tp]  # Faust commits only partitions that are keys of this defaultdict.
            self._n_acked += 1
        notify(self._waiting_for_ack)
        return current

    def _new_offset(self, tp: TP) -> int | None:
        if tp.topic not in BATCH_TOPICS:
            offset: int | None = super()._new_offset(tp)
            return offset
        return self._ledgers[tp].pop_committable()

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        if tp.topic not in BATCH_TOPICS:  # The ledger counts batches, not single offsets, and needs no gaps.
            await super()._add_gap(tp, offset_from, offset_to)

    def _set_active_tps(self, tps: set[TP]) -> set[TP]:
        active: set[TP] = super()._set_active_tps(set(tps) - self.held)
        return active

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        super().resume_partitions(set(tps) - self.held)

    async def perform_seek(self) -> None:
        # Faust also calls this method during a revoke, while batches of this generation are finishing. They are kept.
        for ledger in self._ledgers.values():
            ledger.drop_before(self.app.consumer_generation_id)
        await super().perform_seek()
        await self._forget_commits_beyond_the_end()
        self._expected = {tp: offset for tp, offset in self._committed_offset.items() if offset is not None}
        # Faust does not seek in a partition without a committed offset. Records that were fetched and discarded while
        # the flow was stopped would then never be delivered.
        unread = [tp for tp in self.assignment() if tp.topic in BATCH_TOPICS and not self._committed_offset[tp]]
        if unread:
            with contextlib.suppress(IllegalStateError):  # A partition left meanwhile, and its next assignment seeks.
                await self._thread.seek_to_beginning(*(ensure_aiokafka_TP(tp) for tp in unread))

    async def _forget_commits_beyond_the_end(self) -> None:
        """A commit beyond a partition's end belongs to an earlier incarnation of the topic: read everything."""
        tps = [tp for tp in self.assignment() if tp.topic in BATCH_TOPICS and self._committed_offset[tp]]
        if tps:
            for tp, end in (await self.highwaters(*(ensure_aiokafka_TP(tp) for tp in tps))).items():
                tp = ensure_TP(tp)
                if self._committed_offset[tp] > end:
                    logger.error("%s: the commit %d lies beyond the end %d", tp, self._committed_offset[tp], end)
                    self._committed_offset[tp] = self._read_offset[tp] = None

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        try:
            partitions = {tp.partition for tp in assigned if tp.topic in BATCH_TOPICS}
            held = await self.app.begin_assignment(partitions)
        except Exception as error:  # Nothing may be read before this call has succeeded.
            await self.app.crash(error)
            return
        self.held = {tp for tp in assigned if tp.topic in BATCH_TOPICS and tp.partition in held}
        await super().on_partitions_assigned(assigned, generation_id)

    def close(self) -> None:
        """Do nothing, because the stop of the consumer's thread closes the client.

        In a rebalance during a stop, Faust calls this method from the application's loop. Faust's method would cancel
        the update of the cluster's metadata there. A join that waits for the update would then never end, and the stop
        waits for the join (docs/decisions.md#leaving-a-group-that-rebalances).
        """

    async def rejoin(self) -> None:
        """Make the group rebalance."""
        coordinator = self._thread._ensure_consumer()._coordinator
        await self._thread.call_thread(_request_rejoin, coordinator)

    async def has_unread(self, tps: Iterable[TP]) -> bool:
        """True where these partitions hold records that were not read yet. Raises KafkaError without a broker."""
        ends = await self.highwaters(*(ensure_aiokafka_TP(tp) for tp in tps))
        return any([end > await self.position(ensure_TP(tp)) for tp, end in ends.items()])

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self.stop_flow()  # The commit waits for the broker. Records that came meanwhile would be thrown away.
        await self.commit()  # Faust's handler drops what is acknowledged (faust-streaming issue 502).
        await super().on_partitions_revoked(revoked)  # This call waits for batches in flight, and commits them.
        for tp in revoked:
            self._ledgers.pop(tp, None)


async def _request_rejoin(coordinator: Any) -> None:
    coordinator.request_rejoin()
