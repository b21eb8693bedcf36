"""The keyspaces that tests leave behind."""

from streams.config.settings import Settings
from streams.store.protocol.cluster import connect
from streams.store.session import SCHEMA_TIMEOUT_S


def drop_keyspaces(cassandra: str) -> None:
    """Delete every keyspace that is not Cassandra's own. cassandra: `host:port`."""
    cluster, session = connect(Settings(cassandra=cassandra))
    try:
        for (name,) in session.execute("SELECT keyspace_name FROM system_schema.keyspaces"):
            if not name.startswith("system"):
                session.execute(f"DROP KEYSPACE IF EXISTS {name}", timeout=SCHEMA_TIMEOUT_S)
    finally:
        cluster.shutdown()
