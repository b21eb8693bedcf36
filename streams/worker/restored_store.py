"""Recognises a Cassandra that was restored to an older state, before the records of a partition are read.

The group's commit then names records that no row holds, and a worker that went on from the commit would never apply
them. The stored position (`streams.store.positions.stored_positions`) of a healthy store is never behind the commit.
Where the position is behind, the last records before the commit are planned over the stored rows, as a replay would
plan them. In a healthy store they change nothing: a worker of an earlier version has committed, and wrote no position.
Otherwise the group goes back to a position from before the snapshot. The replay is the replay of a crash, only longer.
Where the topic does not hold these records any more, the worker ends with an error that names the repair.
"""

import asyncio
import logging
import time
from collections.abc import Collection
from typing import Any
from uuid import UUID

from export.runtime.bundle import Bundle
from streams.broker.clients import open_consumer
from streams.broker.consumer import Opened
from streams.broker.topic_reader import read_partition
from streams.config.errors import StoreBehindError
from streams.config.settings import Settings
from streams.engine.arena import Arena, StoredUser
from streams.engine.codec import RecordDecoder, WithoutUser
from streams.engine.planning.candidates import Part
from streams.engine.processor import Graphs, Processor
from streams.store.positions.stored_positions import NO_POSITIONS, Positions
from streams.store.store import Store

logger = logging.getLogger(__name__)

LAST_RECORDS = 1000  # before the commit, which are compared with the rows
GOES_BACK = (
    "Cassandra lacks records that group %s has committed: of partition %d its rows hold the records before offset %d, "
    "and the commit is %d. Cassandra was restored to an older state, or rows were lost. The group goes back to offset "
    "%d and applies the records again"
)


class RestoredStore:
    """Compares the stored positions of assigned partitions with the commits of the group."""

    def __init__(
        self, settings: Settings, bundle: Bundle, graphs: Graphs, store: Store, decoder: RecordDecoder
    ) -> None:
        self._settings = settings
        self._bundle = bundle
        self._group_id = settings.consumer_group_id(bundle.bundle_id)
        self._graphs = graphs
        self._store = store
        self._decoder = decoder

    async def look(self, partitions: Collection[int], opened: Opened) -> dict[int, int]:
        """By partition, the offset to read on from, where the rows lack committed records. Mostly empty.

        The store uses the epoch of `opened`, and the pending erasures of the partitions are loaded. Raises
        StoreBehindError where the topic does not hold the records any more, and BrokerError and StoreError.
        """
        topic_id, positions = opened.topic_id, self._store.positions
        assert isinstance(topic_id, UUID), "a topic that is read has an id"
        known = await positions.load(topic_id)
        if not known:  # The bundle is new, or an earlier version served it.
            await positions.begin(topic_id, {**opened.starts, **opened.committed})
            return {}
        set_back: dict[int, int] = {}
        for partition in sorted(opened.committed.keys() & set(partitions)):
            committed, of_partition = opened.committed[partition], known.get(partition, NO_POSITIONS)
            if of_partition.last() >= committed:
                continue
            if await self._holds(partition, of_partition.last(), committed, opened.starts[partition]):
                await positions.advance(topic_id, {partition: committed}, time.time())
                continue
            offset = self._checked(partition, of_partition, opened)
            await positions.set_back(topic_id, partition, of_partition, offset)
            set_back[partition] = offset
        return set_back

    async def _holds(self, partition: int, position: int, committed: int, start: int) -> bool:
        """Whether the rows hold the last records before the commit."""
        begin = max(position, start, committed - LAST_RECORDS)
        failure = f"partition {partition} of {self._settings.behavior_topic} could not be read"
        records: list[Any] = []
        async with open_consumer(self._settings, failure) as consumer:
            async for batch in read_partition(consumer, self._settings.behavior_topic, partition, begin, committed):
                records += batch
        if self._settings.user_ttl_ms is not None:  # Cassandra may have forgotten the rows of older records.
            oldest_ms = time.time() * 1000 - self._settings.user_ttl_ms
            records = [record for record in records if record.timestamp >= oldest_ms]
        if not records:  # Without positions in between, markers of transactions alone lie before the commit.
            return begin == position
        part = await asyncio.to_thread(self._decoded, partition, records)
        users = {one.user_id for one in part.outcomes if not isinstance(one, WithoutUser)}
        rows = await self._store.users.read(list(users))
        stored = [row for row in rows if isinstance(row, StoredUser)]
        # A damaged row is rebuilt when it is read. A later erasure, which is not committed, has deleted its user's row.
        unclear = {row.user_id for row in rows if not isinstance(row, StoredUser)}
        unclear |= {user for user in users if self._store.erasures.hides(user, partition, begin)}
        already_applied, changed = await asyncio.to_thread(self._replay, part, stored)
        return not changed - unclear and (already_applied > 0 or begin == position)

    def _decoded(self, partition: int, records: list[Any]) -> Part:
        return Part(partition, records, self._decoder.decode_batch(records))

    def _replay(self, part: Part, stored: list[StoredUser]) -> tuple[int, set[str]]:
        """The number of records that the rows hold, and the users whose rows the records would change."""
        users = {one.user_id for one in part.outcomes if not isinstance(one, WithoutUser)}
        manifest = self._bundle.manifest
        arena = Arena(max(1, len(users)), manifest.state_width, manifest.representation_width)
        arena.insert(stored, part.partition, 1)
        processor = Processor(self._bundle, self._graphs, arena, user_ttl_ms=self._settings.user_ttl_ms)
        stepped = processor.process([part], 1, evaluate=False)
        changed = {stepped.rows.user_id[row] for row in stepped.changed_rows()}
        # The erasure of a user without a row changes nothing.
        changed |= {one.user_id for one in stepped.erased} & {user.user_id for user in stored}
        return stepped.already_applied, changed

    def _checked(self, partition: int, known: Positions, opened: Opened) -> int:
        """Where the group goes on. Raises StoreBehindError where the topic alone cannot restore the rows."""
        offset, committed, start = known.before_snapshot(), opened.committed[partition], opened.starts[partition]
        if offset >= start and not opened.held and len(opened.comparable) == 1:
            logger.warning(GOES_BACK, self._group_id, partition, known.last(), committed, offset)
            return offset
        why = (
            f"and the topic holds the records from offset {start} on"
            if offset < start
            else "and partitions were added to the topic, so that partitions cannot be read again one by one"
        )
        raise StoreBehindError(
            f"Cassandra lacks records that group {self._group_id} has committed: of partition {partition} its rows "
            f"hold the records before offset {offset}, {why}. Cassandra was restored to an older state, or rows were "
            "lost. Stop all workers and run `thalweg verify --repair --archive ADDRESS` with an archive that holds the "
            "records, see docs/operating.md#backup-and-restore"
        )
