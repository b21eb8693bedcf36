"""Item vectors in a real Cassandra, as readers find them during and after the registration."""

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from export.runtime.bundle import Bundle
from streams.config.settings import Settings
from streams.local import LocalServices
from streams.store import session
from streams.store.cql_schema import item_vectors_table, representations_table
from streams.store.session import connect
from streams.store.store import open_store
from streams.worker import registration
from streams.worker.registration import Registration
from tests.support.bundles import tiny_bundle

ITEMS = 250


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
    store.registry.announce(bundle)
    store.registry.announce(bundle)
    announced = reader.execute(f"SELECT bundle_id, width, items FROM {settings.keyspace}.bundles")
    assert list(announced) == [(bundle.bundle_id, bundle.manifest.representation_width, ITEMS)]
    active = f"SELECT * FROM {settings.keyspace}.active_bundle"
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


def test_vectors_without_a_mark_after_a_crash_are_written_again(
    settings: Settings, bundle: Bundle, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second stretch is stored in part, but not its first vectors. A check of some of its vectors would mislead."""
    monkeypatch.setattr(registration, "STRETCH_ITEMS", 100)
    store = open_store(settings, bundle)
    store.registry.announce(bundle)

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
    monkeypatch.setattr(session, "REQUEST_TIMEOUT_S", 0.5)
    store = open_store(settings, bundle)
    store.registry.announce(bundle)
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


def test_an_erasure_reaches_every_table_of_representations_that_exists(
    settings: Settings, bundle: Bundle, reader: Any, tmp_path: Any
) -> None:
    """The erasure also reaches rows of a bundle that is gone, and of a bundle whose worker started later."""
    erasing = open_store(settings, bundle)
    later_bundle = tiny_bundle(tmp_path / "later", items=20, width=16)
    later = open_store(settings, later_bundle)
    table = f"{settings.keyspace}.{representations_table(later_bundle.manifest.representation_width)}"
    reader.execute(f"INSERT INTO {table} (user_id, bundle_id, steps) VALUES ('gone', 'old', 1) USING TIMESTAMP 1")
    asyncio.run(erasing.users.erase([("gone", 7)], 1))
    assert list(reader.execute(f"SELECT * FROM {table}")) == []
    later.close()
    reader.execute(f"DROP TABLE {table}")
    asyncio.run(erasing.users.erase([("gone", 8)], 1))
    erasing.close()
