"""Checks of Cassandra: version, durability, limits of a write request, and the tables of the keyspace."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence

from export.runtime.bundle import Bundle, Manifest
from streams.commands.doctor.durability_checks import check_durability
from streams.commands.doctor.failures import START_NODE, ServiceAwayError, finding_of
from streams.commands.doctor.finding import Finding, State
from streams.commands.doctor.pseudonym_checks import check_pseudonyms
from streams.config.errors import RightsError, SettingsError, StoreError
from streams.config.security import describe_login
from streams.config.settings import Settings
from streams.store import cql_schema
from streams.store.migrations.migrations import LAST, MIGRATIONS, MIGRATIONS_TABLE, Migration, check_not_newer
from streams.store.migrations.migrations import missing as missing_migrations
from streams.store.protocol.driver_errors import FewReplicas, few_replicas
from streams.store.protocol.row_batches import row_bytes, rows_per_request
from streams.store.schema_creation import applied_migrations, migrate
from streams.store.session import Session

THRESHOLDS = ("batch_size_fail_threshold_in_kb", "batch_size_warn_threshold_in_kb")
_COLUMN = re.compile(r"^ {4}(?P<name>[a-z_]+) (?P<type>[a-z]+(<[^>]+>)?)[ ,]", re.MULTILINE)


def check_cassandra(settings: Settings, bundle: Bundle | None, is_migrating: bool = False) -> Iterator[Finding]:
    """Connect, then run every check of Cassandra. Raises StoreError, SettingsError.

    is_migrating: apply the migrations that the keyspace lacks, before its tables are checked.
    """
    keyspace = check_keyspace_name(settings)
    yield keyspace
    session = Session(settings)
    try:
        version = session.execute("tell its version", "SELECT release_version FROM system.local").one()[0]
        # Astra names a version below 5 and has vectors.
        if int(version.split(".")[0]) < 5 and not settings.cassandra_secure_bundle:
            yield Finding("failed", "cassandra", f"{version} has no vector type", "use Cassandra 5")
            return
        yield Finding("ok", "cassandra", f"{version} at {settings.place_of('cassandra')}")
        yield Finding("ok", "cassandra login", describe_login(settings, "cassandra"))
        yield _check_nodes(session, settings if keyspace.state == "ok" else None)
        yield _readable("durability", lambda: check_durability(session, settings))
        if bundle is not None:
            yield _readable("batches", lambda: _check_batch_limits(session, bundle))
        if keyspace.state == "ok":
            if is_migrating:
                for migration in migrate(session, settings):
                    yield Finding("ok", "migration", f"{migration} is applied to keyspace {settings.keyspace}")
            yield from check_pseudonyms(session, settings)
            yield from _check_tables(session, settings, bundle)
    finally:
        session.close()


def _readable(subject: str, check: Callable[[], Finding]) -> Finding:
    """The finding, or a note where the user may not read what the check looks at. A worker does not read it either."""
    try:
        return check()
    except StoreError as error:
        return finding_of(subject, error)._replace(state="note")


def _check_nodes(session: Session, settings: Settings | None) -> Finding:
    """Check whether this machine reaches the nodes by the addresses that they announce, and whether enough live.

    settings: None where no table can be read, because the name of the keyspace is wrong. Raises ServiceAwayError where
    too few replicas answer, StoreError.
    """
    away, nodes = session.nodes_without_connection()
    lacking = None if settings is None else _lacking_replicas(session, settings)
    return nodes_finding(away, nodes, lacking)


def nodes_finding(away: Sequence[str], nodes: int, lacking: FewReplicas | None) -> Finding:
    """Judge the nodes. Pure. Raises ServiceAwayError where replicas are lacking.

    away: the nodes of all `nodes` that this machine does not reach. lacking: what a read of the keyspace said.
    """
    names = f" (away: {', '.join(away)})" if away else ""
    detail = f"{nodes - len(away)} of {nodes} reached{names}"
    if lacking is not None:
        raise ServiceAwayError("cassandra nodes", f"{detail}, and {lacking}", START_NODE)
    if not away:
        return Finding("ok", "cassandra nodes", detail)
    remedy = "start the node, or name the address by which this machine reaches the node: THALWEG_CASSANDRA_ADDRESSES"
    return Finding("note", "cassandra nodes", detail, f"{remedy}, see docs/cassandra.md")


def _lacking_replicas(session: Session, settings: Settings) -> FewReplicas | None:
    """What a read of the keyspace lacks. None where the read succeeds, and where there is nothing to read yet."""
    try:
        applied_migrations(session, settings)
    except RightsError:
        return None  # The check of the tables names the right.
    except StoreError as error:
        lacking = few_replicas(error)
        if lacking is None:
            raise
        return lacking
    return None


def check_keyspace_name(settings: Settings) -> Finding:
    """Check whether Cassandra accepts the name of the keyspace."""
    try:
        cql_schema.create_keyspace(settings.keyspace, settings.replication)
    except SettingsError as error:
        return Finding("failed", "keyspace name", str(error), "set THALWEG_KEYSPACE")
    return Finding("ok", "keyspace name", settings.keyspace)


def _check_batch_limits(session: Session, bundle: Bundle) -> Finding:
    """Check whether Cassandra accepts a full write request. By default, Cassandra warns at 5 KiB and refuses at 50."""
    row_size_bytes = row_bytes(bundle.manifest)
    rows = rows_per_request(row_size_bytes)
    batch_bytes = rows * row_size_bytes
    query = "SELECT name, value FROM system_views.settings WHERE name IN ('{}', '{}')".format(*THRESHOLDS)
    limits = {
        name: int(value) * 1024 for name, value in session.execute("show its settings", query) if value is not None
    }
    remedy = "set batch_size_warn_threshold: 64KiB and batch_size_fail_threshold: 640KiB in cassandra.yaml"
    states: tuple[State, State] = ("failed", "note")
    for name, state in zip(THRESHOLDS, states, strict=True):
        if batch_bytes > limits.get(name, batch_bytes):
            detail = f"{rows} rows take about {batch_bytes // 1024} KiB, {name} is {limits[name] // 1024}"
            return Finding(state, "batches", detail, remedy)
    return Finding("ok", "batches", f"{rows} rows take about {batch_bytes // 1024} KiB")


def _check_tables(session: Session, settings: Settings, bundle: Bundle | None) -> Iterator[Finding]:
    """Compare the columns that exist with the CREATE statements."""
    existing = existing_columns(session, settings.keyspace)
    if not existing:
        yield Finding("note", "schema", f"keyspace {settings.keyspace} has no table yet: the first worker creates them")
        return
    lacking: Sequence[Migration] = MIGRATIONS  # Without a look, each of them may be missing.
    has_looked = False
    try:
        applied = applied_migrations(session, settings)
    except RightsError as error:
        yield finding_of("migrations", error)
    else:
        has_looked = True
        check_not_newer(settings.keyspace, applied)
        lacking = missing_migrations(applied)
        yield _migrations_finding(settings, lacking)
    if bundle is None:
        detail = f"{len(existing)} tables in {settings.keyspace}; no bundle to compare them with"
        yield Finding("note", "schema", detail)
        return
    later = cql_schema.later_columns(bundle.manifest.representation_width, 1, 1)
    pending = {table for one in lacking for table in one.tables()}
    settled = {table for one in MIGRATIONS for table in one.tables()} - pending
    for table, columns in expected_columns(settings.keyspace, bundle.manifest).items():
        name = f"{settings.keyspace}.{table}"
        if table in settled and table not in existing:
            detail = f"{name} is gone, although the keyspace has the migration that made it"
            yield Finding("failed", "schema", detail, "restore the keyspace: docs/operating.md#backup-and-restore")
            continue
        if table in pending and table not in existing and not has_looked:
            detail = f"{name} does not exist, and only the table {MIGRATIONS_TABLE} says whether it was there before"
            yield Finding("note", "schema", detail)
            continue
        may_lack = columns if table in pending else later.get(table, {})
        yield _compare_columns(name, columns, existing.get(table), may_lack.keys())
    if "item_vectors_stored" in existing:
        yield _check_item_vectors(session, settings, bundle)


def _migrations_finding(settings: Settings, lacking: Sequence[Migration]) -> Finding:
    if not lacking:
        return Finding("ok", "migrations", f"keyspace {settings.keyspace} has all {LAST}")
    detail = f"keyspace {settings.keyspace} lacks {', '.join(map(str, lacking))}"
    remedy = "the first worker of this version applies them where it may; otherwise run `thalweg doctor --migrate`"
    return Finding("note", "migrations", detail, remedy)


def existing_columns(session: Session, keyspace: str) -> dict[str, dict[str, str]]:
    """The type of each column, by table and column. Raises StoreError."""
    query = "SELECT table_name, column_name, type FROM system_schema.columns WHERE keyspace_name = %s"
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in session.execute("show its schema", query, [cql_schema.stored_name(keyspace)]):
        tables.setdefault(table, {})[column] = kind
    return tables


def expected_columns(keyspace: str, manifest: Manifest) -> dict[str, dict[str, str]]:
    """The type of each column, by table and column, read from the statements that create tables and add columns."""
    width, places, bought = manifest.representation_width, manifest.recent_places, manifest.bought_places
    statements = cql_schema.create_tables(keyspace, width, places, bought)
    tables = {
        table: {match["name"]: match["type"] for match in _COLUMN.finditer(statement)}
        for table, statement in statements.items()
    }
    for migration in MIGRATIONS:
        for table, added in migration.added_columns().items():
            tables[table] |= added
    return tables


def _compare_columns(
    table: str, expected: dict[str, str], existing: dict[str, str] | None, later: Collection[str]
) -> Finding:
    """later: the columns that a worker adds where they are missing."""
    if existing is None:
        return Finding("note", "schema", f"{table} does not exist yet: the first worker creates it")
    added = expected.keys() & set(later) - existing.keys()
    for name, kind in expected.items():
        if existing.get(name) != kind and name not in added:
            detail = f"{table}: column {name} is {existing.get(name) or 'missing'}, expected {kind}"
            return Finding("failed", "schema", detail, "name a keyspace that only Thalweg uses: THALWEG_KEYSPACE")
    if added:
        detail = f"{table} has no column {' and '.join(sorted(added))} yet: the first worker adds them"
        return Finding("note", "schema", detail)
    return Finding("ok", "schema", f"{table}: {len(expected)} columns")


def _check_item_vectors(session: Session, settings: Settings, bundle: Bundle) -> Finding:
    """Check whether all item vectors of the bundle are stored."""
    query = f"SELECT items FROM {settings.keyspace}.item_vectors_stored WHERE bundle_id = %s LIMIT 1"
    row = session.execute("read item_vectors_stored", query, [bundle.bundle_id]).one()
    stored, items = 0 if row is None else row[0], bundle.manifest.items
    detail = f"{stored:,} of {items:,} of {bundle.bundle_id} are stored"
    if stored == items:
        return Finding("ok", "item vectors", detail)
    return Finding("note", "item vectors", f"{detail}: the worker that holds partition 0 writes the others")
