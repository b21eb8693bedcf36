"""The driver's connections to Cassandra: how the nodes are found and reached, and why none is."""

import contextlib
import logging
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from cassandra import AuthenticationFailed, ConsistencyLevel, DriverException
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, DefaultConnection, ExecutionProfile, NoHostAvailable
from cassandra.cluster import Session as DriverSession
from cassandra.connection import ConnectionException, DefaultEndPoint
from cassandra.policies import (
    ConstantReconnectionPolicy,
    ConstantSpeculativeExecutionPolicy,
    DCAwareRoundRobinPolicy,
    HostStateListener,
    RetryPolicy,
)
from cassandra.pool import Host
from cassandra.query import tuple_factory

from streams.config.connection_faults import refused_login
from streams.config.errors import SettingsError, StoreError
from streams.config.logins.handshake import check_tls
from streams.config.logins.tls import tls_context
from streams.config.settings import Settings, addresses, setting_label, translated_addresses
from streams.store.protocol.driver_errors import plain_text
from streams.store.protocol.encoded_rows import StoreProtocolHandler
from streams.store.protocol.node_addresses import Address, NamedNodesPolicy, TranslatedEndPoints, certificate_name
from streams.store.rights import UNREAD_ROLES, could_not_check_login, remedy_text

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 10.0
RECONNECT_S = 1.0
# A node that keeps its connections open and answers nothing delays a request by ASK_ANOTHER_S, and is not asked any
# more after a heartbeat stays without an answer: docs/decisions.md#silent-nodes
ASK_ANOTHER_S, OTHER_NODES = 1.0, 2
HEARTBEAT_S = 5.0
PROTOCOL_VERSION = 5  # the newest that is tried; a server may speak an older one
ASTRA_PROTOCOL_VERSION = 4  # the newest that Astra speaks
NO_NODE_REMEDY = "start one with `thalweg up` or set THALWEG_CASSANDRA"


class _LoginRefused(ConnectionException):
    """A node refused the login, or could not check the login.

    The driver tries again to reach the node, as after any other failed connection.
    """


class _Connection(DefaultConnection):
    """A connection of the driver that sends a request at once, and receives much at once.

    The driver cuts what it sends and receives into parts of 4,096 bytes. Each part is a call of the system for which
    the driver's thread waits for the interpreter's lock, and a packet that wakes Cassandra
    (docs/decisions.md#parts-of-a-request).
    """

    out_buffer_size = 256 * 1024
    in_buffer_size = 64 * 1024
    names: Sequence[Address] = ()  # of the nodes, as the settings have them

    @classmethod
    def factory(cls, *arguments: Any, **named: Any) -> Any:
        """Raises _LoginRefused in place of the driver's error, after which the driver would never try again.

        A node refuses every login while too few nodes answer that hold users, as when all nodes start
        (docs/decisions.md#refused-logins-of-nodes-that-start).
        """
        try:
            return super().factory(*arguments, **named)
        except AuthenticationFailed as error:
            raise _LoginRefused(str(error)) from error

    def _wrap_socket_from_context(self) -> Any:
        """Check the certificate against the name of the settings. The driver knows the node's address alone."""
        if self.ssl_context.check_hostname and "server_hostname" not in self.ssl_options:
            self.ssl_options["server_hostname"] = certificate_name(self.endpoint.address, self.names)
        return super()._wrap_socket_from_context()


class _RetryPolicy(RetryPolicy):
    """Sends a request whose connection broke to another node only where a second copy changes nothing.

    The driver's policy would also repeat a lightweight transaction, which then finds its own first copy.
    """

    def on_request_error(self, query: Any, consistency: int, error: Exception, retry_num: int) -> Any:
        if query is not None and not query.is_idempotent:
            return self.RETHROW, None
        return super().on_request_error(query, consistency, error, retry_num)


class _Cluster(Cluster):
    """The driver's cluster, which goes from this version of the protocol down to one that the server speaks.

    A version that is an argument of the constructor would be the only one.
    """

    protocol_version = PROTOCOL_VERSION


class _ReachedAgain(HostStateListener):
    """Logs that a node is reached again. The driver logs a lost node as a warning, and its return as information."""

    def on_up(self, host: Host) -> None:
        logger.warning("Host %s is reached again", host)

    def on_down(self, host: Host) -> None: ...

    def on_add(self, host: Host) -> None: ...

    def on_remove(self, host: Host) -> None: ...


def connect(settings: Settings, ask_another_s: float = ASK_ANOTHER_S) -> tuple[Cluster, DriverSession]:
    """A cluster and a session without a keyspace. Blocks. Raises StoreError, SettingsError.

    ask_another_s: as of Session.
    """
    with _quiet_driver():
        cluster = _make_cluster(settings, ask_another_s)
        try:
            session = cluster.connect()
        except (NoHostAvailable, DriverException, OSError) as error:
            cluster.shutdown()
            raise _connection_error(settings, error) from error
    found = sorted({host.datacenter for host in cluster.metadata.all_hosts() if host.datacenter})
    if len(found) > 1 and not (settings.cassandra_local_dc or settings.cassandra_secure_bundle):
        cluster.shutdown()
        raise SettingsError(
            f"Cassandra at {settings.place_of('cassandra')} has the data centres {', '.join(found)}: set "
            f"{setting_label('cassandra_local_dc')} to one of them, the same for all workers of a keyspace. A worker "
            "that takes over a partition would not see what another worker has just written to another data centre"
        )
    session.client_protocol_handler = StoreProtocolHandler
    cluster.register_listener(_ReachedAgain())
    return cluster, session


