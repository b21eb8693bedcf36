"""Each single right that docker/kubernetes gives to workers is named at a worker's start where the right is missing."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from export.runtime.bundle import Bundle
from streams.broker.topics import ensure_topics
from streams.commands.setup.command import make
from streams.commands.setup.kafka_setup import acl_of
from streams.commands.setup.plan import make_plan
from streams.config.errors import RightsError, restart_helps
from streams.config.settings import Secret, Settings
from streams.health.rights.cassandra_rights import CassandraRight, cassandra_rights
from streams.health.rights.check import lacking_on_broker
from streams.health.rights.kafka_rights import KafkaRight, kafka_rights, with_later_bundles
from streams.store.registry import Registry
from streams.store.session import Session
from streams.store.store import Store, open_store
from streams.worker import wiring
from tests.support.bundles import tiny_bundle
from tests.tools.docker import manifests
from tests.tools.docker.cluster import acls_of, of_workload
from tests.tools.docker.generated import users
from tests.tools.rights.users import PASSWORD, Administrator, cql, wait_until

if manifests.MAY_SKIP:
    pytest.skip(manifests.REASON, allow_module_level=True)

FIRST = Bundle.load(Path(__file__).parents[4] / "streams" / "demo" / "bundle")
USER, ROLE = "thalweg-worker", "thalweg_worker"
KAFKA_RIGHTS = with_later_bundles(Settings(), kafka_rights(Settings(), "worker"))
CASSANDRA_RIGHTS = cassandra_rights(Settings().keyspace, "worker", FIRST.manifest.representation_width)


@pytest.fixture(scope="module")
def later(cluster: Settings, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Give the role of workers its rights, as the Jobs of two bundles do. Return the second bundle."""
    bundle = tiny_bundle(tmp_path_factory.mktemp("bundle"), items=20)
    for one in (FIRST, bundle):
        (_, giving, *_) = of_workload(manifests.render("small"), "Job", "thalweg-setup")
        command, _, *programs, _, role = giving.spec["args"]
        assert (command, role) == ("setup", ROLE)
        for _ in make(cluster, make_plan(cluster, programs, one.manifest, None, role), one.manifest):
            pass
        session = Session(cluster)
        registry = Registry(session, cluster.keyspace)
        registry.announce(one, registry.settings_of(cluster, one.bundle_id).updates_topic)
        ensure_topics(registry.settings_of(cluster, one.bundle_id))
        session.close()
    return bundle


@pytest.fixture(scope="module")
def settings(cluster: Settings) -> Settings:
    """The settings of a worker of the cluster."""
    passwords = dict.fromkeys(("broker_password", "cassandra_password"), Secret(PASSWORD))
    return msgspec.structs.replace(cluster, broker_user=USER, cassandra_user=ROLE, **passwords)


@pytest.fixture(scope="module")
def administrator(cluster: Settings) -> Iterator[Administrator]:
    with Administrator(cluster) as connected:
        yield connected


def start(settings: Settings, bundle: Bundle) -> None:
    """Start a worker up to where its application is made. Raises RightsError."""
    opened: list[Store] = []

    def open_once(*arguments: object) -> Store:
        opened.append(open_store(*arguments))
        return opened[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wiring, "open_store", open_once)
        try:
            wiring.build(settings, bundle, lambda *_: None, "thalweg-worker-0")
        finally:
            for store in opened:
                store.close()


def test_these_are_the_rights_of_the_manifests(cluster: Settings, later: Bundle) -> None:
    (user,) = (one for one in users(Settings()) if one["metadata"]["name"] == USER)
    assert {acl_of(right, USER) for right in KAFKA_RIGHTS} == set(acls_of(user))
    keyspace = cluster.keyspace
    granted = {(resource, permission) for _, _, resource, permission in cql(cluster, f"LIST ALL PERMISSIONS OF {ROLE}")}
    widths = {one.manifest.representation_width for one in (FIRST, later)}
    rights = {right for width in widths for right in cassandra_rights(keyspace, "worker", width)}
    assert granted == {(f"<table {keyspace}.{right.table}>", right.permission) for right in rights}


@pytest.mark.parametrize("right", KAFKA_RIGHTS, ids=str)
def test_a_worker_names_the_right_on_kafka(
    settings: Settings,
    later: Bundle,
    administrator: Administrator,
    caplog: pytest.LogCaptureFixture,
    right: KafkaRight,
) -> None:
    """The topic of a later bundle is named, whose right has the prefix of all these topics."""
    of_bundle, named, bundle = settings, right, FIRST
    if right.resource == "topic" and right.is_prefix:
        bundle, topic = later, settings.bundle_updates_topic(later.bundle_id, is_first=False)
        named = right._replace(name=topic, is_prefix=False)
        of_bundle = msgspec.structs.replace(settings, updates_topic=topic)
    lacking = partial(lacking_on_broker, of_bundle, kafka_rights(of_bundle, "worker"), bundle.bundle_id)
    wait_until(lambda: lacking() == [])
    with administrator.without_kafka_right(USER, right):
        wait_until(lambda: lacking() == [named])
        if right.operation == "DescribeConfigs":  # A worker starts without the check of topic settings, and says so.
            ensure_topics(of_bundle)
            assert f"give the user {named} (" in caplog.text
            return
        with pytest.raises(RightsError) as refused:
            start(settings, bundle)
    assert f"user {USER} of Kafka at {settings.broker} lacks {named} [kafka-acls.sh " in str(refused.value)
    assert str(refused.value).count("--add") == 1
    assert not restart_helps(refused.value)


@pytest.mark.parametrize("right", CASSANDRA_RIGHTS, ids=str)
def test_a_worker_names_the_right_in_cassandra(
    settings: Settings, later: Bundle, administrator: Administrator, right: CassandraRight
) -> None:
    with administrator.without_cassandra_rights(ROLE, right), pytest.raises(RightsError) as refused:
        start(settings, FIRST)
    assert right.grant(ROLE).replace('"', "") in str(refused.value).replace('"', "")
    assert str(refused.value).count("GRANT") == 1
    assert not restart_helps(refused.value)
