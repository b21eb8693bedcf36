"""Item vectors in a real Cassandra: what readers find, when, and after what."""

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


def test_the_bundle_is_found_at_once_and_its_item_vectors_when_they_are_registered(
    settings: Settings, bundle: Bundle, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "STRETCH_ITEMS", 100)
    of = open_store(settings, bundle)
    assert list(reader.execute(f"SELECT * FROM {settings.keyspace}.bundles")) == [], "to connect registers nothing"
    of.registry.announce(bundle)
    of.registry.announce(bundle)
    announced = reader.execute(f"SELECT bundle_id, width, items FROM {settings.keyspace}.bundles")
    assert list(announced) == [(bundle.bundle_id, bundle.manifest.representation_width, ITEMS)]
    active = f"SELECT * FROM {settings.keyspace}.active_bundle"
    assert list(reader.execute(active)) == [], "readers of the active bundle can rank"
    assert (mark(reader, settings, bundle), stored_vectors(reader, settings, bundle)) == (None, {})
    asyncio.run(Registration(of.items, of.registry, bundle.bundle_id, ITEMS, lambda partition: True).run())
    of.close()
    assert mark(reader, settings, bundle) == ITEMS
    assert list(reader.execute(active)) == [("active", bundle.bundle_id)]
    found = stored_vectors(reader, settings, bundle)
    assert found.keys() == set(bundle.vocabulary.items)
    for position, item in enumerate(bundle.vocabulary.items, 1):
        np.testing.assert_array_equal(found[item], bundle.item_vectors[position])


def test_vectors_that_a_crash_left_without_a_mark_are_not_trusted(
    settings: Settings, bundle: Bundle, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of the second stretch are there, the first of them not: whoever looked for any of them would be deceived."""
    monkeypatch.setattr(registration, "STRETCH_ITEMS", 100)
    of = open_store(settings, bundle)
    of.registry.announce(bundle)

    async def crash() -> None:
        await of.items.write(0, 100)
        await of.items.mark(100)
        await of.items.write(150, 180)

    asyncio.run(crash())
    assert len(stored_vectors(reader, settings, bundle)) == 130
    again = Registration(of.items, of.registry, bundle.bundle_id, ITEMS, lambda partition: True)
    asyncio.run(again.run())
    asyncio.run(of.items.mark(200))  # of a worker that was paused: it takes nothing back
    of.close()
    assert len(stored_vectors(reader, settings, bundle)) == ITEMS
    assert (mark(reader, settings, bundle), again.stored) == (ITEMS, ITEMS)


def test_while_cassandra_is_away_registration_waits_and_then_goes_on(
    services: LocalServices, settings: Settings, bundle: Bundle, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "REQUEST_TIMEOUT_S", 0.5)
    of = open_store(settings, bundle)
    of.registry.announce(bundle)
    made = Registration(of.items, of.registry, bundle.bundle_id, ITEMS, lambda partition: True)

    async def play() -> None:
        task = asyncio.create_task(made.run())
        await asyncio.sleep(3)
        assert not task.done()
        assert of.session.retries > 0, "it did not try"
        services.cassandra.resume()
        await asyncio.wait_for(task, timeout=60)

    services.cassandra.pause()
    try:
        asyncio.run(play())
    finally:
        services.cassandra.resume()
    of.close()
    assert len(stored_vectors(reader, settings, bundle)) == ITEMS


def test_an_erasure_reaches_every_table_of_representations_as_they_come_and_go(
    settings: Settings, bundle: Bundle, reader: Any, tmp_path: Any
) -> None:
    """Also that of a bundle of which nothing but rows is left, and that of one whose worker started later."""
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
