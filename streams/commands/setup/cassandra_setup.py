"""Makes the keyspace, tables, columns and grants that are missing, and says what differs from the plan. Blocks."""

from collections.abc import Iterator

from encoder.wording import counted
from export.runtime.bundle import Manifest
from streams.commands.doctor.cassandra_checks import existing_columns, expected_columns
from streams.commands.doctor.durability_checks import keyspace_replication
from streams.commands.setup.plan import Plan
from streams.commands.setup.step import Step
from streams.config.errors import StoreError
from streams.config.settings import Settings
from streams.health.rights.cassandra_rights import not_granted, quoted
from streams.store import cql_schema
from streams.store.migrations.migrations import MIGRATIONS
from streams.store.migrations.migrations import missing as missing_migrations
from streams.store.schema_creation import applied_migrations, create_missing, has_item_vectors_index
from streams.store.session import Session

Columns = dict[str, str]  # the type of each column, by the name of the column
NO_LOGINS = ("AllowAll", "not anonymous")  # what Cassandra says where nobody has to log in


def make_schema(settings: Settings, session: Session, manifest: Manifest) -> Iterator[Step]:
    """Create what a worker with this bundle would create. Raises StoreError, SettingsError."""
    before = keyspace_replication(session, settings)
    columns_before = existing_columns(session, settings.keyspace)
    width = manifest.representation_width
    had_index = has_item_vectors_index(session, settings.keyspace, width)
    lacking = missing_migrations(applied_migrations(session, settings))
    create_missing(session, settings, manifest)
    name = f"keyspace {settings.keyspace}"
    factors = None if before is None else [before[place] for place in sorted(before) if place != "class"]
    if factors is None:
        yield Step("made", name, f"replication {settings.replication}")
    elif set(factors) == {str(settings.replication)}:
        yield Step("exists", name, f"replication {settings.replication}")
    else:
        detail = f"has replication {', '.join(factors)}; planned is {settings.replication} (THALWEG_REPLICATION)"
        yield Step("differs", name, detail)
    for migration in MIGRATIONS:
        yield Step("made" if migration in lacking else "exists", f"migration {migration}")
    existing = existing_columns(session, settings.keyspace)
    for table, expected in expected_columns(settings.keyspace, manifest).items():
        yield _table_step(f"table {settings.keyspace}.{table}", expected, columns_before.get(table), existing[table])
    index = f"index {settings.keyspace}.{cql_schema.item_vectors_index(width)}"
    if has_item_vectors_index(session, settings.keyspace, width):
        yield Step("exists" if had_index else "made", index, "item vectors by bundle")
    else:
        yield Step("differs", index, "is missing, and was not made: the warning says why")


def make_grants(session: Session, plan: Plan) -> Iterator[Step]:
    """Create the role where it is missing, and give the role the rights of the plan. Raises StoreError."""
    if plan.role is None:
        return
    name = quoted(plan.role)
    try:
        listed = {role for role, *_ in session.execute("list the roles", "LIST ROLES")}
        if plan.role not in listed:
            session.execute(f"create role {name}", f"CREATE ROLE IF NOT EXISTS {name}")
            remedy = f"make it a login with ALTER ROLE {name} WITH LOGIN = true AND PASSWORD = ..., or GRANT it to one"
            yield Step("made", f"role {plan.role}", remedy)
        granted = session.execute("list permissions", f"LIST ALL PERMISSIONS OF {name}")
    except StoreError as error:
        if not any(text in str(error) for text in NO_LOGINS):
            raise
        yield Step("skipped", f"rights of role {plan.role}", "Cassandra has no authorizer: every client may do all")
        return
    missing = not_granted(plan.grants, {(permission, resource) for _, _, resource, permission in granted})
    for right in plan.grants:
        if right in missing:
            session.execute(f"give role {plan.role} {right}", right.grant(plan.role))
        yield Step("made" if right in missing else "exists", f"right of role {plan.role}", str(right))


def _table_step(name: str, expected: Columns, before: Columns | None, now: Columns) -> Step:
    columns = counted(len(expected), "column")
    if before is None:
        return Step("made", name, columns)
    wrong = [
        f"{column} is {now.get(column)}, planned {kind}" for column, kind in expected.items() if kind != now.get(column)
    ]
    if wrong:
        return Step("differs", name, f"{'; '.join(wrong)}; name a keyspace that only Thalweg uses: THALWEG_KEYSPACE")
    added = sorted(now.keys() - before.keys())
    return Step("made", name, f"columns {', '.join(added)}") if added else Step("exists", name, columns)
