"""Users with few rights on a secure Kafka and Cassandra: what runs, and how a missing right is named."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from streams.broker.topics import broker_admin
from streams.config.settings import Secret, Settings
from streams.demo.worker_process import WorkerProcess
from streams.local import LocalServices, local_services
from streams.store.schema_creation import create_missing
from streams.store.session import Session, connect
from streams.store.store import open_store
from tests.support.bundles import tiny_bundle
from tests.support.deployment import Deployment, run_thalweg, shopping

USER, PASSWORD = "limited", "Zx81-limited"
READ, WRITE, DESCRIBE = ACLOperation.READ, ACLOperation.WRITE, ACLOperation.DESCRIBE
LITERAL, PREFIXED = ACLResourcePatternType.LITERAL, ACLResourcePatternType.PREFIXED


@pytest.fixture(scope="module")
def services() -> Iterator[LocalServices]:
    with local_services(secure=True) as running:
        yield running


@pytest.fixture
def deployment(services: LocalServices, tmp_path: Path) -> Iterator[Deployment]:
    """Topics that exist, and a user without any right on them."""
    made = Deployment(services, tiny_bundle(tmp_path / "bundle", items=20), tmp_path)
    with broker_admin(made.settings) as admin:
        user = UserScramCredentialUpsertion(USER, ScramMechanism.SCRAM_SHA_512, PASSWORD)
        assert admin.alter_user_scram_credentials([user]) == {USER: None}
    cql(made.settings, f"CREATE ROLE IF NOT EXISTS {USER} WITH PASSWORD = '{PASSWORD}' AND LOGIN = true")
    yield made
    cql(made.settings, f"DROP ROLE {USER}")


def cql(settings: Settings, *statements: str) -> None:
    """Run statements as the administrator."""
    cluster, session = connect(settings)
    for statement in statements:
        session.execute(statement)
    cluster.shutdown()


def limited(settings: Settings) -> Settings:
    """Return the settings with the user who has few rights."""
    changed = {f"{service}_user": USER for service in ("broker", "cassandra")}
    passwords = {f"{service}_password": Secret(PASSWORD) for service in ("broker", "cassandra")}
    return msgspec.structs.replace(settings, **changed, **passwords)


def allow(
    settings: Settings,
    kind: ResourceType,
    name: str,
    *operations: ACLOperation,
    pattern: ACLResourcePatternType = LITERAL,
) -> None:
    resource = ResourcePattern(kind, name, pattern)
    rules = [ACL(f"User:{USER}", "*", operation, ACLPermissionType.ALLOW, resource) for operation in operations]
    with broker_admin(settings) as admin:
        assert not admin.create_acls(rules)["failed"]


def allow_reading(settings: Settings) -> None:
    """Give the rights of docs/operating.md on topics that exist, without the right DescribeConfigs."""
    allow(settings, ResourceType.TOPIC, settings.behavior_topic, READ, DESCRIBE)
    allow(settings, ResourceType.TOPIC, settings.metrics_topic, DESCRIBE)
    for topic in (settings.updates_topic, settings.evaluation_topic, settings.dead_letter_topic):
        allow(settings, ResourceType.TOPIC, topic, WRITE, DESCRIBE)
    allow(settings, ResourceType.GROUP, settings.group, READ, DESCRIBE, pattern=PREFIXED)


def error_of(ended: subprocess.CompletedProcess[str]) -> str:
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr.strip().splitlines()[-1]


def test_a_worker_runs_with_the_few_rights_of_the_page_and_names_what_it_cannot_check(deployment: Deployment) -> None:
    admin = deployment.settings
    open_store(admin, deployment.bundle).close()  # an administrator makes the keyspace and the tables
    cql(admin, *(f"GRANT {right} ON KEYSPACE {admin.keyspace} TO {USER}" for right in ("SELECT", "MODIFY")))
    allow_reading(admin)
    allow(admin, ResourceType.TRANSACTIONAL_ID, admin.group, WRITE, DESCRIBE, pattern=PREFIXED)
    deployment.send(shopping(300, 20))

    doctor = run_thalweg(limited(admin), "doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert f"DescribeConfigs on topic {admin.updates_topic}" in doctor.stdout
    worker = WorkerProcess(limited(admin), deployment.folder / "worker.log")
    worker.start()
    deployment.wait_until_committed()
    worker.stop()
    assert f"DescribeConfigs on topic {admin.updates_topic}" in worker.log.read_text()
    found = deployment.verify()
    assert (found.mismatches, found.events) == ([], 300)


def test_a_missing_right_in_cassandra_names_the_statement_and_the_grant(deployment: Deployment) -> None:
    admin = deployment.settings
    allow_reading(admin)
    error = error_of(run_thalweg(limited(admin), "worker"))
    assert f"`CREATE KEYSPACE IF NOT EXISTS {admin.keyspace}" in error
    assert f"GRANT CREATE ON ALL KEYSPACES TO {USER}" in error

    replication = "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"
    cql(admin, f"CREATE KEYSPACE {admin.keyspace} WITH replication = {replication}")
    error = error_of(run_thalweg(limited(admin), "worker"))
    assert f"`CREATE TABLE IF NOT EXISTS {admin.keyspace}.representations_" in error
    assert f"GRANT CREATE ON KEYSPACE {admin.keyspace} TO {USER}" in error

    open_store(admin, deployment.bundle).close()
    error = error_of(run_thalweg(limited(admin), "worker"))
    assert f"ON TABLE {admin.keyspace}." in error
    assert "; run as an administrator: GRANT " in error


def test_a_missing_right_to_add_columns_is_named(deployment: Deployment) -> None:
    """The table may come from a bundle without recent items, whose columns the worker then has to add."""
    admin, manifest = deployment.settings, deployment.bundle.manifest
    session = Session(admin)
    create_missing(session, admin, msgspec.structs.replace(manifest, recent_places=0))
    session.close()
    cql(admin, *(f"GRANT {right} ON KEYSPACE {admin.keyspace} TO {USER}" for right in ("SELECT", "MODIFY")))
    allow_reading(admin)
    assert "the first worker adds them" in run_thalweg(limited(admin), "doctor").stdout
    table = f"{admin.keyspace}.representations_{manifest.representation_width}"
    error = error_of(run_thalweg(limited(admin), "worker"))
    assert f"`ALTER TABLE {table} ADD IF NOT EXISTS (recent_items vector<int, 10>," in error
    assert f"GRANT ALTER ON TABLE {table} TO {USER}" in error


def test_a_missing_right_on_a_topic_is_named(deployment: Deployment) -> None:
    admin = deployment.settings
    error = error_of(run_thalweg(limited(admin), "worker"))
    assert f"topic {admin.behavior_topic} was not created" in error
    assert f"give the user Describe on topic {admin.behavior_topic} if it exists" in error


def test_a_missing_right_on_the_transactional_ids_is_named(deployment: Deployment) -> None:
    admin = deployment.settings
    open_store(admin, deployment.bundle).close()
    cql(admin, *(f"GRANT {right} ON KEYSPACE {admin.keyspace} TO {USER}" for right in ("SELECT", "MODIFY")))
    allow_reading(admin)
    error = error_of(run_thalweg(limited(admin), "worker"))
    assert "no transactional producer for" in error
    assert "give the user Describe and Write on the transactional id" in error
