"""What Cassandra knows of bundles and of the topic's epochs."""

import logging
from datetime import UTC, datetime
from operator import itemgetter

from export.runtime.bundle import Bundle
from streams.config.errors import SettingsError
from streams.config.settings import setting_label
from streams.engine.codec import decoder_rules
from streams.engine.epochs import Epoch
from streams.store.session import Session

logger = logging.getLogger(__name__)

# What a keyspace is bound to: names of rows of the table `behavior_topic`.
_TOPIC, _KEY = "behavior", "pseudonym key"
_NO_KEY = "none"


class Registry:
    """The tables `behavior_topic`, `bundles`, `active_bundle`, `mappings` and `sources` of one keyspace."""

    def __init__(self, session: Session, keyspace: str) -> None:
        self._session = session
        self._keyspace = keyspace

    def announce(self, bundle: Bundle) -> None:
        """Enter the bundle, so that readers find its tables. Blocks. Raises StoreError.

        The item vectors follow, and then the bundle may become the active one: see `streams.worker.registration`.
        """
        row = [bundle.bundle_id, bundle.manifest.representation_width, bundle.manifest.items, datetime.now(UTC)]
        self._session.execute(
            f"enter bundle {bundle.bundle_id}",
            f"INSERT INTO {self._keyspace}.bundles (bundle_id, width, items, first_served_at) "
            "VALUES (%s, %s, %s, %s) IF NOT EXISTS",
            row,
        )

    def claim(self, topic: str, key: str | None = None) -> None:
        """Bind the keyspace to this behaviour topic, and to this key of pseudonyms, for ever. Blocks.

        key: the fingerprint of the key, None where ids are plain. Raises what `check_topic` and `check_key` raise.
        """
        self.check_topic(topic)
        self.check_key(key)
        for name, value in ((_TOPIC, topic), (_KEY, key or _NO_KEY)):
            statement = f"INSERT INTO {self._keyspace}.behavior_topic (name, topic) VALUES (%s, %s) IF NOT EXISTS"
            self._session.execute(f"bind keyspace {self._keyspace} to {name} {value}", statement, [name, value])
        self.check_topic(topic)  # Another worker may have bound the keyspace meanwhile.
        self.check_key(key)

    def check_key(self, key: str | None) -> None:
        """Raise SettingsError where the ids of the keyspace are plain, or the pseudonyms of another key. Blocks.

        key: the fingerprint of the key, None where ids are plain. Rows under two keys would be two histories of one
        user, and an erasure would reach one of them. Raises StoreError.
        """
        query = f"SELECT topic FROM {self._keyspace}.behavior_topic WHERE name = %s"
        found = [one for (one,) in self._session.execute("read the key of the keyspace", query, [_KEY])]
        if not found and key is not None and self.bundle_ids():
            found = [_NO_KEY]  # A version without pseudonyms has entered a bundle.
        if not found or found == [key or _NO_KEY]:
            return
        holds = "plain user ids" if found == [_NO_KEY] else f"pseudonyms of the key with the fingerprint {found[0]}"
        given = "is not set" if key is None else f"names a key with the fingerprint {key}"
        raise SettingsError(
            f"keyspace {self._keyspace} holds {holds}, and {setting_label('pseudonym_key')} {given}: give this program "
            "the setting of the keyspace's workers, or give another key a keyspace, a group and output topics of its "
            "own, see docs/privacy.md"
        )

    def check_topic(self, topic: str) -> None:
        """Raise SettingsError where the keyspace belongs to another behaviour topic. Blocks. Raises StoreError.

        Positions of different topics cannot be compared: an erasure in one topic would hide later rows of the other,
        and events would count as applied.
        """
        what = "read the topic of the keyspace"
        query = f"SELECT topic FROM {self._keyspace}.behavior_topic WHERE name = %s"
        bound = self._session.execute(what, query, [_TOPIC])
        names = [name for (name,) in bound]
        if not names:  # A version that did not bind keyspaces has entered epochs at least.
            query = f"SELECT DISTINCT topic FROM {self._keyspace}.sources"
            names = [name for (name,) in self._session.execute(what, query, [])]
        if names and topic not in names:
            raise SettingsError(
                f"keyspace {self._keyspace} holds states of the topic {names[0]}, and behavior_topic is {topic}: give "
                "this topic a keyspace of its own (THALWEG_KEYSPACE), a group of its own (THALWEG_GROUP) and output "
                "topics of its own (THALWEG_UPDATES_TOPIC, THALWEG_EVALUATION_TOPIC, THALWEG_METRICS_TOPIC, "
                "THALWEG_DEAD_LETTER_TOPIC)"
            )

    def use_mapping(self, bundle_id: str, name: str) -> None:
        """Enter what decides which events the records give. Blocks. Raises StoreError.

        name: of a `RecordDecoder`. A change is allowed, because a new action in a mapping is no reason to begin anew. A
        warning says what the change means.
        """
        others = [one for one in self.mappings(bundle_id) if decoder_rules(one) != decoder_rules(name)]
        if others:
            logger.warning(
                "bundle %s: events are read by %s from now on, and earlier events were read by %s; rows keep the "
                "effect of earlier events, and `thalweg verify` and a rebuild of a row read all events by the present "
                "mapping",
                bundle_id,
                name,
                " and ".join(others),
            )
        statement = (
            f"INSERT INTO {self._keyspace}.mappings (bundle_id, name, first_used_at) VALUES (%s, %s, %s) IF NOT EXISTS"
        )
        self._session.execute(f"enter {name} for bundle {bundle_id}", statement, [bundle_id, name, datetime.now(UTC)])

    def check_mapping(self, bundle_id: str, name: str) -> list[str]:
        """The names by which workers of the bundle have read, in order of time. Blocks. Raises StoreError.

        A mapping whose file was renamed is the same mapping. Raises SettingsError where this mapping is not among them:
        all rows would differ from what this mapping gives.
        """
        names = list({decoder_rules(one): one for one in self.mappings(bundle_id)}.values())
        if names and decoder_rules(name) not in map(decoder_rules, names):
            raise SettingsError(
                f"the workers of bundle {bundle_id} read the topic by {names[-1]}, and this command would read the "
                f"topic by {name}: give this command the setting mapping (THALWEG_MAPPING) that the workers have"
            )
        return names

    def mappings(self, bundle_id: str) -> list[str]:
        """The names by which workers of the bundle have read, in order of time. Blocks. Raises StoreError.

        Earlier versions entered none.
        """
        query = f"SELECT name, first_used_at FROM {self._keyspace}.mappings WHERE bundle_id = %s"
        rows = self._session.execute(f"read the mappings of bundle {bundle_id}", query, [bundle_id])
        return [name for name, _ in sorted(rows, key=itemgetter(1))]

    def bundle_ids(self) -> list[str]:
        """The bundles that a worker has ever served. Blocks. Raises StoreError."""
        rows = self._session.execute("read the bundles", f"SELECT bundle_id FROM {self._keyspace}.bundles")
        return sorted(bundle_id for (bundle_id,) in rows)

    async def activate(self, bundle_id: str) -> None:
        """Make the bundle the active one, where no bundle is active. Raises StoreError."""
        statement = f"INSERT INTO {self._keyspace}.active_bundle (name, bundle_id) VALUES ('active', %s) IF NOT EXISTS"
        await self._session.request(statement, [bundle_id])

    async def active(self) -> str | None:
        """The active bundle, None where no bundle is active. Raises StoreError."""
        query = f"SELECT bundle_id FROM {self._keyspace}.active_bundle WHERE name = 'active'"
        rows = await self._session.request(query)
        return next((bundle_id for (bundle_id,) in rows or ()), None)

    def epochs(self, topic: str) -> list[Epoch]:
        """All epochs of topics of this name, in order. Blocks. Raises StoreError."""
        query = f"SELECT epoch, topic_id, partitions, barrier FROM {self._keyspace}.sources WHERE topic = %s"
        rows = self._session.execute(f"read the epochs of topic {topic}", query, [topic])
        return [Epoch(number, topic_id, count, tuple(barrier or ())) for number, topic_id, count, barrier in rows]

    def begin_epoch(self, topic: str, epoch: Epoch) -> None:
        """Enter the epoch, unless another worker has entered this number meanwhile. Blocks. Raises StoreError."""
        statement = (
            f"INSERT INTO {self._keyspace}.sources (topic, epoch, topic_id, partitions, barrier) "
            "VALUES (%s, %s, %s, %s, %s) IF NOT EXISTS"
        )
        row = [topic, epoch.number, epoch.topic_id, epoch.partitions, list(epoch.barrier)]
        self._session.execute(f"enter epoch {epoch.number} of topic {topic}", statement, row)
