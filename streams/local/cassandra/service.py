"""Cassandra as a process that is ready to be started."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from streams.local.cassandra.configuration import LOGBACK_XML, cassandra_yaml
from streams.local.cassandra.cql_protocol import reaches_majority, replace_default_user
from streams.local.cassandra.java_options import java_options
from streams.local.credentials import USER, Credentials
from streams.local.jvm.java_runtime import java_command, java_environment
from streams.local.nodes import Node
from streams.local.process.service_process import ServiceProcess

# The threads of an idle Cassandra wake up again and again to look for work, on cores that the worker needs. This slack
# takes an event's cost at 4,000 events/s from 117 to 80 us: docs/decisions.md#timer-slack-of-the-local-cassandra
TIMER_SLACK_US = 500


def cassandra_service(
    node: Node,
    data_dir: Path,
    ports: Mapping[str, int],
    classpath: Sequence[Path],
    ends_with_parent: bool,
    credentials: Credentials | None,
    long_running: bool,
) -> ServiceProcess:
    """A node with data, configuration and log in `data_dir`. The process is not started."""
    data_dir.mkdir(parents=True, exist_ok=True)
    yaml, logback = data_dir / "cassandra.yaml", data_dir / "logback.xml"
    yaml.write_text(cassandra_yaml(node, data_dir, ports, credentials))
    logback.write_text(LOGBACK_XML)
    return ServiceProcess(
        name=f"Cassandra{node.suffix}",
        address=f"{node.host}:{ports['cassandra']}",
        command=java_command(
            java_options(node, data_dir, yaml, logback, classpath),
            classpath,
            "org.apache.cassandra.service.CassandraDaemon",
            [],
            long_running,
        ),
        log=data_dir / "cassandra.log",
        is_ready=_readiness_probe(node.host, ports["cassandra"], credentials),
        environment=java_environment(),
        ends_with_parent=ends_with_parent,
        timer_slack_us=TIMER_SLACK_US,
    )


def _readiness_probe(host: str, port: int, credentials: Credentials | None) -> Callable[[], bool]:
    if credentials is None:
        return lambda: reaches_majority(host, port)
    context, password = credentials.tls_context(), credentials.passwords["cassandra"]
    return lambda: replace_default_user(host, port, context, USER, password)
