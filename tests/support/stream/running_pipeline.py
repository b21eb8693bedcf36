"""A running pipeline whose store and publisher are in memory and take some time to answer."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from streams.engine.arena import StoredUser
from streams.engine.codec import ContractDecoder, RecordDecoder
from streams.engine.outputs import OutputEncoder
from streams.engine.planning.candidates import Erased
from streams.engine.planning.rows import Rows
from streams.health.metrics import WorkerMetrics
from streams.worker.in_order import InFlight
from streams.worker.intake import Delivery, Intake
from streams.worker.pipeline import Pipeline
from streams.worker.residency import Residency
from tests.support.processing import ITEMS, Record, processor, stored_users

# The times that answers take, so that answers come in a realistic order. Tests wait for events, not for these times.
READ_S, WRITE_S, ERASE_S, PUBLISH_S, UPDATE_S = 0.002, 0.002, 0.002, 0.02, 0.005


class SlowStore:
    """Keeps rows in memory, as `UserRows` keeps rows in Cassandra."""

    def __init__(self) -> None:
        self.users: dict[str, StoredUser] = {}

    async def read(self, user_ids: Sequence[str]) -> list[StoredUser]:
        await asyncio.sleep(READ_S)
        return [self.users[user] for user in user_ids if user in self.users]

    def hides(self, user_id: str, partition: int, offset: int) -> bool:
        return False

    async def erase(self, erased: Sequence[Erased], generation_id: int) -> None:
        await asyncio.sleep(ERASE_S)
        for user_id, _, offset in erased:
            if (row := self.users.get(user_id)) is not None and row.offset < offset:
                del self.users[user_id]

    def encode(self, rows: Rows, state: Any, vectors: Any, generation_id: int, now_ms: int) -> dict[str, StoredUser]:
        return stored_users(rows, state, vectors)

    async def write(self, rows: dict[str, StoredUser]) -> None:
        await asyncio.sleep(WRITE_S)
        self.users |= rows


class SlowPublisher:
    """Keeps the number of published evaluation events."""

    def __init__(self, update_s: float = UPDATE_S) -> None:
        self.evaluations: list[Any] = []
        self._update_s = update_s

    def record_batches(self, outputs: Iterable[Any], headers: Iterable[Any]) -> list[Any]:
        return list(outputs)

    async def publish(self, evaluations: list[Any], dead_letters: Iterable[Any]) -> None:
        await asyncio.sleep(PUBLISH_S)
        self.evaluations += evaluations

    async def update(self, updates: Any) -> None:
        await asyncio.sleep(self._update_s)


class NoRebuild:
    async def rebuild(self, partition: int, user_ids: Sequence[str], end: int) -> list[StoredUser]:
        raise AssertionError("no row is damaged")


class Running:
    """A pipeline over a small processor, with what a test needs to feed and watch the pipeline."""

    def __init__(
        self,
        store: Any,
        publisher: Any,
        capacity: int,
        most_events: int,
        threads: list[Any],
        make_pipeline: Callable[..., Pipeline],
        decoder: RecordDecoder,
    ) -> None:
        metrics, target = WorkerMetrics(), processor(capacity)
        self.metrics = metrics
        self.in_flight = InFlight()
        self.intake = Intake(most_events)
        self.residency = Residency(target, store, NoRebuild(), self.in_flight, metrics, threads[0], decoder)
        self.pipeline = make_pipeline(
            intake=self.intake,
            processor=target,
            residency=self.residency,
            encoder=OutputEncoder("events", "gru-1", ITEMS, places=0, share=1),
            publisher=publisher,
            rows=store,
            in_flight=self.in_flight,
            metrics=metrics,
            processor_thread=threads[0],
            scorer_thread=threads[1],
        )

    async def offer(self, partition: int, *records: Record, ack: Callable[[], Any] = lambda: None) -> None:
        await self.intake.offer(Delivery(partition, 1, records, ack=ack, is_current=lambda: True))

    async def confirmed(self) -> None:
        """Return when every offered record is processed and acknowledged."""
        await self.intake.drained()
        await self.in_flight.until(lambda: self.in_flight.batches == 0)


@contextmanager
def threads() -> Iterator[list[ThreadPoolExecutor]]:
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        yield [first, second]


def run_pipeline(
    play: Callable[[Running], Awaitable[None]],
    store: Any,
    publisher: Any = None,
    capacity: int = 100,
    most_events: int = 1_000,
    is_running: bool = True,
    make_pipeline: Callable[..., Pipeline] = Pipeline,
    decoder: RecordDecoder | None = None,
) -> None:
    """Play against a pipeline, which is running by default. Raises what the pipeline failed with."""

    async def main(given: list[Any]) -> None:
        running = Running(
            store,
            publisher or SlowPublisher(),
            capacity,
            most_events,
            given,
            make_pipeline,
            decoder or ContractDecoder(),
        )
        carrying = asyncio.create_task(running.pipeline.run() if is_running else asyncio.Event().wait())
        playing = asyncio.ensure_future(play(running))
        done, _ = await asyncio.wait({carrying, playing}, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        assert done, "the pipeline hangs"
        for task in done:
            task.result()
        carrying.cancel()

    with threads() as given:
        asyncio.run(main(given))
