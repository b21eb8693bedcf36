"""Item vectors in Cassandra, for readers: written beside events, by one worker of a group.

A bundle has one vector for each item of its catalogue, and a million vectors take minutes. So the vectors are no part
of a worker's start. The worker that holds the first partition of the behaviour topic writes the vectors, one stretch
after another, and marks in Cassandra how many are acknowledged. After a crash or a rebalance, the next worker of the
partition continues from the mark. Two workers that write at once, because one has not noticed the loss of the
partition, write the same vectors.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

PARTITION = 0  # Every topic has this partition.
# A second's work beside events. A crash repeats at most one stretch, and a worker that has lost the partition writes at
# most one more.
STRETCH_ITEMS = 6_000
POLL_S = 1.0  # between looks at whether this worker holds the partition


class ItemVectorStore(Protocol):
    """The part of `ItemVectors` that the registration calls. Each call waits while Cassandra is away."""

    async def stored(self) -> int: ...

    async def write(self, start: int, end: int) -> None: ...

    async def mark(self, items: int) -> None: ...


class BundleRegistry(Protocol):
    """The part of `Registry` that the registration calls."""

    async def activate(self, bundle_id: str) -> None: ...


class Registration:
    """Stores the vectors of a bundle's items while this worker holds the partition.

    Afterwards the bundle becomes the active one, where no bundle is active. So readers of the active bundle can rank.
    """

    def __init__(
        self,
        vectors: ItemVectorStore,
        registry: BundleRegistry,
        bundle_id: str,
        items: int,
        holds: Callable[[int], bool],
        program: str = "worker",
    ) -> None:
        """items: the number of the bundle's items. holds: True for a partition that this worker holds now. program:
        the command that tells of its progress.
        """
        self._vectors = vectors
        self._registry = registry
        self._bundle_id = bundle_id
        self._items = items
        self._holds = holds
        self._program = program
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False
        self.stored = 0  # vectors that this worker knows to be stored; another worker may know of more

    async def run(self) -> None:
        """Write until all vectors are stored. Raises StoreError where Cassandra refuses a vector."""
        self._task = asyncio.current_task()
        while self.stored < self._items and not self._is_stopped:
            if self._holds(PARTITION):
                await self._continue_from_the_mark()
            else:
                await asyncio.sleep(POLL_S)

    async def stop(self) -> None:
        """End the writing. When this method returns, the registration does not use the store any more."""
        self._is_stopped = True
        if self._task is not None and self._task is not asyncio.current_task() and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _continue_from_the_mark(self) -> None:
        """Write on from the mark, which another worker may have advanced, as long as the partition stays here."""
        self.stored = await self._vectors.stored()
        if self.stored < self._items:
            self._tell(f"writes item vectors, {self.stored:,} of {self._items:,} are stored")
            await self._write()
        if self.stored >= self._items:
            await self._registry.activate(self._bundle_id)

    async def _write(self) -> None:
        while self.stored < self._items and self._holds(PARTITION):
            end = min(self._items, self.stored + STRETCH_ITEMS)
            await self._vectors.write(self.stored, end)
            await self._vectors.mark(end)
            self.stored = end
        if self.stored == self._items:
            self._tell(f"all {self._items:,} item vectors are stored")

    def _tell(self, text: str) -> None:
        print(f"thalweg {self._program}: {text}", flush=True)
