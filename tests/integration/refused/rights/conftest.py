"""One secure Kafka and Cassandra for all tests of rights."""

from collections.abc import Iterator

import pytest

from streams.local import LocalServices, local_services


@pytest.fixture(scope="package")
def services() -> Iterator[LocalServices]:
    with local_services(secure=True) as running:
        yield running
