"""A gate that many tasks pass at a time, or one task alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """A lock with shared and exclusive entry. A task that waits to be alone lets nobody else enter."""

    def __init__(self) -> None:
        self._inside = 0
        self._is_closed = False
        self._changed = asyncio.Condition()

    async def opened(self) -> None:
        """Return when no task is alone or waits to be alone."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._is_closed)

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Enter beside other tasks, as soon as no task is alone."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._is_closed)
            self._inside += 1
        try:
            yield
        finally:
            async with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Enter when every other task has left. No task enters meanwhile."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._is_closed)
            self._is_closed = True
            await self._changed.wait_for(lambda: self._inside == 0)
        try:
            yield
        finally:
            async with self._changed:
                self._is_closed = False
                self._changed.notify_all()
