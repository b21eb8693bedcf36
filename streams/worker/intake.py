"""What waits for the agent: record batches that came while one was being processed are processed together.

So a batch is as large as the load asks for. When little comes, each record is taken at once; the more comes while a
batch is at work, the larger the next one is, and the fewer rows and requests an event costs.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

# Whatever is in it, a batch costs some 2 ms here, and an event of a large one 0.02: a few partitions' records are taken
# together up to where that is little. Beyond it a partition's are a batch of their own, in which more of the events
# are of the same users, for whom a row is written once.
JOINED_EVENTS = 2_000


class Delivery(NamedTuple):
    """Consecutive records of one partition, read in one generation of the group."""

    partition: int
    generation_id: int
    records: Sequence[Any]
    ack: Callable[[], Any]  # the last of them may be committed
    is_current: Callable[[], bool]  # False once the partition may belong to another worker


Draw = Callable[[], list[Delivery]]


class Intake:
    """A queue for each partition in front of `take`, which is called when something waits, and gets it by calling
    `draw` as late as it can: what waits by then, as one batch while it is small. A partition's deliveries are taken one
    after another, several partitions' at a time."""

    def __init__(self, take: Callable[[Draw], Awaitable[None]], most_events: int) -> None:
        """most_events: of a batch; about as many may wait before `offer` does."""
        self._take = take
        self._most_events = most_events
        self._room = min(most_events, JOINED_EVENTS)  # of the next batch
        self._waiting: dict[int, deque[Delivery]] = {}  # by partition, those that wait longest first
        self._events = 0  # in _waiting
        self._at_work: set[int] = set()  # partitions in a batch that is not processed yet
        self._is_called = False  # `take` is called and has not drawn yet
        self._drawn = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self.on_failure: Callable[[BaseException], Any] = lambda error: None

    async def offer(self, delivery: Delivery) -> None:
        """Queue a delivery; returns when the next may come. Raises what `take` failed with."""
        self._raise_failure()
        self._waiting.setdefault(delivery.partition, deque()).append(delivery)
        self._events += len(delivery.records)
        self._call()
        while self._events >= self._most_events:
            self._drawn.clear()
            await self._drawn.wait()
            self._raise_failure()

    async def idle(self) -> None:
        """Wait until all that was offered is taken. Raises what `take` failed with."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def _call(self) -> None:
        """Call `take` where something waits that it may take now."""
        if not self._is_called and self._failure is None and not self._waiting.keys() <= self._at_work:
            self._is_called = True
            task = asyncio.create_task(self._run())
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    async def _run(self) -> None:
        drawn: list[Delivery] = []

        def draw() -> list[Delivery]:
            drawn.extend(self._next())
            self._at_work.update(delivery.partition for delivery in drawn)
            self._is_called = False
            self._drawn.set()
            self._call()
            return drawn

        await self._take(draw)
        self._at_work.difference_update(delivery.partition for delivery in drawn)
        self._call()

    def _next(self) -> list[Delivery]:
        """What waited longest, up to a full batch, and what waits of other partitions while the batch is small; all of
        one generation.

        After a start a batch has at most twice the events of the largest one before: its users' rows are read first,
        and the first events shall not wait for those of a whole backlog.
        """
        found: list[Delivery] = []
        room, events = self._room, 0
        for partition in [p for p in self._waiting if p not in self._at_work]:
            generation_id = found[0].generation_id if found else self._waiting[partition][0].generation_id
            if joined := self._joined(partition, generation_id, room, is_first=not found):
                found.append(joined)
                events += len(joined.records)
            room = min(self._most_events, JOINED_EVENTS) - events
            if room <= 0:
                break
        self._room = max(self._room, min(self._most_events, 2 * events))
        return found

    def _joined(self, partition: int, generation_id: int, room: int, is_first: bool) -> Delivery | None:
        """A partition's deliveries of this generation as one, as many as there is room for; the beginning of the first
        one where it is too large by itself, and the batch's first."""
        waiting, size = self._waiting[partition], 0
        found: list[Delivery] = []
        while waiting and waiting[0].generation_id == generation_id:
            if size + len(waiting[0].records) > room:
                if found or not is_first:
                    break
                waiting.extendleft(reversed(_cut(waiting.popleft(), room)))
            found.append(waiting.popleft())
            size += len(found[-1].records)
        if not found:
            return None
        del self._waiting[partition]
        if waiting:
            self._waiting[partition] = waiting  # behind the others
        self._events -= size
        if len(found) == 1:
            return found[0]
        records = [record for delivery in found for record in delivery.records]
        return found[0]._replace(records=records, ack=partial(_ack, found))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._drawn.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error
            self.on_failure(error)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def _cut(delivery: Delivery, room: int) -> tuple[Delivery, Delivery]:
    """The first `room` records and the others, which alone acknowledge: after a crash between the two both come again,
    and the first are known to be applied."""
    first, rest = delivery.records[:room], delivery.records[room:]
    return delivery._replace(records=first, ack=lambda: None), delivery._replace(records=rest)


def _ack(deliveries: Sequence[Delivery]) -> None:
    for delivery in deliveries:
        delivery.ack()


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
