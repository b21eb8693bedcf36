"""The order in which batches are confirmed, with a store and a publisher in memory whose answers take time."""

import asyncio
import random
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import pytest

from streams.config.errors import SettingsError
from streams.engine.arena import StoredUser
from streams.worker.intake import Batch, Delivery
from streams.worker.pipeline import DRAW_INTERVAL_S
from tests.support.processing import record
from tests.support.stream.running_pipeline import Running, SlowPublisher, SlowStore, run_pipeline


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

    run_pipeline(play, store)
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

    run_pipeline(play, store)
    assert store.users["u"].steps == 1


def test_room_is_made_as_soon_as_rows_are_stored_however_long_their_updates_take() -> None:
    async def play(running: Running) -> None:
        for number, users in enumerate(("abcd", "efgh")):
            await running.offer(0, *(record(number * 4 + i, user, "i1", user, 0) for i, user in enumerate(users)))
            await running.intake.drained()

    run_pipeline(play, SlowStore(), SlowPublisher(update_s=60), capacity=4)


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

    run_pipeline(play, store, publisher, capacity=13, most_events=size)
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

    run_pipeline(play, Store(), Publisher())
    assert steps == ["published 2", "published 1", "written", "written"]


def test_a_failed_batch_ends_the_pipeline_with_its_error() -> None:
    class Refusing(SlowStore):
        async def write(self, rows: dict[str, StoredUser]) -> None:
            raise RuntimeError("the store is away")

    async def play(running: Running) -> None:
        await running.offer(0, record(0, "u", "i1", "e", 0))
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="the store is away"):
        run_pipeline(play, Refusing())


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

    run_pipeline(play, store, is_running=False)
    assert acked == [0]
    assert "first" in store.users


def test_a_stop_breaks_off_the_batches_of_a_crashed_worker() -> None:
    """The outputs are closed next. A batch would fail on them, and the log would name a second reason of the crash."""
    acked: list[int] = []

    class Store(SlowStore):
        def __init__(self) -> None:
            super().__init__()
            self.is_writing = asyncio.Event()

        async def write(self, rows: dict[str, StoredUser]) -> None:
            self.is_writing.set()
            await asyncio.Event().wait()

    store = Store()

    async def play(running: Running) -> None:
        carrying = asyncio.create_task(running.pipeline.run())
        await running.offer(0, record(0, "u", "i1", "e", 0), ack=lambda: acked.append(0))
        await store.is_writing.wait()
        running.pipeline.stop()
        with pytest.raises(asyncio.CancelledError):
            await carrying
        await running.in_flight.until(lambda: running.in_flight.batches == 0)

    run_pipeline(play, store, is_running=False)
    assert (store.users, acked) == ({}, [])


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

    run_pipeline(play, store)
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

    run_pipeline(play, store, capacity=4)


def test_an_arena_that_is_too_small_for_a_batch_is_an_error_that_names_the_settings() -> None:
    async def play(running: Running) -> None:
        await running.offer(0, *(record(i, user, "i1", user, 0) for i, user in enumerate("abcde")))
        await running.confirmed()

    with pytest.raises(SettingsError, match="a batch needs 5 new users and the arena holds 4: raise arena_max_users"):
        run_pipeline(play, SlowStore(), capacity=4)


@pytest.mark.parametrize("is_hidden", [True, False])
def test_an_evicted_user_whose_row_is_gone_is_rebuilt(is_hidden: bool) -> None:
    """The row was lost, or an erasure at a later offset, which is read again, has deleted the row."""

    class LosesRows(SlowStore):
        def hides(self, user_id: str, partition: int, offset: int) -> bool:
            return is_hidden and (user_id, partition, offset) == ("a", 0, 6)

    class Rebuilds:
        def __init__(self) -> None:
            self.calls: list[tuple[int, list[str], int]] = []

        async def rebuild(self, partition: int, user_ids: Sequence[str], end: int) -> list[StoredUser]:
            self.calls.append((partition, list(user_ids), end))
            return [lost]

    store, rebuilder = LosesRows(), Rebuilds()
    lost: Any = None

    async def play(running: Running) -> None:
        nonlocal lost
        running.residency._rebuilder = rebuilder
        await running.offer(0, record(0, "a", "i1", "e0", 0), record(1, "a", "i2", "e1", 1))
        await running.confirmed()
        await running.offer(0, *(record(2 + i, user, "i1", user, 0) for i, user in enumerate("bcde")))
        await running.confirmed()  # "a" is evicted.
        lost = store.users.pop("a")
        await running.offer(0, record(6, "a", "i1", "e6", 6), record(7, "new", "i1", "e7", 7))
        await running.confirmed()

    run_pipeline(play, store, capacity=4)
    assert rebuilder.calls == [(0, ["a"], 6)]
    assert (store.users["a"].steps, store.users["new"].steps) == (3, 1)


def test_a_batch_that_is_not_current_any_more_changes_nothing() -> None:
    store, acked = SlowStore(), []

    async def play(running: Running) -> None:
        records = [record(0, "u", "i1", "e", 0)]
        await running.intake.offer(Delivery(0, 1, records, lambda: acked.append(0), is_current=lambda: False))
        await running.intake.drained()
        assert running.in_flight.processed == 0
        await running.offer(0, record(0, "u", "i1", "e", 0))
        await running.confirmed()

    run_pipeline(play, store)
    assert (store.users["u"].steps, acked) == (1, [])


def test_a_batch_is_drawn_at_once_after_an_idle_time_and_an_interval_after_the_batch_before() -> None:
    drawn_s: list[float] = []

    async def play(running: Running) -> None:
        await running.offer(0, record(0, "a", "i1", "e0", 0))
        offered_s = time.perf_counter()
        async for batch in running.pipeline.draw():
            drawn_s.append(batch.drawn_at_s - offered_s)
            running.intake.release(batch)
            if len(drawn_s) == 3:
                return
            await running.offer(0, record(len(drawn_s), "a", "i1", f"e{len(drawn_s)}", 0))

    run_pipeline(play, SlowStore(), is_running=False)
    assert drawn_s[0] < DRAW_INTERVAL_S
    assert drawn_s[2] - drawn_s[0] >= 2 * DRAW_INTERVAL_S
