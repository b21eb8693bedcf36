"""The lock file `jars.lock.json`: every jar of Kafka and Cassandra with size and hash.

With the lock, a first start does not read the 150 project files that name the jars, and runs exactly the tested jars.
After a change of VERSIONS, `python -m streams.local.jvm.jar_lock` writes the lock again.
"""

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from streams.local.jvm.maven import maven_context

if TYPE_CHECKING:
    from jgo.maven import Artifact

VERSIONS = {
    "kafka": ["org.apache.kafka:kafka_2.13:4.3.1", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"],
    "cassandra": ["org.apache.cassandra:cassandra-all:5.0.6"],
}
LOCK_FILE = Path(__file__).with_name("jars.lock.json")


class Jar(msgspec.Struct, frozen=True):
    """One jar of the lock."""

    coordinate: str  # Maven's group:artifact:version[:classifier]
    path: str  # below the cache's folder of jars
    size_bytes: int = msgspec.field(name="bytes")
    sha256: str  # hexadecimal


def locked_jars() -> dict[str, list[Jar]]:
    """The jars of each service, by the service's name."""
    return msgspec.json.decode(LOCK_FILE.read_bytes(), type=dict[str, list[Jar]])


def write_lock() -> None:
    """Resolve VERSIONS through their project files and write the lock. Of two versions of a jar, the first one wins."""
    from jgo.parse import Coordinate

    locked: dict[str, list[Jar]] = {}
    with tempfile.TemporaryDirectory() as folder:
        context = maven_context(Path(folder), lambda count: None)
        for service, coordinates in VERSIONS.items():
            artifacts: dict[tuple[str, str, str], Artifact] = {}
            # Resolved one at a time: together, the versions that one project manages would change the other's jars.
            for coordinate in coordinates:
                inputs, transitive = context.resolver.resolve([context.create_dependency(Coordinate.parse(coordinate))])
                needed = [*inputs, *(each for each in transitive if each.scope in ("compile", "runtime"))]
                for artifact in (each.artifact for each in needed if "windows" not in each.classifier):
                    artifacts.setdefault((artifact.groupId, artifact.artifactId, artifact.classifier), artifact)
            locked[service] = [_locked(artifact, Path(folder)) for artifact in artifacts.values()]
    LOCK_FILE.write_bytes(msgspec.json.format(msgspec.json.encode(locked), indent=1) + b"\n")


def _locked(artifact: "Artifact", folder: Path) -> Jar:
    path = artifact.resolve()
    content = path.read_bytes()
    coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
    if artifact.classifier:
        coordinate += f":{artifact.classifier}"
    return Jar(coordinate, path.relative_to(folder).as_posix(), len(content), hashlib.sha256(content).hexdigest())


if __name__ == "__main__":
    write_lock()
