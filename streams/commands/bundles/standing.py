"""Where each bundle stands: its alias, its rows, its workers and how far they have read."""

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from export.runtime.bundle import MANIFEST, Bundle
from streams.broker.offsets.group_offsets import count_members
from streams.broker.topics import Topic, describe_topic
from streams.config.errors import InputError
from streams.config.settings import Settings
from streams.health.rights.check import check_broker_rights, check_store_rights
from streams.health.rights.roles import Role
from streams.store.bundle_record import BundleRecord
from streams.store.bundles.aliases import Aliases
from streams.store.bundles.sizes import NOTHING, Size, sizes
from streams.store.registry import Registry
from streams.store.session import Session

LOOK_EVERY_S = 0.2

State = Literal["serving", "shadow", "retiring", "retired"]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One bundle of a keyspace.

    rows: about so many, with the standard error `rows_error`, which is 0 where all rows were counted. value_bytes: of
    the values in these rows, on one replica and before compression. lag: records that the group can read and has not
    committed, None for a retired bundle, whose group is gone. updates_topic: where the workers publish.
    """

    bundle_id: str
    alias: Literal["champion", "challenger"] | None
    state: State
    rows: int
    rows_error: int
    value_bytes: int
    age_s: float
    group: str
    workers: int
    lag: int | None
    item_vectors: int
    items: int
    updates_topic: str


class Bundles:
    """What Kafka and Cassandra know of the bundles. Every method blocks, and may raise StoreError and BrokerError."""

    def __init__(self, settings: Settings, session: Session) -> None:
        self.settings = settings
        self.session = session
        self.registry = Registry(session, settings.keyspace)
        self.aliases = Aliases(session, settings.keyspace)

    def record(self, bundle_id: str) -> BundleRecord:
        """The row of a bundle. Raises InputError that names all bundles where there is no such row."""
        known = self.registry.records()
        if bundle_id not in known:
            names = ", ".join(known) or "none"
            raise InputError(
                f"keyspace {self.settings.keyspace} knows no bundle {bundle_id!r}: known are {names}; `thalweg shadow` "
                "and `thalweg worker` enter a bundle"
            )
        return known[bundle_id]

    def standings(self) -> list[Standing]:
        """All bundles, in the order in which workers first served them."""
        known, found = self.registry.records(), []
        widths = {record.width for record in known.values() if record.retired_at is None}
        found_sizes: dict[str, Size] = {}
        for width in widths:
            found_sizes |= sizes(self.session, self.settings.keyspace, width)
        active, challenger = self.aliases.active(), self.aliases.challenger()
        for bundle_id, record in known.items():
            is_active = active is not None and active.bundle_id == bundle_id
            alias: Literal["champion", "challenger"] | None = "challenger" if bundle_id == challenger else None
            found.append(
                self._standing(record, "champion" if is_active else alias, found_sizes.get(bundle_id, NOTHING))
            )
        return found

    def topic(self, bundle_id: str) -> Topic:
        """The behaviour topic with the commits of the bundle's group."""
        return describe_topic(self.settings, self.settings.behavior_topic, self.group(bundle_id))

    def group(self, bundle_id: str) -> str:
        return self.settings.consumer_group_id(bundle_id)

    def workers(self, bundle_id: str) -> int:
        """The running members of the bundle's group."""
        return count_members(self.settings, self.group(bundle_id))

    def item_vectors(self, bundle_id: str) -> int:
        """The number of the bundle's item vectors that are known to be stored."""
        query = f"SELECT items FROM {self.settings.keyspace}.item_vectors_stored WHERE bundle_id = %s LIMIT 1"
        rows = self.session.execute("read item_vectors_stored", query, [bundle_id])
        return max((items for (items,) in rows), default=0)

    def lag_after(self, bundle_id: str, limit_s: float) -> int:
        """The records that were in the topic at the call and that the group has not committed within the limit.

        So 0 means that the group is at most `limit_s` behind, whatever the rate of the events. A busy group commits
        once a second, so that its lag in records is never 0.
        """
        topic, gives_up_s = self.topic(bundle_id), time.monotonic() + limit_s
        ends = topic.stable_offsets
        while True:
            lag = sum(max(0, end - topic.passed.get(partition, 0)) for partition, end in ends.items())
            if lag == 0 or time.monotonic() > gives_up_s:
                return lag
            time.sleep(LOOK_EVERY_S)
            topic = self.topic(bundle_id)

    def updates_topic(self, bundle_id: str) -> str:
        return self.registry.settings_of(self.settings, bundle_id).updates_topic

    def _standing(self, record: BundleRecord, alias: Literal["champion", "challenger"] | None, size: Size) -> Standing:
        bundle_id = record.bundle_id
        return Standing(
            bundle_id=bundle_id,
            alias=alias,
            state=state_of(record, alias == "champion"),
            rows=size.rows,
            rows_error=size.error_rows,
            value_bytes=size.value_bytes,
            age_s=record.age_s,
            group=self.group(bundle_id),
            workers=self.workers(bundle_id),
            lag=None if record.retired_at else self.topic(bundle_id).lag,
            item_vectors=self.item_vectors(bundle_id),
            items=record.items,
            updates_topic=self.updates_topic(bundle_id),
        )


def state_of(record: BundleRecord, is_active: bool) -> State:
    """serving: answers come from the bundle. shadow: the bundle has rows, and no answer comes from them."""
    if record.retired_at is not None:
        return "retired"
    if record.retirement_began_at is not None:
        return "retiring"
    return "serving" if is_active else "shadow"


@contextlib.contextmanager
def open_bundles(settings: Settings, role: Role | None = None) -> Iterator[Bundles]:
    """Connect to Cassandra. Raises StoreError.

    role: the program whose rights this client needs. Raises RightsError that names what is missing, and BrokerError.
    Raises SettingsError where the keyspace belongs to another topic, or is not there.
    """
    # The client warns about each member of a group whose metadata Faust has written.
    logging.getLogger("kafka.admin").setLevel(logging.ERROR)
    session = Session(settings)
    try:
        if role is not None:  # Without a right on a topic, the topic would seem to be missing.
            check_broker_rights(settings, role)
            check_store_rights(settings, session, role, ())
        bundles = Bundles(settings, session)
        bundles.registry.check_history()
        bundles.registry.check_topic(settings.behavior_topic)
        yield bundles
    finally:
        session.close()


def named_bundle(text: str) -> str:
    """The id of a bundle that was named by its id or by its folder. Raises BundleError for a folder that is broken."""
    return Bundle.load(text).bundle_id if (Path(text) / MANIFEST).is_file() else text
