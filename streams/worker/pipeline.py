"""The agent: a record batch's way from Kafka to Cassandra, with the next batch computing while this one is confirmed.

The order of one batch, and what it waits for:

    draw      records that came while another batch was processed are one batch (`streams.intake`)
    restore   rows of users not in memory are read
    process   decode, step; the arena holds the new states from here on
    score     rank, and encode what leaves, while the next batch is processed
    publish   evaluation events and dead letters are confirmed
    write     rows are confirmed; begins when this batch and all before it have published
    update    representation updates are confirmed; begins when this batch and all before it are written
    ack       the batch's last offsets may be committed, when this batch and all before it have updated

Evaluation events before rows: a crash between the two repeats the same events; the other way round a replay would skip
what is already applied, and they would be lost. A row of a later batch never overtakes an event of an earlier one for
the same reason. Updates after rows: they tell what can be read, and a replay publishes the stored row of every user
whose records came again. A failure anywhere ends the worker; the restart replays from the last commit over the stored
rows.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import faust
from faust.types import TP
from mode import CrashingSupervisor

from streams.broker.publisher import Encoded, Publisher
from streams.engine.arena import StoredUser
from streams.engine.codec import decode_batch
from streams.engine.planning.plan import Part
from streams.engine.processor import Processor, Result
from streams.health.metrics import Measures
from streams.store.user_rows import DamagedRow, Store, Values
from streams.worker.intake import Delivery, Draw, Gate, Intake

logger = logging.getLogger(__name__)

# Processed and not stored: one is scored and one stored while the next is processed. More would be smaller ones: where
# confirming is what takes the time, the next batch had better wait, and grow.
BATCHES_TO_STORE = 3
# Those that are stored wait for their updates: some 100 batches a second, 0.2 s with four partitions, 5 s with a
# hundred.
BATCHES_IN_FLIGHT = 1_000
# The events of a worker under full load are about a second of work, and 100 MB, 250 where each is another user's; more
# would only lengthen the wait at a rebalance.
EVENTS_IN_FLIGHT = 64_000


T = TypeVar("T")
Batch = tuple[int, Result]  # its number, what follows from it
Rebuild = Callable[[int, Sequence[str], int], Awaitable[list[StoredUser]]]  # (partition, users, up to this offset)


class Pipeline:
    """Takes record batches in turn; confirms them in the background, in order."""

    def __init__(
        self, processor: Processor, store: Store, publisher: Publisher, measures: Measures, rebuild: Rebuild
    ) -> None:
        self._processor = processor
        self._store = store
        self._publisher = publisher
        self._measures = measures
        self._rebuild = rebuild
        self._sequence = 0
        self._processed = 0  # the last batch that is in the arena, with its erasures in _erased_in
        self._unstored: set[int] = set()  # batches in the arena whose rows are not confirmed
        self._reading = 0  # batches whose rows are being read
        self._reserved = 0  # free slots of the arena for users whose rows are being read
        self._gate = Gate()  # shared by batches on their way into the arena; alone: whoever makes room in it
        # user -> last batch that erased it, where that may not have reached the store, or may have while a row was read
        self._erased_in: dict[str, int] = {}
        self._turn = asyncio.Lock()  # of the next batch to be drawn
        # The graphs and numpy release the interpreter's lock: a batch computes while the loop confirms those before it.
        # One thread: batches are processed in turn, and so is what else touches the arena.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="processor")
        # Ranks, half of a batch's computing, and the bytes that leave: no other batch needs them.
        self._scorer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scorer")
        self._events = 0  # in flight
        self._got_on = asyncio.Event()  # a batch is stored, or has ended
        self._published: asyncio.Future[None] | None = None
        self._written: asyncio.Future[None] | None = None
        self._updated: asyncio.Future[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.in_flight = 0  # batches taken and not confirmed
        self.on_failure: Callable[[BaseException], Any] = lambda error: None  # whoever ends the worker, even when idle

    async def take(self, draw: Draw) -> None:
        """Process one batch, of what `draw` gives when its turn comes; returns when the partitions' next may come.
        Raises what an earlier batch failed with. Another batch has its turn while this one's rows are read.

        One that is not current is dropped, unacknowledged: the rows that were read for it may be older than those of
        the worker that has the partitions by now.
        """
        async with self._gate.shared():
            async with self._turn:
                await self._wait_for_room()
                started_s, deliveries = time.perf_counter(), draw()
                parts, missing, batch = await self._in_thread(self._begin, deliveries)
            lacks_room = bool(missing) and self._reserved + len(missing) > self._processor.arena.free_slots()
            if missing and not lacks_room:
                self._reserved += len(missing)
                batch = await self._restore(deliveries, parts, missing)
                self._reserved -= len(missing)
            self._go_on(deliveries, batch, started_s)
        if lacks_room:
            async with self._gate.alone():
                missing = await self._in_thread(self._processor.missing, parts, self._sequence + 1)
                await self._make_room(len(missing))
                self._go_on(deliveries, await self._restore(deliveries, parts, missing), started_s)

    def _go_on(self, deliveries: list[Delivery], batch: Batch | None, started_s: float) -> None:
        """Confirm what is processed in the background. Called before the gate is left: whoever makes room then finds
        every batch that it may have to wait for."""
        if batch is None:
            return
        sequence, result = batch
        self._measures.processed(time.perf_counter() - started_s)
        events = sum(len(delivery.records) for delivery in deliveries)
        self.in_flight += 1
        self._events += events
        task = asyncio.create_task(self._confirm(deliveries, result, sequence))
        self._tasks.add(task)
        task.add_done_callback(partial(self._done, events))

    async def _wait_for_room(self) -> None:
        self._raise_failure()
        while (
            len(self._unstored) >= BATCHES_TO_STORE
            or self.in_flight >= BATCHES_IN_FLIGHT
            or self._events >= EVENTS_IN_FLIGHT
        ):
            self._got_on.clear()
            await self._got_on.wait()
            self._raise_failure()

    async def _restore(self, deliveries: list[Delivery], parts: list[Part], missing: dict[str, int]) -> Batch | None:
        """Process a batch after the stored rows of the users that are not in memory are read."""
        self._reading += 1
        try:
            read_after, stored_up_to = self._processed, self._stored_up_to()
            # Whom a batch still on its way erases has a row that is about to go: there is no history to restore.
            stored = await self._read(
                parts, {u: p for u, p in missing.items() if self._erased_in.get(u, 0) <= stored_up_to}
            )
            self._raise_failure()
            return await self._in_thread(self._process, deliveries, parts, stored, missing, read_after)
        finally:
            self._reading -= 1

    async def _read(self, parts: list[Part], missing: dict[str, int]) -> list[StoredUser]:
        """Stored users; those whose row is damaged are rebuilt from the topic."""
        rows = await self._store.read(list(missing))
        stored = [row for row in rows if isinstance(row, StoredUser)]
        damaged = [row for row in rows if isinstance(row, DamagedRow)]
        if damaged:
            for row in damaged:
                logger.error("%s; it is rebuilt from the topic", row.why)
            for part in parts:
                users = [row.user_id for row in damaged if missing[row.user_id] == part.partition]
                if users:
                    stored += await self._rebuild(part.partition, users, part.records[0].offset)
            self._measures.rebuilt_users.inc(len(damaged))
        return stored

    async def _in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    def _begin(self, deliveries: list[Delivery]) -> tuple[list[Part], dict[str, int], Batch | None]:
        """What the records are, whose rows are missing, and the processed batch where none is."""
        parts = [Part(d.partition, d.records, decode_batch(d.records)) for d in deliveries]
        missing = self._processor.missing(parts)
        return parts, missing, None if missing else self._process(deliveries, parts, (), missing, 0)

    def _process(
        self,
        deliveries: list[Delivery],
        parts: list[Part],
        stored: Sequence[StoredUser],
        missing: dict[str, int],
        read_after: int,
    ) -> Batch | None:
        """stored: rows of `missing` users, read when batch number `read_after` was processed and none behind it."""
        # Asked here, at the last moment: whoever changes partitions afterwards finds this batch's users in the arena.
        if not all(delivery.is_current() for delivery in deliveries):
            return None
        self._sequence += 1
        self._unstored.add(self._sequence)
        arena = self._processor.arena
        # Whom a batch of another partition has erased since the row was read has no history any more.
        stored = [user for user in stored if self._erased_in.get(user.user_id, 0) <= read_after]
        for part in parts:
            # One that strayed into another partition as well may have been restored for that one meanwhile.
            users = [u for u in stored if missing[u.user_id] == part.partition and u.user_id not in arena]
            arena.insert(users, part.partition, self._sequence)
        result = self._processor.process(parts, self._sequence)
        if not self._reading:
            stored_up_to = self._stored_up_to()
            self._erased_in = {u: s for u, s in self._erased_in.items() if s > stored_up_to}
        self._erased_in.update((erased.user_id, self._sequence) for erased in result.erased)
        self._processed = self._sequence
        return self._sequence, result

    def _stored_up_to(self) -> int:
        """The number of the last batch that is stored with all before it."""
        return min(self._unstored, default=self._sequence + 1) - 1

    async def drop_partitions(self, partitions: Sequence[int]) -> None:
        """Forget the users of partitions that another worker may own from now on."""
        await self._in_thread(self._processor.arena.drop_partitions, partitions)
        self._measures.forget(partitions)

    async def _make_room(self, wanted: int) -> None:
        while True:
            self._raise_failure()
            self._got_on.clear()  # nobody else waits for it: the gate is closed
            waits = bool(self._unstored)  # asked before: the last one may be stored while room is being made
            if await self._in_thread(self._processor.arena.make_room, wanted, self._stored_up_to()):
                return
            if not waits:
                capacity = self._processor.arena.capacity
                raise IndexError(
                    f"a batch needs {wanted} new users and the arena holds {capacity}: raise arena_max_users"
                )
            await self._got_on.wait()

    async def _confirm(self, deliveries: list[Delivery], result: Result, sequence: int) -> None:
        generation_id = deliveries[0].generation_id  # the same of all
        loop = asyncio.get_running_loop()
        published_before, self._published = self._published, loop.create_future()
        written_before, self._written = self._written, loop.create_future()
        updated_before, self._updated = self._updated, loop.create_future()
        published, written, updated = self._published, self._written, self._updated
        try:
            # Bytes are let go when they are confirmed: a batch may wait for its updates long after.
            requests, (evaluations, updates) = await loop.run_in_executor(
                self._scorer, self._finish, result, generation_id
            )
            await self._publisher.publish(evaluations, result)
            del evaluations
            if published_before is not None:
                await published_before
            published.set_result(None)
            if result.erased:  # before the rows: a user's rows after an erasure are newer than it
                erased = [(user_id, offset) for user_id, _, offset in result.erased]
                await self._store.erase(erased, generation_id)
            await self._store.write(requests)
            rows = sum(map(len, requests))
            del requests
            if written_before is not None:
                await written_before
            self._unstored.discard(sequence)
            self._got_on.set()
            written.set_result(None)
            self._measures.stored(result, rows, time.time() * 1000)
            await self._publisher.update(updates)
            if updated_before is not None:
                await updated_before
            for delivery in deliveries:
                delivery.ack()
            updated.set_result(None)
            self._measures.confirmed({d.partition: d.records[-1].offset for d in deliveries}, result)
        except BaseException as error:
            for future in (published, written, updated):
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # seen: whoever waits raises it, nobody has to
            raise

    def _finish(self, result: Result, generation_id: int) -> tuple[list[Sequence[Values]], Encoded]:
        """Score a processed batch, and encode all that leaves."""
        self._processor.score(result)
        changed = result.changed_rows()
        rows, state, representation = result.rows.select(changed), result.state[changed], result.representation[changed]
        now_ms = int(time.time() * 1000)
        return self._store.encode(rows, state, representation, generation_id, now_ms), self._publisher.encode(result)

    def _done(self, events: int, task: asyncio.Task[None]) -> None:
        self.in_flight -= 1
        self._events -= events
        self._got_on.set()
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._tasks.discard(task)
        else:  # a failed task stays, so that no further batch is taken
            self.on_failure(error)

    def _raise_failure(self) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()


def _is_current(app: faust.App, generation_id: int) -> bool:
    return bool(generation_id == app.consumer_generation_id)


def follow(app: faust.App, topic: faust.Topic, pipeline: Pipeline, batch_max_events: int) -> None:
    """Register the agent on the behaviour topic, and forget users whenever partitions may have changed hands."""
    intake = Intake(pipeline.take, batch_max_events)

    # An exception ends the process: a restarted agent would go on behind the lost batch (see faust-streaming's default
    # supervisor), and a new worker replays from the last commit.
    @app.agent(topic, name="representations", concurrency=1, supervisor_strategy=CrashingSupervisor)
    async def representations(stream: faust.Stream) -> None:
        async for event in stream.noack().events():
            message = event.message
            await intake.offer(
                Delivery(
                    message.partition,
                    message.generation_id,
                    message.value,
                    ack=partial(message.ack, app.consumer),
                    is_current=partial(_is_current, app, message.generation_id),
                )
            )

    pipeline.on_failure = intake.on_failure = lambda error: app.add_future(app.crash(error))

    async def forget(_: Any, partitions: set[TP], **__: Any) -> None:
        await pipeline.drop_partitions([tp.partition for tp in partitions])

    app.on_partitions_revoked.connect(forget, weak=False)
    app.on_partitions_assigned.connect(forget, weak=False)
