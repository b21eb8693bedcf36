"""The least rights of each program on Cassandra's tables, and which of them a role has. Pure.

A conditional insert (IF NOT EXISTS) needs SELECT besides MODIFY. `LIST ALL PERMISSIONS` names a resource as
`<table k.t>`, `<all tables in k>`, `<keyspace k>` or `<all keyspaces>`, and a right on a resource holds for what is
below the resource (https://cassandra.apache.org/doc/5.0/cassandra/managing/operating/security.html).
"""

from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple

from streams.health.rights.kafka_rights import ERASURES, LOOKALIKES, PAGE, RECEIPT
from streams.health.rights.roles import Role
from streams.store.cql_schema import (
    PENDING_ERASURES_TABLE,
    STORED_POSITIONS_TABLE,
    item_vectors_table,
    representations_table,
    stored_name,
)
from streams.store.migrations.migrations import MIGRATIONS_TABLE

Permission = Literal["SELECT", "MODIFY"]


_OF_WORKERS = (
    "item_vectors_stored",
    "bundles",
    "active_bundle",
    "mappings",
    "sources",
    "behavior_topic",
    PENDING_ERASURES_TABLE,
    STORED_POSITIONS_TABLE,
)


class CassandraRight(NamedTuple):
    """A right on one table.

    uses: what alone needs the right. Empty where the program does not run without the right.
    """

    permission: Permission
    keyspace: str
    table: str
    uses: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.permission} on table {self.keyspace}.{self.table}"

    def grant(self, role: str) -> str:
        """The statement that gives the right."""
        return f"GRANT {self.permission} ON TABLE {self.keyspace}.{self.table} TO {quoted(role)}"


def quoted(role: str) -> str:
    """The name of a role in CQL. A name without quotes would be in lower case."""
    return '"' + role.replace('"', '""') + '"'


def cassandra_rights(keyspace: str, role: Role, width: int) -> list[CassandraRight]:
    """The rights of a program for bundles whose representations have this width. Empty for most programs."""

    def both(*tables: str) -> list[CassandraRight]:
        return [CassandraRight(permission, keyspace, table) for table in tables for permission in ("SELECT", "MODIFY")]

    def select(*tables: str, uses: tuple[str, ...] = ()) -> list[CassandraRight]:
        return [CassandraRight("SELECT", keyspace, table, uses) for table in tables]

    rows = representations_table(width)
    of_history = ("bundles", "sources", "behavior_topic")
    if role in ("worker", "backfill"):
        vectors = CassandraRight("MODIFY", keyspace, item_vectors_table(width))
        return [*both(rows), vectors, *both(*_OF_WORKERS), *select(MIGRATIONS_TABLE)]
    if role == "serve":
        return [
            *select(rows, "active_bundle"),
            *select("bundles", uses=(LOOKALIKES, PAGE, ERASURES)),
            *select("sources", "behavior_topic", uses=(ERASURES,)),
        ]
    if role == "verify":
        return select(rows, "mappings", *of_history, MIGRATIONS_TABLE)
    if role == "erase":
        return [*select(rows, *of_history), *select(PENDING_ERASURES_TABLE, uses=(RECEIPT,))]
    if role == "subject":
        return select(rows, PENDING_ERASURES_TABLE, "sources", "behavior_topic", "bundles")
    if role == "bundles":
        return select(rows, *of_history, "item_vectors_stored", "active_bundle", "promotions")
    if role in ("promote", "rollback"):
        return [*select(*of_history, "item_vectors_stored", "mappings"), *both("active_bundle", "promotions")]
    if role == "retire":
        changed = (
            "bundles",
            "active_bundle",
            "item_vectors_stored",
            "mappings",
            PENDING_ERASURES_TABLE,
            STORED_POSITIONS_TABLE,
        )
        return [*both(rows, item_vectors_table(width), *changed), *select("sources", "behavior_topic")]
    return []


def not_granted(rights: Iterable[CassandraRight], granted: Collection[tuple[str, str]]) -> list[CassandraRight]:
    """The rights that are missing.

    granted: permissions and resources, as `LIST ALL PERMISSIONS` names them.
    """
    return [
        right for right in rights if not any((right.permission, resource) in granted for resource in _resources(right))
    ]


def _resources(right: CassandraRight) -> list[str]:
    keyspace = stored_name(right.keyspace)
    return [
        f"<table {keyspace}.{right.table}>",
        f"<all tables in {keyspace}>",
        f"<keyspace {keyspace}>",
        "<all keyspaces>",
    ]
