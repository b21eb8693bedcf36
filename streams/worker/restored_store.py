"""Recognises a Cassandra that was restored to an older state, before the records of a partition are read.

The group's commit then names records that no row holds, and a worker that went on from the commit would never apply
them. The stored position (`streams.store.positions.stored_positions`) of a healthy store is never behind the commit.
Where the position is behind, the records before the commit are planned over the stored rows, as a replay would plan
them. In a healthy store they change nothing: a worker of an earlier version has committed, and wrote no position.
Otherwise the group goes back to a position from before the snapshot. The replay is the replay of a crash, only longer.
Where the topic does not hold these records any more, the worker ends with an error that names the repair.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer

from export.runtime.bundle import Bundle
from streams.broker.clients import open_consumer
from streams.broker.consumer import Opened
from streams.broker.topic_reader import read_partition
from streams.config.errors import StoreBehindError
from streams.config.settings import Settings
from streams.engine.arena import NO_OFFSET, Arena, StoredUser
from streams.engine.codec import Erasure, RecordDecoder, WithoutUser
from streams.engine.planning.candidates import Part
from streams.engine.processor import Graphs, Processor
from streams.health.metrics import WorkerMetrics
from streams.store.positions.stored_positions import NO_POSITIONS, Positions
from streams.store.store import Store

logger = logging.getLogger(__name__)

# Records before the commit that are compared with the rows. Each earlier part is twice as large as the one behind it.
FIRST_PART, LARGEST_PART = 1_000, 32_000
GOES_BACK = (
    "Cassandra lacks records that group %s has committed: of partition %d its rows hold the records before offset %d, "
    "and the commit is %d. Cassandra was restored to an older state, or rows were lost. The group goes back to offset "
    "%d and applies the records again"
)
NOT_SHOWN = (
    "group %s goes on at offset %d of partition %d, and the topic holds no record that shows whether the rows hold "
    "what was committed; where Cassandra was restored, run `thalweg verify --archive ADDRESS`"
)


class RestoredStore:
    """Compares the stored positions of assigned partitions with the commits of the group."""

    def __init__(
        self,
        settings: Settings,
        bundle: Bundle,
        graphs: Graphs,
        store: Store,
        decoder: RecordDecoder,
        metrics: WorkerMetrics,
    ) -> None:
        self._settings = settings
        self._bundle = bundle
        self._group_id = settings.consumer_group_id(bundle.bundle_id)
        self._graphs = graphs
        self._store = store
        self._decoder = decoder
        self._metrics = metrics

    async def look(self, partitions: Collection[int], opened: Opened) -> dict[int, int]:
        """By partition, the offset to read on from, where the rows lack committed records. Mostly empty.

        The store uses the epoch of `opened`, and the pending erasures of the partitions are loaded. Raises
        StoreBehindError where the topic does not hold the records any more, and BrokerError and StoreError.
        """
        topic_id, positions = opened.topic_id, self._store.positions
        assert isinstance(topic_id, UUID), "a topic that is read has an id"
        known = await positions.load(topic_id)
        set_back: dict[int, int] = {}
        for partition in sorted(opened.starts.keys() & set(partitions)):
            of_partition, committed = known.get(partition), opened.committed.get(partition)
            if committed is None:
                if of_partition is None:
                    await positions.begin(topic_id, {partition: opened.starts[partition]})
            elif of_partition is not None and of_partition.last() >= committed:
                pass
            elif not await self._holds(partition, of_partition, committed, opened):
                offset = self._going_back(partition, known, opened)
                await positions.set_back(topic_id, partition, of_partition or NO_POSITIONS, offset)
                set_back[partition] = offset
            elif of_partition is None:  # An earlier version served the partition.
                await positions.begin(topic_id, {partition: committed})
            else:
                await positions.advance(topic_id, {partition: committed}, time.time())
        return set_back

    async def _holds(self, partition: int, known: Positions | None, committed: int, opened: Opened) -> bool:
        """Whether the rows hold the records before the commit.

        Part after part is read backwards, until a part has a record that the rows hold. Many records leave no row:
        dead letters, records that a mapping skips, and erasures with what came before them.
        """
        position, start = (known or NO_POSITIONS).last(), opened.starts[partition]
        began_at = opened.epoch_began_at[partition] if partition < len(opened.epoch_began_at) else 0
        first, end, size = max(position, start), committed, FIRST_PART
        erased: set[str] = set()  # in the parts that were read
        while first < end:
            begin = max(first, end - size, began_at if began_at < end else 0)
            holds = await self._part_holds(partition, begin, end, erased, is_of_epoch=end > began_at)
            if holds is not None:
                return holds
            end, size = begin, min(2 * size, LARGEST_PART)
        if first == position:  # No record in between has to leave a row.
            return True
        if known is None:  # An earlier version served the partition, or nothing can restore the rows but an archive.
            logger.warning(NOT_SHOWN, self._group_id, committed, partition)
        return known is None

    async def _part_holds(
        self, partition: int, begin: int, end: int, erased: set[str], is_of_epoch: bool
    ) -> bool | None:
        """Whether the rows hold the records between these offsets. None where no record has to leave a row.

        erased: the users whom later records erase; gets those whom these records erase. is_of_epoch: the records belong
        to the present epoch of the topic.
        """
        failure = f"partition {partition} of {self._settings.behavior_topic} could not be read"
        async with open_consumer(self._settings, failure) as consumer:
            records = await self._read(consumer, partition, begin, end)
        if self._settings.user_ttl_ms is not None:  # Cassandra may have forgotten the rows of older records.
            oldest_ms = time.time() * 1000 - self._settings.user_ttl_ms
            younger = [record for record in records if record.timestamp >= oldest_ms]
            if records and not younger:
                return True
            records = younger
        part = await asyncio.to_thread(self._decoded, partition, records)
        users = {one.user_id for one in part.outcomes if not isinstance(one, WithoutUser)}
        rows = await self._store.users.read(list(users))
        stored = [row for row in rows if isinstance(row, StoredUser)]
        # A damaged row is rebuilt when it is read. A later erasure, which is not committed, has deleted its user's row.
        unclear = {row.user_id for row in rows if not isinstance(row, StoredUser)} | erased
        unclear |= {user for user in users if self._store.erasures.hides(user, partition, begin)}
        if not is_of_epoch:  # Users may have gone on in another partition since.
            unclear |= {row.user_id for row in stored if row.partition != partition and row.offset != NO_OFFSET}
        erased |= {one.user_id for one in part.outcomes if isinstance(one, Erasure)}
        is_held, changed = await asyncio.to_thread(self._replay, part, stored)
        if changed - unclear:
            return False
        return True if is_held else None

    async def _read(self, consumer: AIOKafkaConsumer, partition: int, begin: int, end: int) -> list[Any]:
        records: list[Any] = []
        async for batch in read_partition(consumer, self._settings.behavior_topic, partition, begin, end):
            records += batch
            self._metrics.rebuild_records += len(batch)  # The watchdog takes these records for progress.
        return records

    def _decoded(self, partition: int, records: list[Any]) -> Part:
        return Part(partition, records, self._decoder.decode_batch(records))

    def _replay(self, part: Part, stored: list[StoredUser]) -> tuple[bool, set[str]]:
        """Whether a row holds one of the records, and the users whose rows the records would change."""
        users = {one.user_id for one in part.outcomes if not isinstance(one, WithoutUser)}
        manifest = self._bundle.manifest
        arena = Arena(max(1, len(users)), manifest.state_width, manifest.representation_width)
        arena.insert(stored, part.partition, 1)
        processor = Processor(self._bundle, self._graphs, arena, user_ttl_ms=self._settings.user_ttl_ms)
        stepped = processor.process([part], 1, evaluate=False)
        changed = {stepped.rows.user_id[row] for row in stepped.changed_rows()}
        # The erasure of a user without a row changes nothing.
        changed |= {one.user_id for one in stepped.erased} & {user.user_id for user in stored}
        return bool(stepped.rows.replayed.any()), changed

    def _going_back(self, partition: int, known: Mapping[int, Positions], opened: Opened) -> int:
        """Where the group goes on. Raises StoreBehindError where the group cannot go back."""
        of_partition = known.get(partition, NO_POSITIONS)
        offset, committed = of_partition.before_snapshot(), opened.committed[partition]
        if (why := why_not_back(partition, known, opened)) is None:
            logger.warning(GOES_BACK, self._group_id, partition, of_partition.last(), committed, offset)
            return offset
        raise StoreBehindError(
            f"Cassandra lacks records that group {self._group_id} has committed: of partition {partition} its rows "
            f"hold the records before offset {offset}, {why}, see docs/operating.md#backup-and-restore"
        )


def why_not_back(partition: int, known: Mapping[int, Positions], opened: Opened) -> str | None:
    """Why a group cannot go back to a position from before the snapshot, and what to do. None where the group can.

    A user's events before partitions were added stand in another partition than those behind. Partitions can only be
    read again one by one where the rows hold everything from before.
    """
    offset, start = known.get(partition, NO_POSITIONS).before_snapshot(), opened.starts[partition]
    what = "Cassandra was restored to an older state, or rows were lost. Stop all workers and"
    if opened.held:  # The snapshot knows nothing of the growth, so no row is of the epoch behind.
        return (
            f"and partitions were added to the topic since. {what} set another group (THALWEG_GROUP) for all programs: "
            "its workers read the topic from its beginning, and skip what the rows hold"
        )
    lacks = f"and the topic holds the records from offset {start} on" if offset < start else None
    if len(opened.comparable) == 1:
        if lacks is None:
            return None
        return f"{lacks}. {what} run `thalweg verify --repair --archive ADDRESS` with an archive that holds the records"
    ends = enumerate(opened.epoch_began_at)
    if any(known.get(one, NO_POSITIONS).before_snapshot() < end for one, end in ends):
        lacks = "and the records behind it stand before partitions were added, so that they cannot be read again alone"
    if lacks is None:
        return None
    return (
        f"{lacks}. {what} step the whole history into another keyspace with another group: copy the table `sources` "
        "there first, and run `thalweg backfill`"
    )
