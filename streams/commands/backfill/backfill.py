"""Steps the blocks of an archive, one after another, and commits what is stored.

A block goes through the steps of a worker's batch, without evaluation events. While threads step the lanes of a block,
the next block is read and planned. The plan of a block needs what the block before changes of its users, except for
their states. While the users of a partition are stored, the next partition is stepped.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from streams.archive.reader import ArchiveReader
from streams.commands.backfill.blocks import History, read_history
from streams.commands.backfill.plan import Covered
from streams.commands.backfill.progress import Progress
from streams.commands.backfill.rare import step_rare
from streams.commands.backfill.users import Users
from streams.engine.planning.columns.planner import BlockPlanner
from streams.engine.planning.columns.stepping import step_lane
from streams.engine.processor import Graphs, Processor

# Rows of a block. A larger block has more events of each user, so that a step has more users with an event, and takes
# more memory: about 500 bytes a row.
BLOCK_ROWS = 131_072
COMMIT_EVERY_S = 30.0  # A kill costs this much work. Each commit writes the row of every user who has changed.


class Backfill:
    """Steps partitions of an archive."""

    def __init__(
        self,
        bundle: Bundle,
        graphs: Graphs,
        users: Users,
        topic: str,
        commit: Callable[[Mapping[int, int]], Awaitable[None]],
        threads: int,
        progress: Progress,
        user_ttl_ms: int | None,
    ) -> None:
        """commit: commits offsets of the group. threads: that step. user_ttl_ms: as of `Processor`."""
        self._bundle = bundle
        self._graphs = graphs
        self._users = users
        self._topic = topic
        self._commit = commit
        self._progress = progress
        self._processor = Processor(bundle, graphs, users.arena, user_ttl_ms=user_ttl_ms)
        self._planner = BlockPlanner(users.arena, users.unsaved, bundle.initial_state, threads, user_ttl_ms)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="step")
        self._stepping: list[Future[None]] = []
        self._saving: asyncio.Task[None] | None = None
        self._sequence = 0

    async def run(self, reader: ArchiveReader, partition: int, offsets: Covered) -> None:
        """Step these offsets of a partition. They are stored and committed when `finish` returns, or the next call.

        Raises ArchiveError, BrokerError, StoreError, SettingsError, also for the partition before.
        """
        rows = min(BLOCK_ROWS, self._users.arena.capacity)
        blocks = read_history(reader, self._bundle, partition, offsets.first, offsets.end, rows)
        next_commit_s = time.monotonic() + COMMIT_EVERY_S
        with ThreadPoolExecutor(1, thread_name_prefix="read") as reading:
            ahead = reading.submit(next, blocks, None)
            while (history := await asyncio.wrap_future(ahead)) is not None:
                ahead = reading.submit(next, blocks, None)
                await self._step(history)
                if time.monotonic() >= next_commit_s and history.end < offsets.end:
                    await self._confirm(partition, history.end)
                    await self.finish()  # The next block changes the same users.
                    next_commit_s = time.monotonic() + COMMIT_EVERY_S
        await self._confirm(partition, offsets.end)

    async def _step(self, history: History) -> None:
        block, progress = history.block, self._progress
        self._sequence += 1
        progress.add(Progress(rejected=history.rejected, skipped=history.skipped))
        if not len(block):
            return
        await self._users.restore(block.user_ids, block.partition, self._sequence, self.finish)
        planned = await asyncio.to_thread(self._planner.plan, block, self._sequence)
        progress.add(Progress(events=planned.events, already_applied=planned.replayed))
        await self._settle()
        arena, graphs = self._users.arena, self._graphs
        self._stepping = [self._threads.submit(step_lane, planned, lane, arena, graphs) for lane in planned.lanes]
        if len(planned.rare):
            await self._step_rare(history, planned.rare)

    async def _step_rare(self, history: History, rows: NDArray[np.int64]) -> None:
        """Step all records of the block's other users, as a worker does."""
        found = step_rare(self._processor, self._users.unsaved, self._topic, history, rows, self._sequence)
        self._progress.add(found.counts)
        if found.rejected:
            await self._users.writer.reject(found.rejected)
        if found.erased:
            await self._users.writer.erase(found.erased)

    async def finish(self) -> None:
        """Return when the states in memory are those after the last block, and nothing is being stored."""
        await self._settle()
        if self._saving is not None:
            await self._saving
            self._saving = None

    async def _settle(self) -> None:
        """Return when the states in memory are those after the last planned block."""
        for future in self._stepping:
            await asyncio.wrap_future(future)
        self._stepping = []

    async def _confirm(self, partition: int, end: int) -> None:
        """Begin to store everything before the offset, and to commit the offset.

        The users of other partitions may be stepped meanwhile, because no event of theirs changes these users.
        """
        await self.finish()
        self._saving = asyncio.create_task(self._save_and_commit(partition, end))

    async def _save_and_commit(self, partition: int, end: int) -> None:
        await self._users.save(self._users.unsaved_slots())
        await self._commit({partition: end})
        self._progress.commits += 1

    def begin_epoch(self) -> None:
        """Forget all users, whose rows are stored. A user of an earlier epoch may go on in another partition."""
        arena = self._users.arena
        arena.drop(np.flatnonzero(arena.partition >= 0))

    def close(self) -> None:
        """End the threads. After a failure, nobody waits for what was being stored."""
        if self._saving is not None and not self._saving.cancel():
            self._saving.exception()  # which another failure came before
        self._threads.shutdown(cancel_futures=True)
