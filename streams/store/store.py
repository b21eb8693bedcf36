"""The representation store: everything that one bundle keeps in Cassandra, over one session."""

from typing import NamedTuple

from export.runtime.bundle import Bundle
from streams.config.settings import Settings
from streams.store import cql_schema
from streams.store.items.item_vectors import ItemVectors
from streams.store.positions.pending_erasures import PendingErasures
from streams.store.positions.stored_positions import StoredPositions
from streams.store.registry import Registry
from streams.store.schema_creation import create_missing
from streams.store.session import Session
from streams.store.user_rows import UserRows


class Store(NamedTuple):
    """The parts of the store."""

    session: Session
    users: UserRows
    items: ItemVectors
    registry: Registry
    erasures: PendingErasures
    positions: StoredPositions

    def close(self) -> None:
        self.session.close()


def open_store(settings: Settings, bundle: Bundle) -> Store:
    """Connect, and create the tables that are missing. Blocks. Raises StoreError, SettingsError."""
    session = Session(settings)
    try:
        create_missing(session, settings, bundle.manifest)
        erasures = PendingErasures(session, settings.keyspace, bundle.bundle_id)
        return Store(
            session=session,
            users=UserRows(session, settings.keyspace, bundle, erasures, cql_schema.row_ttl_s(settings.user_ttl_days)),
            items=ItemVectors(session, settings.keyspace, bundle),
            registry=Registry(session, settings.keyspace),
            erasures=erasures,
            positions=StoredPositions(session, settings.keyspace, bundle.bundle_id),
        )
    except BaseException:  # The exception of a signal closes the session as well.
        session.close()
        raise
