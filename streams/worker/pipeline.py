"""The way of every batch from its records to the commit of its offsets, in eight steps.

    draw      Records that came while another batch was processed become one batch (`streams.worker.intake`).
    restore   The batch is decoded. Rows of users that are not in memory are read (`streams.worker.residency`).
    process   The events are planned and stepped. From here on the arena holds the new states.
    score     The events are ranked, and everything that leaves is encoded, while the next batch is processed.
    publish   Evaluation events and dead letters are confirmed.
    write     Rows are confirmed. The step begins when this batch and every batch before have published.
    update    Representation updates are confirmed. The step begins when this batch and every batch before are written.
    ack       The batch's last offsets may be committed, once this batch and every batch before have updated.

Evaluation events come before rows. A crash between the two repeats the same evaluation events. In the other order a
replay would skip what is applied already, and the evaluation events would be lost. For the same reason a row of a later
batch never overtakes an evaluation event of an earlier batch. Updates come after rows, because an update tells what can
be read, and a replay publishes the stored row of every user whose records came again. A failure anywhere ends the
worker. After a restart the worker replays from the last commit over the stored rows. See docs/architecture.md.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from streams.broker.publisher import RecordBatches, UpdatesByPartition, by_partition
from streams.engine.carried_headers import NO_SOURCES, Headers, evaluation_headers, update_headers
from streams.engine.outputs import Letter, Output, OutputEncoder
from streams.engine.planning.candidates import Erased
from streams.engine.planning.rows import Rows
from streams.engine.processor import Processor
from streams.engine.stages import Scored, Stepped
from streams.health.metrics import WorkerMetrics
from streams.store.user_rows import Requests
from streams.worker.in_order import InFlight, InOrder
from streams.worker.intake import Batch, Intake
from streams.worker.residency import Residency, Restored

T = TypeVar("T")

# The least time between two draws. A batch has a fixed cost, so that fewer and larger batches leave more of the
# processor to Cassandra and Kafka (docs/decisions.md#time-between-two-batches).
DRAW_INTERVAL_S = 0.010


class RowWriter(Protocol):
    """The part of `UserRows` that the pipeline calls."""

    def encode(
        self,
        rows: Rows,
        state: NDArray[np.float32],
        representation: NDArray[np.float32],
        generation_id: int,
        now_ms: int,
    ) -> Requests: ...

    async def write(self, requests: Requests) -> None: ...

    async def erase(self, erased: Sequence[Erased], generation_id: int) -> None: ...


class OutputWriter(Protocol):
    """The part of `Publisher` that the pipeline calls."""

    def record_batches(self, outputs: Iterable[Output], headers: Iterable[Headers]) -> RecordBatches: ...

    async def publish(self, evaluations: RecordBatches, dead_letters: Iterable[Letter]) -> None: ...

    async def update(self, updates: UpdatesByPartition) -> None: ...


class Encoded(NamedTuple):
    """What leaves the process for one batch, step by step."""

    to_publish: tuple[RecordBatches, list[Letter]]  # evaluation events, dead letters
    to_write: Requests
    to_update: UpdatesByPartition


class Pipeline:
    """Carries batches from the intake to the commit. Batches are confirmed side by side, and finish in order.

    The graphs and numpy release the interpreter's lock. So two threads compute while the event loop awaits
    confirmations. Each thread works on one batch at a time, in order. One thread processes batches, and nothing else
    touches the arena. The other thread ranks and encodes, which no later batch needs.
    """

    def __init__(
        self,
        intake: Intake,
        processor: Processor,
        residency: Residency,
        encoder: OutputEncoder,
        publisher: OutputWriter,
        rows: RowWriter,
        in_flight: InFlight,
        metrics: WorkerMetrics,
        processor_thread: Executor,
        scorer_thread: Executor,
    ) -> None:
        self._intake = intake
        self._processor = processor
        self._residency = residency
        self._encoder = encoder
        self._publisher = publisher
        self._rows = rows
        self._in_flight = in_flight
        self._metrics = metrics
        self._processor_thread = processor_thread
        self._scorer_thread = scorer_thread
        self._in_order = InOrder()
        self._tasks: set[asyncio.Task[None]] = set()  # asyncio itself keeps only weak references to tasks

    async def run(self) -> None:
        """Carry batches until one batch fails. Raises what the batch failed with, at once.

        After a failure no batch is drawn. Batches before the failed batch go on as long as the process lives, and
        batches behind it fail with the same error.
        """
        failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        drawing = asyncio.create_task(self._draw_and_carry(failure))
        self._tasks.add(drawing)
        try:
            done, _ = await asyncio.wait({drawing, failure}, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
        finally:
            drawing.cancel()

    def stop(self) -> None:
        """Break off the batches in flight, before the outputs are closed. These batches are read again later."""
        for task in self._tasks:
            task.cancel()

    async def _draw_and_carry(self, failure: asyncio.Future[None]) -> None:
        """Start a task for each drawn batch. `failure` gets the error of the first batch that fails."""

        def on_end(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            error = None if task.cancelled() else task.exception()
            if error is not None and not failure.done():
                failure.set_exception(error)

        async for batch in self.draw():
            task = asyncio.create_task(self._carry_or_fail(batch))
            self._tasks.add(task)
            task.add_done_callback(on_end)
            await batch.turn_ended()

    async def _carry_or_fail(self, batch: Batch) -> None:
        try:
            await self._carry(batch)
        except BaseException as error:
            self._in_order.fail(batch, error)
            raise
        finally:
            self._in_flight.end(batch)

    async def _carry(self, batch: Batch) -> None:
        """The way of one batch.

        A batch that is not current any more is dropped without an acknowledgement, because its partitions belong to
        another worker. A batch may wait long for its updates, so large values are deleted after their last use.
        """
        async with self.restore(batch) as restored:
            stepped = await self.process(batch, restored)
            del restored
        if stepped is None:
            return
        scored, (to_publish, to_write, to_update) = await self.score(batch, stepped)
        del stepped
        await self.publish(batch, *to_publish)
        del to_publish
        await self.write(batch, scored, to_write)
        del to_write
        await self.update(batch, to_update)
        self.ack(batch, scored)

    async def draw(self) -> AsyncIterator[Batch]:
        """Batches, each drawn as soon as records wait, there is room in flight, and the interval has passed."""
        next_s = 0.0
        while True:
            await self._intake.filled()
            if (early_s := next_s - time.perf_counter()) > 0:
                await asyncio.sleep(early_s)
            await self._in_flight.room()
            await self._residency.admits()
            next_s = time.perf_counter() + DRAW_INTERVAL_S
            yield self._intake.draw()

    def restore(self, batch: Batch) -> AbstractAsyncContextManager[Restored]:
        """Decode the batch and read the rows of users that are not in memory. Process the batch inside the block."""
        return self._residency.restored(batch)

    async def process(self, batch: Batch, restored: Restored) -> Stepped | None:
        """Plan and step the batch. Returns None for a batch that is not current any more."""
        stepped = await self._run_in(self._processor_thread, self._process, batch, restored)
        if stepped is not None:
            self._in_order.enter(batch)
            self._in_flight.begin(batch, batch.events)
            self._metrics.on_processed(time.perf_counter() - batch.drawn_at_s)
        self._intake.release(batch)
        batch.end_turn()
        return stepped

    def _process(self, batch: Batch, restored: Restored) -> Stepped | None:
        # The last moment to check. Partitions that are dropped later are dropped together with the users of this batch.
        if not batch.is_current() or self._residency.has_dropped_since(restored):
            return None
        sequence = self._in_flight.start()
        self._residency.admit(restored, sequence)
        stepped = self._processor.process(restored.parts, sequence)
        self._residency.note_erasures(stepped.erased, sequence)
        self._in_flight.processed = sequence
        return stepped

    async def score(self, batch: Batch, stepped: Stepped) -> tuple[Scored, Encoded]:
        """Rank the evaluated events, and encode everything that leaves."""
        return await self._run_in(self._scorer_thread, self._score, batch, stepped)

    def _score(self, batch: Batch, stepped: Stepped) -> tuple[Scored, Encoded]:
        scored = self._processor.score(stepped)
        changed = scored.changed_rows()
        rows, state, representation = scored.rows.select(changed), scored.state[changed], scored.representation[changed]
        encoder, headers = self._encoder, batch.source_headers
        evaluations = self._publisher.record_batches(encoder.evaluations(scored), evaluation_headers(scored, headers))
        if encoder.adds_noise:  # Headers of producers may tell something about the event.
            headers = NO_SOURCES
        updates = by_partition(encoder.updates(scored), update_headers(scored, encoder.bundle_id, headers))
        return scored, Encoded(
            to_publish=(evaluations, list(encoder.dead_letters(scored))),
            to_write=self._rows.encode(rows, state, representation, batch.generation_id, int(time.time() * 1000)),
            to_update=updates,
        )

    async def publish(self, batch: Batch, evaluations: RecordBatches, dead_letters: list[Letter]) -> None:
        """Publish evaluation events and dead letters, confirmed."""
        await self._publisher.publish(evaluations, dead_letters)
        await self._in_order.finish(batch, "publish")

    async def write(self, batch: Batch, scored: Scored, requests: Requests) -> None:
        """Delete the rows of erased users and write the changed rows, confirmed."""
        if scored.erased:  # Erasures come first, because a user's row after an erasure is newer than the erasure.
            await self._rows.erase(scored.erased, batch.generation_id)
        await self._rows.write(requests)
        await self._in_order.finish(batch, "write")
        self._in_flight.on_stored()
        self._metrics.on_stored(scored, time.time() * 1000)

    async def update(self, batch: Batch, updates: UpdatesByPartition) -> None:
        """Publish representation updates, confirmed."""
        await self._publisher.update(updates)
        await self._in_order.finish(batch, "update")

    def ack(self, batch: Batch, scored: Scored) -> None:
        """Let the last offsets of the batch be committed."""
        batch.ack()
        self._metrics.on_confirmed(batch.last_offsets, scored)

    async def _run_in(self, thread: Executor, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, call, *arguments)
