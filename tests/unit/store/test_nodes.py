"""Each node of Cassandra is reached at its own port, the listed ones and those that Cassandra names."""

from collections.abc import Iterator

import pytest
from cassandra import AuthenticationFailed
from cassandra.cluster import Cluster, DefaultConnection
from cassandra.connection import ConnectionException, ConnectionShutdown, DefaultEndPoint
from cassandra.policies import RetryPolicy
from cassandra.query import SimpleStatement

from streams.config.settings import Settings
from streams.store.protocol.cluster import PROTOCOL_VERSION, _make_cluster

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


def test_a_request_whose_connection_broke_is_repeated_only_where_a_second_copy_changes_nothing() -> None:
    cluster = _make_cluster(Settings())
    policy = cluster.profile_manager.default.retry_policy
    broken = ConnectionShutdown("closed")
    for is_idempotent, decision in ((True, RetryPolicy.RETRY_NEXT_HOST), (False, RetryPolicy.RETHROW)):
        statement = SimpleStatement("any", is_idempotent=is_idempotent)
        assert policy.on_request_error(statement, 0, broken, 0)[0] == decision
    cluster.shutdown()


def test_a_refused_login_is_tried_again_as_any_failed_connection_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AuthenticationFailed("wrong password")

    cluster = _make_cluster(Settings())
    monkeypatch.setattr(DefaultConnection, "factory", refuse)
    with pytest.raises(ConnectionException, match="wrong password"):  # The driver gives an AuthenticationFailed up.
        cluster.connection_class.factory("127.0.0.1", 5)
    cluster.shutdown()


class Context:
    """Records for which name a certificate is asked."""

    check_hostname = True

    def wrap_socket(self, socket: None, server_hostname: str) -> str:
        return server_hostname


@pytest.mark.parametrize(
    ("nodes", "reached", "name"),
    [
        ("localhost:9042", "127.0.0.1", "localhost"),
        ("localhost:9042", "10.0.0.7", "localhost"),  # a further node behind the only name
        ("localhost:9042,db.invalid:9042", "10.0.0.7", "10.0.0.7"),
        ("127.0.0.1:9042", "127.0.0.1", "127.0.0.1"),
        ("localhost:9042", "db.example", "db.example"),  # the host of an entry of `cassandra_addresses`
    ],
)
def test_a_certificate_is_checked_against_the_name_of_the_settings(nodes: str, reached: str, name: str) -> None:
    cluster = _make_cluster(Settings(cassandra=nodes))
    connection = object.__new__(cluster.connection_class)
    connection.ssl_context, connection.ssl_options, connection._socket = Context(), {}, None
    connection.endpoint = DefaultEndPoint(reached)
    assert connection._wrap_socket_from_context() == name
    cluster.shutdown()
