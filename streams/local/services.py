"""Kafka and Cassandra together: started at the same time, ended together."""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from streams.local.cassandra import cassandra_service
from streams.local.certificates import Locks, locks_of
from streams.local.errors import LocalServiceError
from streams.local.jvm.jars import cache_dir, classpaths
from streams.local.kafka import kafka_service
from streams.local.process.ports import remembered_ports
from streams.local.process.processes import Service
from streams.local.process.scratch import scratch_folder

FACTORIES = {"kafka": kafka_service, "cassandra": cassandra_service}
SETTINGS = {"kafka": "broker", "cassandra": "cassandra"}  # service -> the setting with its address
PORTS = ("kafka", "kafka_controller", "cassandra", "cassandra_storage")


class LocalServices:
    """The services of one data folder."""

    def __init__(self, data_dir: Path, services: dict[str, Service], locks: Locks | None) -> None:
        self.data_dir = data_dir
        self.services = services
        self._locks = locks

    @property
    def kafka(self) -> Service:
        """Raises LocalServiceError where it was not asked for."""
        return self._service("kafka")

    @property
    def cassandra(self) -> Service:
        """Raises LocalServiceError where it was not asked for."""
        return self._service("cassandra")

    @property
    def bootstrap(self) -> str:
        """Kafka's `host:port`."""
        return self.kafka.address

    @property
    def access(self) -> dict[str, str]:
        """The settings with which clients reach them: addresses, and of secure ones CA, user and password."""
        found = {}
        for name, setting in SETTINGS.items():
            if name in self.services:
                found[setting] = self.services[name].address
                found |= {} if self._locks is None else self._locks.access(setting)
        return found

    def spawn(self) -> None:
        """Start all, at the same time. Raises LocalServiceError, with none left, where one cannot be."""
        try:
            for service in self.services.values():
                service.start(wait=False)
        except BaseException:  # Ctrl-C as well: nothing is left running
            self.kill()
            raise

    def wait_until_they_answer(self) -> None:
        """Raises LocalServiceError, with none left, where one does not."""
        try:
            for service in self.services.values():
                service.wait_until_it_answers()
        except BaseException:  # Ctrl-C as well: nothing is left running
            self.kill()
            raise

    def stop(self) -> None:
        """End all in order, at the same time, so that their data can be opened again."""
        with ThreadPoolExecutor(len(self.services)) as pool:
            list(pool.map(Service.stop, self.services.values()))

    def kill(self) -> None:
        """End all at once."""
        for service in self.services.values():
            service.kill()

    def _service(self, name: str) -> Service:
        if name not in self.services:
            raise LocalServiceError(f"these local services were started without {name}")
        return self.services[name]


def prepare(data_dir: Path, names: list[str], bound: bool, secure: bool, for_hours: bool = False) -> LocalServices:
    """Fetch what is missing and lay out `data_dir`, both where needed; nothing is started yet.

    `secure`: clients need TLS, a user and a password. Raises LocalServiceError where the data was made the other way.
    """
    jars = classpaths(names, cache_dir(os.environ))
    data_dir.mkdir(parents=True, exist_ok=True)
    locks = locks_of(data_dir, secure)
    if locks is not None:
        data_dir.chmod(0o700)  # the services write their files for everybody to read
    ports = remembered_ports(data_dir / "ports.json", PORTS)
    services = {name: FACTORIES[name](data_dir / name, ports, jars[name], bound, locks, for_hours) for name in names}
    return LocalServices(data_dir, services, locks)


@contextlib.contextmanager
def local_services(
    data_dir: Path | None = None,
    kafka: bool = True,
    cassandra: bool = True,
    secure: bool = False,
    for_hours: bool = False,
) -> Iterator[LocalServices]:
    """Services that end with this block, and on Linux with this process however it ends.

    Without `data_dir` their data is temporary and deleted at the end; with one it is kept and used again. for_hours: a
    start takes longer and all else, after minutes, much less.
    """
    names = [name for name, wanted in (("kafka", kafka), ("cassandra", cassandra)) if wanted]
    with scratch_folder() if data_dir is None else contextlib.nullcontext(data_dir) as folder:
        services = prepare(folder.absolute(), names, bound=True, secure=secure, for_hours=for_hours)
        services.spawn()
        services.wait_until_they_answer()
        try:
            yield services
        finally:
            if data_dir is None:
                services.kill()  # nobody will read what an orderly end would write
            else:
                services.stop()
