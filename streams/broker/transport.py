"""Whole record batches through Faust: one message is all records that a poll returned for one partition.

Faust's machinery costs about 70 us of CPU a message; spread over a batch it is a fraction of a microsecond an event.
What stays stock: fetching, flow control, rebalancing, generation checks, commit timing. What differs, only for topics
named in `BatchTransport.batch_topics`:

- The scheduler yields (partition, list of records) instead of (partition, record).
- A message's offset is the *last* of its batch. (With the first one, Faust would take the rest of a not yet
  acknowledged batch for a gap in the topic and commit past it: loss.)
- A ledger of a partition's batches in the order they were read decides what may be committed: everything up to the
  first batch that is not acknowledged. Faust's own bookkeeping counts offsets one by one and is bypassed.

What is not guaranteed: a batch may be delivered again after a crash, a rebalance or a failed commit. Whoever processes
it must recognise what is already applied.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.protocol.group import LeaveGroupRequest
from faust.serializers.schemas import Schema
from faust.transport.consumer import ensure_TP
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, ensure_aiokafka_TP
from faust.transport.drivers.aiokafka import Consumer as AiokafkaConsumer
from faust.transport.drivers.aiokafka import Transport as AiokafkaTransport
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.utils.futures import notify

from streams.config.errors import BrokerError

logger = logging.getLogger(__name__)

BATCH_TOPICS: set[str] = set()  # topics delivered as batches in this process (Faust builds the parts itself)
LEAVE_AFTER_S = 1.0  # a group at rest is left in less


class LedgerEntry:
    """One delivered batch: its last offset, the group generation it was read in, whether it may be committed."""

    __slots__ = ("acked", "generation_id", "last_offset")

    def __init__(self, last_offset: int, generation_id: int) -> None:
        self.last_offset = last_offset
        self.generation_id = generation_id
        self.acked = False


class Ledger:
    """The batches of one partition in reading order; pure bookkeeping."""

    def __init__(self) -> None:
        self._entries: deque[LedgerEntry] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def enter(self, last_offset: int, generation_id: int) -> LedgerEntry:
        entry = LedgerEntry(last_offset, generation_id)
        self._entries.append(entry)
        return entry

    def pop_committable(self) -> int | None:
        """The offset to commit (that of the next record to read) after taking acknowledged batches off the head."""
        offset = None
        while self._entries and self._entries[0].acked:
            offset = self._entries.popleft().last_offset + 1
        return offset

    def drop_before(self, generation_id: int) -> None:
        """Forget batches read in an older generation: they are read again from the committed offset."""
        self._entries = deque(e for e in self._entries if e.generation_id >= generation_id)


class BatchMessage(ConsumerMessage):
    """A record batch as one Faust message; `value` is the list of aiokafka records."""

    __slots__ = ("entry",)
    entry: LedgerEntry | None


class BatchScheduler(DefaultSchedulingStrategy):
    """Yields a partition's records as one list for batch topics, in stock order for all others."""

    def iterate(self, records: Mapping[TP, list[Any]]) -> Iterator[tuple[TP, Any]]:
        others: dict[TP, list[Any]] = {}
        for tp, batch in records.items():
            if tp.topic in BATCH_TOPICS:
                if batch:
                    yield tp, batch
            else:
                others[tp] = batch
        if others:
            yield from super().iterate(others)


class BatchSchema(Schema):
    """Makes an event of a batch as it is. It cannot fail: records are decoded by the agent, one by one."""

    def compile(self, app: Any, **_: Any) -> Any:
        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return app.create_event(message.key, message.value, headers=None, message=message)

        return decode


