"""The users of a backfill: restored from their rows, stepped in memory, and written back."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import repeat
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streams.broker.publisher import UpdatesByPartition, by_partition
from streams.commands.backfill.progress import Progress
from streams.commands.backfill.strays import Stray
from streams.config.errors import SettingsError, StoreError
from streams.engine.arena import Arena, StoredUser
from streams.engine.carried_headers import NO_HEADERS
from streams.engine.codec import Rejected
from streams.engine.outputs import Letter, OutputEncoder
from streams.engine.planning.candidates import Erased
from streams.engine.planning.rows import Rows
from streams.store.user_rows import DamagedRow, Requests

logger = logging.getLogger(__name__)

SAVED_AT_ONCE = 8_192  # users whose rows and updates are encoded at once, about 30 MB


class RowStore(Protocol):
    """The part of `UserRows` that a backfill calls."""

    async def read(self, user_ids: Sequence[str]) -> list[StoredUser | DamagedRow]: ...

    def encode(
        self,
        rows: Rows,
        state: NDArray[np.float32],
        representation: NDArray[np.float32],
        generation_id: int,
        now_ms: int,
    ) -> Requests: ...

    async def write(self, requests: Requests) -> None: ...

    async def erase(self, erased: Sequence[Erased], generation_id: int) -> None: ...


class OutputWriter(Protocol):
    """The part of `Publisher` that a backfill calls."""

    async def publish(self, evaluations: list[tuple[int, object]], dead_letters: Sequence[Letter]) -> None: ...

    async def update(self, updates: UpdatesByPartition) -> None: ...


class Users:
    """The users in memory, and their rows. The order of confirmations is that of a worker: letters, rows, updates."""

    def __init__(
        self,
        arena: Arena,
        rows: RowStore,
        publisher: OutputWriter,
        encoder: OutputEncoder,
        generation_id: int,
        is_fresh: bool,
        progress: Progress,
    ) -> None:
        """generation_id: of the rows' write timestamps. is_fresh: the bundle has no row yet, so a user who was never
        evicted has none."""
        self.arena = arena
        self.unsaved = np.zeros(arena.capacity, np.bool_)  # the slots whose stored row is older, or is missing
        self._rows = rows
        self._publisher = publisher
        self._encoder = encoder
        self._generation_id = generation_id
        self._is_fresh = is_fresh
        self._progress = progress

    async def restore(
        self, user_ids: Sequence[str], partition: int, sequence: int, settle: Callable[[], Awaitable[None]]
    ) -> None:
        """Bring these users into memory, for block number `sequence`, and keep a slot free for each new one.

        settle: makes the states in memory current, and ends a call of `save`. Raises SettingsError where the memory is
        too small, and StoreError.
        """
        arena = self.arena
        slots = arena.slots(user_ids)
        arena.last_used[slots[slots >= 0]] = sequence
        missing = [user_ids[place] for place in np.flatnonzero(slots < 0).tolist()]
        coldest = arena.coldest(len(missing), sequence - 1)
        if coldest is None:
            raise SettingsError(
                f"a block of the archive needs {len(missing)} new users and arena_max_users is {arena.capacity}: raise "
                "arena_max_users (THALWEG_ARENA_MAX_USERS)"
            )
        if len(coldest):
            await settle()
            await self.save(coldest[self.unsaved[coldest]])
            arena.drop(coldest)
        wanted = missing
        if self._is_fresh:
            wanted = [user for user in missing if arena.was_evicted(user)] if arena.has_evicted else []
        stored = []
        for row in await self._rows.read(wanted) if wanted else ():
            if isinstance(row, DamagedRow):
                raise StoreError(f"{row.why}; delete the row, or run the backfill in a new keyspace")
            stored.append(row)
        arena.insert(stored, partition, sequence)

    async def erase(self, erased: Sequence[Erased]) -> None:
        """Delete the rows of erased users, and tell readers."""
        await self._publisher.publish([], list(self._encoder.letters([], erased)))
        await self._rows.erase(erased, self._generation_id)
        await self._publisher.update(by_partition(self._encoder.tombstones(erased), repeat(NO_HEADERS)))

    async def reject(self, rejected: Sequence[tuple[Stray, Rejected]]) -> None:
        """Publish the dead letter of each of these records."""
        await self._publisher.publish([], list(self._encoder.letters_without_original(rejected)))

    def unsaved_slots(self) -> NDArray[np.int64]:
        """The slots of the users who have changed since their row was written."""
        return np.flatnonzero(self.unsaved & (self.arena.partition >= 0))

    async def save(self, slots: NDArray[np.int64]) -> None:
        """Write the rows of these slots, and publish their updates. Nothing may change these users meanwhile."""
        updating: asyncio.Task[None] | None = None
        for at in range(0, len(slots), SAVED_AT_ONCE):
            part = slots[at : at + SAVED_AT_ONCE]
            user_ids = self.arena.users_at(part)
            rows = Rows.from_arena(user_ids, len(user_ids), self.arena)
            state, representation = self.arena.state[part], self.arena.representation[part]
            now_ms = int(time.time() * 1000)
            await self._rows.write(self._rows.encode(rows, state, representation, self._generation_id, now_ms))
            updates = by_partition(self._encoder.updates_of(rows, state, representation), repeat(NO_HEADERS))
            if updating is not None:
                await updating
            updating = asyncio.create_task(self._publisher.update(updates))
            self._progress.rows += len(part)
        if updating is not None:
            await updating
        self.unsaved[slots] = False
