"""Creates the keyspace and the tables that are missing.

Cassandra asks for the right to create before it looks whether a table exists, also where the statement says IF NOT
EXISTS. A worker whose keyspace and tables exist must need no such right. So the worker looks first. Every user of
Cassandra may read `system_schema`.
"""

from streams.config.settings import Settings
from streams.store import cql_schema
from streams.store.session import Session

_KEYSPACE_QUERY = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s"
_TABLES_QUERY = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"


def create_missing(session: Session, settings: Settings, width: int) -> None:
    """Create what is missing. width: of a representation. Blocks.

    Raises StoreError that names the statement, and the GRANT where the user lacks a right. Raises SettingsError for a
    keyspace name that Cassandra does not take.
    """
    keyspace = cql_schema.create_keyspace(settings.keyspace, settings.replication)
    tables = cql_schema.create_tables(settings.keyspace, width)
    stored_name = cql_schema.stored_name(settings.keyspace)
    if not list(session.execute("read the schema", _KEYSPACE_QUERY, [stored_name])):
        _create(session, keyspace)
    existing = {name for (name,) in session.execute("read the schema", _TABLES_QUERY, [stored_name])}
    for name, statement in tables.items():
        if name not in existing:
            _create(session, statement)


def _create(session: Session, statement: str) -> None:
    # Another worker may create the same table at this moment. IF NOT EXISTS in the statement allows this.
    session.execute(f"run `{' '.join(statement.split())}`", statement)
