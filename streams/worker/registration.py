"""Item vectors in Cassandra, for readers: written beside events, by one worker of a group.

A bundle has as many as its catalogue has items, and a million take minutes. So they are no part of a worker's start:
the worker that holds the first partition of the events topic writes them, a stretch at a time, and marks in Cassandra
how far it came once all up to there is acknowledged. Whoever holds the partition next, after a crash or a rebalance,
goes on from the mark. What two workers write at once, where one has not heard that it lost the partition, is the same.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

PARTITION = 0  # every topic has it
# A second's work beside events: what a crash repeats, and how long a worker goes on after it lost the partition.
STRETCH_ITEMS = 6_000
LOOK_S = 1.0  # between looks at whether the partition came


class ItemStore(Protocol):
    """The part of a Store that registration calls; each call waits while Cassandra is away."""

    async def item_vectors_stored(self) -> int: ...

    async def write_item_vectors(self, start: int, end: int) -> None: ...

    async def mark_item_vectors(self, items: int) -> None: ...

    async def activate(self) -> None: ...


class Registration:
    """Stores the vectors of a bundle's items while this worker holds the partition, and makes the bundle the active one
    where none is: readers of the active bundle can rank."""

    def __init__(self, store: ItemStore, items: int, holds: Callable[[int], bool]) -> None:
        """items: of the bundle; holds: whether a partition is this worker's now."""
        self._store = store
        self._items = items
        self._holds = holds
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False
        self.stored = 0  # as far as this worker knows: another one may be further

    async def run(self) -> None:
        """Until all vectors are stored. Raises StoreError where Cassandra refuses one."""
        self._task = asyncio.current_task()
        while self.stored < self._items and not self._is_stopped:
            if self._holds(PARTITION):
                await self._go_on()
            else:
                await asyncio.sleep(LOOK_S)

    async def stop(self) -> None:
        """End it where it is, or before it began: nothing of it uses the store when this returns."""
        self._is_stopped = True
        if self._task is not None and self._task is not asyncio.current_task() and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _go_on(self) -> None:
        """From the mark, which another worker may have moved on, as long as the partition stays."""
        self.stored = await self._store.item_vectors_stored()
        if self.stored < self._items:
            print(f"thalweg worker: writes item vectors, {self.stored:,} of {self._items:,} are stored", flush=True)
            await self._write()
        if self.stored >= self._items:
            await self._store.activate()

    async def _write(self) -> None:
        while self.stored < self._items and self._holds(PARTITION):
            end = min(self._items, self.stored + STRETCH_ITEMS)
            await self._store.write_item_vectors(self.stored, end)
            await self._store.mark_item_vectors(end)
            self.stored = end
        if self.stored == self._items:
            print(f"thalweg worker: all {self._items:,} item vectors are stored", flush=True)
