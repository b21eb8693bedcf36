"""What `thalweg doctor` says of the replicas of a keyspace and of topics."""

from collections.abc import Mapping

import pytest

from streams.commands.doctor.broker_checks import lacking_replicas
from streams.commands.doctor.durability_checks import durability
from streams.config.settings import Settings

NETWORK, SIMPLE = (f"org.apache.cassandra.locator.{name}Strategy" for name in ("NetworkTopology", "Simple"))


@pytest.mark.parametrize(
    ("replication", "options"),
    [
        ({"class": NETWORK, "dc1": "1"}, "'class': 'NetworkTopologyStrategy', 'dc1': 3"),
        ({"class": NETWORK, "dc1": "3/2", "dc2": "5"}, None),
        ({"class": NETWORK, "dc1": "2/1", "dc2": "5"}, "'class': 'NetworkTopologyStrategy', 'dc1': 3, 'dc2': 5"),
        ({"class": NETWORK, "dc2": "5"}, "'class': 'NetworkTopologyStrategy', 'dc1': 3, 'dc2': 5"),
        ({"class": SIMPLE, "replication_factor": "1"}, "'class': 'SimpleStrategy', 'replication_factor': 3"),
        ({"class": SIMPLE, "replication_factor": "3"}, None),
        ({"class": NETWORK, "dc1": "4"}, None),
    ],
)
def test_a_keyspace_with_fewer_replicas_than_the_setting_fails(
    replication: Mapping[str, str], options: str | None
) -> None:
    """The setting counts for the making of a keyspace alone, and a later change of the setting changes no keyspace."""
    found = durability(Settings(replication=3, keyspace="shop"), replication, "dc1", is_periodic=True)
    assert found.state == ("ok" if options is None else "failed")
    if options is not None:
        assert f"run ALTER KEYSPACE shop WITH replication = {{{options}}} in cqlsh" in found.remedy
        assert "`nodetool repair --full shop` on every node" in found.remedy
        assert found.detail.endswith("and the setting is 3")


@pytest.mark.parametrize(("factor", "setting"), [("1", 1), (None, 1), ("3", 1), (None, 3)])
@pytest.mark.parametrize("is_periodic", [True, False])
def test_one_replica_may_lose_its_last_rows(factor: str | None, setting: int, is_periodic: bool) -> None:
    replication = None if factor is None else {"class": NETWORK, "dc1": factor}
    found = durability(Settings(replication=setting), replication, "dc1", is_periodic)
    loses = is_periodic and (factor or str(setting)) == "1"
    assert found.state == ("note" if loses else "ok")
    assert ("commitlog_sync is periodic" in found.detail) == loses


def test_a_replication_that_is_no_number_is_shown() -> None:
    found = durability(Settings(), {"class": NETWORK, "dc1": "['r1', 'r2']"}, "dc1", is_periodic=True)
    assert (found.state, found.detail) == ("note", "keyspace thalweg has the replication \"['r1', 'r2']\"")


def test_topics_with_fewer_replicas_than_the_setting_fail() -> None:
    replicas = {"events": 1, "updates": 3, "scores": 2, "hidden": 0}  # 0: the user may not see the topic
    found = lacking_replicas(Settings(replication=3), replicas)
    assert found is not None
    assert (found.state, found.detail) == (
        "failed",
        "replication is 3, and events has 1 replica, scores has 2 replicas",
    )
    assert lacking_replicas(Settings(replication=1), replicas) is None
