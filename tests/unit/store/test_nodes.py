"""Each node of Cassandra is reached at its own port, the listed ones and those that Cassandra names."""

from collections.abc import Iterator

import pytest
from cassandra.cluster import Cluster

from streams.config.settings import Settings
from streams.store.protocol.cluster import _make_cluster
from streams.store.session import PROTOCOL_VERSION

LISTED = "127.0.0.1:19041,127.0.0.1:19042,127.0.0.2:9042"
TRANSLATED = "10.0.0.5=localhost:19041, 10.0.0.6=db.example:19042, fd00::7=[fd00::8]:9042"


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    cluster = _make_cluster(request.param)
    yield cluster
    cluster.shutdown()


@pytest.mark.parametrize("cluster", [Settings(cassandra=LISTED)], indirect=True)
def test_each_node_has_its_own_port(cluster: Cluster) -> None:
    listed = {(node.address, node.port) for node in cluster.endpoints_resolved}
    assert listed == {("127.0.0.1", 19041), ("127.0.0.1", 19042), ("127.0.0.2", 9042)}
    peer = cluster.endpoint_factory.create({"native_address": "127.0.0.3", "native_port": 19043})
    assert (peer.address, peer.port) == ("127.0.0.3", 19043)
    old_peer = cluster.endpoint_factory.create({"rpc_address": "127.0.0.4"})  # of a node before system.peers_v2
    assert (old_peer.address, old_peer.port) == ("127.0.0.4", 19041)
    assert cluster.protocol_version == PROTOCOL_VERSION


@pytest.mark.parametrize(
    "cluster", [Settings(cassandra="localhost:19041", cassandra_addresses=TRANSLATED)], indirect=True
)
def test_an_announced_address_is_replaced_by_the_one_in_the_settings(cluster: Cluster) -> None:
    announced = {"10.0.0.5": 9042, "10.0.0.6": 9042, "fd00::7": 9042, "10.0.0.9": 9043}
    rows = [{"native_address": address, "native_port": port} for address, port in announced.items()]
    reached = [cluster.endpoint_factory.create(row) for row in rows]
    assert [(node.address, node.port) for node in reached] == [
        ("localhost", 19041),
        ("db.example", 19042),
        ("fd00::8", 9042),
        ("10.0.0.9", 9043),
    ]
    assert cluster.endpoints_resolved == [reached[0]], "one node has two addresses"


@pytest.mark.parametrize("cluster", [Settings(cassandra_local_dc="eu-west")], indirect=True)
def test_the_local_data_centre_reaches_the_driver(cluster: Cluster) -> None:
    assert cluster.profile_manager.default.load_balancing_policy._child_policy.local_dc == "eu-west"
