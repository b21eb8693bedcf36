"""Free ports of this machine, remembered with the data they belong to."""

import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

HOST = "127.0.0.1"
# What a user's own services listen on: never taken, even where they happen to be free now.
RESERVED = frozenset({2181, 3000, 7000, 7001, 7199, 8080, 9042, 9090, 9092, 9093, 9142, 9160, 9644})


def is_free(port: int) -> bool:
    """True where a service could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the JVM does: TIME_WAIT is no obstacle
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_ports(names: Iterable[str]) -> dict[str, int]:
    """One free port for each name, all different."""
    held: list[socket.socket] = []
    ports: dict[str, int] = {}
    try:
        for name in names:
            while name not in ports:
                held.append(socket.socket())  # held until all are chosen: the kernel cannot give one twice
                held[-1].bind((HOST, 0))
                port = held[-1].getsockname()[1]
                if port not in RESERVED:
                    ports[name] = port
    finally:
        for chosen in held:
            chosen.close()
    return ports


def remembered_ports(file: Path, names: Iterable[str]) -> Mapping[str, int]:
    """The ports in the file where they are all still free, else new ones, which the file then remembers."""
    names = list(names)
    try:
        ports = msgspec.json.decode(file.read_bytes(), type=dict[str, int])
        if set(ports) == set(names) and all(is_free(port) for port in ports.values()):
            return ports
    except (FileNotFoundError, msgspec.MsgspecError):
        pass
    ports = free_ports(names)
    file.write_bytes(msgspec.json.encode(ports))
    return ports
