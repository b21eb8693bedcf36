"""Nodes of Cassandra that a test starts with a configuration of its own, and moves to other addresses."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from streams.local.cassandra.service import cassandra_service
from streams.local.jvm.jars import cache_dir, classpaths
from streams.local.nodes import Node
from streams.local.process.ports import free_ports
from streams.local.process.service_process import ServiceProcess

PORTS = ("cassandra", "cassandra_storage")


class CassandraNodes:
    """Nodes in one folder, which all have the same ports and addresses of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._jars = classpaths(["cassandra"], cache_dir(os.environ))["cassandra"]
        self._ports: Mapping[str, int] = free_ports(list(PORTS))
        self._running: dict[int, ServiceProcess] = {}
        self.port = self._ports["cassandra"]

    def start(self, hosts: Sequence[str], more_yaml: Mapping[int, str]) -> None:
        """Start all nodes. more_yaml: what the configuration of a node ends with, by the node's number from 1."""
        for number in range(1, len(hosts) + 1):
            self._prepare(number, hosts, more_yaml.get(number, "")).start(wait=False)
        for node in self._running.values():
            node.wait_until_ready()

    def move(self, number: int, hosts: Sequence[str], more_yaml: str = "") -> None:
        """Stop a node, and start the node with the same data. hosts: of all nodes, from now on."""
        self._running[number].stop()
        self._prepare(number, hosts, more_yaml).start()

    def kill(self) -> None:
        for node in self._running.values():
            node.kill()

    def _prepare(self, number: int, hosts: Sequence[str], more_yaml: str) -> ServiceProcess:
        folder = self._folder / f"cassandra-{number}"
        node = cassandra_service(Node(number, hosts), folder, self._ports, self._jars, True, None, False)
        with (folder / "cassandra.yaml").open("a") as yaml:
            yaml.write(more_yaml)
        self._running[number] = node
        return node


@contextlib.contextmanager
def cassandra_nodes(folder: Path) -> Iterator[CassandraNodes]:
    """Nodes that are not started, and that are killed at the end of the block."""
    nodes = CassandraNodes(folder)
    try:
        yield nodes
    finally:
        nodes.kill()
