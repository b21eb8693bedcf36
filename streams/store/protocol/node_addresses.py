"""By which addresses the driver reaches nodes that moved, and nodes that announce what clients cannot reach.

The driver looks the names of the settings up once, and later knows nodes by the addresses that they announce alone
(docs/cassandra.md#nodes-that-change-their-addresses).
"""

import ipaddress
import logging
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cassandra.cluster import Cluster, Session
from cassandra.connection import DefaultEndPoint, DefaultEndPointFactory
from cassandra.policies import HostDistance, LoadBalancingPolicy, TokenAwarePolicy
from cassandra.pool import Host

logger = logging.getLogger(__name__)

Address = tuple[str, int]  # host, port
ANSWERS_WITHIN_S, POLL_S = 6.0, 0.05  # The driver gives a connection 5 s.


class NamedNodesPolicy(TokenAwarePolicy):
    """Chooses the nodes of a request as its base class does, and looks names up again when no node answers.

    While the driver has no connection on which nodes tell about nodes, the driver asks for a plan without a query, at
    once and then every `RECONNECT_S`. Behind the nodes that the driver knows, such a plan has the addresses to which
    the names lead by now. The first node that answers tells of all others, and the driver forgets the earlier nodes.
    """

    def __init__(self, child_policy: LoadBalancingPolicy, names: Sequence[Address]) -> None:
        super().__init__(child_policy)
        self._names = list(names)

    def populate(self, cluster: Cluster, hosts: Sequence[Host]) -> None:
        self._cluster = cluster
        super().populate(cluster, hosts)

    def make_query_plan(self, working_keyspace: str | None = None, query: Any = None) -> Iterator[Host]:
        yield from super().make_query_plan(working_keyspace, query)
        if query is None:
            yield from self._moved_nodes()

    def _moved_nodes(self) -> Iterator[Host]:
        for name, port in self._names:
            for address in _look_up(name, port):
                node, is_new = self._cluster.add_host(DefaultEndPoint(address, port))
                if is_new:  # The driver itself tries again to reach each node that it knows.
                    logger.info(
                        "no node of Cassandra answers, trying %s:%d, to which %s leads now", address, port, name
                    )
                    yield node


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def _look_up(name: str, port: int) -> list[str]:
    """The addresses to which a name leads now, each once. None while the name leads nowhere."""
    try:
        found = socket.getaddrinfo(name, port, socket.AF_UNSPEC, socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def certificate_name(address: str, names: Sequence[Address]) -> str:
    """The name that the certificate of a node must have: that of the settings which leads to the node's address.

    A node of which another node has told has the name of the settings where they have one name, such as that of a
    Service of Kubernetes. Otherwise the certificate must have the address.
    """
    if not _is_ip(address):  # of the setting `cassandra_addresses`
        return address
    for name, port in names:
        if address in _look_up(name, port):
            return name
    only = {name for name, _ in names}
    return only.pop() if len(only) == 1 else address


class TranslatedEndPoints(DefaultEndPointFactory):
    """Where the driver reaches a node that another node has told of."""

    def __init__(self, port: int, translated: Mapping[str, Address]) -> None:
        """port: of a node that announces none. translated: by announced address, as of `translated_addresses`."""
        super().__init__(port)
        self._translated = translated

    def create(self, row: Mapping[str, Any]) -> DefaultEndPoint:
        announced = super().create(row)
        place = self._translated.get(announced.address)
        return announced if place is None else DefaultEndPoint(*place)


def nodes_without_connection(cluster: Cluster, session: Session) -> tuple[list[str], int]:
    """The nodes to which requests should go and cannot, as host:port, and the number of all nodes for requests. Blocks.

    Waits until the driver has tried to reach each node, for at most `ANSWERS_WITHIN_S`.
    """
    deadline_s = time.monotonic() + ANSWERS_WITHIN_S
    while True:
        nodes = [node for node in cluster.metadata.all_hosts() if _distance(cluster, node) != HostDistance.IGNORED]
        state = session.get_pool_state()
        lacking = [node for node in nodes if not state.get(node, {}).get("open_count")]
        if all(node.is_up is False for node in lacking) or time.monotonic() > deadline_s:
            return sorted(map(str, lacking)), len(nodes)
        time.sleep(POLL_S)


def _distance(cluster: Cluster, node: Host) -> int:
    distance: int = cluster.profile_manager.distance(node)
    return distance
