"""Item vectors in a real Cassandra, as readers find them during and after the registration."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from cassandra import InvalidRequest, ReadFailure
from cassandra.query import SimpleStatement

from export.runtime.bundle import Bundle
from streams.config.errors import SettingsError
from streams.config.settings import Settings
from streams.engine.arena import StoredUser
from streams.engine.epochs import Epoch
from streams.engine.planning.candidates import Erased
from streams.engine.planning.rows import Rows
from streams.local import LocalServices
from streams.store import cql_schema
from streams.store.cql_schema import item_vectors_table
from streams.store.items import registration
from streams.store.items.registration import Registration
from streams.store.protocol import cluster
from streams.store.protocol.cluster import connect
from streams.store.protocol.row_batches import BYTES
from streams.store.schema_creation import create_missing
from streams.store.session import Session
from streams.store.store import open_store
from tests.support.bundles import tiny_bundle

ITEMS = 250
INDEXED_WITHIN_S = 20.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"), items=ITEMS)


@pytest.fixture
def settings(services: LocalServices) -> Settings:
    return Settings(cassandra=services.cassandra.address, keyspace=f"k{uuid.uuid4().hex[:10]}")


@pytest.fixture
def reader(settings: Settings) -> Iterator[Any]:
    cluster, session = connect(settings)
    yield session
    cluster.shutdown()


def test_the_largest_request_leaves_in_one_part(reader: Any) -> None:
    parts = [pool._connection.out_buffer_size for pool in reader.get_pools()]
    assert parts
    assert min(parts) > 2 * BYTES  # the rows of a request are counted without what the protocol adds


def stored_vectors(reader: Any, settings: Settings, bundle: Bundle) -> dict[str, np.ndarray]:
    table = item_vectors_table(bundle.manifest.representation_width)
    query = f"SELECT bundle_id, item_id, vector FROM {settings.keyspace}.{table}"
    rows = [row for row in reader.execute(query) if row[0] == bundle.bundle_id]
    return {item: np.frombuffer(vector, ">f4") for _, item, vector in rows}


def mark(reader: Any, settings: Settings, bundle: Bundle) -> int | None:
    query = f"SELECT items FROM {settings.keyspace}.item_vectors_stored WHERE bundle_id = %s LIMIT 1"
    row = reader.execute(query, [bundle.bundle_id]).one()
    return None if row is None else int(row[0])


def test_a_bundle_is_announced_at_once_and_its_item_vectors_when_they_are_registered(
    settings: Settings, bundle: Bundle, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "STRETCH_ITEMS", 100)
    store = open_store(settings, bundle)
    assert list(reader.execute(f"SELECT * FROM {settings.keyspace}.bundles")) == [], (
        "a store that is only opened must register nothing"
    )
    store.registry.announce(bundle, settings.updates_topic)
    store.registry.announce(bundle, settings.updates_topic)
    announced = reader.execute(f"SELECT bundle_id, width, items FROM {settings.keyspace}.bundles")
    assert list(announced) == [(bundle.bundle_id, bundle.manifest.representation_width, ITEMS)]
    active = f"SELECT name, bundle_id FROM {settings.keyspace}.active_bundle WHERE name = 'active'"
    assert list(reader.execute(active)) == [], "a bundle becomes active only when all its item vectors are stored"
    assert (mark(reader, settings, bundle), stored_vectors(reader, settings, bundle)) == (None, {})
    asyncio.run(Registration(store.items, store.registry, bundle.bundle_id, ITEMS, lambda partition: True).run())
    store.close()
    assert mark(reader, settings, bundle) == ITEMS
    assert list(reader.execute(active)) == [("active", bundle.bundle_id)]
    found = stored_vectors(reader, settings, bundle)
    assert found.keys() == set(bundle.vocabulary.items)
    for position, item in enumerate(bundle.vocabulary.items, 1):
        np.testing.assert_array_equal(found[item], bundle.item_vectors[position])


def vectors_of_bundle(reader: Any, settings: Settings, bundle: Bundle) -> dict[str, bytes]:
    """Return what one query for all item vectors of a bundle gives, in several pages."""
    table = item_vectors_table(bundle.manifest.representation_width)
    query = f"SELECT item_id, vector FROM {settings.keyspace}.{table} WHERE bundle_id = %s"
    rows = reader.execute(SimpleStatement(query, fetch_size=60), [bundle.bundle_id])
    found = list(rows)
    assert len({item for item, _ in found}) == len(found)
    return {item: bytes(vector) for item, vector in found}


def expected_vectors(bundle: Bundle) -> dict[str, bytes]:
    named = zip(bundle.vocabulary.items, bundle.item_vectors[1:], strict=True)
    return {item: vector.astype(">f4").tobytes() for item, vector in named}


def test_one_query_gives_all_item_vectors_of_a_bundle_and_of_no_other(
    settings: Settings, bundle: Bundle, reader: Any, tmp_path: Path
) -> None:
    other = tiny_bundle(tmp_path / "other", items=70, seed=1)
    for one in (bundle, other):
        store = open_store(settings, one)
        asyncio.run(store.items.write(0, len(one.vocabulary.items)))
        store.close()
    for one in (bundle, other):
        assert vectors_of_bundle(reader, settings, one) == expected_vectors(one)


def test_a_table_of_an_earlier_version_gets_the_index_with_the_rows_that_it_holds(
    settings: Settings, bundle: Bundle, reader: Any
) -> None:
    store = open_store(settings, bundle)
    index = cql_schema.item_vectors_index(bundle.manifest.representation_width)
    reader.execute(f"DROP INDEX {settings.keyspace}.{index}")
    asyncio.run(store.items.write(0, ITEMS))
    with pytest.raises(InvalidRequest, match="ALLOW FILTERING"):
        vectors_of_bundle(reader, settings, bundle)
    store.close()
    open_store(settings, bundle).close()
    deadline_s = time.monotonic() + INDEXED_WITHIN_S
    while True:
        try:
            assert vectors_of_bundle(reader, settings, bundle) == expected_vectors(bundle)
            return
        except ReadFailure:  # Cassandra is still indexing the rows.
            assert time.monotonic() < deadline_s, "the rows are not indexed"
            time.sleep(0.1)


def test_vectors_without_a_mark_after_a_crash_are_written_again(
    settings: Settings, bundle: Bundle, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second stretch is stored in part, but not its first vectors. A check of some of its vectors would mislead."""
    monkeypatch.setattr(registration, "STRETCH_ITEMS", 100)
    store = open_store(settings, bundle)
    store.registry.announce(bundle, settings.updates_topic)

    async def crash() -> None:
        await store.items.write(0, 100)
        await store.items.mark(100)
        await store.items.write(150, 180)

    asyncio.run(crash())
    assert len(stored_vectors(reader, settings, bundle)) == 130
    again = Registration(store.items, store.registry, bundle.bundle_id, ITEMS, lambda partition: True)
    asyncio.run(again.run())
    asyncio.run(store.items.mark(200))  # a worker that was paused marks late, which must not lower the mark
    store.close()
    assert len(stored_vectors(reader, settings, bundle)) == ITEMS
    assert (mark(reader, settings, bundle), again.stored) == (ITEMS, ITEMS)


