"""Faust's aiokafka consumer with whole record batches: what it delivers, what it commits, and when it rejoins.

See `streams.broker.transport` for what differs from Faust, and docs/decisions.md#record-batches-as-faust-messages.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka.errors import IllegalStateError, KafkaError
from faust.transport.consumer import ensure_TP
from faust.transport.drivers.aiokafka import Consumer as AiokafkaConsumer
from faust.transport.drivers.aiokafka import ensure_aiokafka_TP
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.utils.futures import notify

from streams.broker.consumer_thread import BATCH_TOPICS, NO_POLL, BatchConsumerThread, ThreadEndedError
from streams.broker.offsets.ledger import Ledger, LedgerEntry
from streams.broker.offsets.read_positions import Gap, ReadPositions
from streams.config.errors import ThalwegError, TopicRemadeError

logger = logging.getLogger(__name__)

GAP_EVERY_S = 1.0  # Explaining gaps takes one request. Each transaction leaves a gap.


class BatchMessage(ConsumerMessage):
    """A record batch as one Faust message; `value` is the list of aiokafka records."""

    __slots__ = ("entry",)
    entry: LedgerEntry | None


class Opened(NamedTuple):
    """What may be read after an assignment."""

    topic_id: object  # of the topic's incarnation
    committed: Mapping[int, int]  # by partition, the commits of this incarnation
    held: Collection[int]  # partitions that are not to be read yet
    comparable: Collection[int]  # the epochs of this incarnation
    starts: Mapping[int, int] = {}  # by partition of the topic, the offset of the first record that is left
    epoch_began_at: Sequence[int] = ()  # where the partitions of the epoch before ended; empty in the first epoch
    set_back: Mapping[int, int] = {}  # by partition, where to read on, because the store lacks what was committed


class BatchConsumer(AiokafkaConsumer):
    """Faust's aiokafka consumer with a batch ledger for each partition of a batch topic."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ledgers: defaultdict[TP, Ledger] = defaultdict(Ledger)
        self.held: set[TP] = set()  # assigned, but not to be read yet
        self._counted: set[TP] = set()  # partitions with a commit of this incarnation of the topic
        self.group_commits: dict[int, int] = {}  # by partition, what Kafka has confirmed
        self._positions = ReadPositions()
        self._gaps: defaultdict[TP, list[Gap]] = defaultdict(list)  # to be explained

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def batches_in_flight(self) -> int:
        """The number of batches that were read and are not acknowledged yet."""
        return sum(len(ledger) for ledger in self._ledgers.values())

    def unapplied_from(self, tp: TP, applied: int) -> int:
        """The first offset that is not applied yet, where the records before offset `applied` are."""
        passed = None if self._ledgers[tp] else self._positions.passed(tp)
        return applied if passed is None else max(passed, applied)

    def ends(self, tp: TP) -> tuple[int, int] | None:
        """The last stable offset and the end of an assigned partition; None before the first answer to a fetch."""
        ends: tuple[int, int] | None = self._thread.ends(tp)
        return ends

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ASYNC109  Faust's signature
        begun = self._positions.begin_poll()
        async for tp, message in super().getmany(timeout):
            yield tp, message
        for tp, gap in self._positions.end_poll(begun, self._thread.last_poll.fetched).items():
            self._explain(tp, gap)
        for tp in self._thread.last_poll.fetched:
            self._acked[tp]  # Faust commits only partitions that are keys of this defaultdict.

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109  Faust's signature
        records, active = await super()._wait_next_records(timeout)
        if records and self._thread.last_poll.is_unwatched:
            generation_id = self.app.consumer_generation_id
            await self.app.confirm_topic()
            if self.app.consumer_generation_id != generation_id:
                # The group has rebalanced meanwhile, and what was confirmed is the topic of the new generation. These
                # records were fetched before, perhaps at an offset of a deleted topic. The new generation reads again
                # from its own offsets.
                self._thread.last_poll = NO_POLL
                return None, None
        return records, active

    def _to_message(self, tp: TP, record: Any) -> Any:
        if tp.topic not in BATCH_TOPICS:
            return super()._to_message(tp, record)
        self._look_for_a_gap(tp, record)
        last = record[-1]
        self._positions.deliver(tp, last.offset)
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
        expected, first = self._positions.passed(tp), records[0].offset
        if expected is not None and first < expected:  # The client went back to the beginning by itself.
            raise TopicRemadeError(
                f"{tp.topic} partition {tp.partition} goes on at offset {first} where offset {expected} comes next: "
                "the topic was made again or cut; start the worker again"
            )
        if expected is not None and first > expected:
            self._explain(tp, Gap(expected, first))

    def _explain(self, tp: TP, gap: Gap) -> None:
        gaps = self._gaps[tp]
        gaps.append(gap)
        if len(gaps) == 1:
            self.add_future(self._explain_gaps(tp))

    async def _explain_gaps(self, tp: TP) -> None:
        """Log records that retention deleted unread. Transactions and compaction leave gaps as well."""
        gaps = self._gaps[tp]
        while gaps:
            taken, explained = len(gaps), 0
            with contextlib.suppress(KafkaError):
                earliest = next(iter((await self.earliest_offsets(ensure_aiokafka_TP(tp))).values()))
                for gap in gaps[:taken]:
                    self._report_lost(tp, gap, min(earliest, gap.end) - gap.start)
                explained = taken
            await asyncio.sleep(GAP_EVERY_S)
            del gaps[:explained]

    def _report_lost(self, tp: TP, gap: Gap, lost: int) -> None:
        if lost > 0:
            logger.error(
                "%d records of %s partition %d (offsets %d to %d) were deleted by retention before they were read",
                *(lost, tp.topic, tp.partition, gap.start, gap.start + lost - 1),
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
        ledger = self._ledgers[tp]
        committable = ledger.pop_committable()
        # Where nothing is in flight, the commit also passes offsets behind the last record that hold no record.
        return committable if ledger else self.unapplied_from(tp, committable or 0) or None

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
        for tp in self.assignment():
            if tp.topic in BATCH_TOPICS and tp not in self._counted:
                self._committed_offset[tp] = self._read_offset[tp] = None
        self._positions.seek({tp: offset for tp, offset in self._committed_offset.items() if offset is not None})
        # Faust does not seek in a partition without a committed offset. Records that were fetched and discarded while
        # the flow was stopped would then never be delivered.
        unread = [tp for tp in self.assignment() if tp.topic in BATCH_TOPICS and not self._committed_offset[tp]]
        if unread:
            with contextlib.suppress(IllegalStateError):  # A partition left meanwhile, and its next assignment seeks.
                await self._thread.seek_to_beginning(*(ensure_aiokafka_TP(tp) for tp in unread))

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        try:
            partitions = {tp.partition for tp in assigned if tp.topic in BATCH_TOPICS}
            opened: Opened = await self.app.begin_assignment(partitions)
        except Exception as error:  # Nothing may be read before this call has succeeded.
            await self.app.crash(error)
            return
        batch_tps = {tp for tp in assigned if tp.topic in BATCH_TOPICS}
        self.held = {tp for tp in batch_tps if tp.partition in opened.held}
        self._counted = {tp for tp in batch_tps if tp.partition in opened.committed}
        begins = {**opened.committed, **opened.set_back}
        self.group_commits = {tp.partition: begins[tp.partition] for tp in batch_tps if tp.partition in begins}
        self._thread.topic_id = opened.topic_id
        back = {tp: opened.set_back[tp.partition] for tp in batch_tps if tp.partition in opened.set_back}
        # Faust then begins at these commits. Where the group rebalances meanwhile, nothing is read of these partitions,
        # and the next assignment looks again.
        if back and not await self._thread.commit(back):
            self.held |= set(back)
        await super().on_partitions_assigned(assigned, generation_id)

    async def commit_all(self) -> None:
        """Commit everything that is acknowledged.

        Where another commit is running, Faust's `commit` only waits for that commit, which may have begun before the
        last acknowledgement.
        """
        await self.commit()
        await self.commit()

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        if not self.crashed:
            try:
                await self.app.before_commit({tp.partition: offset for tp, offset in offsets.items()})
            except ThalwegError as error:  # An exception here would also break off a rebalance or a stop.
                await self.crash(error)
        if self.crashed:  # Another worker, or the next start, reads again what is not committed.
            return False
        has_committed = bool(await self._thread.commit(offsets))
        if has_committed:
            self._counted.update(offsets)
            self.group_commits.update({tp.partition: offset for tp, offset in offsets.items()})
        return has_committed

    def close(self) -> None:
        """Do nothing, because the stop of the consumer's thread closes the client.

        In a rebalance during a stop, Faust calls this method from the application's loop. Faust's method would cancel
        the update of the cluster's metadata there. A join that waits for the update would then never end, and the stop
        waits for the join (docs/decisions.md#leaving-a-group-that-rebalances).
        """

    async def rejoin(self) -> None:
        """Make the group rebalance."""
        coordinator = self._thread._ensure_consumer()._coordinator
        with contextlib.suppress(ThreadEndedError):
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
            self._positions.forget(tp)


async def _request_rejoin(coordinator: Any) -> None:
    coordinator.request_rejoin()
