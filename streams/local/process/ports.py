"""Free ports of this machine, remembered in a file beside the data of the service that listens on the port."""

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


def is_free(port: int) -> bool:
    """True when a service could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the JVM does: TIME_WAIT is no obstacle
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_ports(names: Sequence[str]) -> dict[str, int]:
    """One free port for each name, all different."""
    candidates = random.Random().sample(PORT_RANGE, len(PORT_RANGE))
    free = (port for port in candidates if is_free(port))
    return {name: next(free) for name in names}


def remembered_ports(file: Path, names: Sequence[str]) -> Mapping[str, int]:
    """The ports in the file when all of them are still free; otherwise new ports, which are written to the file."""
    try:
        ports = msgspec.json.decode(file.read_bytes(), type=dict[str, int])
        if set(ports) == set(names) and all(is_free(port) for port in ports.values()):
            return ports
    except (FileNotFoundError, msgspec.MsgspecError):
        pass
    ports = free_ports(names)
    file.write_bytes(msgspec.json.encode(ports))
    return ports
