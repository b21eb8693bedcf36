"""What a keyspace holds of one user, over all bundles. A keyspace that does not exist holds nothing."""

from typing import NamedTuple

from streams.config.errors import StateFormatError
from streams.engine.epochs import Epoch
from streams.engine.state_cell import StoredPosition, decode_position, owner_crc
from streams.store.cql_schema import is_representations_table, stored_name
from streams.store.registry import Registry
from streams.store.session import Session


class HeldRow(NamedTuple):
    """A stored row of a user. position: None where this version cannot read the row."""

    bundle_id: str
    position: StoredPosition | None


class HeldRows:
    """Reads rows of any bundle, without the bundle. Every method blocks, and may raise StoreError."""

    def __init__(self, session: Session, keyspace: str) -> None:
        self._session = session
        self._keyspace = keyspace
        self._registry = Registry(session, keyspace)

    def rows(self, user_id: str) -> list[HeldRow]:
        """The rows of the user in every table of representations, of known and of unknown bundles."""
        found = []
        for table in filter(is_representations_table, self._tables()):
            query = f"SELECT bundle_id, representation, state FROM {self._keyspace}.{table} WHERE user_id = %s"
            for bundle_id, representation, cell in self._session.execute(f"read {table}", query, [user_id]):
                found.append(HeldRow(bundle_id, _position(bundle_id, user_id, representation, cell)))
        return found

    def bundle_ids(self) -> list[str]:
        """The bundles that a worker has ever served."""
        return self._registry.bundle_ids() if "bundles" in self._tables() else []

    def retired_ids(self) -> set[str]:
        """The bundles whose retirement has begun. No worker serves them any more."""
        records = self._registry.records().values() if "bundles" in self._tables() else ()
        return {one.bundle_id for one in records if one.retirement_began_at is not None}

    def updates_topics(self, first: str) -> list[str]:
        """The topics with updates of the bundles that are not retired.

        first: the topic of the first bundle, to which the bundles of earlier versions publish as well. A keyspace
        without bundles has this topic alone: its workers may be about to begin.
        """
        records = self._registry.records().values() if "bundles" in self._tables() else ()
        return sorted({one.updates_topic or first for one in records if one.retired_at is None} if records else {first})

    def epochs(self, topic: str) -> list[Epoch]:
        """All epochs of topics of this name, in order."""
        return self._registry.epochs(topic) if "sources" in self._tables() else []

    def check_topic(self, topic: str) -> None:
        """Raise SettingsError where the keyspace belongs to another behaviour topic."""
        if "behavior_topic" in self._tables():  # An earlier version did not bind keyspaces to topics.
            self._registry.check_topic(topic)

    def check_key(self, key: str | None) -> None:
        """Raise SettingsError where the ids of the keyspace are plain, or the pseudonyms of another key.

        key: the fingerprint of the key, None where ids are plain.
        """
        if {"behavior_topic", "bundles"} <= set(self._tables()):
            self._registry.check_key(key)

    def _tables(self) -> list[str]:
        query = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
        return [name for (name,) in self._session.execute("list the tables", query, [stored_name(self._keyspace)])]


def _position(bundle_id: str, user_id: str, representation: bytes | None, cell: bytes | None) -> StoredPosition | None:
    if representation is None or cell is None:
        return None
    try:
        return decode_position(owner_crc(bundle_id.encode(), user_id.encode()), representation, cell)
    except (ValueError, StateFormatError):
        return None
