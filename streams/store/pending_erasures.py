"""Erasures that are applied and not committed yet: a replay reads the user's earlier events again, and finds no row.

An erasure deletes the user's row before the erasure is committed. A worker that crashes in between reads the user's
events before the erasure again, and would take the user for a new one: the evaluation events would carry no history,
and an event that a producer sent twice would be applied twice. So each erasure is entered in a table before the row is
deleted, and taken out after its commit.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence

from streams.engine.arena import NO_OFFSET
from streams.engine.planning.candidates import Erased
from streams.store.cql_schema import PENDING_ERASURES_TABLE
from streams.store.session import Session


class PendingErasures:
    """The pending erasures of one bundle in the partitions that this worker owns. Not for several threads."""

    def __init__(self, session: Session, keyspace: str, bundle_id: str) -> None:
        """Prepare the statements. The table must exist. Blocks. Raises StoreError."""
        table = f"{keyspace}.{PENDING_ERASURES_TABLE}"
        key = "bundle_id = ? AND partition = ?"
        self._session = session
        self._bundle_id = bundle_id
        # The last one of a user in a partition. A user whose partition has changed may have one in each.
        self._pending: dict[tuple[str, int], Erased] = {}
        self._insert = session.prepare(
            f"INSERT INTO {table} (bundle_id, partition, user_id, epoch, offset) VALUES (?, ?, ?, ?, ?)"
        )
        self._select = session.prepare(f"SELECT user_id, epoch, offset FROM {table} WHERE {key}")
        self._delete = session.prepare(f"DELETE FROM {table} WHERE {key} AND user_id = ?")

    async def load(self, partitions: Collection[int], passed: Mapping[int, int], comparable: Collection[int]) -> None:
        """Read what is pending in these partitions, and forget all others. Raises StoreError.

        passed: by partition, the offset before which nothing is read again. comparable: the epochs of the present
        incarnation of the topic.
        """
        order = sorted(partitions)
        results = await asyncio.gather(*(self._session.request(self._select, (self._bundle_id, p)) for p in order))
        self._pending = {
            (user_id, partition): Erased(user_id, partition, offset if epoch in comparable else NO_OFFSET)
            for partition, rows in zip(order, results, strict=True)
            for user_id, epoch, offset in rows or ()
        }
        await self.drop_passed(passed)

    async def add(self, erased: Sequence[Erased], epoch: int) -> None:
        """Enter erasures that are about to delete rows. Raises StoreError."""
        self._pending.update(((one.user_id, one.partition), one) for one in erased)
        await asyncio.gather(
            *(
                self._session.request(self._insert, (self._bundle_id, one.partition, one.user_id, epoch, one.offset))
                for one in erased
            )
        )

    def hides(self, user_id: str, partition: int, offset: int) -> bool:
        """True where an applied erasure at a later offset has deleted the row that the user had at this offset."""
        erased = self._pending.get((user_id, partition))
        return erased is not None and offset <= erased.offset

    async def drop_passed(self, passed: Mapping[int, int]) -> None:
        """Take out the erasures before these offsets, by partition. Raises StoreError."""
        done = [one for one in self._pending.values() if one.offset < passed.get(one.partition, 0)]
        for one in done:
            del self._pending[one.user_id, one.partition]
        requests = ((self._bundle_id, one.partition, one.user_id) for one in done)
        await asyncio.gather(*(self._session.request(self._delete, key) for key in requests))
