"""The queue in front of the pipeline: records that came while a batch was processed become one batch.

So a batch is as large as the load asks for. Where few records come, each record is taken at once. The more records come
while a batch is processed, the larger the next batch is, and the fewer rows and requests an event costs.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from streams.engine.carried_headers import NO_SOURCES, HeadersBySource

# A batch costs 2 ms whatever it holds, so records of several partitions are joined up to this number of events. Above
# it a batch holds the records of one partition, where more events belong to the same users and share a row
# (docs/decisions.md#batch-joining-size).
JOINED_EVENTS = 2_000


class Delivery(NamedTuple):
    """Consecutive records of one partition, read in one generation of the group."""

    partition: int
    generation_id: int
    records: Sequence[Any]
    ack: Callable[[], Any]  # The offset of the last record may be committed.
    is_current: Callable[[], bool]  # False as soon as the partition may belong to another worker.


class Batch:
    """What is processed together: deliveries of several partitions, all of one generation."""

    def __init__(self, deliveries: Sequence[Delivery]) -> None:
        self.deliveries = deliveries
        self.drawn_at_s = time.perf_counter()
        self.events = sum(len(delivery.records) for delivery in deliveries)
        self.source_headers: HeadersBySource = NO_SOURCES  # what outputs carry on, with traces alone
        self._turn_ended = asyncio.Event()

    @property
    def generation_id(self) -> int:
        return self.deliveries[0].generation_id

    @property
    def last_offsets(self) -> dict[int, int]:
        """The offset of the last record, by partition."""
        return {delivery.partition: delivery.records[-1].offset for delivery in self.deliveries}

    def is_current(self) -> bool:
        return all(delivery.is_current() for delivery in self.deliveries)

    def ack(self) -> None:
        for delivery in self.deliveries:
            delivery.ack()

    def end_turn(self) -> None:
        """The next batch may be drawn."""
        self._turn_ended.set()

    async def turn_ended(self) -> None:
        await self._turn_ended.wait()


class Intake:
    """One queue for each partition.

    The agent offers deliveries. The pipeline draws what waits, as late as it can. A partition in a drawn batch is busy
    until the pipeline releases the batch, so a partition's records are processed in order.
    """

    def __init__(self, most_events: int) -> None:
        """most_events: the largest batch. About as many events may wait before `offer` waits."""
        self._most_events = most_events
        self._next_most_events = min(most_events, JOINED_EVENTS)  # the limit of the next batch
        self._waiting: dict[int, deque[Delivery]] = {}  # by partition; the partition that waits longest stands first
        self._waiting_events = 0
        self._busy: set[int] = set()  # partitions in a batch that is not processed yet
        self._changed = asyncio.Event()
        self.filled_at_ns = 0  # when `filled` returned last, in ns since 1970

    async def offer(self, delivery: Delivery) -> None:
        """Queue a delivery, and return when the next delivery may come."""
        self._waiting.setdefault(delivery.partition, deque()).append(delivery)
        self._waiting_events += len(delivery.records)
        self._changed.set()
        await self._until(lambda: self._waiting_events < self._most_events)

    async def filled(self) -> None:
        """Return when records wait that may be drawn."""
        await self._until(lambda: not self._waiting.keys() <= self._busy)
        self.filled_at_ns = time.time_ns()

    async def drained(self) -> None:
        """Return when every offered record is processed."""
        await self._until(lambda: not self._waiting and not self._busy)

    def draw(self) -> Batch:
        """Take what waits longest, up to a full batch, and records of other partitions while the batch is small.

        After a start a batch has at most twice the events of the largest batch before. The rows of a batch's users are
        read first, and the first events shall not wait for the rows of a whole backlog.
        """
        found: list[Delivery] = []
        room, events = self._next_most_events, 0
        for partition in [p for p in self._waiting if p not in self._busy]:
            generation_id = found[0].generation_id if found else self._waiting[partition][0].generation_id
            if joined := self._take(partition, generation_id, room, is_first=not found):
                found.append(joined)
                events += len(joined.records)
            room = min(self._most_events, JOINED_EVENTS) - events
            if room <= 0:
                break
        self._next_most_events = max(self._next_most_events, min(self._most_events, 2 * events))
        self._busy.update(delivery.partition for delivery in found)
        self._changed.set()
        return Batch(found)

    def release(self, batch: Batch) -> None:
        """The batch is processed. The next records of its partitions may be drawn."""
        self._busy.difference_update(delivery.partition for delivery in batch.deliveries)
        self._changed.set()

    def _take(self, partition: int, generation_id: int, room: int, is_first: bool) -> Delivery | None:
        """The partition's deliveries of this generation, joined, as many as there is room for.

        A delivery that is too large by itself is divided, where it is the first one of the batch.
        """
        waiting, size = self._waiting[partition], 0
        found: list[Delivery] = []
        while waiting and waiting[0].generation_id == generation_id:
            if size + len(waiting[0].records) > room:
                if found or not is_first:
                    break
                waiting.extendleft(reversed(_divide(waiting.popleft(), room)))
            found.append(waiting.popleft())
            size += len(found[-1].records)
        if not found:
            return None
        del self._waiting[partition]
        if waiting:
            self._waiting[partition] = waiting  # The partition now stands behind the others.
        self._waiting_events -= size
        return found[0] if len(found) == 1 else _join(found)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()


def _divide(delivery: Delivery, room: int) -> tuple[Delivery, Delivery]:
    """The first `room` records, and the other records. Only the other records acknowledge the delivery.

    After a crash between the two, all records come again, and the first ones are recognised as applied.
    """
    first, rest = delivery.records[:room], delivery.records[room:]
    return delivery._replace(records=first, ack=lambda: None), delivery._replace(records=rest)


def _join(deliveries: Sequence[Delivery]) -> Delivery:
    records = [record for delivery in deliveries for record in delivery.records]
    return deliveries[0]._replace(records=records, ack=partial(_ack_each, deliveries))


def _ack_each(deliveries: Sequence[Delivery]) -> None:
    for delivery in deliveries:
        delivery.ack()
