"""Kafka and Cassandra together: started at the same time and stopped at the same time."""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from streams.local.cassandra.service import cassandra_service
from streams.local.credentials import Credentials, load_or_create_credentials
from streams.local.errors import LocalServiceError
from streams.local.jvm.jars import cache_dir, classpaths
from streams.local.kafka.service import kafka_service
from streams.local.nodes import Node, check_count, node_hosts
from streams.local.process.ports import remembered_ports
from streams.local.process.service_process import ServiceProcess
from streams.local.process.temporary_folder import temporary_folder

SERVICE_FACTORIES = {"kafka": kafka_service, "cassandra": cassandra_service}
ADDRESS_SETTINGS = {"kafka": "broker", "cassandra": "cassandra"}  # service -> the setting with the service's address
PORTS = ("kafka", "kafka_controller", "cassandra", "cassandra_storage")


class LocalServices:
    """The services of one data folder."""

    def __init__(self, data_dir: Path, nodes: dict[str, list[ServiceProcess]], credentials: Credentials | None) -> None:
        """nodes: by service, its nodes in the order of their numbers."""
        self.data_dir = data_dir
        self.nodes = nodes
        self._credentials = credentials

    @property
    def kafka(self) -> ServiceProcess:
        """The first node of Kafka. Raises LocalServiceError when the services were started without Kafka."""
        return self._first("kafka")

    @property
    def cassandra(self) -> ServiceProcess:
        """The first node of Cassandra. Raises LocalServiceError when the services were started without Cassandra."""
        return self._first("cassandra")

    @property
    def bootstrap(self) -> str:
        """The `host:port` of each node of Kafka, separated by commas."""
        return _addresses(self.nodes["kafka"])

    @property
    def client_settings(self) -> dict[str, str | int]:
        """The settings with which a client uses the services.

        These are the addresses and the replication, and for secure services CA, user and password.
        """
        settings: dict[str, str | int] = {}
        for name, setting in ADDRESS_SETTINGS.items():
            if name in self.nodes:
                settings[setting] = _addresses(self.nodes[name])
                settings |= {} if self._credentials is None else self._credentials.client_settings(setting)
                settings["replication"] = len(self.nodes[name])
        return settings

    @property
    def processes(self) -> dict[str, ServiceProcess]:
        """The nodes of all services, each with the name of its folder."""
        return {node.log.parent.name: node for nodes in self.nodes.values() for node in nodes}

    def start(self) -> None:
        """Start all processes. Raises LocalServiceError when one cannot be started; then none is left running."""
        try:
            for node in self.processes.values():
                node.start(wait=False)
        except BaseException:  # Ctrl-C as well: no process may be left running
            self.kill()
            raise

    def wait_until_ready(self) -> None:
        """Raises LocalServiceError when one service does not become ready; then none is left running."""
        try:
            for node in self.processes.values():
                node.wait_until_ready()
        except BaseException:  # Ctrl-C as well: no process may be left running
            self.kill()
            raise

    def stop(self) -> None:
        """Stop all services in order and at the same time, so that their data can be opened again."""
        processes = self.processes.values()
        with ThreadPoolExecutor(len(processes)) as pool:
            list(pool.map(ServiceProcess.stop, processes))

    def kill(self) -> None:
        """Kill all processes."""
        for node in self.processes.values():
            node.kill()

    def _first(self, name: str) -> ServiceProcess:
        if name not in self.nodes:
            raise LocalServiceError(f"these local services were started without {name}")
        return self.nodes[name][0]


def _addresses(nodes: list[ServiceProcess]) -> str:
    return ",".join(node.address for node in nodes)


def prepare(
    data_dir: Path,
    names: list[str],
    ends_with_parent: bool,
    secure: bool,
    long_running: bool = False,
    nodes: int = 1,
    are_running: bool = False,
) -> LocalServices:
    """Download missing programs and write the configuration into `data_dir`. No process is started.

    With `secure`, clients need TLS, a user and a password. nodes: of each service, one of NODE_COUNTS. are_running:
    some of the nodes run, so that all keep their ports.
    Raises LocalServiceError when `secure` or `nodes` does not fit the data in the folder, or when this machine lacks
    an address for a node.
    """
    check_count(data_dir, nodes)
    hosts = node_hosts(nodes)
    jars = classpaths(names, cache_dir(os.environ))
    data_dir.mkdir(parents=True, exist_ok=True)
    credentials = load_or_create_credentials(data_dir, hosts, secure)
    if credentials is not None:
        data_dir.chmod(0o700)  # the services make their files readable by everybody
    ports = remembered_ports(data_dir / "ports.json", PORTS, hosts, are_running)
    members = [Node(number, hosts) for number in range(1, nodes + 1)]
    services = {
        name: [
            SERVICE_FACTORIES[name](
                node,
                data_dir / f"{name}{node.suffix}",
                ports,
                jars[name],
                ends_with_parent,
                credentials,
                long_running,
            )
            for node in members
        ]
        for name in names
    }
    return LocalServices(data_dir, services, credentials)


@contextlib.contextmanager
def local_services(
    data_dir: Path | None = None,
    kafka: bool = True,
    cassandra: bool = True,
    secure: bool = False,
    long_running: bool = False,
    nodes: int = 1,
) -> Iterator[LocalServices]:
    """Services that end with this block. On Linux they also end with this process, even when the process is killed.

    Without `data_dir`, the data is temporary and deleted at the end. With `data_dir`, the data is kept and used again.
    With `long_running`, a start takes longer and the services then take much less CPU. nodes: of each service, 1 or 3.
    """
    names = [name for name, wanted in (("kafka", kafka), ("cassandra", cassandra)) if wanted]
    with temporary_folder() if data_dir is None else contextlib.nullcontext(data_dir) as folder:
        services = prepare(
            folder.absolute(), names, ends_with_parent=True, secure=secure, long_running=long_running, nodes=nodes
        )
        services.start()
        services.wait_until_ready()
        try:
            yield services
        finally:
            if data_dir is None:
                services.kill()  # temporary data needs no orderly stop
            else:
                services.stop()
