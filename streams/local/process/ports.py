"""Free ports of this machine, remembered in a file beside the data of the services that listen on the ports."""

import random
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

HOST = "127.0.0.1"
# Below the ports of outgoing connections (32768 and up on Linux, 49152 and up elsewhere): a client that tries to reach
# a stopped service could otherwise be given the very port that it calls, and so block the restart. Above the default
# ports of a user's own services.
PORT_RANGE = range(20000, 32768)


def is_free(port: int, hosts: Sequence[str] = (HOST,)) -> bool:
    """True when a service could listen on the port now, on each of these addresses of this machine."""
    for host in hosts:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the JVM does: TIME_WAIT is no obstacle
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def free_ports(names: Sequence[str], hosts: Sequence[str] = (HOST,)) -> dict[str, int]:
    """One port for each name, all different, that is free on each of these addresses."""
    candidates = random.Random().sample(PORT_RANGE, len(PORT_RANGE))
    free = (port for port in candidates if is_free(port, hosts))
    return {name: next(free) for name in names}


def remembered_ports(file: Path, names: Sequence[str], hosts: Sequence[str], are_used: bool) -> Mapping[str, int]:
    """The ports in the file when all of them are still free; otherwise new ports, which are written to the file.

    are_used: the services listen on some of the ports in the file, so the ports stay.
    """
    try:
        ports = msgspec.json.decode(file.read_bytes(), type=dict[str, int])
        if set(ports) == set(names) and (are_used or all(is_free(port, hosts) for port in ports.values())):
            return ports
    except (FileNotFoundError, msgspec.MsgspecError):
        pass
    ports = free_ports(names, hosts)
    file.write_bytes(msgspec.json.encode(ports))
    return ports
