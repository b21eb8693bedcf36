"""How far the rows of a bundle go in each partition, in the same Cassandra as the rows.

A worker writes the position before it commits the same offset, and writes the rows before the position. So the position
of a healthy store is never behind the commit. A Cassandra that was restored to an older state has the older position.

The tables of a snapshot are not of one moment, and neither are the nodes. So a restored position may be ahead of
restored rows by as much time as the snapshot took. Each partition therefore keeps one position for each of the last
minutes, and a group goes back to a position that is older than the last one by SNAPSHOT_S and CLOCKS_S.
"""

import asyncio
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from streams.store.cql_schema import STORED_POSITIONS_TABLE
from streams.store.session import Session

SNAPSHOT_S = 600.0  # A snapshot of all nodes has to take less time.
CLOCKS_S = 300.0  # The clocks of two workers have to differ by less.
SLOTS = 20  # minutes whose last position is kept; more than both, so that an older one is always there
BEGINNING = -1  # the slot of the position with which the positions of a partition began


class Position(NamedTuple):
    """Every record of the partition before this offset is in the rows. stored_at_s: Unix time of the write."""

    slot: int
    offset: int
    stored_at_s: float


class Positions(NamedTuple):
    """The positions of one partition, at least one, in no order."""

    known: list[Position]

    def last(self) -> int:
        """The largest offset. Rows never go back, and the clocks of the workers that write may differ."""
        return max(self.known, key=_offset_of).offset

    def before_snapshot(self) -> int:
        """The largest offset that rows of the same snapshot hold also where they are older by SNAPSHOT_S.

        The worker that wrote an earlier position may have had a clock that was behind by CLOCKS_S.
        """
        latest_s = max(self.known, key=_offset_of).stored_at_s - SNAPSHOT_S - CLOCKS_S
        older = (one for one in self.known if one.slot == BEGINNING or one.stored_at_s <= latest_s)
        return max((one.offset for one in older), default=0)


NO_POSITIONS = Positions([Position(BEGINNING, 0, 0.0)])  # of a partition of which nobody has written any


class StoredPositions:
    """The positions of one bundle. The async methods belong to one event loop."""

    def __init__(self, session: Session, keyspace: str, bundle_id: str) -> None:
        """Prepare the statements. The table must exist. Blocks. Raises StoreError."""
        table = f"{keyspace}.{STORED_POSITIONS_TABLE}"
        self._session = session
        self._bundle_id = bundle_id
        self._insert = session.prepare(
            f"INSERT INTO {table} (bundle_id, partition, slot, topic_id, offset, stored_at) VALUES (?, ?, ?, ?, ?, ?)"
        )
        self._select = session.prepare(
            f"SELECT partition, slot, topic_id, offset, stored_at FROM {table} WHERE bundle_id = ?"
        )
        self._delete = session.prepare(f"DELETE FROM {table} WHERE bundle_id = ? AND partition = ? AND slot = ?")

    async def load(self, topic_id: uuid.UUID) -> dict[int, Positions]:
        """The positions by partition, in this incarnation of the topic. Raises StoreError.

        A partition is missing where nobody wrote its position: the bundle or the partition is new, an earlier version
        served it, or Cassandra was restored to a state from before the first position.
        """
        rows = await self._session.request(self._select, (self._bundle_id,))
        found: dict[int, Positions] = {}
        for partition, slot, of_topic, offset, stored_at in rows or ():
            if of_topic == topic_id:
                at_s = stored_at.replace(tzinfo=UTC).timestamp()
                found.setdefault(partition, Positions([])).known.append(Position(slot, offset, at_s))
        return found

    async def begin(self, topic_id: uuid.UUID, offsets: Mapping[int, int]) -> None:
        """Enter where the positions of these partitions begin. Raises StoreError."""
        await self._write(topic_id, ((p, Position(BEGINNING, offset, 0.0)) for p, offset in offsets.items()))

    async def advance(self, topic_id: uuid.UUID, offsets: Mapping[int, int], now_s: float) -> None:
        """Enter that the rows hold every record before these offsets, by partition. Raises StoreError."""
        slot = int(now_s // 60) % SLOTS
        await self._write(topic_id, ((p, Position(slot, offset, now_s)) for p, offset in offsets.items()))

    async def set_back(self, topic_id: uuid.UUID, partition: int, known: Positions, offset: int) -> None:
        """Enter that the rows hold every record before this offset, and perhaps no later one. Raises StoreError."""
        await self.begin(topic_id, {partition: offset})
        await asyncio.gather(
            *(
                self._session.request(self._delete, (self._bundle_id, partition, one.slot))
                for one in known.known
                if one.offset > offset and one.slot != BEGINNING
            )
        )

    async def _write(self, topic_id: uuid.UUID, positions: Iterable[tuple[int, Position]]) -> None:
        rows = [
            (self._bundle_id, partition, one.slot, topic_id, one.offset, datetime.fromtimestamp(one.stored_at_s, UTC))
            for partition, one in positions
        ]
        await asyncio.gather(*(self._session.request(self._insert, row) for row in rows))


def _offset_of(position: Position) -> int:
    return position.offset
