"""Kafka as a process that is ready to be started."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from streams.config.settings import Secret, Settings
from streams.local.credentials import Credentials
from streams.local.jvm.java_runtime import java_command, java_environment
from streams.local.kafka.configuration import LOG4J_YAML, server_properties
from streams.local.kafka.readiness import has_live_broker, serves_clients
from streams.local.kafka.storage import cluster_id, format_storage, format_storage_with_user
from streams.local.nodes import Node
from streams.local.private_file import write_private_file
from streams.local.process.service_process import ServiceProcess

HEAP_OPTIONS = ("-Xms128m", "-Xmx512m")


def kafka_service(
    node: Node,
    data_dir: Path,
    ports: Mapping[str, int],
    classpath: Sequence[Path],
    ends_with_parent: bool,
    credentials: Credentials | None,
    long_running: bool,
) -> ServiceProcess:
    """A node with data, configuration and log in `data_dir`. The process is not started.

    Raises LocalServiceError when the storage of a new node with a user cannot be made.
    """
    temporary = data_dir / "tmp"  # Kafka unpacks native libraries here, and each start leaves its own behind
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    properties, log4j, log_dir = data_dir / "server.properties", data_dir / "log4j2.yaml", data_dir / "log"
    write_private_file(properties, server_properties(node, ports, log_dir, credentials).encode())
    log4j.write_text(LOG4J_YAML)
    options = [*HEAP_OPTIONS, f"-Dlog4j2.configurationFile={log4j}", f"-Djava.io.tmpdir={temporary}"]
    if not (log_dir / "meta.properties").exists():
        if credentials is None:
            format_storage(node, log_dir, cluster_id(data_dir.parent))
        else:
            format_storage_with_user(options, classpath, properties, cluster_id(data_dir.parent), credentials)
    return ServiceProcess(
        name=f"Kafka{node.suffix}",
        address=f"{node.host}:{ports['kafka']}",
        command=java_command(options, classpath, "kafka.Kafka", [str(properties)], long_running),
        log=data_dir / "kafka.log",
        is_ready=_readiness_probe(node, ports["kafka"], credentials),
        environment=java_environment(),
        ends_with_parent=ends_with_parent,
    )


def _readiness_probe(node: Node, port: int, credentials: Credentials | None) -> Callable[[], bool]:
    login = {} if credentials is None else credentials.client_settings("broker")
    settings = msgspec.convert({"broker": f"{node.host}:{port}", **login}, Settings, dec_hook=Secret.read)
    if credentials is not None:
        return lambda: serves_clients(settings, node.number)
    return lambda: has_live_broker(node.host, port) and serves_clients(settings, node.number)
