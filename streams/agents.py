"""The agent: a record batch's way from Kafka to Cassandra, with the next batch computing while this one is confirmed.

The order of one batch, and what it waits for:

    restore   rows of users not in memory are read
    process   decode, step, rank; the arena holds the new states from here on
    publish   outputs are confirmed
    write     rows are confirmed; begins when this batch and all before it have published
    ack       the batch's last offset may be committed, when this batch and all before it are written

Outputs before rows: a crash between the two repeats the same outputs; the other way round a replay would skip events
as already applied, and their outputs would be lost. A row of a later batch never overtakes an output of an earlier one
for the same reason. A failure anywhere ends the worker; the restart replays from the last commit over the stored rows.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import faust
from faust.types import TP
from mode import CrashingSupervisor

from streams.codec import Outcome, decode_batch
from streams.measures import Measures
from streams.processor import Processor, Result
from streams.publisher import Publisher
from streams.store import Store

# Batches between process and ack: one computes, one is being published, one written, and one waits, so that neither
# side idles when the other takes longer for once. More only lengthen the wait at a rebalance.
BATCHES_IN_FLIGHT = 4


T = TypeVar("T")


class Pipeline:
    """Takes record batches in turn; confirms them in the background, in order."""

    def __init__(self, processor: Processor, store: Store, publisher: Publisher, measures: Measures) -> None:
        self._processor = processor
        self._store = store
        self._publisher = publisher
        self._measures = measures
        self._sequence = 0
        self._confirmed = 0
        self._erased_in: dict[str, int] = {}  # user -> last batch that erased it and may not have reached the store yet
        # The graphs and numpy release the interpreter's lock: a batch computes while the loop confirms those before it.
        # One thread: batches are processed in turn, and so is what else touches the arena.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="processor")
        self._room = asyncio.Semaphore(BATCHES_IN_FLIGHT)
        self._published: asyncio.Future[None] | None = None
        self._written: asyncio.Future[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_failure: Callable[[BaseException], Any] = lambda error: None  # whoever ends the worker, even when idle

    async def take(
        self, partition: int, records: Sequence[Any], ack: Callable[[], Any], is_current: Callable[[], bool]
    ) -> None:
        """Process one record batch; returns when the next may come. Raises what an earlier batch failed with.

        is_current: False once the partition may belong to another worker; the batch is dropped then, unacknowledged,
        since the rows that were read for it may be older than that worker's.
        """
        await self._room.acquire()
        self._raise_failure()
        started_s = time.perf_counter()
        self._sequence += 1
        sequence = self._sequence
        outcomes, missing = await self._in_thread(self._prepare, records, sequence)
        if missing:
            await self._make_room(len(missing))
            # Whom a batch still on its way erases has a row that is about to go: there is no history to restore.
            self._erased_in = {u: s for u, s in self._erased_in.items() if s > self._confirmed}
            stored = await self._store.read([u for u in missing if u not in self._erased_in])
            self._raise_failure()
            await self._in_thread(self._processor.arena.insert, stored, sequence)
        result = await self._in_thread(self._process, partition, records, outcomes, sequence, is_current)
        if result is None:
            self._room.release()
            return
        self._erased_in.update((user_id, sequence) for user_id, _ in result.erased)
        self._measures.processed(time.perf_counter() - started_s)
        task = asyncio.create_task(self._confirm(partition, records, result, sequence, ack))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def _in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    def _prepare(self, records: Sequence[Any], sequence: int) -> tuple[list[Outcome], list[str]]:
        outcomes = decode_batch(records)
        return outcomes, self._processor.missing(outcomes, sequence)

    def _process(
        self,
        partition: int,
        records: Sequence[Any],
        outcomes: list[Outcome],
        sequence: int,
        is_current: Callable[[], bool],
    ) -> Result | None:
        # Asked here, at the last moment: whoever changes partitions afterwards finds this batch's users in the arena.
        return self._processor.process(partition, records, outcomes, sequence) if is_current() else None

    async def drop_partitions(self, partitions: Sequence[int]) -> None:
        """Forget the users of partitions that another worker may own from now on."""
        await self._in_thread(self._processor.arena.drop_partitions, partitions)
        self._measures.forget(partitions)

    async def _make_room(self, wanted: int) -> None:
        while True:
            waits = bool(self._tasks)  # asked before: the last one may end while room is being made
            if await self._in_thread(self._processor.arena.make_room, wanted, self._confirmed):
                return
            if not waits:
                capacity = self._processor.arena.capacity
                raise IndexError(
                    f"a batch needs {wanted} new users and the arena holds {capacity}: raise arena_max_users"
                )
            if self._tasks:
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            self._raise_failure()

    async def _confirm(
        self, partition: int, records: Sequence[Any], result: Result, sequence: int, ack: Callable[[], Any]
    ) -> None:
        loop = asyncio.get_running_loop()
        published_before, self._published = self._published, loop.create_future()
        written_before, self._written = self._written, loop.create_future()
        published, written = self._published, self._written
        try:
            await self._publisher.publish(partition, result)
            if published_before is not None:
                await published_before
            published.set_result(None)
            changed = result.changed_rows()
            if result.erased:  # before the rows: a user's rows after an erasure are newer than it
                await self._store.erase(result.erased)
            await self._store.write(
                partition,
                [result.rows[i] for i in changed],
                result.state[changed],
                result.representation[changed],
                now_ms=int(time.time() * 1000),
            )
            if written_before is not None:
                await written_before
            self._confirmed = sequence
            ack()
            written.set_result(None)
            self._measures.confirmed(partition, records[-1].offset, result, time.time() * 1000)
        except BaseException as error:
            for future in (published, written):
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # seen: whoever waits raises it, nobody has to
            raise

    def _done(self, task: asyncio.Task[None]) -> None:
        self._room.release()
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


def follow(app: faust.App, topic: faust.Topic, pipeline: Pipeline) -> None:
    """Register the agent on the behaviour topic, and forget users whenever partitions may have changed hands."""

    # An exception ends the process: a restarted agent would go on behind the lost batch (see faust-streaming's default
    # supervisor), and a new worker replays from the last commit.
    @app.agent(topic, name="representations", concurrency=1, supervisor_strategy=CrashingSupervisor)  # type: ignore[untyped-decorator]
    async def representations(stream: faust.Stream) -> None:
        async for event in stream.noack().events():
            message = event.message
            await pipeline.take(
                message.partition,
                message.value,
                ack=partial(message.ack, app.consumer),
                is_current=partial(_is_current, app, message.generation_id),
            )

    pipeline.on_failure = lambda error: app.add_future(app.crash(error))

    async def forget(_: Any, partitions: set[TP], **__: Any) -> None:
        await pipeline.drop_partitions([tp.partition for tp in partitions])

    app.on_partitions_revoked.connect(forget, weak=False)
    app.on_partitions_assigned.connect(forget, weak=False)
