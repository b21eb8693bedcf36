"""The containers of docker/kubernetes run as processes, on a real Kafka and Cassandra, with the rights that they name.

That a program names each single right which is taken away at its start is what the other tests of this folder show. The
list of the rights is the same: tests/contract/kubernetes/test_surroundings.py.
"""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
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

from export.runtime.bundle import Bundle
from streams.broker.topics import broker_admin, describe_topic, topic_exists
from streams.commands.replay.producer import Replay
from streams.commands.verify.verification import verify
from streams.config.settings import Settings
from streams.local import LocalServices
from tests.support.bundles import tiny_bundle
from tests.support.deployment import shopping
from tests.tools.docker import manifests
from tests.tools.docker.manifests import Container, containers, named, of_kind
from tests.tools.docker.pods import Pods, RunningContainer, missing_program
from tests.tools.rights.users import PASSWORD, cql, wait_until

DEMO_BUNDLE = Path(__file__).parents[4] / "streams" / "demo" / "bundle"
CASSANDRA_ROLES = ("thalweg_setup", "thalweg_worker", "thalweg_serve")
# The role of the schema makes the keyspace, and so has every right on what it has made.
SETUP_RIGHTS = ("CREATE ON ALL KEYSPACES", "DESCRIBE ON ALL ROLES")
TOKEN = "a token of the tests alone"
RESOURCES = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "transactionalId": ResourceType.TRANSACTIONAL_ID}
PATTERNS = {"literal": ACLResourcePatternType.LITERAL, "prefix": ACLResourcePatternType.PREFIXED}
OPERATIONS = {
    "Read": ACLOperation.READ,
    "Write": ACLOperation.WRITE,
    "Create": ACLOperation.CREATE,
    "Describe": ACLOperation.DESCRIBE,
    "DescribeConfigs": ACLOperation.DESCRIBE_CONFIGS,
}
COMMITTED_WITHIN_S = 60.0
ORDERLY = (0, 128 + signal.SIGTERM)  # exit codes of a program that ends by itself after SIGTERM

if manifests.MAY_SKIP:
    pytest.skip(manifests.REASON, allow_module_level=True)
if (reason := missing_program()) is not None and os.environ.get("CI") != "true":
    pytest.skip(reason, allow_module_level=True)


@pytest.fixture(scope="module")
def resources() -> list[dict[str, Any]]:
    return manifests.render("small")


@pytest.fixture(scope="module")
def settings(services: LocalServices, resources: list[dict[str, Any]]) -> Settings:
    """Make what the operators of a cluster make: topics, users with their rights, and roles of Cassandra.

    Return the settings of an administrator.
    """
    admin_settings = Settings(**services.client_settings, bundle=str(DEMO_BUNDLE))
    with broker_admin(admin_settings) as admin:
        admin.create_topics([new_topic(one) for one in of_kind(resources, "KafkaTopic")])
        users = of_kind(resources, "KafkaUser")
        names = [user["metadata"]["name"] for user in users]
        mechanism = ScramMechanism.SCRAM_SHA_512
        admin.alter_user_scram_credentials([UserScramCredentialUpsertion(name, mechanism, PASSWORD) for name in names])
        assert not admin.create_acls([acl for user in users for acl in acls_of(user)])["failed"]
    cql(
        admin_settings,
        *(f"CREATE ROLE {role} WITH PASSWORD = '{PASSWORD}' AND LOGIN = true" for role in CASSANDRA_ROLES),
        *(f"GRANT {right} TO {CASSANDRA_ROLES[0]}" for right in SETUP_RIGHTS),
    )
    return admin_settings


def new_topic(resource: dict[str, Any]) -> NewTopic:
    spec = resource["spec"]
    return NewTopic(resource["metadata"]["name"], spec["partitions"], spec["replicas"], topic_configs=spec["config"])


def acls_of(user: dict[str, Any]) -> Iterator[ACL]:
    for acl in user["spec"]["authorization"]["acls"]:
        resource = acl["resource"]
        pattern = ResourcePattern(RESOURCES[resource["type"]], resource["name"], PATTERNS[resource["patternType"]])
        for operation in acl["operations"]:
            principal = f"User:{user['metadata']['name']}"
            yield ACL(principal, "*", OPERATIONS[operation], ACLPermissionType.ALLOW, pattern)


