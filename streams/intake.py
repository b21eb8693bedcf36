"""What waits for the agent: record batches that came while one was being processed are processed together.

So a batch is as large as the load asks for. When little comes, each record is taken at once; the more comes while a
batch is at work, the larger the next one is, and the fewer rows and requests an event costs.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple


class Delivery(NamedTuple):
    """Consecutive records of one partition, read in one generation of the group."""

    partition: int
    generation_id: int
    records: Sequence[Any]
    ack: Callable[[], Any]  # the last of them may be committed
    is_current: Callable[[], bool]  # False once the partition may belong to another worker


class Intake:
    """A queue of deliveries in front of `take`, which gets them in order, joined where they wait for one partition."""

    def __init__(self, take: Callable[[Delivery], Awaitable[None]], most_events: int) -> None:
        """most_events: of a joined batch; about as many may wait before `offer` does."""
        self._take = take
        self._most_events = most_events
        self._waiting: deque[Delivery] = deque()
        self._events = 0  # in _waiting
        self._taken = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self.on_failure: Callable[[BaseException], Any] = lambda error: None

    async def offer(self, delivery: Delivery) -> None:
        """Queue a delivery; returns when the next may come. Raises what `take` failed with."""
        self._raise_failure()
        self._waiting.append(delivery)
        self._events += len(delivery.records)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
            self._runner.add_done_callback(self._ended)
        while self._events >= self._most_events:
            self._taken.clear()
            await self._taken.wait()
            self._raise_failure()

    async def _run(self) -> None:
        while self._waiting:
            joined = self._next()
            self._taken.set()
            await self._take(joined)

    def _next(self) -> Delivery:
        """The delivery that waited longest, with what waits of the same partition and generation behind it."""
        first = self._waiting.popleft()
        found, size, others = [first], len(first.records), deque[Delivery]()
        is_open = True  # until one would be too many: those after it must stay behind it
        for other in self._waiting:
            is_same = (other.partition, other.generation_id) == (first.partition, first.generation_id)
            if is_same and is_open and size + len(other.records) <= self._most_events:
                found.append(other)
                size += len(other.records)
            else:
                is_open = is_open and not is_same
                others.append(other)
        self._waiting = others
        self._events -= size
        return first if len(found) == 1 else _joined(found)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._taken.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self.on_failure(error)

    def _raise_failure(self) -> None:
        if self._runner is not None and self._runner.done() and not self._runner.cancelled():
            self._runner.result()


def _joined(deliveries: Sequence[Delivery]) -> Delivery:
    def ack() -> None:
        for delivery in deliveries:
            delivery.ack()

    records = [record for delivery in deliveries for record in delivery.records]
    return deliveries[0]._replace(records=records, ack=ack)
