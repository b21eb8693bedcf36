"""Resolves the jars of Kafka and Cassandra and writes the lock file: `python -m streams.local.jvm.write_jar_lock`.

The program downloads every jar once. It is a module of its own, because Python loads a module twice that is both a
program and imported by others.
"""

import argparse
import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from streams.local.jvm.jar_lock import LOCK_FILE, VERSIONS, Jar
from streams.local.jvm.maven import maven_context

if TYPE_CHECKING:
    from jgo.maven import Artifact


def main() -> None:
    argparse.ArgumentParser(prog="python -m streams.local.jvm.write_jar_lock", description=__doc__).parse_args()
    write_lock()


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
    main()
