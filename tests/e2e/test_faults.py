"""Every scenario of the fault suite at small scale, on a Kafka and a Cassandra that no other test uses."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from export.bundle import Bundle
from streams.local import LocalServices, local_services
from tests.faults import scenarios
from tests.faults.registry import SCENARIOS
from tests.faults.trial import run_scenario

assert scenarios.__all__, "registered by their import"


@pytest.fixture(scope="module")
def faulty_services() -> Iterator[LocalServices]:
    """Its own, since scenarios stop, freeze and kill them."""
    with local_services() as running:
        yield running


@pytest.mark.services
@pytest.mark.parametrize("name", list(SCENARIOS))
def test_nothing_is_lost_or_applied_twice(
    faulty_services: LocalServices, bundle: Bundle, tmp_path: Path, name: str
) -> None:
    row = run_scenario(SCENARIOS[name], "small", faulty_services, bundle, tmp_path, seed=0)
    assert row.problems == []
    assert (row.lost, row.double_applied) == (0, 0)
    assert row.faults > 0
    assert row.events >= SCENARIOS[name].sizes["small"].events
