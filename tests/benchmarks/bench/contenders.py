"""The contenders: Thalweg, and a plain Faust script of this project."""

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from export.runtime.bundle import Bundle
from streams.config.settings import Settings
from streams.demo.worker_process import WORKER_COMMAND, WorkerProcess
from streams.local import LocalServices
from streams.local.process.service_process import ServiceProcess
from tests.benchmarks.bench.watch import Growth, between, calm, sessions, wait

ROOT = Path(__file__).parents[3]
LIMIT_S = 240.0  # for one run; the first run of Kafka Streams includes its build
WARM_SHARE = 4  # One event of four is done before the measured stretch of Thalweg.


class Contender(NamedTuple):
    """A program that takes part."""

    name: str
    output: str  # topic with one record for each event that is done
    warm: int  # events before the measured stretch; a JVM compiles during the first 200,000
    count: int  # events up to the end of the measured stretch
    service: Callable[[int], ServiceProcess]  # turn -> the process, not started
    share: int = 1  # processes of Thalweg or threads of a rival, among which the partitions are shared

    @property
    def title(self) -> str:
        return self.name if self.share == 1 else f"{self.name} x {self.share}"


class Testbed(NamedTuple):
    """What all contenders share."""

    services: LocalServices
    settings: Settings
    work: Path

    def running(self) -> dict[str, int]:
        """Return the process id of each service."""
        return sessions([("kafka", self.services.kafka.pid), ("cassandra", self.services.cassandra.pid)])


def thalweg(testbed: Testbed, name: str, bundle: Bundle, count: int, processes: int) -> Contender:
    """Return Thalweg with this bundle. Each turn has a new keyspace and a new group, so that no row is stored."""

    def service(turn: int) -> ServiceProcess:
        own = f"{name}_{processes}_{turn}"
        settings = msgspec.structs.replace(testbed.settings, group=own, keyspace=own, bundle=str(bundle.path))
        return worker(settings, testbed.work / f"{own}.log", processes)

    return Contender(name, testbed.settings.evaluation_topic, count // WARM_SHARE, count, service, processes)


def worker(settings: Settings, log: Path, processes: int) -> WorkerProcess:
    """`thalweg worker`, not started."""
    options = () if processes == 1 else ("--processes", str(processes))
    return WorkerProcess(settings, log, (*WORKER_COMMAND, *options))


def plain_faust(testbed: Testbed, bundle: Bundle) -> Contender:
    command = [sys.executable, str(ROOT / "tests" / "benchmarks" / "bench" / "plain_faust.py")]
    values = [testbed.settings.broker, testbed.settings.cassandra, testbed.settings.behavior_topic, str(bundle.path)]
    start = started(testbed, "plain_faust", [*command, *values], {"PYTHONPATH": str(ROOT)})
    return Contender("plain_faust", "plain.evaluations", 2_000, 10_000, start)


def started(
    testbed: Testbed, name: str, command: list[str], environment: Mapping[str, str], where: Path | None = None
) -> Callable[[int], ServiceProcess]:
    """Return what makes the process of a command, not started. where: the folder in which the command runs."""

    def service(turn: int) -> ServiceProcess:
        folder = testbed.work / f"{name}_{turn}"
        folder.mkdir()
        line = (
            command
            if where is None
            else [shutil.which("bash") or "/bin/bash", "-c", 'cd "$0" && exec "$@"', str(where), *command]
        )
        return ServiceProcess(
            name=name,
            address="",
            command=line,
            log=folder / "output.log",
            is_ready=lambda: True,
            environment={**os.environ, **environment},
            ends_with_parent=True,
        )

    return service


def run(testbed: Testbed, contender: Contender, turn: int) -> dict[str, float]:
    """Run a contender and return its figures after the warm stretch. Raises TimeoutError with the end of the log."""
    services = testbed.running()
    calm(services)
    growth = Growth(testbed.settings.broker, contender.output, testbed.settings.partitions)
    process = contender.service(turn)
    process.start(wait=False)
    try:
        assert process.pid is not None, "the process has just been started"
        start = wait(growth, contender.warm, process.pid, services, LIMIT_S)
        figures = between(start, wait(growth, contender.count, process.pid, services, LIMIT_S))
        if isinstance(process, WorkerProcess) and (reading := process.scrape()) is not None:
            figures["rows_per_event"] = reading.total("thalweg_rows_written_total") / reading.records("applied")
        return figures
    except TimeoutError as error:
        raise TimeoutError(f"{contender.name}: {error}{process.last_lines()}") from None
    finally:
        stop(process)
        growth.close()


def stop(process: ServiceProcess) -> None:
    """Stop a contender, and what its process has started: a script's program may outlive the script."""
    leader = process.pid
    process.stop()
    if leader is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)
