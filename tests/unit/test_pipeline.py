"""The order in which batches are confirmed, with a store and a publisher in memory whose answers take their time."""

import asyncio
from collections.abc import Sequence
from typing import Any

from streams.agents import Pipeline
from streams.arena import StoredUser
from streams.intake import Delivery
from streams.measures import Measures
from tests.unit.test_processor import Record, processor, record, stored


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

    async def write(self, partition: int, users: Sequence[Any], state: Any, vectors: Any, *_: int, now_ms: int) -> None:
        await asyncio.sleep(0.002)
        for row, state_row, vector in zip(users, state, vectors, strict=True):
            self.users[row.user_id] = stored(partition, row, state_row, vector)


class SlowPublisher:
    async def publish(self, partition: int, result: Any) -> None:
        await asyncio.sleep(0.02)

    async def update(self, partition: int, result: Any) -> None:
        await asyncio.sleep(0.005)


async def no_rebuild(partition: int, user_ids: Sequence[str], end: int) -> list[StoredUser]:
    raise AssertionError("no row is damaged")


def test_an_event_right_after_an_erasure_finds_no_history() -> None:
    """The row is still stored when the event's batch comes: the erasure is published first, and that takes a while."""
    store = SlowStore()

    async def run() -> None:
        pipeline = Pipeline(processor(), store, SlowPublisher(), Measures(), no_rebuild)  # type: ignore[arg-type]

        async def take(*records: Record) -> None:
            await pipeline.take(Delivery(0, 1, records, ack=lambda: None, is_current=lambda: True))

        await take(*(record(i, "u", "i1", f"e{i}", i) for i in range(5)))
        await asyncio.sleep(0.1)
        assert store.users["u"].steps == 5
        await take(record(5, "u", None, "", 0))
        await take(record(6, "u", "i2", "e6", 6))
        await asyncio.sleep(0.1)

    asyncio.run(run())
    assert store.users["u"].steps == 1
