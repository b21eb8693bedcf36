"""The order in which batches are confirmed, with a store and a publisher in memory whose answers take their time."""

import asyncio
import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from streams.broker.publisher import Encoded
from streams.engine.arena import StoredUser
from streams.engine.planning.rows import Rows
from streams.health.metrics import Measures
from streams.worker.intake import Delivery, Intake
from streams.worker.pipeline import Pipeline
from tests.support.processing import Record, processor, record, stored_users


class SlowStore:
    def __init__(self) -> None:
        self.users: dict[str, StoredUser] = {}

    async def read(self, user_ids: Sequence[str]) -> list[StoredUser]:
        await asyncio.sleep(0.002)
        return [self.users[user] for user in user_ids if user in self.users]

    async def erase(self, erased: Sequence[tuple[str, int]], generation_id: int) -> None:
        await asyncio.sleep(0.002)
        for user_id, offset in erased:
            if (row := self.users.get(user_id)) is not None and row.offset < offset:
                del self.users[user_id]

    def encode(self, rows: Rows, state: Any, vectors: Any, generation_id: int, now_ms: int) -> dict[str, StoredUser]:
        return stored_users(rows, state, vectors)

    async def write(self, rows: dict[str, StoredUser]) -> None:
        await asyncio.sleep(0.002)
        self.users |= rows


class SlowPublisher:
    def __init__(self) -> None:
        self.evaluated: list[str] = []

    def encode(self, result: Any) -> Encoded:
        return Encoded([], {})

    async def publish(self, evaluations: Any, result: Any) -> None:
        await asyncio.sleep(0.02)
        self.evaluated += [event.event_id for event in result.columns.event]

    async def update(self, updates: Any) -> None:
        await asyncio.sleep(0.005)


async def no_rebuild(partition: int, user_ids: Sequence[str], end: int) -> list[StoredUser]:
    raise AssertionError("no row is damaged")


def test_an_event_right_after_an_erasure_finds_no_history() -> None:
    """The row is still stored when the event's batch comes: the erasure is published first, and that takes a while."""
    store = SlowStore()

    async def run() -> None:
        pipeline = Pipeline(processor(), store, SlowPublisher(), Measures(), no_rebuild)

        async def take(*records: Record) -> None:
            await pipeline.take(lambda: [Delivery(0, 1, records, ack=lambda: None, is_current=lambda: True)])

        await take(*(record(i, "u", "i1", f"e{i}", i) for i in range(5)))
        await asyncio.sleep(0.1)
        assert store.users["u"].steps == 5
        await take(record(5, "u", None, "", 0))
        await take(record(6, "u", "i2", "e6", 6))
        await asyncio.sleep(0.1)

    asyncio.run(run())
    assert store.users["u"].steps == 1


def test_a_row_that_is_read_while_its_user_is_erased_brings_no_history_back() -> None:
    """A batch with a stray event of the user reads its row, slowly; meanwhile the user's own partition erases it."""
    store = SlowStore()

    async def run() -> None:
        pipeline = Pipeline(processor(), store, SlowPublisher(), Measures(), no_rebuild)

        async def take(partition: int, *records: Record) -> None:
            await pipeline.take(lambda: [Delivery(partition, 1, records, ack=lambda: None, is_current=lambda: True)])

        await take(0, *(record(i, "u", "i1", f"e{i}", i) for i in range(5)))
        await asyncio.sleep(0.1)
        await pipeline.drop_partitions([0])
        read = store.read

        async def read_slowly(user_ids: Sequence[str]) -> list[StoredUser]:
            rows = await read(user_ids)
            await asyncio.sleep(0.05 if "x" in user_ids else 0)
            return rows

        store.read = read_slowly
        stray = asyncio.create_task(take(1, record(0, "x", "i1", "ex", 0), record(1, "u", "i1", "stray", 0)))
        await asyncio.sleep(0.01)
        await take(0, record(5, "u", None, "", 0))
        await stray
        await take(0, record(6, "u", "i2", "e6", 6))
        await asyncio.sleep(0.15)

    asyncio.run(run())
    assert store.users["u"].steps == 1


def test_room_is_made_as_soon_as_rows_are_stored_whatever_their_updates_take() -> None:
    class SlowUpdates(SlowPublisher):
        async def update(self, updates: Any) -> None:
            await asyncio.sleep(2)

    async def run() -> None:
        pipeline = Pipeline(processor(capacity=4), SlowStore(), SlowUpdates(), Measures(), no_rebuild)
        for number, users in enumerate(("abcd", "efgh")):
            records = [record(number * 4 + i, user, "i1", user, 0) for i, user in enumerate(users)]
            await pipeline.take(lambda given=records: [Delivery(0, 1, given, lambda: None, lambda: True)])

    asyncio.run(asyncio.wait_for(run(), timeout=1))


@pytest.mark.parametrize("seed", range(5))
def test_partitions_side_by_side_in_a_crowded_memory_apply_each_event_once(seed: int) -> None:
    """There is room for one batch's users and few more, so that every batch has to make some."""
    partitions, users, batches, size = 3, 12, 12, 8
    draw = random.Random(seed)
    store, publisher = SlowStore(), SlowPublisher()
    steps: dict[str, int] = {}
    acked = []

    async def run() -> None:
        pipeline = Pipeline(processor(capacity=13), store, publisher, Measures(), no_rebuild)
        intake = Intake(pipeline.take, most_events=size)
        for number in range(batches * partitions):
            partition = number % partitions
            names = [f"{partition}-{draw.randrange(users)}" for _ in range(size)]
            offsets = range(number * size, number * size + size)
            records = [record(i, user, "i1", f"e{i}", i) for i, user in zip(offsets, names, strict=True)]
            for user in names:
                steps[user] = steps.get(user, 0) + 1
            await intake.offer(Delivery(partition, 1, records, partial(acked.append, number), lambda: True))
            await asyncio.sleep(draw.choice((0, 0, 0.01)))
        await intake.idle()
        await asyncio.sleep(0.2)  # several times what the last batch's confirmation takes

    asyncio.run(asyncio.wait_for(run(), timeout=30))
    assert {user: row.steps for user, row in store.users.items()} == steps
    assert sorted(publisher.evaluated) == sorted(f"e{i}" for i in range(batches * partitions * size))
    assert sorted(acked) == list(range(batches * partitions))
