"""`thalweg up --nodes 3 --secure`: everything is kept three times, and a broker and a node of Cassandra can be away."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from streams.broker.topics import broker_admin, ensure_topic
from streams.commands.doctor.broker_checks import check_broker
from streams.commands.doctor.cassandra_checks import check_cassandra
from streams.commands.doctor.command import examine
from streams.config.loading import load_settings
from streams.config.security import kafka_python_arguments
from streams.config.settings import Settings, addresses
from streams.local.process.process_ids import is_running
from streams.local.state_file import LocalState, read_state
from streams.store.cql_schema import create_keyspace
from streams.store.migrations.migrations import LAST
from streams.store.protocol.cluster import connect
from streams.store.schema_creation import applied_migrations
from streams.store.store import open_store
from tests.support.bundles import tiny_bundle
from tests.tools.rights.users import wait_until

THALWEG = [sys.executable, "-m", "streams.cli"]
START_LIMIT_S = 180
PROGRAMS = 4
HOSTS = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]


def thalweg(*arguments: str) -> str:
    done = subprocess.run([*THALWEG, *arguments], capture_output=True, text=True, timeout=START_LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalState]:
    """Three nodes of each service, with logins. They are ended and their data deleted at the end."""
    home = tmp_path_factory.mktemp("three-nodes")
    environment = pytest.MonkeyPatch()
    environment.setenv("THALWEG_HOME", str(home))
    try:
        printed = thalweg("up", "--nodes", "3", "--secure")
        found = read_state()
        assert found is not None
        assert str(found.client_settings["broker"]) in printed
        assert str(found.client_settings["cassandra"]) in printed
        yield found
    finally:
        last = read_state()
        thalweg("down", "--wipe")
        environment.undo()
        assert sorted(path.name for path in home.iterdir()) == ["ports.json"]
    assert last is not None
    assert not any(is_running(pid) for pid in [*found.pids.values(), *last.pids.values()])


def test_programs_that_start_at_once_make_one_keyspace(state: LocalState, tmp_path: Path) -> None:
    """Their lightweight transactions meet. Cassandra then answers that the outcome of one of them is unknown."""
    bundle = tiny_bundle(tmp_path / "bundle", items=20)
    settings = msgspec.structs.replace(load_settings(), keyspace="at_once")
    with ThreadPoolExecutor(PROGRAMS) as threads:
        stores = list(threads.map(lambda _: open_store(settings, bundle), range(PROGRAMS)))
    assert [one.number for one in applied_migrations(stores[0].session, settings)] == list(range(1, LAST + 1))
    assert all(one.is_finished for one in applied_migrations(stores[0].session, settings))
    with ThreadPoolExecutor(PROGRAMS) as threads:
        list(threads.map(lambda store: store.registry.announce(bundle, "updates"), stores))
    assert list(stores[0].registry.records()) == [bundle.bundle_id]
    for store in stores:
        store.close()


def test_each_service_goes_on_without_one_of_its_nodes(state: LocalState) -> None:
    settings = load_settings()
    assert settings.replication == 3
    for service in ("broker", "cassandra"):
        assert [host for host, _ in addresses(service, getattr(settings, service))] == HOSTS
    ensure_topic(settings, "kept", partitions=3)
    assert replicas_and_in_sync(settings, "kept") == ({3}, "2")
    check_topic_of_an_earlier_version(settings)
    cluster, session = connect(settings)
    try:
        session.execute(create_keyspace("kept", settings.replication))
        session.execute("CREATE TABLE kept.users (user_id text PRIMARY KEY, name text)")
        for number in (1, 2, 3):  # the last round runs without a broker and a node of Cassandra
            if number == 3:
                os.kill(state.pids["kafka-2"], signal.SIGKILL)
                os.kill(state.pids["cassandra-3"], signal.SIGKILL)
            name = uuid.uuid4().hex
            write_to_each_partition(settings, "kept", name)
            assert names_in(settings, "kept", 3) >= {f"{name}-{partition}" for partition in range(3)}
            session.execute("INSERT INTO kept.users (user_id, name) VALUES (%s, %s)", (str(number), name))
            assert session.execute("SELECT name FROM kept.users WHERE user_id = %s", (str(number),)).one() == (name,)
    finally:
        cluster.shutdown()
    assert set(state.pids) - set(state.running_pids()) == {"kafka-2", "cassandra-3"}


def test_the_doctor_names_what_is_away(state: LocalState, tmp_path: Path) -> None:
    """After the test above. A controller notices after `broker.session.timeout.ms`, which is 3 s here."""
    settings = msgspec.structs.replace(load_settings(), http_port=0, keyspace="at_once")  # a keyspace with tables

    def is_named() -> bool:
        found = [one for one in check_broker(settings, None) if one.subject == "broker"]
        return [(one.state, "node 2 is away or behind" in one.detail) for one in found] == [("note", True)]

    wait_until(is_named)
    [nodes] = [one for one in check_cassandra(settings, None) if one.subject == "cassandra nodes"]
    assert (nodes.state, nodes.detail.startswith("2 of 3 reached (away: 127.0.0.3:")) == ("note", True)

    os.kill(state.pids["kafka-3"], signal.SIGKILL)
    os.kill(state.pids["cassandra-2"], signal.SIGKILL)
    found = list(examine(settings, str(tiny_bundle(tmp_path / "bundle", items=20).path)))
    broker, cassandra = [one for one in found if one.state == "failed"]
    assert broker.subject == "broker"
    assert broker.detail.startswith("1 of 3 reached (away: 127.0.0.2:")
    assert cassandra.subject.startswith("cassandra")
    rights = [one for one in found if one.subject == "rights"]
    assert [(one.state, "are not checked, because" in one.detail) for one in rights] == [("note", True)] * 2
    assert all(one.remedy for one in (broker, cassandra, *rights))
    assert not any(name in cassandra.detail for name in ("Error(", "<Host", "{"))


def test_up_starts_the_nodes_again_that_have_ended(state: LocalState) -> None:
    """After the test above."""
    killed = {"kafka-2", "kafka-3", "cassandra-2", "cassandra-3"}
    [printed] = [line for line in thalweg("up", "--nodes", "3", "--secure").splitlines() if "started again" in line]
    assert set(printed.partition(" started again")[0].split(", ")) == killed
    again = read_state()
    assert again is not None
    assert again.running_pids().keys() == state.pids.keys()
    assert again.client_settings == state.client_settings
    assert {name for name in state.pids if again.pids[name] != state.pids[name]} == killed
    with broker_admin(load_settings()) as admin:
        assert len(admin.describe_cluster()["brokers"]) == 3


def check_topic_of_an_earlier_version(settings: Settings) -> None:
    """The doctor names a topic with three replicas that confirms a record with one, and a command that helps."""
    name = settings.evaluation_topic
    ensure_topic(settings, name, partitions=1)
    for in_sync, is_named in (("1", True), ("2", False)):
        with broker_admin(settings) as admin:
            values = {"min.insync.replicas": in_sync}
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, values)], incremental=True)
        found = [one for one in check_broker(settings, None) if "min.insync.replicas" in one.detail]
        assert [(one.state, one.detail.split()[0]) for one in found] == ([("note", name)] if is_named else [])


def replicas_and_in_sync(settings: Settings, topic: str) -> tuple[set[int], str]:
    with broker_admin(settings) as admin:
        partitions = admin.describe_topics([topic])[0]["partitions"]
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, {"min.insync.replicas": None})
        found = admin.describe_configs([resource], config_filter="all")["topic"][topic]
    return {len(partition["replica_nodes"]) for partition in partitions}, found["min.insync.replicas"]["value"]


def write_to_each_partition(settings: Settings, topic: str, name: str) -> None:
    producer = KafkaProducer(acks="all", **kafka_python_arguments(settings))
    sent = [producer.send(topic, f"{name}-{partition}".encode(), partition=partition) for partition in range(3)]
    for future in sent:
        future.get(timeout=30)
    producer.close()


def names_in(settings: Settings, topic: str, at_least: int) -> set[str]:
    consumer = KafkaConsumer(
        topic, auto_offset_reset="earliest", consumer_timeout_ms=3_000, **kafka_python_arguments(settings)
    )
    found = {record.value.decode() for record in consumer}
    consumer.close()
    assert len(found) >= at_least
    return found
