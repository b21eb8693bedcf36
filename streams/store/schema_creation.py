"""Creates the keyspace and the tables that are missing.

Cassandra asks for the right to create before it looks whether a table exists, also where the statement says IF NOT
EXISTS. A worker whose keyspace and tables exist must need no such right. So the worker looks first. Every user of
Cassandra may read `system_schema`.
"""

import logging

from export.runtime.bundle import Manifest
from streams.config.errors import RightsError, StoreError
from streams.config.settings import Settings
from streams.store import cql_schema
from streams.store.rights import grant_text
from streams.store.session import Session

logger = logging.getLogger(__name__)

_KEYSPACE_QUERY = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s"
_COLUMNS_QUERY = "SELECT column_name FROM system_schema.columns WHERE keyspace_name = %s AND table_name = %s"
_INDEXES_QUERY = "SELECT index_name FROM system_schema.indexes WHERE keyspace_name = %s AND table_name = %s"
_TABLES_QUERY = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"


def create_missing(session: Session, settings: Settings, manifest: Manifest) -> None:
    """Create what the bundle with this manifest needs and what is missing. Blocks.

    A table of representations may come from a bundle without recent or bought items, and a table of bundles from an
    earlier version. The missing columns are then added. A table of item vectors may come from a version without its
    index. The index is then added, or a warning says why not: only readers use the index.

    Raises StoreError that names the statement, and RightsError that also names the GRANT where the user lacks a right.
    Raises SettingsError for a keyspace name that Cassandra does not take.
    """
    keyspace = cql_schema.create_keyspace(settings.keyspace, settings.replication)
    width, places, bought = manifest.representation_width, manifest.recent_places, manifest.bought_places
    tables = cql_schema.create_tables(settings.keyspace, width, places, bought)
    stored_name = cql_schema.stored_name(settings.keyspace)
    if not list(session.execute("read the schema", _KEYSPACE_QUERY, [stored_name])):
        _create(session, keyspace)
    existing = {name for (name,) in session.execute("read the schema", _TABLES_QUERY, [stored_name])}
    for name, statement in tables.items():
        if name not in existing:
            _create(session, statement)
    for table, columns in cql_schema.later_columns(width, places, bought).items():
        if table in existing:
            found = {name for (name,) in session.execute("read the schema", _COLUMNS_QUERY, [stored_name, table])}
            missing = {name: kind for name, kind in columns.items() if name not in found}
            if missing:
                _create(session, cql_schema.add_columns(settings.keyspace, table, missing))
    if not has_item_vectors_index(session, settings.keyspace, width):
        try:
            _create(session, cql_schema.create_item_vectors_index(settings.keyspace, width))
        except (StoreError, RightsError) as error:
            logger.warning("readers cannot ask for all item vectors of a bundle in one query yet: %s", error)


def has_item_vectors_index(session: Session, keyspace: str, width: int) -> bool:
    """Whether the table of item vectors has its index. Blocks. Raises StoreError."""
    place = [cql_schema.stored_name(keyspace), cql_schema.item_vectors_table(width)]
    found = {name for (name,) in session.execute("read the schema", _INDEXES_QUERY, place)}
    return cql_schema.item_vectors_index(width) in found


def _create(session: Session, statement: str) -> None:
    # Another worker may create the same table or columns at this moment. IF NOT EXISTS in the statement allows this.
    try:
        session.execute(f"run `{' '.join(statement.split())}`", statement)
    except StoreError as error:
        if grant_text(str(error)):
            raise RightsError(f"{error}; or run `thalweg setup` with an administrator's login") from error
        raise
