"""The configuration of the local Kafka: `server.properties`, with or without TLS and authentication, and logging."""

from collections.abc import Mapping
from pathlib import Path

from streams.local.credentials import USER, Credentials
from streams.local.nodes import Node

COMMON_PROPERTIES = """\
process.roles=broker,controller
node.id={node_id}
controller.listener.names=CONTROLLER
controller.quorum.voters={voters}
log.dirs={log_dir}
auto.create.topics.enable=false
num.partitions=1
offsets.topic.num.partitions=4
default.replication.factor={replicas}
min.insync.replicas={majority}
offsets.topic.replication.factor={replicas}
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={majority}
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={majority}
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
controlled.shutdown.enable={hands_over}
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
request.timeout.ms=3000
metadata.log.max.record.bytes.between.snapshots=1048576
"""

PLAINTEXT_LISTENERS = """\
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
"""

# The controller's port can create users. The controller therefore accepts only clients with the services' own key. The
# user of `thalweg up` may do everything, and every further user only what an administrator grants.
SECURE_LISTENERS = """\
listeners=CLIENT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=CLIENT://{host}:{port}
listener.security.protocol.map=CLIENT:SASL_SSL,CONTROLLER:SSL
inter.broker.listener.name=CLIENT
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.client.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
username="{user}" password="{password}";
listener.name.controller.ssl.client.auth=required
listener.name.controller.ssl.principal.mapping.rules=RULE:^.*$/services/
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{user};User:services
ssl.keystore.type=PEM
ssl.keystore.location={server}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
"""

LOG4J_YAML = """\
Configuration:
  status: warn
  Appenders:
    Console: {name: console, target: SYSTEM_OUT, PatternLayout: {pattern: "%d{ISO8601} %p %c{1}: %m%n"}}
  Loggers:
    Root: {level: warn, AppenderRef: {ref: console}}
    Logger: {name: kafka.server.KafkaRaftServer, level: info}
"""


def common_properties(node: Node, controller_port: int, log_dir: Path) -> str:
    """The part of `server.properties` that does not depend on the listeners for clients."""
    return COMMON_PROPERTIES.format(
        node_id=node.number,
        voters=",".join(f"{number}@{host}:{controller_port}" for number, host in enumerate(node.hosts, start=1)),
        log_dir=log_dir,
        replicas=node.replicas,
        majority=node.majority,
        # A broker that stops hands its partitions to others. A single broker would wait for brokers that do not exist.
        hands_over=str(node.replicas > 1).lower(),
    )


def server_properties(node: Node, ports: Mapping[str, int], log_dir: Path, credentials: Credentials | None) -> str:
    """The text of `server.properties`. With credentials, the text holds a password."""
    common = common_properties(node, ports["kafka_controller"], log_dir)
    values = {"host": node.host, "port": ports["kafka"], "controller_port": ports["kafka_controller"]}
    if credentials is None:
        return common + PLAINTEXT_LISTENERS.format(**values)
    values |= {
        "ca": credentials.ca_file,
        "server": credentials.server_file,
        "user": USER,
        "password": credentials.passwords["broker"],
    }
    return common + SECURE_LISTENERS.format(**values)
