"""The positions of a partition: which one counts, and to which one a group goes back."""

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from streams.store.positions.stored_positions import (
    BEGINNING,
    CLOCKS_S,
    NO_POSITIONS,
    SLOTS,
    SNAPSHOT_S,
    Position,
    Positions,
    StoredPositions,
)

TOPIC, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)
HOUR_S = 1_700_000_000.0


class Session:
    """A table with the key (bundle, partition, slot)."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, int], tuple[Any, ...]] = {}

    def prepare(self, query: str) -> str:
        return query.split()[0]

    async def request(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        if statement == "INSERT":
            _, partition, slot, topic_id, offset, stored_at = values
            self.rows[partition, slot] = (topic_id, offset, stored_at.replace(tzinfo=None))  # as the driver gives it
        elif statement == "DELETE":
            del self.rows[values[1], values[2]]
        return [(*key, *row) for key, row in self.rows.items()]


def positions(session: Session) -> StoredPositions:
    return StoredPositions(session, "shop", "gru-1")  # type: ignore[arg-type]  # two methods of a session are enough


def test_a_partition_keeps_a_position_of_each_of_the_last_minutes() -> None:
    session = Session()

    async def check() -> None:
        stored = positions(session)
        await stored.begin(TOPIC, {0: 5, 1: 7})
        for second in range(0, 40 * 60, 20):  # the offset is the second
            await stored.advance(TOPIC, {0: second}, HOUR_S + second)
        known = await stored.load(TOPIC)
        assert len(known[0].known) == SLOTS + 1
        assert known[0].last() == 40 * 60 - 20
        assert SNAPSHOT_S + CLOCKS_S <= known[0].last() - known[0].before_snapshot() <= SNAPSHOT_S + CLOCKS_S + 60
        assert (known[1].last(), known[1].before_snapshot()) == (7, 7)
        assert await stored.load(OTHER) == {}, "offsets of another incarnation of the topic say nothing"

    asyncio.run(check())


def test_a_group_that_began_a_moment_before_the_snapshot_goes_back_to_its_beginning() -> None:
    known = Positions([Position(BEGINNING, 40, 0.0), Position(3, 90, HOUR_S), Position(4, 120, HOUR_S + 60)])
    assert (known.last(), known.before_snapshot()) == (120, 40)
    assert (NO_POSITIONS.last(), NO_POSITIONS.before_snapshot()) == (0, 0)


@pytest.mark.parametrize("behind_s", [-290, 0, 290])
def test_workers_whose_clocks_differ_go_back_far_enough(behind_s: float) -> None:
    """The clock of the worker that had the partition before is behind or ahead by almost five minutes."""
    session = Session()

    async def check() -> None:
        stored = positions(session)
        await stored.begin(TOPIC, {0: 5})
        for second in range(10, 30 * 60, 10):  # the offset is the second
            await stored.advance(TOPIC, {0: second}, HOUR_S + second - behind_s)
        for second in range(30 * 60, 35 * 60, 10):
            await stored.advance(TOPIC, {0: second}, HOUR_S + second)
        known = (await stored.load(TOPIC))[0]
        assert SNAPSHOT_S <= known.last() - known.before_snapshot() <= SNAPSHOT_S + 2 * CLOCKS_S + 60

    asyncio.run(check())


@pytest.mark.parametrize("back_to", [0, 100])
def test_no_position_is_ahead_of_where_a_group_has_gone_back_to(back_to: int) -> None:
    session = Session()

    async def check() -> None:
        stored = positions(session)
        await stored.begin(TOPIC, {0: 0})
        for minute in range(12):
            await stored.advance(TOPIC, {0: 50 * minute}, HOUR_S + 60 * minute)
        await stored.set_back(TOPIC, 0, (await stored.load(TOPIC))[0], back_to)
        known = (await stored.load(TOPIC))[0]
        assert max(one.offset for one in known.known) == known.last() == back_to

    asyncio.run(check())
    assert all(isinstance(at, datetime) and at.replace(tzinfo=UTC).year > 1969 for _, _, at in session.rows.values())
