"""What Cassandra knows of bundles and of the topic's epochs."""

import logging
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter

import msgspec

from export.runtime.bundle import Bundle
from streams.config.errors import SettingsError, StoreError
from streams.config.settings import Settings, has_own_topic, setting_label
from streams.engine.codec import decoder_rules
from streams.engine.epochs import Epoch, EpochView, epoch_view
from streams.store.bundle_record import BundleRecord, MappingUse, check_not_retired
from streams.store.cql_schema import stored_name
from streams.store.session import Session

logger = logging.getLogger(__name__)

# What a keyspace is bound to: names of rows of the table `behavior_topic`.
_TOPIC, _KEY = "behavior", "pseudonym key"
_NO_KEY = "none"
_NOISE = "noise of "  # and the updates topic: the fingerprint of its noise, no row where updates are exact


class Registry:
    """The tables `behavior_topic`, `bundles`, `active_bundle`, `mappings` and `sources` of one keyspace."""

    def __init__(self, session: Session, keyspace: str) -> None:
        self._session = session
        self._keyspace = keyspace

    def announce(self, bundle: Bundle, updates_topic: str) -> None:
        """Enter the bundle, so that readers find its tables and its updates. Blocks.

        The item vectors follow, and then the bundle may become the active one: see `streams.store.items.registration`.

        updates_topic: of `settings_of`, to which the bundle's workers publish from now on. Raises StoreError, also
        where another bundle has become the first of the keyspace meanwhile. Raises SettingsError for a retired bundle.
        """
        bundle_id = bundle.bundle_id
        known = self.records()
        check_not_retired(known.get(bundle_id), self._keyspace)
        if not known:
            first = f"INSERT INTO {self._keyspace}.active_bundle (name, bundle_id) VALUES ('first', %s) IF NOT EXISTS"
            self._session.execute(f"enter {bundle_id} as the first bundle", first, [bundle_id])
        if bundle_id not in known and self._is_first(bundle_id) == has_own_topic(updates_topic, bundle_id):
            raise StoreError(
                f"another bundle than {bundle_id} has become the first of keyspace {self._keyspace} in this moment, "
                f"so updates do not go to {updates_topic}: start the worker again"
            )
        row = [bundle_id, bundle.manifest.representation_width, bundle.manifest.items, datetime.now(UTC), updates_topic]
        self._session.execute(
            f"enter bundle {bundle_id}",
            f"INSERT INTO {self._keyspace}.bundles (bundle_id, width, items, first_served_at, updates_topic) "
            "VALUES (%s, %s, %s, %s, %s) IF NOT EXISTS",
            row,
        )
        if bundle_id in known and known[bundle_id].updates_topic != updates_topic:
            statement = f"UPDATE {self._keyspace}.bundles SET updates_topic = %s WHERE bundle_id = %s IF EXISTS"
            self._session.execute(f"enter the updates topic of {bundle_id}", statement, [updates_topic, bundle_id])

    def check_serves(self, bundle_id: str) -> None:
        """Raises SettingsError where the retirement of the bundle has begun since `announce`. Blocks.

        A worker looks after it has joined the group, and `thalweg retire` looks for members after it has set the mark.
        So one of both sees the other. Raises StoreError.
        """
        check_not_retired(self.record(bundle_id), self._keyspace)

    def enter_backfilled(self, bundle_id: str, partition: int) -> None:
        """Enter that the bundle's history of a partition begins with a backfill. Blocks. Raises StoreError."""
        statement = (
            f"UPDATE {self._keyspace}.bundles SET backfilled_partitions = backfilled_partitions + {{{partition:d}}} "
            "WHERE bundle_id = %s IF EXISTS"
        )
        self._session.execute(f"enter the backfill of {bundle_id}", statement, [bundle_id])

    def enter_log(self, bundle_id: str, log_id: str) -> None:
        """Enter that the bundle's history begins with a log, before the first row. Blocks. Raises StoreError."""
        statement = f"UPDATE {self._keyspace}.bundles SET log_id = %s WHERE bundle_id = %s IF EXISTS"
        self._session.execute(f"enter the log of {bundle_id}", statement, [log_id, bundle_id])

    def log_of(self, bundle_id: str) -> str | None:
        """The id of the log with which the bundle's history begins, None without one. Blocks. Raises StoreError."""
        record = self.record(bundle_id)
        return None if record is None else record.log_id

    def end_backfill(self, bundle_id: str) -> None:
        """Enter that a backfill has applied its whole archive. Blocks. Raises StoreError."""
        statement = f"UPDATE {self._keyspace}.bundles SET backfilled_at = %s WHERE bundle_id = %s IF EXISTS"
        self._session.execute(f"enter the backfill of {bundle_id}", statement, [datetime.now(UTC), bundle_id])

    def backfilled(self, bundle_id: str, partitions: int) -> frozenset[int]:
        """The partitions whose history begins with a backfill. Blocks. Raises StoreError.

        partitions: of the topic. All count where a backfill has ended, also those without a record at that time.
        """
        record = self.record(bundle_id)
        if record is None:
            return frozenset()
        return frozenset(record.backfilled_partitions or () if record.backfilled_at is None else range(partitions))

    def settings_of(self, settings: Settings, bundle_id: str) -> Settings:
        """The settings with the topic of this bundle's updates in place of the first bundle's. Blocks.

        settings: as they were loaded. A bundle that no worker has served yet gets the topic that its workers would
        publish to. Raises StoreError.
        """
        topic = settings.bundle_updates_topic(bundle_id, self._is_first(bundle_id))
        return msgspec.structs.replace(settings, updates_topic=topic)

    def _is_first(self, bundle_id: str) -> bool:
        """Whether the bundle publishes to the topic of the first bundle.

        All bundles that an earlier version has served publish there.
        """
        known = self.records()
        if bundle_id in known:
            topic = known[bundle_id].updates_topic
            return topic is None or not has_own_topic(topic, bundle_id)
        query = f"SELECT bundle_id FROM {self._keyspace}.active_bundle WHERE name = 'first'"
        claimed = {one for (one,) in self._session.execute("read the first bundle", query)}
        return claimed == {bundle_id} or not (known or claimed)

    def records(self) -> dict[str, BundleRecord]:
        """The row of each bundle that a worker has ever served, by bundle id. Blocks. Raises StoreError.

        The rows are read as JSON, because a table of an earlier version lacks columns.
        """
        found = self._records("", [])
        return {one.bundle_id: one for one in sorted(found, key=attrgetter("first_served_at"))}

    def record(self, bundle_id: str) -> BundleRecord | None:
        """The row of a bundle, None where no worker has ever served the bundle. Blocks. Raises StoreError.

        A read of the whole table waits for a dead replica, and this read does not.
        """
        return next(iter(self._records(" WHERE bundle_id = %s", [bundle_id])), None)

    def _records(self, where: str, values: Sequence[str]) -> list[BundleRecord]:
        rows = self._session.execute("read the bundles", f"SELECT JSON * FROM {self._keyspace}.bundles{where}", values)
        return [msgspec.json.decode(row, type=BundleRecord) for (row,) in rows]

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

    def claim_updates(self, topic: str, noise: str | None) -> None:
        """Bind an updates topic to this noise for ever, before the first update. Blocks. Raises StoreError.

        noise: the fingerprint of the noise, None where updates are exact. Raises SettingsError where updates of the
        topic have other noise, or are exact: one exact vector beside noisy ones would tell what the noise hides.
        """
        self._check_noise(topic, noise)
        if noise is not None:
            statement = f"INSERT INTO {self._keyspace}.behavior_topic (name, topic) VALUES (%s, %s) IF NOT EXISTS"
            self._session.execute(f"bind topic {topic} to noise {noise}", statement, [_NOISE + topic, noise])
            self._check_noise(topic, noise)  # Another worker may have bound the topic meanwhile.

    def _check_noise(self, topic: str, noise: str | None) -> None:
        query = f"SELECT topic FROM {self._keyspace}.behavior_topic WHERE name = %s"
        found = [one for (one,) in self._session.execute("read the noise of updates", query, [_NOISE + topic])]
        if found == ([] if noise is None else [noise]):
            return
        if not found:
            is_used = any(
                one.updates_topic == topic or (one.updates_topic is None and not has_own_topic(topic, one.bundle_id))
                for one in self.records().values()
            )
            if not is_used:
                return
        holds = f"vectors with the noise of the fingerprint {found[0]}" if found else "exact vectors"
        given = "are not set" if noise is None else f"give the noise of the fingerprint {noise}"
        raise SettingsError(
            f"topic {topic} holds {holds}, and the settings updates_noise_... {given}: give this program the settings "
            "and the key of the topic's workers, or set another updates_topic (THALWEG_UPDATES_TOPIC), see "
            "docs/private-vectors.md"
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
        uses = self._mapping_uses(bundle_id)
        known = [one.name for one in uses]
        others = [one for one in known if decoder_rules(one) != decoder_rules(name)]
        if others:
            logger.warning(
                "bundle %s: events are read by %s from now on, and earlier events were read by %s; rows keep the "
                "effect of earlier events, and `thalweg verify` and a rebuild of a row read all events by the present "
                "mapping",
                bundle_id,
                name,
                " and ".join(others),
            )
        table, now = f"{self._keyspace}.mappings", datetime.now(UTC)
        if uses:  # The clock of an earlier worker may be ahead of this one.
            now = max(now, uses[-1].at + timedelta(milliseconds=1))
        statement = f"INSERT INTO {table} (first_used_at, bundle_id, name) VALUES (%s, %s, %s) IF NOT EXISTS"
        if name not in known:
            self._session.execute(f"enter {name} for bundle {bundle_id}", statement, [now, bundle_id, name])
        statement = f"UPDATE {table} SET last_used_at = %s WHERE bundle_id = %s AND name = %s IF EXISTS"
        self._session.execute(f"enter the use of {name} for bundle {bundle_id}", statement, [now, bundle_id, name])

    def check_mapping(self, bundle_id: str, name: str) -> list[str]:
        """The names by which workers of the bundle have read, in order of the last start. Blocks. Raises StoreError.

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
        """The names by which workers of the bundle have read, in order of the last start. Blocks. Raises StoreError.

        Earlier versions entered none, or the first use alone.
        """
        return [one.name for one in self._mapping_uses(bundle_id)]

    def _mapping_uses(self, bundle_id: str) -> list[MappingUse]:
        """The rows of the bundle, in order of the last start. They are read as JSON, because columns may be missing."""
        query = f"SELECT JSON * FROM {self._keyspace}.mappings WHERE bundle_id = %s"
        rows = self._session.execute(f"read the mappings of bundle {bundle_id}", query, [bundle_id])
        found = [msgspec.json.decode(row, type=MappingUse) for (row,) in rows]
        return sorted(found, key=attrgetter("at"))

    def has_table(self, name: str) -> bool:
        """Whether the keyspace has this table. Blocks. Raises StoreError."""
        query = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s AND table_name = %s"
        return bool(list(self._session.execute("read the schema", query, [stored_name(self._keyspace), name])))

    def check_history(self) -> None:
        """Raises SettingsError where the keyspace lacks the table of switches, and StoreError. Blocks."""
        if not self.has_table("promotions"):
            raise SettingsError(
                f"keyspace {self._keyspace} has no table promotions: check THALWEG_KEYSPACE, start a worker of this "
                "version, which makes the table, or run `thalweg setup`"
            )

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

    def view(self, topic: str, topic_id: uuid.UUID, partitions: int, passed: Mapping[int, int]) -> EpochView:
        """What a group may read of the topic now (`epoch_view`). Enters the first epoch of a topic with this id.

        Blocks. Raises StoreError.
        """
        while True:
            epochs = self.epochs(topic)
            view = epoch_view(epochs, topic_id, partitions, passed)
            if view is not None:
                return view
            number = max((epoch.number for epoch in epochs), default=-1) + 1
            self.begin_epoch(topic, Epoch(number, topic_id, partitions, ()))

    def begin_epoch(self, topic: str, epoch: Epoch) -> None:
        """Enter the epoch, unless another worker has entered this number meanwhile. Blocks. Raises StoreError."""
        statement = (
            f"INSERT INTO {self._keyspace}.sources (topic, epoch, topic_id, partitions, barrier) "
            "VALUES (%s, %s, %s, %s, %s) IF NOT EXISTS"
        )
        row = [topic, epoch.number, epoch.topic_id, epoch.partitions, list(epoch.barrier)]
        self._session.execute(f"enter epoch {epoch.number} of topic {topic}", statement, row)
