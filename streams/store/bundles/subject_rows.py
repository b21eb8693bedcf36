"""Every stored value about one user, of all bundles, as plain values. A keyspace that does not exist holds nothing."""

from typing import Any

from streams.store.cql_schema import PENDING_ERASURES_TABLE, is_representations_table, stored_name
from streams.store.session import Session


class SubjectRows:
    """Reads the tables that name users. Every method blocks, and may raise StoreError."""

    def __init__(self, session: Session, keyspace: str) -> None:
        self._session = session
        self._keyspace = keyspace

    def tables(self) -> list[str]:
        """The existing tables that name users. Every client of Cassandra may read their names."""
        query = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
        found = self._session.execute("list the tables", query, [stored_name(self._keyspace)])
        names = sorted(name for (name,) in found)
        return [name for name in names if name == PENDING_ERASURES_TABLE or is_representations_table(name)]

    def read(self, table: str, user_id: str) -> list[dict[str, Any]]:
        """The user's rows in one of these tables: the value of each column by its name. A vector is its bytes.

        `pending_erasures` has the bundle and the partition in front of the user in its key. The table holds only
        erasures that are not committed yet, so the filter reads few rows.
        """
        query = f"SELECT * FROM {self._keyspace}.{table} WHERE user_id = %s ALLOW FILTERING"
        rows = self._session.execute(f"read {table}", query, [user_id])
        names = rows.column_names
        return [dict(zip(names, row, strict=True)) for row in rows]

    def gc_grace_s(self) -> dict[str, int]:
        """By table, the seconds for which Cassandra keeps the marker of a deletion before a compaction may drop it."""
        query = "SELECT table_name, gc_grace_seconds FROM system_schema.tables WHERE keyspace_name = %s"
        rows = self._session.execute("read the schema", query, [stored_name(self._keyspace)])
        return dict(iter(rows))
