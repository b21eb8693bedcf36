"""Kafka as one process: broker and controller in one (KRaft), made for a single small machine."""

import base64
import contextlib
import shutil
import socket
import struct
import subprocess
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from streams.broker.topics import broker_admin
from streams.config.errors import BrokerError, SettingsError
from streams.config.settings import Secret, Settings
from streams.local.certificates import USER, Locks, write_private
from streams.local.errors import LocalServiceError
from streams.local.jvm.java import java_command, java_environment
from streams.local.process.ports import HOST
from streams.local.process.processes import Service

HEAP_OPTIONS = ("-Xms128m", "-Xmx512m")
PROBE_LIMIT_S = 2.0
FORMAT_LIMIT_S = 60.0  # a second of Java on an idle machine
METADATA_KEY, METADATA_VERSION = 3, 4

PROPERTIES = """\
process.roles=broker,controller
node.id=1
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

OPEN = """\
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
"""
# The controller lets in who has the services' own key: its port can make users too.
LOCKED = """\
listeners=CLIENT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=CLIENT://{host}:{port}
listener.security.protocol.map=CLIENT:SASL_SSL,CONTROLLER:SSL
inter.broker.listener.name=CLIENT
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.client.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
username="{user}" password="{password}";
listener.name.controller.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={server}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
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


def kafka_service(
    data_dir: Path,
    ports: Mapping[str, int],
    classpath: Sequence[Path],
    bound: bool,
    locks: Locks | None,
    for_hours: bool,
) -> Service:
    """A Kafka whose data, configuration and log are in `data_dir`. It is not started yet.

    Raises LocalServiceError where the storage of a new one with a user cannot be made.
    """
    temporary = data_dir / "tmp"  # native libraries are unpacked here, and each start leaves its own behind
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    properties, log4j, log_dir = data_dir / "server.properties", data_dir / "log4j2.yaml", data_dir / "log"
    write_private(properties, _properties(ports, log_dir, locks).encode())
    log4j.write_text(LOG4J)
    options = [*HEAP_OPTIONS, f"-Dlog4j2.configurationFile={log4j}", f"-Djava.io.tmpdir={temporary}"]
    if not (log_dir / "meta.properties").exists():
        if locks is None:
            _format(log_dir)
        else:
            _format_with_user(options, classpath, properties, locks)
    return Service(
        name="Kafka",
        address=f"{HOST}:{ports['kafka']}",
        command=java_command(options, classpath, "kafka.Kafka", [str(properties)], for_hours),
        log=data_dir / "kafka.log",
        answers=_probe(ports["kafka"], locks),
        environment=java_environment(),
        bound=bound,
    )


def _properties(ports: Mapping[str, int], log_dir: Path, locks: Locks | None) -> str:
    values = {"host": HOST, "port": ports["kafka"], "controller_port": ports["kafka_controller"], "log_dir": log_dir}
    if locks is None:
        return (PROPERTIES + OPEN).format(**values)
    values |= {"ca": locks.ca, "server": locks.server, "user": USER, "password": locks.passwords["broker"]}
    return (PROPERTIES + LOCKED).format(**values)


def _format(log_dir: Path) -> None:
    """Make the storage of a new node, as `kafka-storage.sh format` would in a second of Java.

    A controller without `bootstrap.checkpoint` begins at its newest production metadata version.
    """
    log_dir.mkdir(parents=True, exist_ok=True)
    text = f"version=1\nnode.id=1\ncluster.id={_uuid()}\ndirectory.id={_uuid()}\n"
    (log_dir / "meta.properties").write_text(text)


def _format_with_user(options: Sequence[str], classpath: Sequence[Path], properties: Path, locks: Locks) -> None:
    """Make the storage of a new node by Kafka's own tool, with the user in it before anybody can connect."""
    arguments = properties.with_name("format.arguments")  # a file: everybody may read a command line
    user = f"SCRAM-SHA-512=[name={USER},password={locks.passwords['broker']}]"
    lines = ["format", "--config", str(properties), "--cluster-id", _uuid(), "--add-scram", user]
    write_private(arguments, "\n".join(lines).encode())
    try:
        done = subprocess.run(
            java_command(options, classpath, "kafka.tools.StorageTool", [f"@{arguments}"]),
            capture_output=True,
            text=True,
            env=java_environment(),
            stdin=subprocess.DEVNULL,
            timeout=FORMAT_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise LocalServiceError(f"Kafka's storage was not made within {FORMAT_LIMIT_S:.0f} s") from None
    finally:
        arguments.unlink()
    if done.returncode:
        raise LocalServiceError(f"Kafka's storage cannot be made: {done.stderr or done.stdout}")


def _probe(port: int, locks: Locks | None) -> Callable[[], bool]:
    if locks is None:
        return lambda: has_broker(HOST, port)
    settings = msgspec.convert({"broker": f"{HOST}:{port}", **locks.access("broker")}, Settings, dec_hook=Secret.read)
    return lambda: lets_in(settings)


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


def lets_in(settings: Settings) -> bool:
    """True where a Kafka with locks takes the user and has at least one live broker."""
    try:
        with broker_admin(settings) as admin:
            return bool(admin.describe_cluster()["brokers"])
    except (BrokerError, SettingsError):  # the port opens before the rest is there
        return False
