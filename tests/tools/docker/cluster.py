"""What the operators of a cluster make of docker/kubernetes, made on a secure Kafka and Cassandra of this machine."""

import re
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    NewTopic,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from streams.broker.topics import broker_admin
from streams.config.settings import Settings
from tests.tools.docker.manifests import Container, Resource, containers, of_kind
from tests.tools.docker.pods import Pods, RunningContainer
from tests.tools.rights.users import PASSWORD, cql

CASSANDRA_ROLES = ("thalweg_setup", "thalweg_worker", "thalweg_serve", "thalweg_promote")
# The role of the schema makes the keyspace, and so has every right on what it has made.
SETUP_RIGHTS = ("CREATE ON ALL KEYSPACES", "DESCRIBE ON ALL ROLES")
TOKEN = "a-token-of-the-tests-alone"
RESOURCES = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "transactionalId": ResourceType.TRANSACTIONAL_ID}
PATTERNS = {"literal": ACLResourcePatternType.LITERAL, "prefix": ACLResourcePatternType.PREFIXED}
OPERATIONS = {
    "Read": ACLOperation.READ,
    "Write": ACLOperation.WRITE,
    "Create": ACLOperation.CREATE,
    "Alter": ACLOperation.ALTER,
    "Describe": ACLOperation.DESCRIBE,
    "DescribeConfigs": ACLOperation.DESCRIBE_CONFIGS,
}
ORDERLY = (0, 128 + signal.SIGTERM)  # exit codes of a program that ends by itself after SIGTERM


def make_cluster(settings: Settings, resources: Sequence[Resource]) -> None:
    """Make topics, users with their rights, and roles of Cassandra. settings: of an administrator."""
    with broker_admin(settings) as admin:
        admin.create_topics([_new_topic(one) for one in of_kind(resources, "KafkaTopic")])
        users = of_kind(resources, "KafkaUser")
        names = [user["metadata"]["name"] for user in users]
        mechanism = ScramMechanism.SCRAM_SHA_512
        admin.alter_user_scram_credentials([UserScramCredentialUpsertion(name, mechanism, PASSWORD) for name in names])
        assert not admin.create_acls([acl for user in users for acl in acls_of(user)])["failed"]
    cql(
        settings,
        *(f"CREATE ROLE {role} WITH PASSWORD = '{PASSWORD}' AND LOGIN = true" for role in CASSANDRA_ROLES),
        *(f"GRANT {right} TO {CASSANDRA_ROLES[0]}" for right in SETUP_RIGHTS),
    )


def _new_topic(resource: Resource) -> NewTopic:
    spec = resource["spec"]
    return NewTopic(resource["metadata"]["name"], spec["partitions"], spec["replicas"], topic_configs=spec["config"])


def acls_of(user: Resource) -> Iterator[ACL]:
    """Yield each single right of a KafkaUser."""
    for acl in user["spec"]["authorization"]["acls"]:
        resource = acl["resource"]
        pattern = ResourcePattern(RESOURCES[resource["type"]], resource["name"], PATTERNS[resource["patternType"]])
        for operation in acl["operations"]:
            principal = f"User:{user['metadata']['name']}"
            yield ACL(principal, "*", OPERATIONS[operation], ACLPermissionType.ALLOW, pattern)


def pods_of(settings: Settings, resources: list[Resource], folder: Path, bundle: Path) -> Pods:
    """Return the pods of an overlay. bundle: what every image of a bundle holds."""
    common = next(one["data"] for one in of_kind(resources, "ConfigMap") if "THALWEG_BROKER" in one["data"])
    users = {user["metadata"]["name"]: {"password": PASSWORD} for user in of_kind(resources, "KafkaUser")}
    roles = {f"thalweg-cassandra-{role.removeprefix('thalweg_')}": {"password": PASSWORD} for role in CASSANDRA_ROLES}
    secrets = {
        **users,
        **roles,
        "kafka-cluster-ca-cert": {"ca.crt": Path(str(settings.broker_ca)).read_text()},
        "thalweg-cassandra-ca": {"ca.crt": Path(str(settings.cassandra_ca)).read_text()},
        "thalweg-serve-tokens": {"tokens.toml": f'[shop]\ntoken = "{TOKEN}"\nscopes = ["read"]\n'},
    }
    addresses = {
        common["THALWEG_BROKER"]: settings.broker,
        common["THALWEG_CASSANDRA"]: settings.cassandra,
    }
    return Pods(resources, folder, addresses, secrets, bundle)


def of_workload(resources: list[Resource], kind: str, name: str) -> list[Container]:
    """Return the containers of the workload of this kind whose name is `name`, or `name` with the id of a bundle."""
    pattern = re.compile(re.escape(name) + r"(-gru-[0-9a-f]{12})?")
    return [
        one
        for one in containers(resources)
        if one.workload["kind"] == kind and pattern.fullmatch(one.workload["metadata"]["name"])
    ]


def run_all(pods: Pods, found: list[Container], ordinal: int = 0) -> str:
    """Run containers to their end, one after the other. Return what the last one printed."""
    printed = ""
    for container in found:
        ended = pods.run(container, ordinal=ordinal)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        printed = ended.stdout
    return printed


def start(pods: Pods, found: list[Container], ordinal: int = 0) -> RunningContainer:
    """Run the containers that a pod runs first, and start its program. ordinal: of the pod in a StatefulSet."""
    *first, program = found
    run_all(pods, first, ordinal)
    return pods.start(program, ordinal)


def stop(running: RunningContainer) -> None:
    """Stop a program as the kubelet does. The program must end by itself before it would be killed."""
    began_s = time.monotonic()
    running.stop()
    assert time.monotonic() - began_s < running.grace_s, running.last_lines()
    assert running.exit_code in ORDERLY, running.last_lines()
    assert not re.search(r"lacks (Read|Write|Describe|SELECT|MODIFY)|uthoriz", running.log.read_text())
