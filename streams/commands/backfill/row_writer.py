"""What a backfill writes, in the order of confirmations of a worker: letters, rows, updates."""

import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import repeat
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streams.broker.publisher import UpdatesByPartition, by_partition
from streams.commands.backfill.progress import Progress
from streams.commands.backfill.strays import Stray
from streams.engine.arena import StoredUser
from streams.engine.carried_headers import NO_HEADERS
from streams.engine.codec import Rejected
from streams.engine.outputs import Letter, OutputEncoder
from streams.engine.planning.candidates import Erased
from streams.engine.planning.rows import Rows
from streams.store.user_rows import DamagedRow, Requests

Vectors = NDArray[np.float32]


class RowStore(Protocol):
    """The part of `UserRows` that a backfill calls."""

    async def read(self, user_ids: Sequence[str]) -> list[StoredUser | DamagedRow]: ...

    def encode(
        self, rows: Rows, state: Vectors, representation: Vectors, generation_id: int, now_ms: int
    ) -> Requests: ...

    async def write(self, requests: Requests) -> None: ...

    async def erase(self, erased: Sequence[Erased], generation_id: int) -> None: ...


class OutputWriter(Protocol):
    """The part of `Publisher` that a backfill calls."""

    async def publish(self, evaluations: list[tuple[int, object]], dead_letters: Sequence[Letter]) -> None: ...

    async def update(self, updates: UpdatesByPartition) -> None: ...


class RowWriter:
    """Writes rows and publishes outputs. Each method returns when everything is confirmed."""

    def __init__(
        self,
        rows: RowStore,
        publisher: OutputWriter,
        encoder: OutputEncoder,
        generation_id: int,
        progress: Progress,
        check_serves: Callable[[], Awaitable[None]],
    ) -> None:
        """generation_id: of the rows' write timestamps. check_serves: raises SettingsError for a retired bundle, whose
        rows nobody would delete any more.
        """
        self.rows = rows
        self._check_serves = check_serves
        self._publisher = publisher
        self._encoder = encoder
        self._generation_id = generation_id
        self._progress = progress

    async def erase(self, erased: Sequence[Erased]) -> None:
        """Delete the rows of erased users, and tell readers."""
        await self._check_serves()
        await self._publisher.publish([], list(self._encoder.letters([], erased)))
        await self.rows.erase(erased, self._generation_id)
        await self._publisher.update(by_partition(self._encoder.tombstones(erased), repeat(NO_HEADERS)))

    async def reject(self, rejected: Sequence[tuple[Stray, Rejected]]) -> None:
        """Publish the dead letter of each of these records."""
        await self._publisher.publish([], list(self._encoder.letters_without_original(rejected)))

    async def store(self, rows: Rows, state: Vectors, representation: Vectors) -> None:
        """Write n rows. state: (n, S), representation: (n, D)."""
        await self._check_serves()
        now_ms = int(time.time() * 1000)
        await self.rows.write(self.rows.encode(rows, state, representation, self._generation_id, now_ms))
        self._progress.rows += len(rows)

    async def update(self, rows: Rows, state: Vectors, representation: Vectors) -> None:
        """Publish the updates of n rows that are stored. state: (n, S), representation: (n, D)."""
        await self._publisher.update(
            by_partition(self._encoder.updates_of(rows, state, representation), repeat(NO_HEADERS))
        )
