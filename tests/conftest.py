"""Fixtures of all tests. Tests in unit/ and contract/ need no service. The others share one Kafka and Cassandra."""

import os
import subprocess
from collections.abc import Iterator

import hypothesis
import pytest

from streams.local import LocalServices
from tests.support.stream.keyspaces import drop_keyspaces, keyspaces
from tests.support.stream.preloaded.process import PreloadedPopen
from tests.support.stream.quick_services import quick_services
from tests.tools.schema_registry.apicurio import Apicurio, schema_registry

# By default Hypothesis fails a test when one example takes longer than 200 ms. On a busy machine that measures the
# machine and not the code: the operating system may take the processor away for longer than that.
hypothesis.settings.register_profile("thalweg", deadline=None)
hypothesis.settings.load_profile("thalweg")


_shared: list[LocalServices] = []  # the services that this run has started

# ONNX Runtime would write an id under the home directory when a test imports the package before `export`.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "services: needs a real Kafka and Cassandra (set for users of that fixture)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "services" in getattr(item, "fixturenames", ()):
            item.add_marker("services")


@pytest.fixture(autouse=True, scope="session")
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the developer's settings and a running `thalweg up` away from the tests. Only the jar cache is shared."""
    environment = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith("THALWEG_") and name != "THALWEG_CACHE"]:
        environment.delenv(name)
    environment.setenv("THALWEG_HOME", str(tmp_path_factory.mktemp("home")))
    yield
    environment.undo()


@pytest.fixture(autouse=True, scope="session")
def _preloaded_commands() -> Iterator[None]:
    """Start commands of Thalweg as forks of a process that has loaded their modules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", PreloadedPopen)
        yield


@pytest.fixture(scope="session")
def services() -> Iterator[LocalServices]:
    """Start a real Kafka and Cassandra once for the whole run. Each test uses its own topics, groups and keyspaces.

    No test kills this Cassandra.
    """
    with quick_services() as running:
        _shared.append(running)
        yield running
        _shared.clear()


@pytest.fixture(autouse=True, scope="module")
def _few_keyspaces() -> Iterator[None]:
    """Delete the keyspaces of a module's tests. A thousand tables make each new one take seconds.

    Fixtures of a whole folder come before this one, and keep their keyspaces.
    """
    before = [keyspaces(running.cassandra.address) for running in _shared]
    yield
    for number, running in enumerate(_shared):
        drop_keyspaces(running.cassandra.address, before[number] if before else ())


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apicurio]:
    """Start a real schema registry once for the whole run. Each test uses its own subjects."""
    with schema_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running
