"""Whether an acknowledged row survives the loss of a node: the replicas of the keyspace, and the commit log."""

import contextlib
from collections.abc import Mapping

from streams.commands.doctor.finding import Finding
from streams.config.errors import StoreError
from streams.config.settings import Settings
from streams.store import cql_schema
from streams.store.session import Session

SIMPLE = "replication_factor"  # what SimpleStrategy calls the number of replicas in all data centres


def check_durability(session: Session, settings: Settings) -> Finding:
    """Check whether an acknowledged row survives when a node is lost. Raises StoreError.

    A role with the least rights may not read the settings, and the replicas are checked nevertheless.
    """
    row, query = None, "SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'"
    with contextlib.suppress(StoreError):
        row = session.execute("show its settings", query).one()
    is_periodic = row is not None and row[0] == "periodic"
    data_centre = session.execute("tell its data centre", "SELECT data_center FROM system.local").one()[0]
    return durability(settings, keyspace_replication(session, settings), data_centre, is_periodic)


def keyspace_replication(session: Session, settings: Settings) -> dict[str, str] | None:
    """The replication of the keyspace as Cassandra stores it, None where there is no such keyspace. Raises StoreError.

    Holds the class of the strategy, and the number of replicas by data centre.
    """
    query = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s"
    row = session.execute("show its schema", query, [cql_schema.stored_name(settings.keyspace)]).one()
    return None if row is None else dict(row[0])


def durability(
    settings: Settings, replication: Mapping[str, str] | None, data_centre: str, is_periodic: bool
) -> Finding:
    """Judge the keyspace. Pure.

    replication: as of `keyspace_replication`. data_centre: of the node that answers. is_periodic: Cassandra confirms a
    row before the commit log is on the disk.
    """
    wanted, place = settings.replication, SIMPLE
    if replication is None:
        replicas, detail = wanted, f"keyspace {settings.keyspace} does not exist yet and will have replication {wanted}"
    else:
        place = SIMPLE if SIMPLE in replication else data_centre
        text = replication.get(place, "0")
        full = text.partition("/")[0]  # behind the slash stand transient replicas
        if not full.isdigit():
            return Finding("note", "durability", f"keyspace {settings.keyspace} has the replication {text!r}")
        replicas = int(full)
        where = "" if place == SIMPLE else f" in data centre {place}"
        detail = f"keyspace {settings.keyspace} has replication {replicas}{where}"
        if replicas < wanted:
            remedy = (
                f"stop all workers, run {alter_keyspace(settings, replication, place)} in cqlsh and `nodetool repair "
                f"--full {settings.keyspace}` on every node, and start the workers: "
                "docs/kubernetes.md#from-small-to-production"
            )
            return Finding("failed", "durability", f"{detail}, and the setting is {wanted}", remedy)
    if is_periodic and replicas == 1:
        detail += ", and commitlog_sync is periodic: a node that is killed loses its last rows"
        remedy = "in production, use replication 3 (THALWEG_REPLICATION) or commitlog_sync: group in cassandra.yaml"
        return Finding("note", "durability", detail, remedy)
    return Finding("ok", "durability", detail)


def alter_keyspace(settings: Settings, replication: Mapping[str, str], place: str) -> str:
    """The statement that gives the data centre as many replicas as the setting says, and leaves the others."""
    changed = {**replication, place: str(settings.replication)}
    strategy = changed.pop("class").rpartition(".")[2]
    options = "".join(f", '{name}': {changed[name]}" for name in sorted(changed))
    return f"ALTER KEYSPACE {settings.keyspace} WITH replication = {{'class': '{strategy}'{options}}}"
