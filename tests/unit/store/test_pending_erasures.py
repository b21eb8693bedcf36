"""Erasures that are applied and not committed yet, of a user whose partition has changed."""

import asyncio
from typing import Any

from streams.engine.planning.candidates import Erased
from streams.store.positions.pending_erasures import PendingErasures


class Session:
    """A table with the key (bundle, partition, user)."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, str], tuple[int, int]] = {}

    def prepare(self, query: str) -> str:
        return query.split()[0]

    async def request(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        _, partition, *rest = values
        if statement == "INSERT":
            user_id, epoch, offset = rest
            self.rows[partition, user_id] = (epoch, offset)
        elif statement == "DELETE":
            del self.rows[partition, rest[0]]
        return [(user, *row) for (at, user), row in self.rows.items() if at == partition]


def pending(session: Session) -> PendingErasures:
    return PendingErasures(session, "shop", "gru-1")  # type: ignore[arg-type]  # two methods of a session are enough


def test_each_partition_keeps_the_erasure_of_a_user() -> None:
    session = Session()
    found = pending(session)

    async def check() -> None:
        await found.add([Erased("ann", 0, 9), Erased("ann", 2, 5)], epoch=1)
        restarted = pending(session)
        await restarted.load([0, 2], comparable=[1])
        for one in (found, restarted):
            assert one.hides("ann", 0, 9)
            assert one.hides("ann", 2, 5)
            assert not one.hides("ann", 2, 6)
        await found.drop_passed({0: 10})
        assert not found.hides("ann", 0, 9)
        assert found.hides("ann", 2, 5)
        await found.drop_passed({2: 6})

    asyncio.run(check())
    assert session.rows == {}, "no entry stays behind"
