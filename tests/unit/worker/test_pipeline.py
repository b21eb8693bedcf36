"""The order in which batches are confirmed, with a store and a publisher in memory whose answers take time."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from streams.engine.arena import StoredUser
from streams.engine.outputs import OutputEncoder
from streams.engine.planning.rows import Rows
from streams.health.metrics import WorkerMetrics
from streams.worker.in_order import InFlight
from streams.worker.intake import Batch, Delivery, Intake
from streams.worker.pipeline import Pipeline
from streams.worker.residency import Residency
from tests.support.processing import ITEMS, Record, processor, record, stored_users

READ_S, WRITE_S, ERASE_S, PUBLISH_S, UPDATE_S = 0.002, 0.002, 0.002, 0.02, 0.005


class SlowStore:
    """Keeps rows in memory, as `UserRows` keeps rows in Cassandra."""

    def __init__(self) -> None:
        self.users: dict[str, StoredUser] = {}

    async def read(self, user_ids: Sequence[str]) -> list[StoredUser]:
        await asyncio.sleep(READ_S)
        return [self.users[user] for user in user_ids if user in self.users]

    async def erase(self, erased: Sequence[tuple[str, int]], generation_id: int) -> None:
        await asyncio.sleep(ERASE_S)
        for user_id, offset in erased:
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

    def record_batches(self, outputs: Iterable[Any]) -> list[Any]:
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

    def __init__(self, store: Any, publisher: Any, capacity: int, most_events: int, threads: list[Any]) -> None:
        metrics, target = WorkerMetrics(), processor(capacity)
        self.in_flight = InFlight()
        self.intake = Intake(most_events)
        self.residency = Residency(target, store, NoRebuild(), self.in_flight, metrics, threads[0])
        self.pipeline = Pipeline(
            intake=self.intake,
            processor=target,
            residency=self.residency,
            encoder=OutputEncoder("events", "gru-1", ITEMS, share=1),
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


def run(
    play: Callable[[Running], Awaitable[None]],
    store: Any,
    publisher: Any = None,
    capacity: int = 100,
    most_events: int = 1_000,
    is_running: bool = True,
) -> None:
    """Play against a pipeline, which is running by default. Raises what the pipeline failed with."""

    async def main(given: list[Any]) -> None:
        running = Running(store, publisher or SlowPublisher(), capacity, most_events, given)
        carrying = asyncio.create_task(running.pipeline.run() if is_running else asyncio.Event().wait())
        playing = asyncio.ensure_future(play(running))
        done, _ = await asyncio.wait({carrying, playing}, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        assert done, "the pipeline hangs"
        for task in done:
            task.result()
        carrying.cancel()

    with threads() as given:
        asyncio.run(main(given))


def test_an_event_right_after_an_erasure_finds_no_history() -> None:
    """The row is still stored when the event's batch is restored, because the erasure is published first."""
    store = SlowStore()

    async def play(running: Running) -> None:
        await running.offer(0, *(record(i, "u", "i1", f"e{i}", i) for i in range(5)))
        await running.confirmed()
        assert store.users["u"].steps == 5
        await running.offer(0, record(5, "u", None, "", 0))
        await running.intake.drained()  # The erasure is processed and not stored.
        await running.offer(0, record(6, "u", "i2", "e6", 6))
        await running.confirmed()

    run(play, store)
    assert store.users["u"].steps == 1


def test_a_row_that_is_read_while_its_user_is_erased_brings_no_history_back() -> None:
    """A batch with a stray event of the user reads the user's row slowly, while the user's own partition erases it."""

    class SlowReads(SlowStore):
        def __init__(self) -> None:
            super().__init__()
            self.has_read, self.may_answer = asyncio.Event(), asyncio.Event()

        async def read(self, user_ids: Sequence[str]) -> list[StoredUser]:
            rows = await super().read(user_ids)
            if "x" in user_ids:
                self.has_read.set()
                await self.may_answer.wait()
            return rows

    store = SlowReads()

    async def play(running: Running) -> None:
        await running.offer(0, *(record(i, "u", "i1", f"e{i}", i) for i in range(5)))
        await running.confirmed()
        await running.residency.drop_partitions([0])
        await running.offer(1, record(0, "x", "i1", "ex", 0), record(1, "u", "i1", "stray", 0))
        await store.has_read.wait()
        await running.offer(0, record(5, "u", None, "", 0))
        await running.in_flight.until(lambda: running.in_flight.stored == running.in_flight.processed == 2)
        store.may_answer.set()
        await running.confirmed()
        await running.offer(0, record(6, "u", "i2", "e6", 6))
        await running.confirmed()

    run(play, store)
    assert store.users["u"].steps == 1


def test_room_is_made_as_soon_as_rows_are_stored_however_long_their_updates_take() -> None:
    async def play(running: Running) -> None:
        for number, users in enumerate(("abcd", "efgh")):
            await running.offer(0, *(record(number * 4 + i, user, "i1", user, 0) for i, user in enumerate(users)))
            await running.intake.drained()

    run(play, SlowStore(), SlowPublisher(update_s=60), capacity=4)


@pytest.mark.parametrize("seed", range(5))
def test_partitions_side_by_side_in_a_crowded_memory_apply_each_event_once(seed: int) -> None:
    """The memory has room for one batch's users and few more, so nearly every batch evicts some users."""
    partitions, users, batches, size = 3, 12, 12, 8
    draw = random.Random(seed)
    store, publisher = SlowStore(), SlowPublisher()
    steps: dict[str, int] = {}
    acked: list[int] = []

    async def play(running: Running) -> None:
        for number in range(batches * partitions):
            partition = number % partitions
            names = [f"{partition}-{draw.randrange(users)}" for _ in range(size)]
            offsets = range(number * size, number * size + size)
            records = [record(i, user, "i1", f"e{i}", i) for i, user in zip(offsets, names, strict=True)]
            for user in names:
                steps[user] = steps.get(user, 0) + 1
            await running.offer(partition, *records, ack=partial(acked.append, number))
            if draw.random() < 0.3:
                await running.intake.drained()
        await running.confirmed()

    run(play, store, publisher, capacity=13, most_events=size)
    assert {user: row.steps for user, row in store.users.items()} == steps
    assert len(publisher.evaluations) == batches * partitions * size
    assert sorted(acked) == list(range(batches * partitions))


