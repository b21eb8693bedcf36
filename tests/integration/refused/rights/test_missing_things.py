"""Users who may not make what is missing: the error names the statement or the topic, and the right to make it."""

import time

import msgspec
import pytest

from streams.demo.worker_process import WorkerProcess
from streams.health.rights.kafka_rights import kafka_rights
from streams.local import LocalServices
from streams.store.cql_schema import item_vectors_index
from streams.store.migrations.migrations import LAST, MIGRATIONS
from streams.store.schema_creation import create_missing
from streams.store.session import Session
from tests.support.bundles import tiny_bundle
from tests.support.deployment import Deployment, run_thalweg
from tests.tools.rights.users import as_user, cql, error_of, give_kafka_right, make_users, take_kafka_right

USER = "limited"
PERMISSIONS_KEPT_S = 2.1  # Cassandra reads the permissions of a role again after 2 s (permissions_validity)


@pytest.fixture(scope="module")
def deployment(services: LocalServices, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Topics that exist, without a keyspace, and a user with a worker's rights on Kafka but DescribeConfigs."""
    bundle = tiny_bundle(tmp_path_factory.mktemp("bundle"), items=20)
    made = Deployment(services, bundle, tmp_path_factory.mktemp("deployment"))
    make_users(made.settings, USER)
    for right in kafka_rights(made.settings, "worker"):
        if not right.uses:
            give_kafka_right(made.settings, USER, right)
    return made


def test_a_missing_right_in_cassandra_names_the_statement_and_the_grant(deployment: Deployment) -> None:
    admin = deployment.settings
    error = error_of(run_thalweg(as_user(admin, USER), "worker"))
    assert f"`CREATE KEYSPACE IF NOT EXISTS {admin.keyspace}" in error
    assert f"GRANT CREATE ON ALL KEYSPACES TO {USER}" in error
    assert "or run `thalweg setup` with an administrator's login" in error

    replication = "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"
    cql(admin, f"CREATE KEYSPACE {admin.keyspace} WITH replication = {replication}")
    error = error_of(run_thalweg(as_user(admin, USER), "worker"))
    assert f"`CREATE TABLE IF NOT EXISTS {admin.keyspace}.migrations" in error
    assert f"GRANT CREATE ON KEYSPACE {admin.keyspace} TO {USER}" in error


def test_a_worker_without_the_right_to_see_settings_of_topics_starts_and_says_so(deployment: Deployment) -> None:
    admin = deployment.settings
    cql(admin, *(f"GRANT {right} ON KEYSPACE {admin.keyspace} TO {USER}" for right in ("SELECT", "MODIFY", "CREATE")))
    time.sleep(PERMISSIONS_KEPT_S)
    worker = WorkerProcess(as_user(admin, USER), deployment.folder / "worker.log")
    worker.start()
    worker.stop()
    assert f"DescribeConfigs on topic {admin.updates_topic}" in worker.log.read_text()
    doctor = run_thalweg(as_user(admin, USER), "doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert f"DescribeConfigs on topic {admin.updates_topic}" in doctor.stdout


def test_a_missing_right_to_add_columns_is_named(deployment: Deployment) -> None:
    """The table may come from a bundle without recent items, whose columns the worker then has to add."""
    admin, manifest = (
        deployment.settings_with(keyspace=f"{deployment.settings.keyspace}_columns"),
        deployment.bundle.manifest,
    )
    session = Session(admin)
    create_missing(session, admin, msgspec.structs.replace(manifest, recent_places=0))
    session.close()
    cql(admin, f"GRANT SELECT ON TABLE {admin.keyspace}.migrations TO {USER}")
    time.sleep(PERMISSIONS_KEPT_S)
    assert "the first worker adds them" in run_thalweg(as_user(admin, USER), "doctor").stdout
    table = f"{admin.keyspace}.representations_{manifest.representation_width}"
    error = error_of(run_thalweg(as_user(admin, USER), "worker"))
    assert f"`ALTER TABLE {table} ADD IF NOT EXISTS (recent_items vector<int, 10>," in error
    assert f"GRANT ALTER ON TABLE {table} TO {USER}" in error


def test_a_worker_without_the_right_to_make_the_index_of_item_vectors_starts_and_names_the_right(
    deployment: Deployment,
) -> None:
    """A table of an earlier version has no index. Only readers of all item vectors need the index."""
    admin, manifest = (
        deployment.settings_with(keyspace=f"{deployment.settings.keyspace}_index"),
        deployment.bundle.manifest,
    )
    session = Session(admin)
    create_missing(session, admin, manifest)
    session.close()
    width = manifest.representation_width
    cql(admin, f"DROP INDEX {admin.keyspace}.{item_vectors_index(width)}")
    cql(admin, *(f"GRANT {right} ON KEYSPACE {admin.keyspace} TO {USER}" for right in ("SELECT", "MODIFY")))
    worker = WorkerProcess(as_user(admin, USER), deployment.folder / "index.log")
    worker.start()
    worker.stop()
    said = worker.log.read_text()
    assert "readers cannot ask for all item vectors of a bundle in one query yet" in said
    assert f"GRANT ALTER ON TABLE {admin.keyspace}.item_vectors_{width} TO {USER}" in said


def test_a_worker_that_may_not_migrate_names_the_migration_which_an_administrator_applies(
    deployment: Deployment,
) -> None:
    admin = deployment.settings_with(keyspace=f"{deployment.settings.keyspace}_migrate")
    session = Session(admin)
    create_missing(session, admin, deployment.bundle.manifest)
    session.close()
    cql(
        admin,
        f"DROP TABLE {admin.keyspace}.stored_positions",
        f"DELETE FROM {admin.keyspace}.migrations WHERE name = 'keyspace' AND number = 2 IF EXISTS",
        *(f"GRANT {right} ON KEYSPACE {admin.keyspace} TO {USER}" for right in ("SELECT", "MODIFY")),
    )
    time.sleep(PERMISSIONS_KEPT_S)
    error = error_of(run_thalweg(as_user(admin, USER), "worker"))
    assert f"keyspace {admin.keyspace} lacks migration {MIGRATIONS[1]}" in error
    assert "thalweg doctor --migrate" in error
    assert f"{MIGRATIONS[1]} is applied" in run_thalweg(admin, "doctor", "--migrate").stdout
    assert f"keyspace {admin.keyspace} has all {LAST}" in run_thalweg(as_user(admin, USER), "doctor").stdout


def test_the_doctor_says_that_a_table_is_gone_only_where_the_role_may_read_the_migrations(
    deployment: Deployment,
) -> None:
    admin = deployment.settings_with(keyspace=f"{deployment.settings.keyspace}_unknown")
    session = Session(admin)
    create_missing(session, admin, deployment.bundle.manifest)
    session.close()
    cql(admin, f"DROP TABLE {admin.keyspace}.stored_positions")
    table = f"{admin.keyspace}.stored_positions"
    doctor = run_thalweg(as_user(admin, USER), "doctor").stdout
    assert f"GRANT SELECT ON TABLE {admin.keyspace}.migrations TO {USER}" in doctor
    assert f"{table} does not exist, and only the table migrations says whether it was there before" in doctor
    assert "is gone" not in doctor
    assert f"{table} is gone" in run_thalweg(admin, "doctor").stdout


def test_a_topic_that_is_missing_and_may_not_be_created_is_named(deployment: Deployment) -> None:
    admin = deployment.settings_with(metrics_topic=f"{deployment.settings.keyspace}.others")
    (right,) = (right for right in kafka_rights(admin, "worker") if right.operation == "Describe")
    give_kafka_right(admin, USER, right)
    error = error_of(run_thalweg(as_user(admin, USER), "worker"))
    take_kafka_right(admin, USER, right)
    assert f"topic {admin.metrics_topic} was not created" in error
    assert "or else Create; or run `thalweg setup` with an administrator's login" in error
