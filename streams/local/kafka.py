"""Kafka as one process: broker and controller in one (KRaft), made for a single small machine."""

import base64
import contextlib
import socket
import struct
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from streams.local.java import java_command, java_environment
from streams.local.ports import HOST
from streams.local.processes import Service

HEAP_OPTIONS = ("-Xms128m", "-Xmx512m")
PROBE_LIMIT_S = 2.0
METADATA_KEY, METADATA_VERSION = 3, 4

PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@{host}:{controller_port}
log.dirs={log_dir}
auto.create.topics.enable=false
num.partitions=1
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
num.network.threads=2
num.io.threads=4
background.threads=2
num.replica.fetchers=1
num.recovery.threads.per.data.dir=2
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=16777216
log.segment.bytes=134217728
controlled.shutdown.enable=false
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
metadata.log.max.record.bytes.between.snapshots=1048576
"""

LOG4J = """\
Configuration:
  status: warn
  Appenders:
    Console: {name: console, target: SYSTEM_OUT, PatternLayout: {pattern: "%d{ISO8601} %p %c{1}: %m%n"}}
  Loggers:
    Root: {level: warn, AppenderRef: {ref: console}}
    Logger: {name: kafka.server.KafkaRaftServer, level: info}
"""


def kafka_service(data_dir: Path, ports: Mapping[str, int], classpath: Sequence[Path], bound: bool) -> Service:
    """A Kafka whose data, configuration and log are in `data_dir`. It is not started yet."""
    data_dir.mkdir(parents=True, exist_ok=True)
    properties, log4j, log_dir = data_dir / "server.properties", data_dir / "log4j2.yaml", data_dir / "log"
    properties.write_text(
        PROPERTIES.format(host=HOST, port=ports["kafka"], controller_port=ports["kafka_controller"], log_dir=log_dir)
    )
    log4j.write_text(LOG4J)
    options = [*HEAP_OPTIONS, f"-Dlog4j2.configurationFile={log4j}"]
    _format(log_dir)
    return Service(
        name="Kafka",
        address=f"{HOST}:{ports['kafka']}",
        command=java_command(options, classpath, "kafka.Kafka", [str(properties)]),
        log=data_dir / "kafka.log",
        answers=lambda: has_broker(HOST, ports["kafka"]),
        environment=java_environment(),
        bound=bound,
    )


def _format(log_dir: Path) -> None:
    """Make the storage of a new node where there is none, as `kafka-storage.sh format` would in a second of Java.

    A controller without `bootstrap.checkpoint` begins at its newest production metadata version.
    """
    file = log_dir / "meta.properties"
    if not file.exists():
        log_dir.mkdir(parents=True, exist_ok=True)
        file.write_text(f"version=1\nnode.id=1\ncluster.id={_uuid()}\ndirectory.id={_uuid()}\n")


def _uuid() -> str:
    """A random id in Kafka's form: 22 characters of URL-safe base64 that do not look like an option."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()).startswith("-"):
        continue
    return text


def has_broker(host: str, port: int) -> bool:
    """True where Kafka answers a Metadata request with at least one live broker (its port opens earlier than that)."""
    # https://kafka.apache.org/protocol#The_Messages_Metadata: header (key, version, correlation id, client id null),
    # no topics, no automatic creation
    body = struct.pack(">hhih", METADATA_KEY, METADATA_VERSION, 1, -1) + struct.pack(">ib", 0, 0)
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=PROBE_LIMIT_S) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        answer = connection.recv(16, socket.MSG_WAITALL)
        if len(answer) == 16:
            _length, correlation_id, _throttle_ms, brokers = struct.unpack(">iiii", answer)
            return bool(correlation_id == 1 and brokers >= 1)
    return False
