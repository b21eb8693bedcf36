"""What waits for the agent: record batches that came while one was being processed are processed together.

So a batch is as large as the load asks for. When little comes, each record is taken at once; the more comes while a
batch is at work, the larger the next one is, and the fewer rows and requests an event costs.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple


class Delivery(NamedTuple):
    """Consecutive records of one partition, read in one generation of the group."""

    partition: int
    generation_id: int
    records: Sequence[Any]
    ack: Callable[[], Any]  # the last of them may be committed
    is_current: Callable[[], bool]  # False once the partition may belong to another worker


class Intake:
    """A queue for each partition in front of `take`, which gets a partition's deliveries one after another, those that
    wait joined, and several partitions' at a time."""

    def __init__(self, take: Callable[[Delivery], Awaitable[None]], most_events: int) -> None:
        """most_events: of a joined batch; about as many may wait before `offer` does."""
        self._take = take
        self._most_events = most_events
        self._waiting: defaultdict[int, deque[Delivery]] = defaultdict(deque)
        self._events = 0  # in _waiting
        self._taken = asyncio.Event()
        self._runners: dict[int, asyncio.Task[None]] = {}
        self._failure: BaseException | None = None
        self.on_failure: Callable[[BaseException], Any] = lambda error: None

    async def offer(self, delivery: Delivery) -> None:
        """Queue a delivery; returns when the next may come. Raises what `take` failed with."""
        self._raise_failure()
        partition = delivery.partition
        self._waiting[partition].append(delivery)
        self._events += len(delivery.records)
        runner = self._runners.get(partition)
        if runner is None or runner.done():
            self._runners[partition] = asyncio.create_task(self._run(partition))
            self._runners[partition].add_done_callback(self._ended)
        while self._events >= self._most_events:
            self._taken.clear()
            await self._taken.wait()
            self._raise_failure()

    async def idle(self) -> None:
        """Wait until all that was offered is taken. Raises what `take` failed with."""
        await asyncio.gather(*self._runners.values())

    async def _run(self, partition: int) -> None:
        while self._waiting[partition]:
            joined = self._next(self._waiting[partition])
            self._taken.set()
            await self._take(joined)

    def _next(self, waiting: deque[Delivery]) -> Delivery:
        """The delivery that waited longest, with those behind it of its generation, up to a full batch."""
        found = [waiting.popleft()]
        size = len(found[0].records)
        while (
            waiting
            and waiting[0].generation_id == found[0].generation_id
            and size + len(waiting[0].records) <= self._most_events
        ):
            found.append(waiting.popleft())
            size += len(found[-1].records)
        self._events -= size
        return found[0] if len(found) == 1 else _joined(found)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._taken.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error
            self.on_failure(error)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def _joined(deliveries: Sequence[Delivery]) -> Delivery:
    def ack() -> None:
        for delivery in deliveries:
            delivery.ack()

    records = [record for delivery in deliveries for record in delivery.records]
    return deliveries[0]._replace(records=records, ack=ack)


class Gate:
    """Lets many pass at a time, or one alone."""

    def __init__(self) -> None:
        self._inside = 0
        self._is_closed = False
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
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
        """Once those inside have left; nobody enters meanwhile."""
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
