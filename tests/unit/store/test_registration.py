"""Which worker writes item vectors and when, and what happens after a crash or a rebalance. The store is in memory."""

import asyncio
from collections.abc import Callable

import pytest

from streams.store.items import registration
from streams.store.items.registration import PARTITION, Registration

ITEMS = 25_000  # four stretches of 6,000 items and a smaller one


class MemoryVectors:
    """Keeps vectors and the mark as Cassandra would. `interrupt` is called in the middle of each stretch."""

    def __init__(self, interrupt: Callable[[int], None] = lambda stretch: None) -> None:
        self.written: set[int] = set()
        self.marks: list[int] = []
        self.stretches: list[tuple[int, int]] = []
        self._interrupt = interrupt
        self.is_active = False

    async def stored(self) -> int:
        return max(self.marks, default=0)

    async def write(self, start: int, end: int) -> None:
        self.stretches.append((start, end))
        self.written.update(range(start, (start + end) // 2))
        self._interrupt(len(self.stretches) - 1)
        await asyncio.sleep(0)
        self.written.update(range(start, end))

    async def mark(self, items: int) -> None:
        assert self.written >= set(range(items)), "only acknowledged vectors may be marked as stored"
        self.marks.append(items)

    async def activate(self, bundle_id: str) -> None:
        assert self.marks[-1] == ITEMS, "an active bundle must have all item vectors"
        self.is_active = True


@pytest.fixture(autouse=True)
def _short_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "POLL_S", 0.001)


def holds_first(partition: int) -> bool:
    return partition == PARTITION


def run(store: MemoryVectors, holds: Callable[[int], bool] = holds_first) -> Registration:
    """Run a registration until all vectors are stored."""
    made = Registration(store, store, "bundle", ITEMS, holds)
    asyncio.run(asyncio.wait_for(made.run(), timeout=10))
    return made


def test_all_vectors_are_written_once_and_each_stretch_is_marked() -> None:
    store = MemoryVectors()
    assert run(store).stored == ITEMS
    assert store.written == set(range(ITEMS))
    assert [end for _, end in store.stretches] == store.marks == [6_000, 12_000, 18_000, 24_000, 25_000]


def test_after_a_crash_the_registration_continues_from_the_last_mark() -> None:
    class CrashError(Exception):
        pass

    def crash(stretch: int) -> None:
        if stretch == 2:
            raise CrashError

    store = MemoryVectors(crash)
    with pytest.raises(CrashError):
        run(store)
    assert store.written != set(range(ITEMS))
    store.stretches.clear()
    store._interrupt = lambda stretch: None
    assert run(store).stored == ITEMS
    assert store.written == set(range(ITEMS))
    assert store.stretches[0] == (12_000, 18_000), "only the unfinished stretch is written again"
    store.stretches.clear()
    assert run(store).stored == ITEMS
    assert store.stretches == [], "nothing is written when all vectors are stored"
    assert store.is_active


def test_a_worker_without_the_partition_waits_and_then_continues_from_the_mark_of_another_worker() -> None:
    is_held = True
    polls_without_it = 0

    def lose(stretch: int) -> None:
        nonlocal is_held
        if stretch == 1:
            is_held = False

    def holds(partition: int) -> bool:
        """Tell whether the partition is held. After some polls, another worker has written and lost the partition."""
        nonlocal is_held, polls_without_it
        if not is_held:
            polls_without_it += 1
            if polls_without_it == 5:
                assert len(store.stretches) == 2, "the worker wrote without the partition"
                store.written.update(range(18_000))
                store.marks.append(18_000)
                is_held = True
        return holds_first(partition) and is_held

    store = MemoryVectors(lose)
    run(store, holds)
    assert store.written == set(range(ITEMS))
    assert store.stretches == [(0, 6_000), (6_000, 12_000), (18_000, 24_000), (24_000, 25_000)]


def test_a_worker_of_other_partitions_writes_nothing_and_stops_at_once() -> None:
    store = MemoryVectors()

    async def play() -> None:
        polls = asyncio.Semaphore(0)

        def holds(partition: int) -> bool:
            polls.release()
            return partition != PARTITION

        made = Registration(store, store, "bundle", ITEMS, holds)
        task = asyncio.create_task(made.run())
        for _ in range(5):
            await polls.acquire()
        await made.stop()
        assert task.cancelled()

    asyncio.run(asyncio.wait_for(play(), timeout=10))
    assert (store.stretches, store.marks) == ([], [])


def test_a_registration_that_is_stopped_before_its_first_turn_does_not_use_the_store() -> None:
    store = MemoryVectors()

    async def play() -> None:
        made = Registration(store, store, "bundle", ITEMS, holds_first)
        task = asyncio.create_task(made.run())
        await made.stop()
        await task

    asyncio.run(asyncio.wait_for(play(), timeout=10))
    assert (store.stretches, store.marks, store.is_active) == ([], [], False)