def test_registration_waits_while_cassandra_is_down_and_then_continues(
    services: LocalServices, settings: Settings, bundle: Bundle, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "REQUEST_TIMEOUT_S", 0.5)
    store = open_store(settings, bundle)
    store.registry.announce(bundle, settings.updates_topic)
    made = Registration(store.items, store.registry, bundle.bundle_id, ITEMS, lambda partition: True)

    async def play() -> None:
        task = asyncio.create_task(made.run())
        await asyncio.sleep(3)
        assert not task.done()
        assert store.session.retries > 0, "the registration did not retry"
        services.cassandra.resume()
        await asyncio.wait_for(task, timeout=60)

    services.cassandra.pause()
    try:
        asyncio.run(play())
    finally:
        services.cassandra.resume()
    store.close()
    assert len(stored_vectors(reader, settings, bundle)) == ITEMS


def test_an_erasure_deletes_the_row_of_its_own_bundle_alone(settings: Settings, bundle: Bundle, tmp_path: Any) -> None:
    """The worker of another bundle may not have reached the erasure, and still needs the user's history."""
    first = open_store(settings, bundle)
    second = open_store(settings, tiny_bundle(tmp_path / "second", items=ITEMS, seed=1))
    rows = Rows(["gone"])
    rows.partition[:] = rows.offset[:] = 0
    for store in (first, second):
        manifest = bundle.manifest
        state, vector = np.ones((1, manifest.state_width), np.float32), np.ones((1, manifest.representation_width))
        asyncio.run(store.users.write(store.users.encode(rows, state, vector.astype(np.float32), 1, now_ms=0)))
    asyncio.run(first.users.erase([Erased("gone", 0, 7)], 1))
    assert [store.users.has_rows() for store in (first, second)] == [False, True]
    first.close()
    second.close()


