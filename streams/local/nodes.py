"""The nodes of local services: one, or three that replicate everything, each on a loopback address of its own."""

import errno
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from streams.local.errors import LocalServiceError

NODE_COUNTS = (1, 3)  # Two nodes would need both of them for a majority.


class Node(NamedTuple):
    """One node of a service. Nodes have numbers from 1 and differ in nothing else."""

    number: int
    hosts: Sequence[str]  # of all nodes, in the order of their numbers

    @property
    def host(self) -> str:
        return self.hosts[self.number - 1]

    @property
    def replicas(self) -> int:
        """How many nodes hold each record and each row: all."""
        return len(self.hosts)

    @property
    def majority(self) -> int:
        """How many nodes have to confirm a record or a row. As many are enough to go on."""
        return len(self.hosts) // 2 + 1

    @property
    def suffix(self) -> str:
        """Ends the name of the node's folder. Empty for the first node, which is the only one of a single service."""
        return "" if self.number == 1 else f"-{self.number}"


def node_hosts(count: int) -> list[str]:
    """The addresses 127.0.0.1, 127.0.0.2 and so on. Raises LocalServiceError where this machine lacks one of them."""
    hosts = [f"127.0.0.{number}" for number in range(1, count + 1)]
    for host in hosts:
        with socket.socket() as probe:
            try:
                probe.bind((host, 0))
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                raise LocalServiceError(
                    f"{count} nodes need the address {host}, which this machine does not have: add it until the next "
                    f"restart of the machine with `sudo ifconfig lo0 alias {host}`"
                ) from None
    return hosts


def check_count(data_dir: Path, count: int) -> None:
    """Raises LocalServiceError where the data in the folder was made by another number of nodes."""
    if not any((data_dir / service).exists() for service in ("kafka", "cassandra")):
        return
    made_by = max(made for made in NODE_COUNTS if made == 1 or _has_node(data_dir, made))
    if count != made_by:
        raise LocalServiceError(
            f"the data in {data_dir} was made with --nodes {made_by}: use --nodes {made_by} again, or delete the data "
            "first with `thalweg down --wipe`"
        )


def _has_node(data_dir: Path, number: int) -> bool:
    return any((data_dir / f"{service}-{number}").exists() for service in ("kafka", "cassandra"))
