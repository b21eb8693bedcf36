"""A worker runs with the rights of `thalweg setup`, and names every single one that is taken away at its start."""

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from export.runtime.bundle import Bundle
from streams.config.errors import RightsError, StoreError, restart_helps
from streams.config.settings import Settings
from streams.demo.worker_process import WorkerProcess
from streams.health.rights.cassandra_rights import CassandraRight, cassandra_rights
from streams.health.rights.check import check_broker_rights, check_store_rights, lacking_in_store, lacking_on_broker
from streams.health.rights.kafka_rights import CHECK_OF_SETTINGS, KafkaRight, kafka_rights
from streams.local import LocalServices
from streams.store.registry import Registry
from streams.store.session import Session
from tests.support.bundles import tiny_bundle
from tests.support.deployment import Deployment, run_thalweg, shopping
from tests.tools.rights.users import (
    Administrator,
    as_user,
    cql,
    error_of,
    make_users,
    set_up,
    wait_until,
)

USER = "worker_with_few_rights"
DEFAULTS = Settings()
WIDTH = 4
ENDED_WITHIN_S = 60.0
KAFKA_RIGHTS = kafka_rights(DEFAULTS, "worker")
CASSANDRA_RIGHTS = cassandra_rights("", "worker", WIDTH)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"), items=20)


