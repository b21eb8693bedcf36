"""Who takes part: Thalweg, a plain Faust script of this project, and the rivals of a folder."""

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
from streams.local.process.processes import Service
from streams.store.user_rows import connect
from tests.benchmarks.bench.load import RIVAL_EVENTS
from tests.benchmarks.bench.watch import Growth, between, calm, sessions, wait

ROOT = Path(__file__).parents[3]
LIMIT_S = 240.0  # of one run to its last event: Kafka Streams is built on its first
ENDLESS = str(10**9)  # events: a rival is ended from outside


class Contender(NamedTuple):
    """How one takes part. warm: events before the measured stretch (a JVM compiles for 200,000), count: to its end."""

    name: str
    output: str  # topic with one record for each event done
    warm: int
    count: int
    service: Callable[[int], Service]  # turn -> the process, not started


class Arena(NamedTuple):
    """Where all of them run."""

    services: LocalServices
    settings: Settings
    work: Path

    def running(self) -> dict[str, int]:
        """The process of each service."""
        return sessions([("kafka", self.services.kafka.pid), ("cassandra", self.services.cassandra.pid)])


def thalweg(arena: Arena, name: str, bundle: Bundle, warm: int, count: int) -> Contender:
    """With a keyspace and a group of its own each turn: nothing is stored yet."""

    def service(turn: int) -> Service:
        own = f"{name}_{turn}"
        settings = msgspec.structs.replace(arena.settings, group=own, keyspace=own, bundle=str(bundle.path))
        return WorkerProcess(settings, arena.work / f"{own}.log")

    return Contender(name, arena.settings.evaluation_topic, warm, count, service)


def plain_faust(arena: Arena, bundle: Bundle) -> Contender:
    command = [sys.executable, str(ROOT / "tests" / "benchmarks" / "plain_faust.py")]
    values = [arena.settings.broker, arena.settings.cassandra, arena.settings.behavior_topic, str(bundle.path)]
    start = _process(arena, "plain_faust", [*command, *values], {"PYTHONPATH": str(ROOT)})
    return Contender("plain_faust", "plain.evaluations", 2_000, 10_000, start)


def rivals(arena: Arena, folder: Path, say: Callable[[str], None]) -> Iterator[Contender]:
    """Those of the folder whose needs are there; a line for each other one."""
    if not folder.is_dir():
        say(f"no rivals but plain Faust: there is no folder {folder}")
        return
    model = arena.work / "cell.onnx"
    environment = {
        "PEER_BROKERS": arena.settings.broker,
        "PEER_CASSANDRA": arena.settings.cassandra,
        "PEER_TOPIC": RIVAL_EVENTS,
        "PEER_MODEL": str(model),
        "PEER_N": ENDLESS,
        "PEER_BUILD": str(cache_dir(os.environ) / "bench-kstreams"),
        "TMPDIR": str(arena.work),
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    build = f"import common; common.build_model({str(model)!r})"
    subprocess.run([sys.executable, "-c", build], check=True, env={**os.environ, **environment})
    cluster, session = connect(arena.settings)
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
            yield Contender(name, output, warm, count, _process(arena, name, command, environment, where))


def _tool(name: str) -> str | None:
    own = ROOT / ".uv" / "bin" / name  # where `make` puts uv
    return shutil.which(name) or (str(own) if own.exists() else None)


def _python(script: str, package: str, *arguments: str) -> list[str]:
    """A script in an environment of its own, which uv makes on first use."""
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
    arena: Arena, name: str, command: list[str], environment: Mapping[str, str], where: Path | None = None
) -> Callable[[int], Service]:
    def service(turn: int) -> Service:
        folder = arena.work / f"{name}_{turn}"
        folder.mkdir()
        line = (
            command
            if where is None
            else [shutil.which("bash") or "/bin/bash", "-c", 'cd "$0" && exec "$@"', str(where), *command]
        )
        return Service(
            name=name,
            address="",
            command=line,
            log=folder / "output.log",
            answers=lambda: True,
            environment={**os.environ, **environment},
            bound=True,
        )

    return service


def run(arena: Arena, contender: Contender, turn: int) -> dict[str, float]:
    """Figures of one run, from the warm stretch's end on. Raises TimeoutError, with the log's end."""
    services = arena.running()
    calm(services)
    growth = Growth(arena.settings.broker, contender.output, arena.settings.partitions)
    process = contender.service(turn)
    process.start(wait=False)
    try:
        assert process.pid is not None, "just started"
        start = wait(growth, contender.warm, process.pid, services, LIMIT_S)
        figures = between(start, wait(growth, contender.count, process.pid, services, LIMIT_S))
        if isinstance(process, WorkerProcess) and (reading := process.read()) is not None:
            figures["rows_per_event"] = reading.count("thalweg_rows_written_total") / reading.records("applied")
        return figures
    except TimeoutError as error:
        raise TimeoutError(f"{contender.name}: {error}{process.last_lines()}") from None
    finally:
        leader = process.pid
        process.stop()
        if leader is not None:  # a script may leave its program behind
            with contextlib.suppress(ProcessLookupError):
                os.killpg(leader, signal.SIGKILL)
        growth.close()