@pytest.fixture(scope="module")
def pods(settings: Settings, resources: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Pods:
    return pods_of(settings, resources, tmp_path_factory.mktemp("pods"), DEMO_BUNDLE)


def pods_of(settings: Settings, resources: list[dict[str, Any]], folder: Path, bundle: Path) -> Pods:
    common = next(one["data"] for one in of_kind(resources, "ConfigMap") if "THALWEG_BROKER" in one["data"])
    users = {user["metadata"]["name"]: {"password": PASSWORD} for user in of_kind(resources, "KafkaUser")}
    roles = {f"thalweg-cassandra-{role.removeprefix('thalweg_')}": {"password": PASSWORD} for role in CASSANDRA_ROLES}
    secrets = {
        **users,
        **roles,
        "kafka-cluster-ca-cert": {"ca.crt": Path(str(settings.broker_ca)).read_text()},
        "thalweg-cassandra-ca": {"ca.crt": Path(str(settings.cassandra_ca)).read_text()},
        "thalweg-serve-tokens": {"tokens.toml": f'[shop]\ntoken = "{TOKEN.replace(" ", "-")}"\nscopes = ["read"]\n'},
    }
    addresses = {
        common["THALWEG_BROKER"]: settings.broker,
        common["THALWEG_CASSANDRA"]: settings.cassandra,
    }
    return Pods(resources, folder, addresses, secrets, bundle)


def of_workload(resources: list[dict[str, Any]], kind: str, name: str) -> list[Container]:
    """Return the containers of a workload. name: the beginning of its name."""
    return [
        one
        for one in containers(resources)
        if one.workload["kind"] == kind and one.workload["metadata"]["name"].startswith(name)
    ]


def run_all(pods: Pods, found: list[Container]) -> str:
    """Run containers to their end, one after the other. Return what the last one printed."""
    printed = ""
    for container in found:
        ended = pods.run(container)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        printed = ended.stdout
    return printed


def start(pods: Pods, resources: list[dict[str, Any]], kind: str, name: str) -> RunningContainer:
    """Run the containers that a pod runs first, and start its program."""
    *first, program = of_workload(resources, kind, name)
    run_all(pods, first)
    return pods.start(program)


def stop(running: RunningContainer) -> None:
    """Stop a program as the kubelet does. The program must end by itself before it would be killed."""
    began_s = time.monotonic()
    running.stop()
    assert time.monotonic() - began_s < running.grace_s, running.last_lines()
    assert running.exit_code in ORDERLY, running.last_lines()
    assert not re.search(r"lacks (Read|Write|Describe|SELECT|MODIFY)|uthoriz", running.log.read_text())


def wait_until_committed(settings: Settings, bundle_id: str) -> None:
    group, deadline_s = settings.consumer_group_id(bundle_id), time.monotonic() + COMMITTED_WITHIN_S
    while describe_topic(settings, settings.behavior_topic, group).lag > 0:
        assert time.monotonic() < deadline_s, "the worker has not committed everything"
        time.sleep(0.2)


def test_a_pod_whose_image_holds_another_bundle_ends(
    settings: Settings, resources: list[dict[str, Any]], tmp_path: Path
) -> None:
    other = tiny_bundle(tmp_path / "bundle", items=20)
    copying, *_ = of_workload(resources, "StatefulSet", "thalweg-worker")
    ended = pods_of(settings, resources, tmp_path, Path(str(other.path))).run(copying)
    assert ended.returncode == 1
    assert not list((tmp_path / "thalweg-worker" / "volumes" / "bundle").iterdir())


def test_the_programs_of_the_small_overlay_run_with_the_rights_of_its_users(
    settings: Settings, resources: list[dict[str, Any]], pods: Pods, tmp_path: Path
) -> None:
    bundle = Bundle.load(DEMO_BUNDLE)
    assert named(resources, "ConfigMap", "thalweg-bundle")["data"] == {"id": bundle.bundle_id}
    printed = run_all(pods, of_workload(resources, "Job", "thalweg-setup"))
    assert "right of role thalweg_serve: SELECT" in printed
    running = []
    try:
        worker = start(pods, resources, "StatefulSet", "thalweg-worker")
        running.append(worker)
        monitor = start(pods, resources, "StatefulSet", "thalweg-monitor")
        running.append(monitor)
        Replay(settings, settings.behavior_topic).run([*shopping(300, 20), (b"nobody", b"no event"), (b"user-1", None)])
        wait_until_committed(settings, bundle.bundle_id)
        assert worker.succeeds("readinessProbe")
        assert worker.succeeds("livenessProbe")
        server = start(pods, resources, "Deployment", "thalweg-serve")
        running.append(server)
        wait_until(lambda: server.succeeds("readinessProbe"))
        path, login = "/v1/users/user-2/representation", {"Authorization": f"Bearer {TOKEN.replace(' ', '-')}"}
        assert server.client.get(path).status_code == 401
        wait_until(lambda: server.client.get(path, headers=login).status_code == 200)
        wait_until(lambda: monitor.scrape().total("thalweg_monitor_records_total") >= 300)
        assert monitor.succeeds("readinessProbe")
        assert archived(settings, tmp_path) == 302
    finally:
        for one in running:
            stop(one)
    found = verify(settings, bundle)
    assert (found.mismatches, found.events, found.dead_letters, found.erasures) == ([], 300, 1, 1)


def archived(settings: Settings, folder: Path) -> int:
    """Run the archive of production to a folder in place of a bucket. Return the number of its records."""
    production = manifests.render("production")
    (archive,) = of_workload(production, "CronJob", "thalweg-archive")
    to = folder / "thalweg-archive" / "volumes" / "tmp" / "archive"
    ended = pods_of(settings, production, folder, DEMO_BUNDLE).run(archive, ["archive", "--to", str(to), "--json"])
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return int(json.loads(ended.stdout.splitlines()[-1])["records"])


def test_setup_makes_the_topic_of_a_later_bundle(
    settings: Settings, resources: list[dict[str, Any]], tmp_path: Path
) -> None:
    later = tiny_bundle(tmp_path / "bundle", items=20)
    _, for_worker, for_serve = of_workload(resources, "Job", "thalweg-setup")
    pods = pods_of(settings, resources, tmp_path / "pods", Path(str(later.path)))
    for container in (for_worker, for_serve):
        ended = pods.run(container, [*container.spec["args"], "--bundle", str(later.path)])
        assert ended.returncode == 0, ended.stdout + ended.stderr
    assert topic_exists(settings, settings.bundle_updates_topic(later.bundle_id, is_first=False))
