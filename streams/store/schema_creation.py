"""Creates the keyspace and the tables that are missing, and applies migrations.

Cassandra asks for the right to create before it looks whether a table exists, also where the statement says IF NOT
EXISTS. A worker whose keyspace and tables exist must need no such right. So the worker looks first. Every user of
Cassandra may read `system_schema`.
"""

import contextlib
import logging
import random
import re
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from export.runtime.bundle import Manifest
from streams.config.errors import RightsError, StoreError
from streams.config.settings import Settings
from streams.store import cql_schema
from streams.store.migrations.claim import MigrationClaim
from streams.store.migrations.migrations import MIGRATIONS_TABLE, Applied, Migration, check_not_newer, create_table
from streams.store.migrations.migrations import missing as missing_migrations
from streams.store.rights import grant_text
from streams.store.session import Session

logger = logging.getLogger(__name__)

POLL_S = 0.2
# `system_schema` names a table that another program creates before Cassandra answers questions about the table. The
# nodes of a cluster also hear of a new keyspace one after the other.
SERVED_WITHIN_S = 10.0
FIRST_TABLE_WITHIN_S = 5.0

_NOT_SERVED = re.compile(r"does not exist|doesn't exist|INCOMPATIBLE_SCHEMA")

_KEYSPACE_QUERY = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s"
_COLUMNS_QUERY = "SELECT column_name FROM system_schema.columns WHERE keyspace_name = %s AND table_name = %s"
_INDEXES_QUERY = "SELECT index_name FROM system_schema.indexes WHERE keyspace_name = %s AND table_name = %s"
_READS_QUERY = "SELECT speculative_retry FROM system_schema.tables WHERE keyspace_name = %s AND table_name = %s"
CASSANDRA_DEFAULT = "99p"  # of `speculative_retry`
_TABLES_QUERY = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"


def create_missing(session: Session, settings: Settings, manifest: Manifest) -> None:
    """Create what the bundle with this manifest needs and what is missing. Blocks.

    A keyspace of an earlier version gets the migrations that it lacks. A table of representations may come from a
    bundle without recent or bought items. The missing columns are then added. A table of item vectors may come from a
    version without its index. The index is then added, or a warning says why not: only readers use the index.

    Raises StoreError that names the statement, and RightsError that also names the GRANT where the user lacks a right.
    Raises SettingsError for a keyspace name that Cassandra does not take, and for a keyspace of a newer version.
    """
    width, places, bought = manifest.representation_width, manifest.recent_places, manifest.bought_places
    tables = cql_schema.create_bundle_tables(settings.keyspace, width, places, bought)
    stored_name = cql_schema.stored_name(settings.keyspace)
    migrate(session, settings)
    existing = _tables(session, settings)
    _create_bundle_tables(session, settings, width, tables)
    for table, columns in cql_schema.later_columns(width, places, bought).items():
        if table in existing:
            found = {name for (name,) in session.execute("read the schema", _COLUMNS_QUERY, [stored_name, table])}
            missing = {name: kind for name, kind in columns.items() if name not in found}
            if missing:
                _create(session, cql_schema.add_columns(settings.keyspace, table, missing))
    for name in tables.keys() & existing:
        _end_waits_for_dead_replicas(session, settings.keyspace, name)
    if not has_item_vectors_index(session, settings.keyspace, width):
        try:
            _create(session, cql_schema.create_item_vectors_index(settings.keyspace, width))
        except (StoreError, RightsError) as error:
            logger.warning("readers cannot ask for all item vectors of a bundle in one query yet: %s", error)


def _end_waits_for_dead_replicas(session: Session, keyspace: str, table: str) -> None:
    """Give a table of an earlier version the property of a new one, where nobody has set another value."""
    values = [cql_schema.stored_name(keyspace), table]
    if list(session.execute("read the schema", _READS_QUERY, values)) == [(CASSANDRA_DEFAULT,)]:
        with contextlib.suppress(RightsError):  # The default does no harm but for slow reads while a node is dead.
            _create(session, f"ALTER TABLE {keyspace}.{table} WITH {cql_schema.READS}")


