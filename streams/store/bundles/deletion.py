"""Deletes what a bundle keeps in Cassandra, in bounded memory. A deletion that was killed is simply begun again.

The rows of users have write timestamps of source positions, beyond any clock. So their deletion has a timestamp beyond
every position of the present epochs, and a late write of a worker that was paused loses against the deletion.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from streams.store import cql_schema
from streams.store.bundle_record import BundleRecord
from streams.store.bundles.ring import equal_parts, read_part
from streams.store.protocol.conditional import to_milliseconds, was_applied
from streams.store.registry import Registry
from streams.store.session import Session

ROWS_IN_A_PART = 2_000  # their keys are in memory together


class BundleDeletion:
    """The data of one bundle. Every method blocks, and may raise StoreError."""

    def __init__(self, session: Session, keyspace: str, record: BundleRecord, partitions: int) -> None:
        """partitions: the largest number of partitions that the behaviour topic has had."""
        self._session = session
        self._keyspace = keyspace
        self._record = record
        self._partitions = partitions

    def begin(self) -> bool:
        """Mark the bundle, so that no worker serves the bundle from now on. False where the bundle had the mark."""
        began_at, bundle_id = to_milliseconds(datetime.now(UTC)), self._record.bundle_id
        statement = f"UPDATE {self._keyspace}.bundles SET retirement_began_at = %s WHERE bundle_id = %s"
        doing = f"mark bundle {bundle_id} as retired"
        answer = self._session.execute(doing, f"{statement} IF retirement_began_at = NULL", [began_at, bundle_id])
        if was_applied(answer):
            return True
        # An answer that got lost on its way leaves this command's own mark, which a second copy does not replace.
        record = Registry(self._session, self._keyspace).record(bundle_id)
        mark = None if record is None else record.retirement_began_at
        return mark is not None and datetime.fromisoformat(mark) == began_at

    def give_up(self) -> None:
        """Take the mark away, before anything was deleted."""
        self._mark(f"UPDATE {self._keyspace}.bundles SET retirement_began_at = NULL WHERE bundle_id = %s IF EXISTS")

    def end(self) -> None:
        """Say that nothing is left of the bundle."""
        self._mark(
            f"UPDATE {self._keyspace}.bundles SET retired_at = toTimestamp(now()) WHERE bundle_id = %s IF EXISTS"
        )

    def item_vectors(self) -> int:
        """The number of the bundle's item vectors that are known to be stored."""
        query = f"SELECT items FROM {self._keyspace}.item_vectors_stored WHERE bundle_id = %s LIMIT 1"
        return max((items for (items,) in self._execute("read item_vectors_stored", query)), default=0)

    def pending_erasures(self) -> int:
        """The number of erasures that the bundle's workers have applied and not committed."""
        query = f"SELECT COUNT(*) FROM {self._keyspace}.pending_erasures WHERE bundle_id = %s AND partition = %s"
        key = self._record.bundle_id
        counts = [
            self._session.execute("count erasures", query, [key, partition]) for partition in range(self._partitions)
        ]
        return sum(count for rows in counts for (count,) in rows)

    def delete_rows(self, last_epoch: int, rows: int, tell: Callable[[int], None]) -> int:
        """Delete the rows of users, and return their number. tell: gets the number so far, now and then.

        last_epoch: of the behaviour topic. rows: about as many rows are there.
        """
        timestamp = cql_schema.write_timestamp(last_epoch + 1, 0, 0)
        table, key = f"{self._keyspace}.{cql_schema.representations_table(self._record.width)}", "user_id"
        delete = f"DELETE FROM {table} USING TIMESTAMP {timestamp} WHERE bundle_id = ? AND user_id = ?"
        return self._delete(delete, f"SELECT user_id FROM {table}", key, rows, tell)

    def delete_item_vectors(self, tell: Callable[[int], None]) -> int:
        """Delete the item vectors, and before them the mark that readers rely on. Returns their number."""
        self._execute("take the mark", f"DELETE FROM {self._keyspace}.item_vectors_stored WHERE bundle_id = %s")
        table, key = f"{self._keyspace}.{cql_schema.item_vectors_table(self._record.width)}", "bundle_id, item_id"
        delete = f"DELETE FROM {table} WHERE bundle_id = ? AND item_id = ?"
        return self._delete(delete, f"SELECT item_id FROM {table}", key, self._record.items, tell)

    def delete_rest(self) -> None:
        """Delete the pending erasures, the stored positions, and by which mappings the bundle's workers have read."""
        for partition in range(self._partitions):
            statement = f"DELETE FROM {self._keyspace}.pending_erasures WHERE bundle_id = %s AND partition = %s"
            self._session.execute("delete erasures", statement, [self._record.bundle_id, partition])
        if Registry(self._session, self._keyspace).has_table(cql_schema.STORED_POSITIONS_TABLE):
            statement = f"DELETE FROM {self._keyspace}.{cql_schema.STORED_POSITIONS_TABLE} WHERE bundle_id = %s"
            self._execute("delete the stored positions", statement)
        self._execute("delete the mappings", f"DELETE FROM {self._keyspace}.mappings WHERE bundle_id = %s")

    def _delete(self, delete: str, select: str, key: str, rows: int, tell: Callable[[int], None]) -> int:
        """key: the columns whose token places a row on the ring."""
        bundle_id, statement, deleted = self._record.bundle_id, self._session.prepare(delete), 0
        query = (
            f"{select} WHERE bundle_id = '{bundle_id}' AND token({key}) >= %s AND token({key}) <= %s ALLOW FILTERING"
        )

        for part in equal_parts(1 + rows // ROWS_IN_A_PART):
            for names in read_part(self._session, "read what to delete", query, *part):
                self._session.execute_all("delete rows", statement, [(bundle_id, name) for (name,) in names])
                deleted += len(names)
                tell(deleted)
        return deleted

    def _mark(self, statement: str) -> Any:
        return self._execute(f"mark bundle {self._record.bundle_id} as retired", statement)

    def _execute(self, doing: str, statement: str) -> Any:
        return self._session.execute(doing, statement, [self._record.bundle_id])


def most_partitions(registry: Registry, topic: str) -> tuple[int, int]:
    """The largest number of partitions that the topic has had, and its last epoch. Blocks. Raises StoreError."""
    epochs = registry.epochs(topic)
    return max((one.partitions for one in epochs), default=0), max((one.number for one in epochs), default=0)
