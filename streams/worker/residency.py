"""Which users are in memory: restored before their events are processed, evicted when the memory is full, erased.

A batch holds the gate from the look at which users are in memory until the batch is processed. An eviction needs the
gate alone. So no user is evicted between the look and the processing.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple, Protocol, TypeVar

from encoder.data.contract.judge import DroppedField
from streams.config.errors import SettingsError
from streams.engine.arena import StoredUser
from streams.engine.codec import RecordDecoder
from streams.engine.planning.candidates import Erased, Part
from streams.engine.processor import Processor
from streams.health.metrics import WorkerMetrics
from streams.store.user_rows import DamagedRow
from streams.worker.absence.gate import Gate
from streams.worker.in_order import InFlight
from streams.worker.intake import Batch, Delivery

logger = logging.getLogger(__name__)

T = TypeVar("T")
LOST_ROWS = (
    "%d stored rows are gone, among them that of user %r; these states are rebuilt from the topic, which is slow. "
    "Find out who deleted the rows. To restore all rows at once, stop all workers and run `thalweg verify --repair`"
)


class RowReader(Protocol):
    """The part of `UserRows` that restoring calls."""

    async def read(self, user_ids: Sequence[str]) -> list[StoredUser | DamagedRow]: ...

    def hides(self, user_id: str, partition: int, offset: int) -> bool: ...


class RowRebuilder(Protocol):
    """The part of `Rebuilder` that restoring calls."""

    async def rebuild(self, partition: int, user_ids: Sequence[str], end: int) -> list[StoredUser]: ...


class Restored(NamedTuple):
    """A decoded batch whose users are in memory, in `stored`, or without history."""

    parts: list[Part]
    missing: dict[str, int]  # the users that were not in memory, each with the first partition of the user's records
    stored: Sequence[StoredUser]  # rows of missing users
    read_after: int  # the number of the last batch that was processed when the rows were read
    drops: int  # how often partitions had been dropped at the look at the memory


class Residency:
    """Brings users into the arena and takes users out of it.

    The methods `has_dropped_since`, `admit` and `note_erasures` run on the processor's thread, all other methods on the
    event loop.
    """

    def __init__(
        self,
        processor: Processor,
        rows: RowReader,
        rebuilder: RowRebuilder,
        in_flight: InFlight,
        metrics: WorkerMetrics,
        thread: Executor,
        decoder: RecordDecoder,
    ) -> None:
        self._processor = processor
        self._rows = rows
        self._rebuilder = rebuilder
        self._in_flight = in_flight
        self._metrics = metrics
        self._thread = thread
        self._decoder = decoder
        self._gate = Gate()
        self._reading = 0  # batches whose rows are being read
        self._reserved = 0  # free slots of the arena that are promised to these batches
        self._drops = 0  # how often partitions were dropped
        # user -> number of the last batch that erased the user. An entry is needed while the erasure has not reached
        # the store, and while rows are read that may be older than the erasure.
        self._erased_in: dict[str, int] = {}

    @asynccontextmanager
    async def restored(self, batch: Batch) -> AsyncIterator[Restored]:
        """Decode the batch, and read the rows of its users that are not in memory. Process the batch inside the block.

        Ends the batch's turn before rows are read, so that another batch has its turn meanwhile.
        """
        async with self._gate.shared():
            parts, missing, drops = await self._in_thread(self._decode, batch)
            if not missing:
                yield Restored(parts, missing, (), 0, drops)
                return
            if self._reserved + len(missing) <= self._processor.arena.free_slots():
                batch.end_turn()
                with self._reserve(len(missing)):
                    yield await self._read(parts, missing, drops)
                return
        batch.end_turn()
        async with self._gate.alone():
            missing, drops = await self._in_thread(self._missing, parts, self._in_flight.processed + 1)
            await self._evict(len(missing))
            with self._reserve(len(missing)):
                yield await self._read(parts, missing, drops)

    async def admits(self) -> None:
        """Return when no eviction is under way."""
        await self._gate.opened()

    def has_dropped_since(self, restored: Restored) -> bool:
        """True where partitions were dropped after the look at the memory. Users may then be missing."""
        return self._drops != restored.drops

    def admit(self, restored: Restored, sequence: int) -> None:
        """Put the restored users into the arena, for batch number `sequence`."""
        arena = self._processor.arena
        # A batch of another partition may have erased a user since the row was read. Such a user has no history.
        stored = [u for u in restored.stored if self._erased_in.get(u.user_id, 0) <= restored.read_after]
        for part in restored.parts:
            # A user with a stray record in another partition may have been restored for that partition meanwhile.
            users = [u for u in stored if restored.missing[u.user_id] == part.partition and u.user_id not in arena]
            arena.insert(users, part.partition, sequence)

    def note_erasures(self, erased: Sequence[Erased], sequence: int) -> None:
        """Remember whom batch number `sequence` has erased, until no row can bring the history back."""
        if not self._reading:
            stored = self._in_flight.stored
            self._erased_in = {user: number for user, number in self._erased_in.items() if number > stored}
        self._erased_in.update((one.user_id, sequence) for one in erased)

    @asynccontextmanager
    async def without(self, user_ids: Sequence[str], last_record_before_ms: int) -> AsyncIterator[list[str]]:
        """Take users out of memory whose last record is older, and give those of `user_ids` who are not in memory.

        No batch is processed inside the block. So the users who are given have no event that was processed, and an
        event that comes later is processed after the block.
        """
        async with self._gate.alone():
            yield await self._in_thread(self._drop_absent, user_ids, last_record_before_ms)

    def _drop_absent(self, user_ids: Sequence[str], last_record_before_ms: int) -> list[str]:
        arena = self._processor.arena
        arena.drop_absent(last_record_before_ms, self._in_flight.stored)
        return arena.unknown(user_ids)

    async def drop_partitions(self, partitions: Sequence[int]) -> None:
        """Forget the users of partitions that another worker may own from now on."""
        await self._in_thread(self._drop, partitions)
        self._metrics.forget(partitions)

    def _drop(self, partitions: Sequence[int]) -> None:
        self._drops += 1
        self._processor.arena.drop_partitions(partitions)

    def _decode(self, batch: Batch) -> tuple[list[Part], dict[str, int], int]:
        parts = [self._decoded(delivery) for delivery in batch.deliveries]
        return parts, *self._missing(parts)

    def _decoded(self, delivery: Delivery) -> Part:
        dropped: list[DroppedField] = []
        outcomes = self._decoder.decode_batch(delivery.records, dropped)
        return Part(delivery.partition, delivery.records, outcomes, dropped)

    def _missing(self, parts: list[Part], sequence: int | None = None) -> tuple[dict[str, int], int]:
        return self._processor.missing(parts, sequence), self._drops

    @contextmanager
    def _reserve(self, slots: int) -> Iterator[None]:
        self._reading += 1
        self._reserved += slots
        try:
            yield
        finally:
            self._reserved -= slots
            self._reading -= 1

    async def _read(self, parts: list[Part], missing: dict[str, int], drops: int) -> Restored:
        """Read the stored rows of the missing users."""
        processed, stored = self._in_flight.processed, self._in_flight.stored
        # A batch that is not stored yet may have erased a user. The user's row will be deleted and is no history.
        wanted = {user: partition for user, partition in missing.items() if self._erased_in.get(user, 0) <= stored}
        rows = await self._rows.read(list(wanted))
        users = [row for row in rows if isinstance(row, StoredUser)]
        for reason, user_ids in self._without_usable_row(rows, parts, wanted).items():
            users += await self._rebuild(user_ids, parts, wanted)
            self._metrics.rebuilt_users.labels(reason).inc(len(user_ids))
        return Restored(parts, missing, users, processed, drops)

    def _without_usable_row(
        self, rows: Sequence[StoredUser | DamagedRow], parts: list[Part], wanted: dict[str, int]
    ) -> dict[str, list[str]]:
        """The users who have a history and no row to restore it from, by the reason (REBUILD_REASONS)."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for row in rows:
            if isinstance(row, DamagedRow):
                logger.error("%s; the state is rebuilt from the topic", row.why)
                found["damaged"].append(row.user_id)
        first_offset = {part.partition: part.records[0].offset for part in parts}
        for user_id in wanted.keys() - {row.user_id for row in rows}:
            if self._rows.hides(user_id, wanted[user_id], first_offset[wanted[user_id]]):
                found["erased_later"].append(user_id)
            elif self._processor.user_ttl_ms is None and self._processor.arena.was_evicted(user_id):
                found["lost"].append(user_id)
        if lost := found.get("lost"):
            logger.error(LOST_ROWS, len(lost), lost[0])
        return found

    async def _rebuild(self, user_ids: Sequence[str], parts: list[Part], missing: dict[str, int]) -> list[StoredUser]:
        """The users as the records of their partition before this batch make them."""
        rebuilt: list[StoredUser] = []
        for part in parts:
            users = [user_id for user_id in user_ids if missing[user_id] == part.partition]
            if users:
                rebuilt += await self._rebuilder.rebuild(part.partition, users, part.records[0].offset)
        return rebuilt

    async def _evict(self, wanted: int) -> None:
        """Evict users until `wanted` slots are free. Raises SettingsError where the arena is too small."""
        arena, in_flight = self._processor.arena, self._in_flight
        while True:
            stored, all_stored = in_flight.stored, in_flight.stored == in_flight.processed
            if await self._in_thread(arena.evict, wanted, stored):
                return
            if all_stored:
                raise SettingsError(
                    f"a batch needs {wanted} new users and the arena holds {arena.capacity}: raise "
                    "arena_max_users above batch_max_events, or lower batch_max_events"
                )
            await in_flight.stored_beyond(stored)

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)
