"""Bundles, aliases, sizes and deletions on a real Cassandra and Kafka."""

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from export.runtime.bundle import Bundle
from streams.broker.clients import open_producer
from streams.broker.topics import describe_topic, ensure_topics, topic_exists
from streams.commands.bundles.kafka_deletion import delete_group, delete_topic, forget_updates
from streams.commands.bundles.standing import Bundles
from streams.commands.bundles.switching import active_switch, switch
from streams.config.errors import InputError, SettingsError, StoreError
from streams.config.settings import Settings
from streams.engine.epochs import EpochView
from streams.engine.planning.rows import Rows
from streams.store.bundles import sizes as sizes_of
from streams.store.bundles.aliases import Aliases, before_of
from streams.store.bundles.deletion import BundleDeletion
from streams.store.bundles.sizes import sizes
from streams.store.session import REQUESTS_IN_FLIGHT, Session
from streams.store.store import Store, open_store
from tests.support.bundles import tiny_bundle
from tests.support.topics import read_all

ITEMS, EPOCH = 20, 1
LATER = ("updates_topic", "backfilled_partitions", "backfilled_at", "log_id", "retirement_began_at", "retired_at")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """Three bundles of one width."""
    folder = tmp_path_factory.mktemp("bundles")
    return [tiny_bundle(folder / f"bundle-{seed}", items=ITEMS, seed=seed) for seed in range(3)]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, keyspace=f"k{uuid.uuid4().hex[:10]}")


@pytest.fixture
def store(settings: Settings, bundles: list[Bundle]) -> Iterator[Store]:
    opened = open_store(settings, bundles[0])
    yield opened
    opened.close()


def announce(settings: Settings, store: Store, bundle: Bundle) -> str:
    """Do what a worker of the bundle does at its start. Return the topic to which the worker would publish."""
    topic = store.registry.settings_of(settings, bundle.bundle_id).updates_topic
    store.registry.announce(bundle, topic)
    return topic


def test_the_first_bundle_publishes_to_the_setting_and_every_later_one_to_a_topic_of_its_own(
    settings: Settings, store: Store, bundles: list[Bundle]
) -> None:
    first, second, third = bundles
    own = f"{settings.updates_topic}.{second.bundle_id}"
    assert announce(settings, store, first) == settings.updates_topic
    for _ in range(2):  # a worker starts again
        assert announce(settings, store, second) == own
        assert announce(settings, store, first) == settings.updates_topic
    assert store.registry.backfilled(second.bundle_id, 4) == frozenset()
    for partition in (0, 3, 3):
        store.registry.enter_backfilled(second.bundle_id, partition)
    assert store.registry.backfilled(second.bundle_id, 4) == {0, 3}
    assert store.registry.backfilled(first.bundle_id, 4) == store.registry.backfilled("gru-unknown", 4) == frozenset()
    store.registry.end_backfill(second.bundle_id)
    assert store.registry.backfilled(second.bundle_id, 5) == {0, 1, 2, 3, 4}
    told = store.session.execute("ask", f"SELECT bundle_id, updates_topic FROM {settings.keyspace}.bundles")
    assert dict(told) == {first.bundle_id: settings.updates_topic, second.bundle_id: own}
    moved = msgspec.structs.replace(settings, updates_topic="other")
    assert announce(moved, store, second) == f"other.{second.bundle_id}"
    assert announce(moved, store, first) == "other"
    assert announce(settings, store, third) == f"{settings.updates_topic}.{third.bundle_id}"


def test_of_two_first_bundles_at_once_one_is_told_to_start_again(
    settings: Settings, store: Store, bundles: list[Bundle]
) -> None:
    first, second, _ = bundles
    believed = store.registry.settings_of(settings, second.bundle_id).updates_topic
    assert believed == settings.updates_topic, "no bundle is there yet"
    announce(settings, store, first)
    with pytest.raises(StoreError, match="has become the first of keyspace"):
        store.registry.announce(second, believed)
    assert store.registry.records().keys() == {first.bundle_id}
    assert announce(settings, store, second) == f"{settings.updates_topic}.{second.bundle_id}"


