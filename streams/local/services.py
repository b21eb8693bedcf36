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
from streams.local.process.ports import remembered_ports
from streams.local.process.service_process import ServiceProcess
from streams.local.process.temporary_folder import temporary_folder

SERVICE_FACTORIES = {"kafka": kafka_service, "cassandra": cassandra_service}
ADDRESS_SETTINGS = {"kafka": "broker", "cassandra": "cassandra"}  # service -> the setting with the service's address
PORTS = ("kafka", "kafka_controller", "cassandra", "cassandra_storage")


class LocalServices:
    """The services of one data folder."""

    def __init__(self, data_dir: Path, services: dict[str, ServiceProcess], credentials: Credentials | None) -> None:
        self.data_dir = data_dir
        self.services = services
        self._credentials = credentials

    @property
    def kafka(self) -> ServiceProcess:
        """Raises LocalServiceError when the services were started without Kafka."""
        return self._service("kafka")

    @property
    def cassandra(self) -> ServiceProcess:
        """Raises LocalServiceError when the services were started without Cassandra."""
        return self._service("cassandra")

    @property
    def bootstrap(self) -> str:
        """Kafka's `host:port`."""
        return self.kafka.address

    @property
    def client_settings(self) -> dict[str, str]:
        """The settings with which a client connects: addresses, and for secure services CA, user and password."""
        settings = {}
        for name, setting in ADDRESS_SETTINGS.items():
            if name in self.services:
                settings[setting] = self.services[name].address
                settings |= {} if self._credentials is None else self._credentials.client_settings(setting)
        return settings

    def start(self) -> None:
        """Start all processes. Raises LocalServiceError when one cannot be started; then none is left running."""
        try:
            for service in self.services.values():
                service.start(wait=False)
        except BaseException:  # Ctrl-C as well: no process may be left running
            self.kill()
            raise

    def wait_until_ready(self) -> None:
        """Raises LocalServiceError when one service does not become ready; then none is left running."""
        try:
            for service in self.services.values():
                service.wait_until_ready()
        except BaseException:  # Ctrl-C as well: no process may be left running
            self.kill()
            raise

    def stop(self) -> None:
        """Stop all services in order and at the same time, so that their data can be opened again."""
        with ThreadPoolExecutor(len(self.services)) as pool:
            list(pool.map(ServiceProcess.stop, self.services.values()))

    def kill(self) -> None:
        """Kill all processes."""
        for service in self.services.values():
            service.kill()

    def _service(self, name: str) -> ServiceProcess:
        if name not in self.services:
            raise LocalServiceError(f"these local services were started without {name}")
        return self.services[name]


def prepare(
    data_dir: Path, names: list[str], ends_with_parent: bool, secure: bool, long_running: bool = False
) -> LocalServices:
    """Download missing programs and write the configuration into `data_dir`. No process is started.

    With `secure`, clients need TLS, a user and a password. Raises LocalServiceError when `secure` does not fit the data
    in the folder.
    """
    jars = classpaths(names, cache_dir(os.environ))
    data_dir.mkdir(parents=True, exist_ok=True)
    credentials = load_or_create_credentials(data_dir, secure)
    if credentials is not None:
        data_dir.chmod(0o700)  # the services make their files readable by everybody
    ports = remembered_ports(data_dir / "ports.json", PORTS)
    services = {
        name: SERVICE_FACTORIES[name](data_dir / name, ports, jars[name], ends_with_parent, credentials, long_running)
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
) -> Iterator[LocalServices]:
    """Services that end with this block. On Linux they also end with this process, even when the process is killed.

    Without `data_dir`, the data is temporary and deleted at the end. With `data_dir`, the data is kept and used again.
    With `long_running`, a start takes longer and the services then take much less CPU.
    """
    names = [name for name, wanted in (("kafka", kafka), ("cassandra", cassandra)) if wanted]
    with temporary_folder() if data_dir is None else contextlib.nullcontext(data_dir) as folder:
        services = prepare(folder.absolute(), names, ends_with_parent=True, secure=secure, long_running=long_running)
        services.start()
        services.wait_until_ready()
        try:
            yield services
        finally:
            if data_dir is None:
                services.kill()  # temporary data needs no orderly stop
            else:
                services.stop()
