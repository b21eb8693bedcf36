"""Waits until every node of the local services is back: in sync, and known as live by every other node."""

import time

from cassandra import ConsistencyLevel, DriverException
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.policies import WhiteListRoundRobinPolicy

from streams.broker.topics import broker_admin
from streams.config.errors import BrokerError
from streams.config.settings import Settings, addresses
from streams.local import LocalServices

LIMIT_S = 90.0
POLL_S = 0.3


def wait_until_whole(services: LocalServices, settings: Settings) -> None:
    """Return when each partition has all replicas in sync, and each node of Cassandra sees all nodes.

    Raises TimeoutError after LIMIT_S.
    """
    deadline = time.monotonic() + LIMIT_S
    for what, is_whole in (("Kafka", _kafka_is_whole), ("Cassandra", _cassandra_is_whole)):
        while not is_whole(services, settings):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} is not whole again after {LIMIT_S:.0f} s")
            time.sleep(POLL_S)


def _kafka_is_whole(services: LocalServices, settings: Settings) -> bool:
    try:
        with broker_admin(settings, request_timeout_ms=5_000) as admin:
            topics = admin.describe_topics(admin.list_topics())
    except BrokerError:
        return False
    partitions = [partition for topic in topics for partition in topic["partitions"]]
    return all(set(part["isr_nodes"]) == set(part["replica_nodes"]) for part in partitions)


def _cassandra_is_whole(services: LocalServices, settings: Settings) -> bool:
    return all(_sees_all_nodes(host, port) for host, port in addresses("cassandra", settings.cassandra))


def _sees_all_nodes(host: str, port: int) -> bool:
    only_this = ExecutionProfile(WhiteListRoundRobinPolicy([host]), consistency_level=ConsistencyLevel.ALL)
    cluster = Cluster([host], port=port, execution_profiles={EXEC_PROFILE_DEFAULT: only_this}, connect_timeout=2)
    try:
        cluster.connect().execute("SELECT role FROM system_auth.roles WHERE role = 'nobody'")
        return True
    except (NoHostAvailable, DriverException, OSError):
        return False
    finally:
        cluster.shutdown()
