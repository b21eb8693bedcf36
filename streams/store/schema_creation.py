"""Creates the keyspace and the tables that are missing, and applies migrations.

Cassandra asks for the right to create before it looks whether a table exists, also where the statement says IF NOT
EXISTS. A worker whose keyspace and tables exist must need no such right. So the worker looks first. Every user of
Cassandra may read `system_schema`.
"""

import logging
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from export.runtime.bundle import Manifest
from streams.config.errors import RightsError, StoreError
from streams.config.settings import Settings
from streams.store import cql_schema
from streams.store.bundles.aliases import was_applied
from streams.store.migrations.migrations import MIGRATIONS_TABLE, Applied, Migration, check_not_newer, create_table
from streams.store.migrations.migrations import missing as missing_migrations
from streams.store.rights import grant_text
from streams.store.session import Session

logger = logging.getLogger(__name__)

POLL_S = 0.2  # between looks at a migration that another program applies
# `system_schema` names a table that another program creates before Cassandra answers questions about the table. The
# nodes of a cluster also hear of a new keyspace one after the other.
SERVED_WITHIN_S = 10.0
ABANDONED_AFTER = timedelta(seconds=60)  # A migration takes a few seconds, unless its program was killed.

_NOT_SERVED = re.compile(r"does not exist|doesn't exist")

_KEYSPACE_QUERY = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s"
_COLUMNS_QUERY = "SELECT column_name FROM system_schema.columns WHERE keyspace_name = %s AND table_name = %s"
_INDEXES_QUERY = "SELECT index_name FROM system_schema.indexes WHERE keyspace_name = %s AND table_name = %s"
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


def migrate(session: Session, settings: Settings) -> list[Migration]:
    """Create the keyspace where it is missing, apply the migrations that the keyspace lacks, and return these. Blocks.

    One program applies a migration, and others that come meanwhile wait. Raises what `create_missing` raises.
    """
    keyspace = cql_schema.create_keyspace(settings.keyspace, settings.replication)
    if not list(session.execute("read the schema", _KEYSPACE_QUERY, [cql_schema.stored_name(settings.keyspace)])):
        _create(session, keyspace)
    if MIGRATIONS_TABLE not in _tables(session, settings):
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
    if MIGRATIONS_TABLE not in _tables(session, settings):
        return []
    query = f"SELECT number, works_with, applied_at FROM {settings.keyspace}.{MIGRATIONS_TABLE} WHERE name = 'keyspace'"
    rows = _execute(session, "read the migrations", query)
    return [Applied(number, works_with, applied_at is not None) for number, works_with, applied_at in rows]


def _apply(session: Session, settings: Settings, migration: Migration) -> None:
    """Apply a migration, or wait until another program has applied the migration."""
    table = f"{settings.keyspace}.{MIGRATIONS_TABLE}"
    doing = f"enter migration {migration.number}"
    key = f"WHERE name = 'keyspace' AND number = {migration.number}"
    claim = f"INSERT INTO {table} (name, number, what, works_with, began_at) VALUES (%s, %s, %s, %s, %s) IF NOT EXISTS"
    take_over = f"UPDATE {table} SET began_at = %s {key} IF began_at = %s AND applied_at = NULL"
    mine = _to_milliseconds(datetime.now(UTC))  # the time of this program's claim, as Cassandra keeps times
    row = ["keyspace", migration.number, migration.what, migration.works_with, mine]
    while not was_applied(_execute(session, doing, claim, row)):
        found = _execute(session, doing, f"SELECT began_at, applied_at FROM {table} {key}").one()
        if found is not None:  # Otherwise the other program has failed.
            began_at, applied_at = found
            if applied_at is not None:
                return
            if began_at.replace(tzinfo=UTC) == mine:  # Cassandra had taken the claim, and did not say so.
                break
            # A repeated statement changes nothing.
            now = _to_milliseconds(datetime.now(UTC))
            if now - began_at.replace(tzinfo=UTC) > ABANDONED_AFTER and was_applied(
                session.execute(doing, take_over, [now, began_at])
            ):
                mine = now
                break
        time.sleep(POLL_S)
    try:
        for statement in migration.statements(settings.keyspace):
            _create(session, statement)
    except (StoreError, RightsError):
        # Somebody with more rights need not wait. Another program may have taken the claim over, and keeps it.
        session.execute(doing, f"DELETE FROM {table} {key} IF began_at = %s AND applied_at = NULL", [mine])
        raise
    # As conditional as the claim: Cassandra orders conditional writes of a row among themselves alone.
    session.execute(doing, f"UPDATE {table} SET applied_at = %s {key} IF EXISTS", [datetime.now(UTC)])


def _to_milliseconds(time: datetime) -> datetime:
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def _tables(session: Session, settings: Settings) -> set[str]:
    stored_name = cql_schema.stored_name(settings.keyspace)
    return {name for (name,) in session.execute("read the schema", _TABLES_QUERY, [stored_name])}


def has_item_vectors_index(session: Session, keyspace: str, width: int) -> bool:
    """Whether the table of item vectors has its index. Blocks. Raises StoreError."""
    place = [cql_schema.stored_name(keyspace), cql_schema.item_vectors_table(width)]
    found = {name for (name,) in session.execute("read the schema", _INDEXES_QUERY, place)}
    return cql_schema.item_vectors_index(width) in found


def _create(session: Session, statement: str) -> None:
    # Another worker may create the same table or columns at this moment. IF NOT EXISTS in the statement allows this.
    _execute(session, f"run `{' '.join(statement.split())}`", statement)


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