def test_each_repair_at_a_position_replaces_all_cells_and_the_next_event_wins(
    settings: Settings, bundle: Bundle
) -> None:
    """Cassandra would settle equal write timestamps cell by cell, so that no checksum fits."""
    store, count = open_store(settings, bundle), 40
    rows = Rows([f"user-{number}" for number in range(count)])
    rows.partition[:], rows.offset[:], rows.steps[:] = 0, 1_000 + np.arange(count), 3
    draw, manifest = np.random.default_rng(0), bundle.manifest

    def values() -> tuple[np.ndarray, np.ndarray]:
        state = draw.normal(size=(count, manifest.state_width)).astype(np.float32)
        return state, draw.normal(size=(count, manifest.representation_width)).astype(np.float32)

    def stored() -> np.ndarray:
        found = {row.user_id: row for row in store.users.scan() if isinstance(row, StoredUser)}
        assert len(found) == count, "no row is damaged"
        return np.array([found[user_id].representation for user_id in rows.user_id])

    asyncio.run(store.users.write(store.users.encode(rows, *values(), 255, now_ms=0)))
    for _ in range(3):
        state, vector = values()
        assert asyncio.run(store.users.repair(rows, state, vector, now_ms=0)) == count
        np.testing.assert_array_equal(stored(), vector)
    rows.offset += 1
    state, vector = values()
    asyncio.run(store.users.write(store.users.encode(rows, state, vector, 0, now_ms=0)))
    np.testing.assert_array_equal(stored(), vector)
    store.close()


def test_an_erasure_is_pending_until_it_is_committed(settings: Settings, bundle: Bundle) -> None:
    first = open_store(settings, bundle)
    asyncio.run(first.users.erase([Erased("gone", 2, 7), Erased("other", 1, 5)], 1))
    first.close()
    replaying = open_store(settings, bundle)
    asyncio.run(replaying.erasures.load([0, 2], comparable={0}))
    asyncio.run(replaying.erasures.drop_passed({2: 3}))
    assert [replaying.users.hides("gone", 2, offset) for offset in (3, 7, 8)] == [True, True, False]
    assert not replaying.users.hides("gone", 1, 3)
    assert not replaying.users.hides("other", 1, 3)  # The partition belongs to another worker.
    asyncio.run(replaying.erasures.drop_passed({2: 7}))
    assert replaying.users.hides("gone", 2, 3)
    asyncio.run(replaying.erasures.drop_passed({2: 8}))
    asyncio.run(replaying.erasures.load([0, 1, 2], comparable={0}))
    assert not replaying.users.hides("gone", 2, 3)
    assert replaying.users.hides("other", 1, 3)
    asyncio.run(replaying.erasures.load([1], comparable={1}))  # The topic was made again.
    assert not replaying.users.hides("other", 1, 3)
    replaying.close()


def test_a_keyspace_takes_the_states_of_one_topic(settings: Settings, bundle: Bundle) -> None:
    store = open_store(settings, bundle)
    store.registry.claim(settings.behavior_topic)
    store.registry.claim(settings.behavior_topic)
    with pytest.raises(SettingsError, match=rf"holds states of the topic {settings.behavior_topic}, .* is another"):
        store.registry.claim("another")
    store.close()


def test_a_keyspace_of_a_version_without_bound_topics_belongs_to_the_topic_with_epochs(
    settings: Settings, bundle: Bundle
) -> None:
    store = open_store(settings, bundle)
    store.registry.begin_epoch("first", Epoch(0, uuid.uuid4(), 3, ()))
    with pytest.raises(SettingsError, match="holds states of the topic first"):
        store.registry.claim("second")
    store.registry.claim("first")
    store.close()


COLUMNS_QUERY = "SELECT column_name, type FROM system_schema.columns WHERE keyspace_name = %s AND table_name = %s"


def test_the_columns_of_recent_and_bought_items_are_added_where_they_are_missing(
    settings: Settings, tmp_path: Path
) -> None:
    manifest = tiny_bundle(tmp_path / "bundle").manifest
    table = cql_schema.representations_table(manifest.representation_width)
    session = Session(settings)
    try:

        def columns() -> dict[str, str]:
            return dict(session.execute("read the schema", COLUMNS_QUERY, [settings.keyspace, table]))

        without = msgspec.structs.replace(manifest, recent_places=0, bought_places=0)
        create_missing(session, settings, without)
        before = columns()
        assert not before.keys() & {"recent_items", "recent_scores", "bought_items"}
        create_missing(session, settings, msgspec.structs.replace(manifest, bought_places=0))
        recent = {"recent_items": "vector<int, 10>", "recent_scores": "vector<float, 10>"}
        assert columns() == before | recent
        create_missing(session, settings, manifest)
        assert columns() == before | recent | {"bought_items": "vector<int, 10>"}
        for one in (manifest, without):
            create_missing(session, settings, one)
            assert columns().keys() - before.keys() == {*recent, "bought_items"}
    finally:
        session.close()
