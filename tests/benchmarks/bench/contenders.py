"""The contenders: Thalweg, a plain Faust script of this project, and the rivals in a folder."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from export.runtime.bundle import Bundle
from streams.config.settings import Settings
from streams.demo.worker_process import WorkerProcess
from streams.local import LocalServices
from streams.local.jvm.jars import cache_dir
from streams.local.process.service_process import ServiceProcess
from streams.store.session import connect
from tests.benchmarks.bench.load import RIVAL_EVENTS
from tests.benchmarks.bench.watch import Growth, between, calm, sessions, wait

ROOT = Path(__file__).parents[3]
LIMIT_S = 240.0  # for one run; the first run of Kafka Streams includes its build
ENDLESS = str(10**9)  # events; the benchmark ends a rival's process


class Contender(NamedTuple):
    """A program that takes part."""

    name: str
    output: str  # topic with one record for each event that is done
    warm: int  # events before the measured stretch; a JVM compiles during the first 200,000
    count: int  # events up to the end of the measured stretch
    service: Callable[[int], ServiceProcess]  # turn -> the process, not started


class Testbed(NamedTuple):
    """What all contenders share."""

    services: LocalServices
    settings: Settings
    work: Path

    def running(self) -> dict[str, int]:
        """Return the process id of each service."""
        return sessions([("kafka", self.services.kafka.pid), ("cassandra", self.services.cassandra.pid)])


def thalweg(testbed: Testbed, name: str, bundle: Bundle, warm: int, count: int) -> Contender:
    """Return Thalweg with this bundle. Each turn has a new keyspace and a new group, so that no row is stored."""

    def service(turn: int) -> ServiceProcess:
        own = f"{name}_{turn}"
        settings = msgspec.structs.replace(testbed.settings, group=own, keyspace=own, bundle=str(bundle.path))
        return WorkerProcess(settings, testbed.work / f"{own}.log")

    return Contender(name, testbed.settings.evaluation_topic, warm, count, service)


def plain_faust(testbed: Testbed, bundle: Bundle) -> Contender:
    command = [sys.executable, str(ROOT / "tests" / "benchmarks" / "plain_faust.py")]
    values = [testbed.settings.broker, testbed.settings.cassandra, testbed.settings.behavior_topic, str(bundle.path)]
    start = _process(testbed, "plain_faust", [*command, *values], {"PYTHONPATH": str(ROOT)})
    return Contender("plain_faust", "plain.evaluations", 2_000, 10_000, start)


def rivals(testbed: Testbed, folder: Path, say: Callable[[str], None]) -> Iterator[Contender]:
    """Yield the rivals in the folder whose tools are installed, and report each other rival."""
    if not folder.is_dir():
        say(f"no rivals but plain Faust: there is no folder {folder}")
        return
    model = testbed.work / "cell.onnx"
    environment = {
        "PEER_BROKERS": testbed.settings.broker,
        "PEER_CASSANDRA": testbed.settings.cassandra,
        "PEER_TOPIC": RIVAL_EVENTS,
        "PEER_MODEL": str(model),
        "PEER_N": ENDLESS,
        "PEER_BUILD": str(cache_dir(os.environ) / "bench-kstreams"),
        "TMPDIR": str(testbed.work),
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    build = f"import common; common.build_model({str(model)!r})"
    subprocess.run([sys.executable, "-c", build], check=True, env={**os.environ, **environment})
    cluster, session = connect(testbed.settings)
    session.execute(
        "CREATE KEYSPACE IF NOT EXISTS u WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    cluster.shutdown()
    for name, output, warm, count, needs, command in (
        ("kstreams", "evalout-ks", 200_000, 400_000, ("java", "mvn"), ["bash", "run.sh", "batch", "1", ENDLESS]),
        ("kstreams_event", "evalout-ks", 50_000, 100_000, ("java", "mvn"), ["bash", "run.sh", "event", "1", ENDLESS]),
        ("quix", "evalout-quix", 8_000, 30_000, ("uv",), _python("quix.py", "quixstreams")),
        ("bytewax", "evalout-bw", 15_000, 60_000, ("uv",), _python("bytewax_peer.py", "bytewax", ENDLESS)),
    ):
        missing = [tool for tool in needs if _tool(tool) is None]
        if missing:
            say(f"{name} is left out: {', '.join(missing)} is not on the PATH")
        else:
            where = folder / "kstreams" if name.startswith("kstreams") else folder
            yield Contender(name, output, warm, count, _process(testbed, name, command, environment, where))


def _tool(name: str) -> str | None:
    own = ROOT / ".uv" / "bin" / name  # `make` installs uv there
    return shutil.which(name) or (str(own) if own.exists() else None)


def _python(script: str, package: str, *arguments: str) -> list[str]:
    """Return the command for a script in its own environment, which uv creates at the first use."""
    packages = (package, "confluent-kafka", "cassandra-driver", "onnxruntime", "numpy", "orjson", "msgspec", "cramjam")
    given = [argument for name in packages for argument in ("--with", name)]
    return [
        _tool("uv") or "uv",
        "run",
        "--quiet",
        "--no-project",
        "--python",
        sys.executable,
        *given,
        "python",
        script,
        *arguments,
    ]


def _process(
    testbed: Testbed, name: str, command: list[str], environment: Mapping[str, str], where: Path | None = None
) -> Callable[[int], ServiceProcess]:
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
        leader = process.pid
        process.stop()
        if leader is not None:  # a script's program may outlive the script
            with contextlib.suppress(ProcessLookupError):
                os.killpg(leader, signal.SIGKILL)
        growth.close()