def test_bundles_of_an_earlier_version_keep_the_topic_of_the_setting(settings: Settings, bundles: list[Bundle]) -> None:
    """The tables lack columns, and both bundles have published to one topic."""
    store = open_store(settings, bundles[0])
    table = f"{settings.keyspace}.bundles"
    store.session.execute("go back", f"ALTER TABLE {table} DROP ({', '.join(LATER)})")
    store.session.execute("go back", f"ALTER TABLE {settings.keyspace}.active_bundle DROP (switched_at, evidence)")
    for one in bundles[:2]:
        row = [one.bundle_id, one.manifest.representation_width, ITEMS]
        text = f"INSERT INTO {table} (bundle_id, width, items, first_served_at) VALUES (%s, %s, %s, 0)"
        store.session.execute("enter", text, row)
    store.session.execute(
        "activate", f"INSERT INTO {settings.keyspace}.active_bundle (name, bundle_id) VALUES ('active', %s)", ["gru-1"]
    )
    for later in ("promotions", "migrations"):
        store.session.execute("go back", f"DROP TABLE {settings.keyspace}.{later}")
    with pytest.raises(SettingsError, match=f"keyspace {settings.keyspace} has no table promotions"):
        store.registry.check_history()
    reader = Aliases(store.session, settings.keyspace)
    active = reader.active()
    assert active is not None
    assert (active.bundle_id, active.switched_at) == ("gru-1", None)
    for one in bundles[:2]:
        assert store.registry.settings_of(settings, one.bundle_id) == settings
    store.close()
    store = open_store(settings, bundles[0])  # of this version, which adds the table and the columns
    store.registry.check_history()
    try:
        assert [announce(settings, store, one) for one in bundles] == [
            settings.updates_topic,
            settings.updates_topic,
            f"{settings.updates_topic}.{bundles[2].bundle_id}",
        ]
    finally:
        store.close()


def test_a_switch_is_one_transaction_and_the_history_loses_none(settings: Settings, store: Store) -> None:
    aliases = Aliases(store.session, settings.keyspace)
    asyncio.run(store.registry.activate("gru-a"))
    first = aliases.active()
    assert first is not None
    aliases.switch("gru-b", first, "promote", False, {"low": 0.1}, before="gru-a")
    with pytest.raises(SettingsError, match="gru-a is not the active bundle any more"):
        aliases.switch("gru-c", first, "promote", False, {}, before="gru-a")
    second = aliases.active()
    assert second is not None
    assert (second.bundle_id, second.replaced, second.before, second.evidence) == (
        "gru-b",
        "gru-a",
        "gru-a",
        '{"low":0.1}',
    )
    # A command that was killed between the switch and its copy leaves the table of switches without the last one.
    store.session.execute("lose the copy", f"TRUNCATE {settings.keyspace}.promotions")
    assert aliases.history() == [second]
    aliases.switch("gru-a", second, "rollback", True, {"ignored": ["it's late"]}, before_of(aliases.history(), "gru-a"))
    last, copied = aliases.history()
    assert copied == second
    assert (last.bundle_id, last.replaced, last.before, last.is_forced) == ("gru-a", "gru-b", None, True)
    assert aliases.active() == last