class BatchConsumerThread(AIOKafkaConsumerThread):
    """Leaves its group while that rebalances, too.

    A stop waits for the rebalance it is in, which lasts until the session of a member that died has ended; and the
    request to leave would queue behind the one to join. On a connection of its own it is answered at once.
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
            with contextlib.suppress(KafkaError):  # the session ends by itself, later
                request = LeaveGroupRequest(coordinator.group_id, coordinator.member_id)
                await coordinator._client.send(coordinator.coordinator_id, request)


class BatchConsumer(AiokafkaConsumer):
    """Faust's aiokafka consumer with a batch ledger for each partition of a batch topic."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ledgers: defaultdict[TP, Ledger] = defaultdict(Ledger)
        self.held: set[TP] = set()  # assigned, and not to be read yet
        self._expected: dict[TP, int] = {}  # offset of the record that comes next

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def batches_in_flight(self) -> int:
        """Batches read and not acknowledged yet."""
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
        # Faust drops a message below its read position after this call: an entry for it would never be acknowledged.
        dropped = read is not None and last.offset < read
        message.entry = None if dropped else self._ledgers[tp].enter(last.offset, generation_id)
        if dropped:
            self._unacked_messages.discard(message)
        return message

    def _look_for_a_gap(self, tp: TP, records: list[Any]) -> None:
        expected, first = self._expected.get(tp), records[0].offset
        if expected is not None and first < expected:  # the client went back to the beginning by itself
            raise BrokerError(
                f"{tp.topic} partition {tp.partition} goes on at offset {first} where {expected} comes next: "
                "it was made again or cut; a new start looks at it afresh"
            )
        self._expected[tp] = records[-1].offset + 1
        if expected is not None and first > expected:
            self.add_future(self._explain_gap(tp, expected, first))

    async def _explain_gap(self, tp: TP, expected: int, first: int) -> None:
        """Say it where retention deleted records unread; a transaction's marker or compaction leave gaps too."""
        with contextlib.suppress(KafkaError):
            earliest = next(iter((await self.earliest_offsets(ensure_aiokafka_TP(tp))).values()))
            if (lost := min(earliest, first) - expected) > 0:
                logger.error(
                    "%d records of %s partition %d (offsets %d to %d) were deleted by retention before they were read",
                    *(lost, tp.topic, tp.partition, expected, expected + lost - 1),
                )
                self.app.expired(lost)

    def on_buffer_full(self, tp: TP) -> None:
        # The stock handler stops fetching a partition, and sleeps a second where it has stopped all of them. A full
        # queue of batches holds the fetcher up by itself, for as long as a batch takes.
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
            self._acked[message.tp]  # touch: Faust looks for committable partitions among the keys of this dict
            self._n_acked += 1
        notify(self._waiting_for_ack)
        return current

    def _new_offset(self, tp: TP) -> int | None:
        if tp.topic not in BATCH_TOPICS:
            offset: int | None = super()._new_offset(tp)
            return offset
        return self._ledgers[tp].pop_committable()

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        if tp.topic not in BATCH_TOPICS:  # the ledger needs no gaps: it knows batches, not single offsets
            await super()._add_gap(tp, offset_from, offset_to)

    def _set_active_tps(self, tps: set[TP]) -> set[TP]:
        active: set[TP] = super()._set_active_tps(set(tps) - self.held)
        return active

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        super().resume_partitions(set(tps) - self.held)

    async def perform_seek(self) -> None:
        # Called during a revoke as well, while batches of this generation are still finishing: keep those.
        for ledger in self._ledgers.values():
            ledger.drop_before(self.app.consumer_generation_id)
        await super().perform_seek()
        await self._forget_commits_beyond_the_end()
        self._expected = {tp: offset for tp, offset in self._committed_offset.items() if offset is not None}
        # That leaves a partition without a committed offset where it stands: what was fetched of it and discarded while
        # the flow was stopped would never be delivered.
        unread = [tp for tp in self.assignment() if tp.topic in BATCH_TOPICS and not self._committed_offset[tp]]
        if unread:
            with contextlib.suppress(IllegalStateError):  # one has left meanwhile: its next assignment seeks again
                await self._thread.seek_to_beginning(*(ensure_aiokafka_TP(tp) for tp in unread))

    async def _forget_commits_beyond_the_end(self) -> None:
        """A commit that lies behind a partition's end is of an earlier incarnation of the topic: read it all."""
        tps = [tp for tp in self.assignment() if tp.topic in BATCH_TOPICS and self._committed_offset[tp]]
        if tps:
            for tp, end in (await self.highwaters(*(ensure_aiokafka_TP(tp) for tp in tps))).items():
                tp = ensure_TP(tp)
                if self._committed_offset[tp] > end:
                    logger.error("%s: the commit %d lies beyond its end %d", tp, self._committed_offset[tp], end)
                    self._committed_offset[tp] = self._read_offset[tp] = None

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        try:
            partitions = {tp.partition for tp in assigned if tp.topic in BATCH_TOPICS}
            held = await self.app.begin_assignment(partitions)
        except Exception as error:  # nothing is read before this is settled
            await self.app.crash(error)
            return
        self.held = {tp for tp in assigned if tp.topic in BATCH_TOPICS and tp.partition in held}
        await super().on_partitions_assigned(assigned, generation_id)

    def close(self) -> None:
        """Nothing: the thread's own stop closes its client.

        Faust calls this, in a rebalance during a stop, from the application's loop, where the stock one ends the update
        of the cluster's metadata behind the thread's back. A join that waits for that update would never end, nor would
        the stop that waits for the join.
        """

    async def rejoin(self) -> None:
        """Have the group rebalance."""
        coordinator = self._thread._ensure_consumer()._coordinator
        await self._thread.call_thread(_request_rejoin, coordinator)

    async def reading(self, tps: Iterable[TP]) -> bool:
        """True where records of these partitions are still to be read. Raises KafkaError where the broker is away."""
        ends = await self.highwaters(*(ensure_aiokafka_TP(tp) for tp in tps))
        return any([end > await self.position(ensure_TP(tp)) for tp, end in ends.items()])

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self.stop_flow()  # before the commit, which waits for the broker: what came meanwhile would be thrown away
        await self.commit()  # before the stock handler drops what is acknowledged (faust-streaming issue 502)
        await super().on_partitions_revoked(revoked)  # waits for batches in flight, and commits them
        for tp in revoked:
            self._ledgers.pop(tp, None)


async def _request_rejoin(coordinator: Any) -> None:
    coordinator.request_rejoin()


class BatchTransport(AiokafkaTransport):
    """The aiokafka transport with batch delivery."""

    Consumer = BatchConsumer
