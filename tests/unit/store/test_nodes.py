"""Each node of Cassandra is reached at its own port, the listed ones and those that Cassandra names."""

from streams.config.settings import Settings
from streams.store.session import _make_cluster


def test_each_node_has_its_own_port() -> None:
    cluster = _make_cluster(Settings(cassandra="127.0.0.1:19041,127.0.0.1:19042,127.0.0.2:9042"))
    try:
        listed = {(node.address, node.port) for node in cluster.endpoints_resolved}
        assert listed == {("127.0.0.1", 19041), ("127.0.0.1", 19042), ("127.0.0.2", 9042)}
        peer = cluster.endpoint_factory.create({"native_address": "127.0.0.3", "native_port": 19043})
        assert (peer.address, peer.port) == ("127.0.0.3", 19043)
        old_peer = cluster.endpoint_factory.create({"rpc_address": "127.0.0.4"})  # of a node before system.peers_v2
        assert (old_peer.address, old_peer.port) == ("127.0.0.4", 19041)
    finally:
        cluster.shutdown()


def test_the_local_data_centre_reaches_the_driver() -> None:
    cluster = _make_cluster(Settings(cassandra_local_dc="eu-west"))
    try:
        assert cluster.profile_manager.default.load_balancing_policy._child_policy.local_dc == "eu-west"
    finally:
        cluster.shutdown()
