"""When item vectors are written, by whom, and what a crash or a rebalance leaves to do. The store is in memory."""

import asyncio
from collections.abc import Callable

import pytest

from streams.worker import registration
from streams.worker.registration import PARTITION, Registration

ITEMS = 25_000  # four stretches and a part of one


class ItemsInMemory:
    """What a Store keeps; `interrupt` is called before each stretch with the number of those before it."""

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
        self._interrupt(len(self.stretches) - 1)  # in the midst of it
        await asyncio.sleep(0)
        self.written.update(range(start, end))

    async def mark(self, items: int) -> None:
        assert self.written >= set(range(items)), "a mark is set behind what is acknowledged"
        self.marks.append(items)

    async def activate(self, bundle_id: str) -> None:
        assert self.marks[-1] == ITEMS, "readers find a bundle active that lacks item vectors"
        self.is_active = True


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "POLL_S", 0.001)


def holds_first(partition: int) -> bool:
    return partition == PARTITION


def run(store: ItemsInMemory, holds: Callable[[int], bool] = holds_first) -> Registration:
    made = Registration(store, store, "bundle", ITEMS, holds)
    asyncio.run(asyncio.wait_for(made.run(), timeout=10))
    return made


def test_all_vectors_are_written_once_and_marked_a_stretch_at_a_time() -> None:
    store = ItemsInMemory()
    assert run(store).stored == ITEMS
    assert store.written == set(range(ITEMS))
    assert [end for _, end in store.stretches] == store.marks == [6_000, 12_000, 18_000, 24_000, 25_000]


def test_a_crash_in_the_midst_is_gone_on_from_the_last_mark() -> None:
    class CrashError(Exception):
        pass

    def crash(stretch: int) -> None:
        if stretch == 2:
            raise CrashError

    store = ItemsInMemory(crash)
    with pytest.raises(CrashError):
        run(store)
    assert store.written != set(range(ITEMS))
    store.stretches.clear()
    store._interrupt = lambda stretch: None
    assert run(store).stored == ITEMS
    assert store.written == set(range(ITEMS))
    assert store.stretches[0] == (12_000, 18_000), "the half-finished one again, those before it not"
    store.stretches.clear()
    assert run(store).stored == ITEMS
    assert store.stretches == [], "a bundle that is there is left alone"
    assert store.is_active


def test_it_rests_without_the_partition_and_goes_on_from_where_another_worker_came_to() -> None:
    held = {True}

    def lose(stretch: int) -> None:
        if stretch == 1:
            held.clear()
            asyncio.get_running_loop().call_later(0.05, come_back)

    def come_back() -> None:
        assert len(store.stretches) == 2, "it went on without the partition"
        store.written.update(range(18_000))
        store.marks.append(18_000)  # the other worker's
        held.add(True)

    store = ItemsInMemory(lose)
    run(store, lambda partition: holds_first(partition) and bool(held))
    assert store.written == set(range(ITEMS))
    assert store.stretches == [(0, 6_000), (6_000, 12_000), (18_000, 24_000), (24_000, 25_000)]


def test_a_worker_of_other_partitions_writes_nothing_and_stops_at_once() -> None:
    store = ItemsInMemory()

    async def play() -> None:
        made = Registration(store, store, "bundle", ITEMS, lambda partition: partition != PARTITION)
        task = asyncio.create_task(made.run())
        await asyncio.sleep(0.02)
        await made.stop()
        assert task.cancelled()

    asyncio.run(asyncio.wait_for(play(), timeout=10))
    assert (store.stretches, store.marks) == ([], [])


def test_a_stop_before_its_first_turn_keeps_it_from_the_store() -> None:
    store = ItemsInMemory()

    async def play() -> None:
        made = Registration(store, store, "bundle", ITEMS, holds_first)
        task = asyncio.create_task(made.run())
        await made.stop()
        await task

    asyncio.run(asyncio.wait_for(play(), timeout=10))
    assert (store.stretches, store.marks, store.is_active) == ([], [], False)
