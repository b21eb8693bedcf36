"""One secure Kafka and Cassandra for all tests of rights."""

from collections.abc import Iterator

import pytest

from streams.config.settings import Settings
from streams.local import LocalServices
from tests.support.stream.quick_services import quick_services
from tests.tools.docker import manifests
from tests.tools.docker.cluster import make_cluster


@pytest.fixture(scope="package")
def services() -> Iterator[LocalServices]:
    with quick_services(secure=True) as running:
        yield running


@pytest.fixture(scope="package")
def cluster(services: LocalServices) -> Settings:
    """Make what the operators of a cluster make. Return the settings of an administrator."""
    settings = Settings(**services.client_settings)
    make_cluster(settings, manifests.render("small"))
    return settings
