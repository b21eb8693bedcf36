"""Shared by all tests. Those in unit/ and contract/ need no service; the others share one Kafka and one Cassandra."""

import os
from collections.abc import Iterator

import pytest

from streams.local import LocalServices, local_services


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "services: runs on a real Kafka and Cassandra (set by using the fixture)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "services" in getattr(item, "fixturenames", ()):
            item.add_marker("services")


@pytest.fixture(autouse=True, scope="session")
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No setting of the developer's and no running `thalweg up` reaches a test; the jar cache is shared."""
    kept = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith("THALWEG_") and name != "THALWEG_CACHE"]:
        kept.delenv(name)
    kept.setenv("THALWEG_HOME", str(tmp_path_factory.mktemp("home")))
    yield
    kept.undo()


@pytest.fixture(scope="session")
def services() -> Iterator[LocalServices]:
    """A real Kafka and Cassandra for the whole run: a test uses topics, groups and keyspaces of its own."""
    with local_services() as running:
        yield running
