"""The jars of Kafka and Cassandra: named with their hashes in `jars.lock.json`, fetched once, kept in the cache.

The lock spares a first start the reading of some 150 project files and holds what is run to what was tested.
`python -m streams.local.jvm.jars` resolves it anew (after a change of VERSIONS).
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from streams.local.errors import LocalServiceError

if TYPE_CHECKING:
    from jgo.maven import Artifact, MavenContext

VERSIONS = {
    "kafka": ["org.apache.kafka:kafka_2.13:4.3.1", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"],
    "cassandra": ["org.apache.cassandra:cassandra-all:5.0.6"],
}
LOCK = Path(__file__).with_name("jars.lock.json")
PARALLEL_DOWNLOADS = 8


class Jar(msgspec.Struct, frozen=True):
    """One jar: Maven coordinate `group:artifact:version[:classifier]`, its path below the cache, size and hash."""

    coordinate: str
    path: str
    bytes: int
    sha256: str


def cache_dir(environment: Mapping[str, str]) -> Path:
    """Where jars are kept: THALWEG_CACHE, or ~/.cache/thalweg."""
    named = environment.get("THALWEG_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "thalweg"


def locked_jars() -> dict[str, list[Jar]]:
    """The jars of each service by the service's name."""
    return msgspec.json.decode(LOCK.read_bytes(), type=dict[str, list[Jar]])


def classpaths(services: Sequence[str], cache: Path) -> dict[str, list[Path]]:
    """Paths of each service's jars, after fetching those that are missing or incomplete.

    Raises LocalServiceError where one cannot be fetched or is not what the lock says.
    """
    locked = locked_jars()
    folder = cache / "jars"
    missing = {jar.path: jar for name in services for jar in locked[name] if not _is_there(folder / jar.path, jar)}
    if missing:
        _fetch(list(missing.values()), folder)
    return {name: [folder / jar.path for jar in locked[name]] for name in services}


def _is_there(path: Path, jar: Jar) -> bool:
    try:
        return path.stat().st_size == jar.bytes
    except FileNotFoundError:
        return False


def _fetch(jars: list[Jar], folder: Path) -> None:
    """Download into a folder beside the jars and move each in place once its hash is right: never half a jar."""
    folder.mkdir(parents=True, exist_ok=True)
    total_bytes = sum(jar.bytes for jar in jars)
    with tempfile.TemporaryDirectory(dir=folder, prefix="partial-") as partial, _progress(total_bytes) as advance:
        pool = ThreadPoolExecutor(PARALLEL_DOWNLOADS)
        try:
            running = [pool.submit(_fetch_one, jar, Path(partial), folder, advance) for jar in jars]
            for download in as_completed(running):
                download.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _fetch_one(jar: Jar, partial: Path, folder: Path, advance: Callable[[int], None]) -> None:
    import requests  # jgo's own HTTP client

    group, artifact, version, *classifier = jar.coordinate.split(":")
    context = _context(partial, advance)
    try:
        component = context.project(group, artifact).at_version(version)
        downloaded = component.artifact(classifier[0] if classifier else "").resolve()
    except (requests.RequestException, RuntimeError) as error:
        raise LocalServiceError(
            f"cannot fetch {jar.coordinate} ({type(error).__name__}: {str(error)[:200]}). The first start needs Maven "
            f"Central, or a mirror named in jgo's configuration; without network, copy {folder} from another machine"
        ) from None
    digest = hashlib.sha256(downloaded.read_bytes()).hexdigest()
    if digest != jar.sha256:
        raise LocalServiceError(
            f"{jar.coordinate} has SHA-256 {digest} where the lock says {jar.sha256}: "
            "the download was cut or altered, try again"
        )
    target = folder / jar.path
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(downloaded, target)


def _context(repository: Path, advance: Callable[[int], None]) -> "MavenContext":
    from jgo.maven import MavenContext, PythonResolver

    @contextmanager
    def progress(filename: str, size_bytes: int) -> Iterator[Callable[[int], None]]:
        yield advance

    resolver = PythonResolver(progress_callback=progress)
    return MavenContext(resolver=resolver, repo_cache=repository, remote_repos=_remotes(), timeout=30)


def _remotes() -> dict[str, str]:
    """Name -> address: what jgo's own configuration file names (a mirror), then Maven Central."""
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL

    return {**GlobalSettings.load().repositories, "central": MAVEN_CENTRAL_URL}


@contextmanager
def _progress(total_bytes: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("Fetching Kafka and Cassandra"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=total_bytes)
        yield lambda count: progress.advance(task, count)


def write_lock() -> None:
    """Resolve VERSIONS through their project files and write the lock. A version named earlier wins."""
    from jgo.parse import Coordinate

    locked: dict[str, list[Jar]] = {}
    with tempfile.TemporaryDirectory() as folder:
        context = _context(Path(folder), lambda count: None)
        for name, coordinates in VERSIONS.items():
            artifacts: dict[tuple[str, str, str], Artifact] = {}
            for coordinate in coordinates:  # one at a time: together, one's managed versions would rule the other's
                inputs, transitive = context.resolver.resolve([context.create_dependency(Coordinate.parse(coordinate))])
                needed = [*inputs, *(each for each in transitive if each.scope in ("compile", "runtime"))]
                for artifact in (each.artifact for each in needed if "windows" not in each.classifier):
                    artifacts.setdefault((artifact.groupId, artifact.artifactId, artifact.classifier), artifact)
            locked[name] = [_describe(artifact, Path(folder)) for artifact in artifacts.values()]
    LOCK.write_bytes(msgspec.json.format(msgspec.json.encode(locked), indent=1) + b"\n")


def _describe(artifact: "Artifact", folder: Path) -> Jar:
    path = artifact.resolve()
    content = path.read_bytes()
    coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
    if artifact.classifier:
        coordinate += f":{artifact.classifier}"
    return Jar(coordinate, path.relative_to(folder).as_posix(), len(content), hashlib.sha256(content).hexdigest())


if __name__ == "__main__":
    write_lock()