@contextlib.contextmanager
def _quiet_driver() -> Iterator[None]:
    """The driver would print tracebacks of the errors that become StoreErrors and SettingsErrors."""
    logs = [logging.getLogger(name) for name in ("cassandra.cluster", "cassandra.datastax.cloud")]
    levels = [log.level for log in logs]
    try:
        for log in logs:
            log.setLevel(logging.CRITICAL)
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


def _make_cluster(settings: Settings, ask_another_s: float = ASK_ANOTHER_S) -> Cluster:
    """The driver's cluster, not connected. Raises SettingsError, and StoreError where Astra does not answer."""
    user, nodes = settings.cassandra_user, _nodes(settings)
    names = [place for place in nodes.get("contact_points", ()) if not isinstance(place, DefaultEndPoint)]
    policy = NamedNodesPolicy(DCAwareRoundRobinPolicy(settings.cassandra_local_dc or ""), names)
    profile = ExecutionProfile(
        load_balancing_policy=policy,
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        request_timeout=REQUEST_TIMEOUT_S,
        row_factory=tuple_factory,
        retry_policy=_RetryPolicy(),
        speculative_execution_policy=ConstantSpeculativeExecutionPolicy(ask_another_s, OTHER_NODES),
    )
    try:
        return _Cluster(
            **nodes,
            # Without this option a request waits 40 ms for the acknowledgement of the request before.
            sockopts=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            auth_provider=PlainTextAuthProvider(user, settings.cassandra_password) if user else None,
            # The driver's default policy doubles its waits up to 10 minutes, and comes back minutes after an outage.
            reconnection_policy=ConstantReconnectionPolicy(RECONNECT_S, max_attempts=None),
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            idle_heartbeat_interval=HEARTBEAT_S,
            idle_heartbeat_timeout=HEARTBEAT_S,
            compression=False,
            connection_class=type("_NamedConnection", (_Connection,), {"names": names}),
        )
    except DriverException as error:  # the metadata service of Astra
        raise StoreError(f"{error_text(error)}; the address stands in {settings.place_of('cassandra')}") from error
    except (OSError, KeyError, ValueError) as error:
        if not settings.cassandra_secure_bundle:
            raise
        label = f"{setting_label('cassandra_secure_bundle')} = {settings.cassandra_secure_bundle!r}"
        remedy = "name the zip file that Astra calls the secure connect bundle"
        raise SettingsError(f"{label} cannot be used: {error}; {remedy}") from None


def _nodes(settings: Settings) -> dict[str, Any]:
    """Where the nodes are and how they are reached, as arguments of the driver's cluster."""
    if settings.cassandra_secure_bundle:
        # By default, the driver unpacks the private key beside the file, where it may not be allowed to write.
        cloud = {"secure_connect_bundle": settings.cassandra_secure_bundle, "use_default_tempdir": True}
        return {"cloud": cloud, "protocol_version": ASTRA_PROTOCOL_VERSION}
    hosts, translated = addresses("cassandra", settings.cassandra), translated_addresses(settings.cassandra_addresses)
    port = hosts[0][1]
    # A node has one address for the driver, whether the settings or another node tells of the node.
    places = [DefaultEndPoint(*host) if host in translated.values() else host for host in hosts]
    return {
        "contact_points": places,  # each with its own port; of further nodes, system.peers_v2 tells the port
        "port": port,
        "endpoint_factory": TranslatedEndPoints(port, translated),
        "ssl_context": tls_context(settings, "cassandra"),
    }


def _connection_error(settings: Settings, error: Exception) -> StoreError | SettingsError:
    """The reason of a failed connection. Asks Cassandra again."""
    problems = getattr(error, "errors", None)  # by node, or a list of the nodes where none was asked
    answers = problems.values() if isinstance(problems, dict) else ()
    refusals = [answer for answer in answers if isinstance(answer, _LoginRefused)]
    unchecked = [refusal for refusal in refusals if could_not_check_login(str(refusal))]
    for refusal in refusals:
        if refusal not in unchecked:
            return refused_login(settings, "cassandra", refusal)
    if unchecked:
        return StoreError(
            f"no node of Cassandra at {settings.place_of('cassandra')} could check the login of user "
            f"{settings.cassandra_user!r}: {unchecked[0]}; {UNREAD_ROLES}"
        )
    if settings.cassandra_local_dc and (known := _data_centres(settings)) and settings.cassandra_local_dc not in known:
        return SettingsError(
            f"{setting_label('cassandra_local_dc')} = {settings.cassandra_local_dc!r} names no data centre of "
            f"{settings.place_of('cassandra')}: known are {', '.join(sorted(known))}"
        )
    if not settings.cassandra_secure_bundle:
        check_tls(settings, "cassandra")
    return StoreError(
        f"no Cassandra answers at {settings.place_of('cassandra')}: {plain_text(error)}; {NO_NODE_REMEDY}"
    )


def _data_centres(settings: Settings) -> set[str]:
    """The data centres of the nodes. Empty where no node answers."""
    cluster = _make_cluster(msgspec.structs.replace(settings, cassandra_local_dc=None))
    try:
        cluster.connect()
        return {host.datacenter for host in cluster.metadata.all_hosts() if host.datacenter}
    except (NoHostAvailable, DriverException, OSError):
        return set()
    finally:
        cluster.shutdown()


def error_text(error: Exception) -> str:
    """The error in words, with what to do where the user lacks a right or Cassandra cannot read its roles."""
    return f"{plain_text(error)}{remedy_text(str(error))}"
