"""The keyspaces that tests leave behind."""

from collections.abc import Collection

from streams.config.settings import Settings
from streams.store.protocol.cluster import connect
from streams.store.session import SCHEMA_TIMEOUT_S


def keyspaces(cassandra: str) -> set[str]:
    """The keyspaces that are not Cassandra's own. cassandra: `host:port`."""
    cluster, session = connect(Settings(cassandra=cassandra))
    try:
        found = {name for (name,) in session.execute("SELECT keyspace_name FROM system_schema.keyspaces")}
    finally:
        cluster.shutdown()
    return {name for name in found if not name.startswith("system")}


def drop_keyspaces(cassandra: str, but: Collection[str]) -> None:
    """Delete all keyspaces but Cassandra's own and these."""
    cluster, session = connect(Settings(cassandra=cassandra))
    try:
        for name in keyspaces(cassandra) - set(but):
            session.execute(f"DROP KEYSPACE IF EXISTS {name}", timeout=SCHEMA_TIMEOUT_S)
    finally:
        cluster.shutdown()