class RepeatingSession:
    """Sends each conditional statement twice, as after a connection that broke before the answer."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def execute(self, doing: str, query: str, parameters: Sequence[Any] | None = None) -> Any:
        if " IF " in query:
            self._session.execute(doing, query, parameters)
        return self._session.execute(doing, query, parameters)


def test_a_command_recognises_the_first_copy_of_its_own_statement(
    settings: Settings, store: Store, bundles: list[Bundle]
) -> None:
    repeating: Any = RepeatingSession(store.session)
    aliases = Aliases(repeating, settings.keyspace)
    asyncio.run(store.registry.activate("gru-a"))
    first = aliases.active()
    assert first is not None
    aliases.switch("gru-b", first, "promote", False, {}, before="gru-a")
    second = aliases.active()
    assert second is not None
    assert second.bundle_id == "gru-b"
    aliases.set_challenger("gru-c", None)
    assert aliases.challenger() == "gru-c"
    announce(settings, store, bundles[0])
    record = store.registry.records()[bundles[0].bundle_id]
    deletion = BundleDeletion(repeating, settings.keyspace, record, 3)
    assert [deletion.begin(), deletion.begin()] == [True, False]


def test_a_switch_to_a_bundle_that_is_retired_in_the_same_moment_is_taken_back(
    settings: Settings, store: Store, bundles: list[Bundle]
) -> None:
    """The mark of `retire` comes after the look at the bundle's readiness, and before the switch."""
    found = Bundles(settings, store.session)
    announce(settings, store, bundles[0])
    announce(settings, store, bundles[1])
    old, new = (one.bundle_id for one in bundles[:2])
    asyncio.run(store.registry.activate(old))
    active = active_switch(found)
    deletion = BundleDeletion(store.session, settings.keyspace, store.registry.records()[new], 3)
    assert deletion.begin()
    with pytest.raises(InputError, match=f"retires {new} in this moment: {old} is the active bundle again"):
        switch(found, new, active, "promote", False, {}, before=old)
    assert active_switch(found).bundle_id == old
    deletion.give_up()
    switch(found, new, active_switch(found), "promote", False, {}, before=old)
    assert active_switch(found).bundle_id == new


def test_a_command_may_run_one_event_loop_after_the_other(settings: Settings, store: Store) -> None:
    """A semaphore of Python belongs to the first loop in which somebody had to wait."""

    async def many() -> None:
        query = f"SELECT bundle_id FROM {settings.keyspace}.bundles"
        await asyncio.gather(*(store.session.request(query) for _ in range(3 * REQUESTS_IN_FLIGHT)))

    asyncio.run(many())
    asyncio.run(many())


def test_a_challenger_is_replaced_only_by_who_has_seen_the_challenger(settings: Settings, store: Store) -> None:
    aliases = Aliases(store.session, settings.keyspace)
    assert aliases.challenger() is None
    aliases.set_challenger("gru-b", None)
    aliases.set_challenger("gru-b", None)  # another worker of the same bundle, which has seen no challenger either
    with pytest.raises(SettingsError, match="another command has chosen a challenger"):
        aliases.set_challenger("gru-c", None)
    aliases.drop_challenger("gru-c")
    assert aliases.challenger() == "gru-b"
    aliases.set_challenger("gru-c", "gru-b")
    aliases.drop_challenger("gru-c")
    assert aliases.challenger() is None


def write_users(store: Store, bundle: Bundle, count: int, offset: int = 0) -> None:
    """Write a row for each of `count` users, as a worker of the bundle does."""
    store.users.use_epoch(EpochView(EPOCH, frozenset([EPOCH])))
    rows = Rows([f"user-{number}" for number in range(count)])
    rows.partition[:] = 0
    rows.offset[:] = offset + np.arange(count)
    rows.steps[:] = 1
    state = np.repeat(bundle.initial_state[None], count, axis=0)
    vector = np.repeat(bundle.initial_representation[None], count, axis=0)
    asyncio.run(store.users.write(store.users.encode(rows, state, vector, 1, 0)))


