"""The users of a backfill: restored from their rows, stepped in memory, and written back."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from streams.commands.backfill.row_writer import RowWriter
from streams.config.errors import SettingsError, StoreError
from streams.engine.arena import Arena
from streams.engine.planning.rows import Rows
from streams.store.user_rows import DamagedRow

SAVED_AT_ONCE = 8_192  # users whose rows and updates are encoded at once, about 30 MB


class Users:
    """The users in memory, and their rows."""

    def __init__(self, arena: Arena, writer: RowWriter, is_fresh: bool) -> None:
        """is_fresh: the bundle has no row yet, so a user who was never evicted has none."""
        self.arena = arena
        self.unsaved = np.zeros(arena.capacity, np.bool_)  # the slots whose stored row is older, or is missing
        self.writer = writer
        self._is_fresh = is_fresh

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
        for row in await self.writer.rows.read(wanted) if wanted else ():
            if isinstance(row, DamagedRow):
                raise StoreError(f"{row.why}; delete the row, or run the backfill in a new keyspace")
            stored.append(row)
        arena.insert(stored, partition, sequence)
        # The slot may have been that of an erased user, whose row was to be written.
        self.unsaved[arena.slots([user.user_id for user in stored])] = False

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
            await self.writer.store(rows, state, representation)
            if updating is not None:
                await updating
            updating = asyncio.create_task(self.writer.update(rows, state, representation))
        if updating is not None:
            await updating
        self.unsaved[slots] = False
