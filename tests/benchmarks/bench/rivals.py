"""The rivals whose programs stand in a folder outside this project."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from streams.local.jvm.jars import cache_dir
from streams.local.process.service_process import ServiceProcess
from streams.store.protocol.cluster import connect
from tests.benchmarks.bench.contenders import ROOT, Contender, Testbed, started
from tests.benchmarks.bench.load import RIVAL_EVENTS

ENDLESS = str(10**9)  # events; the benchmark ends a rival's process


def rivals(testbed: Testbed, folder: Path, say: Callable[[str], None]) -> Iterator[Contender]:
    """Yield the rivals in the folder whose tools are installed, and report each other rival."""
    if not folder.is_dir():
        say(f"no rivals but plain Faust: there is no folder {folder}")
        return
    environment = _prepare(testbed, folder)
    java = ("java", "mvn")
    for name, share, output, warm, count, needs, command in (
        ("kstreams", 1, "evalout-ks", 200_000, 500_000, java, _kstreams(1)),
        ("kstreams", 2, "evalout-ks", 200_000, 500_000, java, _kstreams(2)),
        ("kstreams_event", 1, "evalout-ks", 50_000, 100_000, java, _kstreams(1, "event")),
        ("quix", 1, "evalout-quix", 8_000, 30_000, ("uv",), _python("quix.py", "quixstreams")),
        ("bytewax", 1, "evalout-bw", 15_000, 60_000, ("uv",), _python("bytewax_peer.py", "bytewax", ENDLESS)),
    ):
        missing = [tool for tool in needs if _tool(tool) is None]
        if missing:
            say(f"{name} is left out: {', '.join(missing)} is not on the PATH")
        else:
            where = folder / "kstreams" if name.startswith("kstreams") else folder
            start = started(testbed, f"{name}_{share}", command, environment, where)
            yield Contender(name, output, warm, count, start, share)


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


def kstreams(testbed: Testbed, folder: Path, topic: str, threads: int) -> Callable[[], ServiceProcess] | None:
    """What starts Kafka Streams with micro-batches on this topic, or None where Kafka Streams cannot run here."""
    if not folder.is_dir() or _tool("java") is None or _tool("mvn") is None:
        return None
    environment = {**_prepare(testbed, folder), "PEER_TOPIC": topic}
    start = started(testbed, f"fresh_kstreams_{threads}", _kstreams(threads), environment, folder / "kstreams")
    return lambda: start(0)


def _kstreams(threads: int, mode: str = "batch") -> list[str]:
    return ["bash", "run.sh", mode, str(threads), ENDLESS]


def _prepare(testbed: Testbed, folder: Path) -> Mapping[str, str]:
    """Make the rivals' model and keyspace, and return the variables of their environment."""
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
    return environment