def test_rows_are_written_after_their_evaluation_events_and_those_of_every_batch_before() -> None:
    """The first batch is published after the second batch."""
    steps: list[str] = []
    second_is_published = asyncio.Event()

    class Publisher(SlowPublisher):
        first = True

        async def publish(self, evaluations: list[Any], dead_letters: Iterable[Any]) -> None:
            is_first, self.first = self.first, False
            if is_first:
                await second_is_published.wait()
            steps.append("published 1" if is_first else "published 2")
            if not is_first:
                second_is_published.set()

    class Store(SlowStore):
        async def write(self, rows: dict[str, StoredUser]) -> None:
            steps.append("written")

    async def play(running: Running) -> None:
        for number in range(2):
            await running.offer(number, record(0, f"u{number}", "i1", f"e{number}", 0))
            await running.intake.drained()
        await running.confirmed()

    run(play, Store(), Publisher())
    assert steps == ["published 2", "published 1", "written", "written"]


def test_a_failed_batch_ends_the_pipeline_with_its_error() -> None:
    class Refusing(SlowStore):
        async def write(self, rows: dict[str, StoredUser]) -> None:
            raise RuntimeError("the store is away")

    async def play(running: Running) -> None:
        await running.offer(0, record(0, "u", "i1", "e", 0))
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="the store is away"):
        run(play, Refusing())


def test_a_batch_before_the_failed_batch_is_confirmed_and_a_batch_behind_it_fails() -> None:
    acked: list[int] = []

    class Store(SlowStore):
        def __init__(self) -> None:
            super().__init__()
            self.second_failed = asyncio.Event()

        async def write(self, rows: dict[str, StoredUser]) -> None:
            if "second" in rows:
                self.second_failed.set()
                raise RuntimeError("the store refuses a row")
            await self.second_failed.wait()
            await super().write(rows)

    store = Store()

    async def play(running: Running) -> None:
        carrying = asyncio.create_task(running.pipeline.run())
        await running.offer(0, record(0, "first", "i1", "e0", 0), ack=lambda: acked.append(0))
        await running.intake.drained()
        await running.offer(1, record(0, "second", "i1", "e1", 0), ack=lambda: acked.append(1))
        await running.intake.drained()
        await running.offer(2, record(0, "third", "i1", "e2", 0), ack=lambda: acked.append(2))
        with pytest.raises(RuntimeError, match="refuses a row"):
            await carrying
        await running.in_flight.until(lambda: running.in_flight.batches == 0)

    run(play, store, is_running=False)
    assert acked == [0]
    assert "first" in store.users


def test_a_batch_whose_users_were_dropped_after_the_look_at_the_memory_changes_nothing() -> None:
    """An application that crashes in a rebalance drops partitions while batches are in flight, in one generation."""
    store, acked = SlowStore(), []

    async def play(running: Running) -> None:
        await running.offer(0, *(record(i, "u", "i1", f"e{i}", i) for i in range(5)))
        await running.confirmed()
        batch = Batch([Delivery(0, 1, [record(5, "u", "i1", "e5", 5)], lambda: acked.append(5), lambda: True)])
        async with running.pipeline.restore(batch) as restored:
            await running.residency.drop_partitions([0])
            assert await running.pipeline.process(batch, restored) is None

    run(play, store)
    assert (store.users["u"].steps, acked) == (5, [])


def test_no_batch_is_drawn_while_users_are_evicted() -> None:
    """A batch that waits for the eviction would miss the records that come meanwhile."""

    class SlowReads(SlowStore):
        def __init__(self) -> None:
            super().__init__()
            self.has_asked, self.may_answer = asyncio.Event(), asyncio.Event()

        async def read(self, user_ids: Sequence[str]) -> list[StoredUser]:
            if "e" in user_ids:
                self.has_asked.set()
                await self.may_answer.wait()
            return await super().read(user_ids)

    store = SlowReads()

    async def play(running: Running) -> None:
        await running.offer(0, *(record(i, user, "i1", user, 0) for i, user in enumerate("abcd")))
        await running.confirmed()
        await running.offer(0, *(record(4 + i, user, "i1", user, 0) for i, user in enumerate("efgh")))
        await store.has_asked.wait()
        for offset, user in enumerate("aef"):
            await running.offer(1, record(offset, user, "i1", f"1-{user}", 0))
            for _ in range(20):
                await asyncio.sleep(0)
        assert [len(waiting) for waiting in running.intake._waiting.values()] == [3]
        store.may_answer.set()
        await running.confirmed()

    run(play, store, capacity=4)


def test_a_batch_that_is_not_current_any_more_changes_nothing() -> None:
    store, acked = SlowStore(), []

    async def play(running: Running) -> None:
        records = [record(0, "u", "i1", "e", 0)]
        await running.intake.offer(Delivery(0, 1, records, lambda: acked.append(0), is_current=lambda: False))
        await running.intake.drained()
        assert running.in_flight.processed == 0
        await running.offer(0, record(0, "u", "i1", "e", 0))
        await running.confirmed()

    run(play, store)
    assert (store.users["u"].steps, acked) == (1, [])