@pytest.fixture(scope="module")
def deployment(services: LocalServices, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A user with exactly the rights of a worker, and everything that the worker needs made beforehand."""
    made = Deployment(services, bundle, tmp_path_factory.mktemp("deployment"))
    admin = made.settings
    make_users(admin, USER)
    first = set_up(made, USER, "worker")
    rights = [*kafka_rights(admin, "worker"), *cassandra_rights(admin.keyspace, "worker", width_of(bundle))]
    for right in rights:
        assert sum(what.endswith(f": {right}") for what in first["made"]) == 1
    assert f"keyspace {admin.keyspace}: replication 1" in first["made"]
    assert f"topic {admin.alarms_topic}: 1 partition, 1 replica" in first["made"]
    assert set(first) == {"made", "exists"}  # the deployment has made some topics
    return made


@pytest.fixture(scope="module")
def administrator(deployment: Deployment) -> Iterator[Administrator]:
    with Administrator(deployment.settings) as connected:
        yield connected


@pytest.fixture(scope="module")
def session(deployment: Deployment) -> Iterator[Session]:
    """A session of the user."""
    opened = Session(as_user(deployment.settings, USER))
    yield opened
    opened.close()


def width_of(bundle: Bundle) -> int:
    return bundle.manifest.representation_width


def here(deployment: Deployment, right: Any) -> Any:
    """Return the right of a parameter with the names of this deployment."""
    if isinstance(right, KafkaRight):
        place = kafka_rights(DEFAULTS, "worker").index(right)
        return kafka_rights(deployment.settings, "worker")[place]
    place = CASSANDRA_RIGHTS.index(right)
    return cassandra_rights(deployment.settings.keyspace, "worker", width_of(deployment.bundle))[place]


def test_a_second_setup_finds_everything_and_tells_what_differs(deployment: Deployment) -> None:
    arguments = ("setup", "--user", USER, "--cassandra-role", USER)
    again = run_thalweg(deployment.settings, *arguments)
    assert again.returncode == 0, again.stdout + again.stderr
    *lines, last = again.stdout.splitlines()
    assert {line.split()[0] for line in lines} == {"exists"}
    assert last == f"setup: {len(lines)} exists"
    other = run_thalweg(deployment.settings_with(replication=2), *arguments)
    assert other.returncode == 1
    keyspace, events = deployment.settings.keyspace, deployment.settings.behavior_topic
    assert f"differs  topic {events}: has 4 partitions, 1 replica; planned are 4 partitions, 2 replicas" in other.stdout
    assert f"differs  keyspace {keyspace}: has replication 1; planned is 2 (THALWEG_REPLICATION)" in other.stdout


@pytest.mark.parametrize("right", KAFKA_RIGHTS, ids=str)
def test_each_right_on_kafka_that_is_taken_away_is_named(
    deployment: Deployment, administrator: Administrator, right: KafkaRight
) -> None:
    limited = as_user(deployment.settings, USER)
    taken, rights = here(deployment, right), kafka_rights(deployment.settings, "worker")
    lacking = partial(lacking_on_broker, limited, rights, deployment.bundle.bundle_id)
    check = partial(check_broker_rights, limited, "worker", deployment.bundle.bundle_id)
    wait_until(lambda: lacking() == [])
    with administrator.without_kafka_right(USER, taken):
        wait_until(lambda: lacking() == [taken])
        if taken.uses:
            assert taken.uses == (CHECK_OF_SETTINGS,)
            check()  # A worker runs without this right.
            return
        with pytest.raises(RightsError, match="lacks") as refused:
            check()
    assert f"lacks {taken} [kafka-acls.sh " in str(refused.value)
    assert f"--allow-principal User:{USER} --operation {taken.operation}" in str(refused.value)
    assert f"--{taken.resource} {taken.name}]" in str(refused.value)
    assert not restart_helps(refused.value)


@pytest.mark.parametrize("right", CASSANDRA_RIGHTS, ids=str)
def test_each_right_in_cassandra_that_is_taken_away_is_named(
    deployment: Deployment, administrator: Administrator, session: Session, right: CassandraRight
) -> None:
    limited = as_user(deployment.settings, USER)
    taken, width = here(deployment, right), width_of(deployment.bundle)
    check = partial(check_store_rights, limited, session, "worker", [deployment.bundle])
    check()
    with administrator.without_cassandra_rights(USER, taken):
        assert lacking_in_store(limited, session, "worker", [width]) == [taken]
        with pytest.raises(RightsError) as refused:
            check()
    assert f"lacks {taken}; run as an administrator: {taken.grant(USER)};" in str(refused.value)
    assert not restart_helps(refused.value)


@pytest.mark.parametrize("permission", ["SELECT", "MODIFY"])
def test_a_worker_that_asked_for_no_rights_ends_where_it_may_not_enter_its_mapping(
    deployment: Deployment, administrator: Administrator, session: Session, permission: str
) -> None:
    """Every right of the worker but this one is there, so the statement of `Registry.use_mapping` needs this right."""
    (taken,) = (
        right
        for right in cassandra_rights(deployment.settings.keyspace, "worker", width_of(deployment.bundle))
        if (right.table, right.permission) == ("mappings", permission)
    )
    registry = Registry(session, deployment.settings.keyspace)

    def is_refused() -> bool:
        try:
            registry.use_mapping(deployment.bundle.bundle_id, "the event contract")
        except StoreError as error:
            return f"no {permission} permission on <table {deployment.settings.keyspace}.mappings>" in str(error)
        return False

    wait_until(lambda: not is_refused())
    with administrator.without_cassandra_rights(USER, taken):
        wait_until(is_refused)
    wait_until(lambda: not is_refused())


@pytest.mark.parametrize("place", [2, 5], ids=lambda place: str(KAFKA_RIGHTS[place]))
def test_a_worker_that_lacks_a_right_on_kafka_ends_at_its_start(
    deployment: Deployment, administrator: Administrator, place: int
) -> None:
    taken = here(deployment, KAFKA_RIGHTS[place])
    with administrator.without_kafka_right(USER, taken):
        error = error_of(run_thalweg(as_user(deployment.settings, USER), "worker"))
    assert error.startswith(f"thalweg worker: user {USER} of Kafka at ")
    assert f" lacks {taken} [kafka-acls.sh " in error


def test_a_worker_and_the_doctor_name_all_rights_that_are_missing_in_cassandra(
    deployment: Deployment, administrator: Administrator
) -> None:
    lost = [here(deployment, CASSANDRA_RIGHTS[place]) for place in (1, 2, 14)]
    limited = as_user(deployment.settings, USER)
    with administrator.without_cassandra_rights(USER, *lost):
        error, doctor = error_of(run_thalweg(limited, "worker")), run_thalweg(limited, "doctor")
    assert doctor.returncode == 1
    for right in lost:
        assert str(right) in error
        assert right.grant(USER) in error
        assert f"Cassandra does not give {right}" in doctor.stdout
        assert right.grant(USER) in doctor.stdout


def test_a_worker_runs_and_starts_again_with_exactly_these_rights(deployment: Deployment) -> None:
    limited = as_user(deployment.settings, USER)
    doctor = run_thalweg(limited, "doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert "Kafka gives a worker's 7 rights" in doctor.stdout
    for run in range(2):
        worker = WorkerProcess(limited, deployment.folder / f"worker-{run}.log")
        worker.start()
        deployment.send([*shopping(300, 20, seed=run), (b"nobody", b"no event"), (b"user-1", None)])
        deployment.wait_until_committed()
        worker.stop()
        assert not {"lacks", "DescribeConfigs"} & set(worker.log.read_text().split())
    found = deployment.verify()
    assert (found.mismatches, found.events, found.dead_letters, found.erasures) == ([], 600, 2, 2)
    assert len({evaluation.id for evaluation in deployment.evaluations()}) == 600
    updates = deployment.last_updates()
    assert updates["user-2"] is not None
    assert updates["user-1"] is None


def test_a_worker_that_loses_the_right_to_its_positions_ends_with_the_refusal_of_cassandra(
    deployment: Deployment, administrator: Administrator
) -> None:
    (taken,) = (
        right
        for right in cassandra_rights(deployment.settings.keyspace, "worker", width_of(deployment.bundle))
        if (right.table, right.permission) == ("stored_positions", "MODIFY")
    )
    worker = WorkerProcess(as_user(deployment.settings, USER), deployment.folder / "positions.log")
    worker.start()
    seeds = itertools.count(100)

    def has_ended() -> bool:  # Cassandra may remember the right for a commit or two.
        deployment.send(shopping(10, 20, seed=next(seeds)))
        return worker.exit_code is not None

    with administrator.without_cassandra_rights(USER, taken):
        wait_until(has_ended, ENDED_WITHIN_S)
    assert worker.exit_code == 1
    log = worker.log.read_text()
    assert "Traceback" not in log
    *_, last = log.strip().splitlines()
    assert last.startswith("thalweg worker: Cassandra refused a request: ")
    assert f"no MODIFY permission on <table {deployment.settings.keyspace}.stored_positions>" in last


def test_rights_that_a_role_has_from_another_role_or_on_the_keyspace_count(deployment: Deployment) -> None:
    admin, name, lead = deployment.settings, "member", "role_of_workers"
    make_users(admin, name)
    limited, width = as_user(admin, name), width_of(deployment.bundle)
    opened = Session(limited)
    assert len(lacking_in_store(limited, opened, "worker", [width])) == len(CASSANDRA_RIGHTS)
    made = set_up(deployment, lead, "worker")["made"]
    assert any(what.startswith(f"role {lead}: make it a login with ALTER ROLE") for what in made)
    cql(admin, f"REVOKE SELECT ON TABLE {admin.keyspace}.bundles FROM {lead}", f"GRANT {lead} TO {name}")
    assert [str(right) for right in lacking_in_store(limited, opened, "worker", [width])] == [
        f"SELECT on table {admin.keyspace}.bundles"
    ]
    cql(admin, f"GRANT SELECT ON KEYSPACE {admin.keyspace} TO {name}")
    assert lacking_in_store(limited, opened, "worker", [width]) == []
    opened.close()