def migrate(session: Session, settings: Settings) -> list[Migration]:
    """Create the keyspace where it is missing, apply the migrations that the keyspace lacks, and return these. Blocks.

    One program applies a migration, and others that come meanwhile wait. Raises what `create_missing` raises.
    """
    keyspace = cql_schema.create_keyspace(settings.keyspace, settings.replication)
    if not list(session.execute("read the schema", _KEYSPACE_QUERY, [cql_schema.stored_name(settings.keyspace)])):
        _create(session, keyspace)
    if not _has_migrations(session, settings):
        if session.has_several_nodes():  # Two programs that start together would ask two nodes to create one table.
            time.sleep(random.uniform(0.0, FIRST_TABLE_WITHIN_S))
        if not _has_migrations(session, settings):
            _create(session, create_table(settings.keyspace))
    applied = applied_migrations(session, settings)
    check_not_newer(settings.keyspace, applied)
    lacking = missing_migrations(applied)
    for migration in lacking:
        try:
            _apply(session, settings, migration)
        except RightsError as error:
            raise RightsError(
                f"keyspace {settings.keyspace} lacks migration {migration}: {error}; `thalweg doctor --migrate` with "
                "this login applies migrations alone"
            ) from error
    return lacking


def applied_migrations(session: Session, settings: Settings) -> list[Applied]:
    """The migrations that the keyspace has, or that a program applies now. Blocks.

    Raises StoreError, and RightsError where the user may not read the table of migrations.
    """
    if not _has_migrations(session, settings):
        return []
    query = f"SELECT number, works_with, applied_at FROM {settings.keyspace}.{MIGRATIONS_TABLE} WHERE name = 'keyspace'"
    rows = _execute(session, "read the migrations", query)
    return [Applied(number, works_with, applied_at is not None) for number, works_with, applied_at in rows]


def _apply(session: Session, settings: Settings, migration: Migration) -> None:
    """Apply a migration, or wait until another program has applied the migration."""
    claim = _claim_of(session, settings, "keyspace", migration)
    while claim.take():
        with claim.kept():
            if all(claim.holds() and _create(session, one) for one in migration.statements(settings.keyspace)):
                claim.end()
                return
        logger.warning("another program has taken over migration %d while this one stood still", migration.number)


def _create_bundle_tables(session: Session, settings: Settings, width: int, tables: Mapping[str, str]) -> None:
    """Create the tables that are missing. One program does so while others wait. tables: statements by table."""
    if tables.keys() <= _tables(session, settings):
        return
    claim = _claim_of(session, settings, f"width {width}", Migration(0, f"tables of width {width}", 0, ""))
    with contextlib.suppress(RightsError):  # The statements below name the right that is missing for them.
        claim.take()
    with claim.kept():
        for name in tables.keys() - _tables(session, settings):
            _create(session, tables[name])
    with contextlib.suppress(RightsError):
        claim.give_up()


def _claim_of(session: Session, settings: Settings, name: str, migration: Migration) -> MigrationClaim:
    execute = partial(_execute, session, f"enter that this program makes {migration.what}")
    return MigrationClaim(execute, settings.keyspace, name, migration)


def _has_migrations(session: Session, settings: Settings) -> bool:
    return MIGRATIONS_TABLE in _tables(session, settings)


def _tables(session: Session, settings: Settings) -> set[str]:
    stored_name = cql_schema.stored_name(settings.keyspace)
    return {name for (name,) in session.execute("read the schema", _TABLES_QUERY, [stored_name])}


def has_item_vectors_index(session: Session, keyspace: str, width: int) -> bool:
    """Whether the table of item vectors has its index. Blocks. Raises StoreError."""
    place = [cql_schema.stored_name(keyspace), cql_schema.item_vectors_table(width)]
    found = {name for (name,) in session.execute("read the schema", _INDEXES_QUERY, place)}
    return cql_schema.item_vectors_index(width) in found


def _create(session: Session, statement: str) -> bool:
    """Execute a statement. Returns True."""
    # Another worker may create the same table or columns at this moment. IF NOT EXISTS in the statement allows this.
    _execute(session, f"run `{' '.join(statement.split())}`", statement)
    return True


def _execute(session: Session, doing: str, statement: str, values: Sequence[Any] | None = None) -> Any:
    """Raises StoreError, and RightsError where the user lacks a right."""
    deadline_s = time.monotonic() + SERVED_WITHIN_S
    while True:
        try:
            return session.execute(doing, statement, values)
        except StoreError as error:
            if grant_text(str(error)):
                raise RightsError(f"{error}; or run `thalweg setup` with an administrator's login") from error
            if not _NOT_SERVED.search(str(error)) or time.monotonic() > deadline_s:
                raise
        time.sleep(POLL_S)