def test_sizes_are_exact_for_few_rows_and_near_the_truth_for_many(
    settings: Settings, bundles: list[Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    width = bundles[0].manifest.representation_width
    for bundle, count in zip(bundles[:2], (3_000, 300), strict=True):
        store = open_store(settings, bundle)
        write_users(store, bundle, count)
        store.close()
    store = open_store(settings, bundles[0])
    exact = sizes(store.session, settings.keyspace, width)
    assert {name: (one.rows, one.error_rows) for name, one in exact.items()} == {
        bundles[0].bundle_id: (3_000, 0),
        bundles[1].bundle_id: (300, 0),
    }
    mean_bytes = exact[bundles[0].bundle_id].value_bytes / 3_000
    assert 4 * width < mean_bytes < 4 * width + 4 * bundles[0].manifest.state_width + 400
    monkeypatch.setattr(sizes_of, "ENOUGH_ROWS", 500)
    for start in (-(2**63), 0, 2**63 - 1):  # the part of the ring goes over its end
        found = sizes(store.session, settings.keyspace, width, start)[bundles[0].bundle_id]
        assert 0 < found.error_rows < 300
        assert abs(found.rows - 3_000) < 5 * found.error_rows
        assert found.value_bytes / found.rows == pytest.approx(mean_bytes, rel=0.02)
    store.close()


def test_a_deletion_takes_the_rows_of_one_bundle_and_hides_late_writes(
    settings: Settings, bundles: list[Bundle]
) -> None:
    first, second, _ = bundles
    stores = [open_store(settings, one) for one in (first, second)]
    for store, one in zip(stores, (first, second), strict=True):
        announce(settings, store, one)
        write_users(store, one, 2_500, offset=10)
        asyncio.run(store.items.write(0, ITEMS))
        asyncio.run(store.items.mark(ITEMS))
    kept, gone = stores
    deletion = BundleDeletion(gone.session, settings.keyspace, gone.registry.records()[second.bundle_id], 3)
    assert [deletion.begin(), deletion.begin()] == [True, False]
    deletion.give_up()
    announce(settings, gone, second)
    assert deletion.begin()
    with pytest.raises(SettingsError, match=f"bundle {second.bundle_id} was retired from keyspace"):
        gone.registry.announce(second, "any")
    told: list[int] = []
    assert deletion.item_vectors() == ITEMS
    assert deletion.delete_rows(EPOCH, 2_500, told.append) == 2_500
    assert deletion.delete_item_vectors(told.append) == ITEMS
    deletion.delete_rest()
    assert (deletion.delete_rows(EPOCH, 0, told.append), deletion.item_vectors()) == (0, 0)
    deletion.end()
    write_users(gone, second, 3, offset=10**9)  # of a worker that was paused
    assert list(gone.users.scan()) == []
    assert len(list(kept.users.scan())) == 2_500
    assert asyncio.run(kept.items.stored()) == ITEMS
    record = kept.registry.records()[second.bundle_id]
    assert record.retirement_began_at is not None
    assert record.retired_at is not None
    for store in stores:
        store.close()


def test_the_updates_of_one_bundle_are_forgotten_in_a_topic_that_bundles_share(settings: Settings) -> None:
    ensure_topics(settings)

    async def publish() -> None:
        async with open_producer(settings, "not sent") as producer:
            for number in range(50):
                for bundle_id in ("gru-a", "gru-b"):
                    key, partition = f"{bundle_id}/user-{number % 40}".encode(), number % settings.partitions
                    await producer.send_and_wait(settings.updates_topic, b"{}", key, partition=partition)
            await producer.send_and_wait(settings.updates_topic, b"{}", b"gru-abc/user-1", partition=0)

    asyncio.run(publish())
    told: list[int] = []
    assert forget_updates(settings, settings.updates_topic, "gru-a", told.append) >= 40
    last: dict[tuple[int, bytes], Any] = {}
    for record in read_all(settings, settings.updates_topic):
        last[record.partition, record.key] = record.value
    left = {key for (_, key), value in last.items() if value is not None}
    assert left == {*(f"gru-b/user-{number}".encode() for number in range(40)), b"gru-abc/user-1"}
    assert forget_updates(settings, f"{settings.updates_topic}.absent", "gru-a", told.append) == 0
    assert delete_topic(settings, settings.updates_topic)
    assert not delete_topic(settings, settings.updates_topic)
    assert not topic_exists(settings, settings.updates_topic)
    describe_topic(settings, settings.behavior_topic, "nobody")  # waits until the broker knows groups
    assert not delete_group(settings, "nobody")
