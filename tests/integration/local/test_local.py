"""`streams.local` with the real Kafka and Cassandra: start, fault and restart. No process is left over."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cassandra.cluster import Cluster, Session
from confluent_kafka import Consumer
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic, UpdateFeatureType

from streams.broker.topics import check_broker
from streams.config.loading import load_settings
from streams.local import LocalServices, local_services
from streams.local.errors import LocalServiceError
from streams.local.jvm.jars import cache_dir, classpaths
from streams.local.jvm.java_runtime import java_command, java_environment
from streams.local.process.process_ids import is_running

THALWEG = [sys.executable, "-m", "streams.cli"]
PARENT = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs that ignore SIGINT
from streams.local import local_services
with local_services(data_dir=Path(sys.argv[1]), cassandra="cassandra" in sys.argv[2:]) as services:
    for service in services.processes.values():
        print(service.pid, service.address, end=" ")
    print(flush=True)
    time.sleep(600)
"""


@contextmanager
def session(address: str) -> Iterator[Session]:
    host, port = address.split(":")
    cluster = Cluster([host], port=int(port))
    try:
        yield cluster.connect()
    finally:
        cluster.shutdown()


def write_record(bootstrap: str, topic: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(name=topic, num_partitions=1, replication_factor=1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    producer.send(topic, key=b"anna", value=b"view").get(timeout=20)
    producer.close()


def read_record(bootstrap: str, topic: str) -> tuple[bytes, bytes]:
    consumer = KafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=20_000
    )
    record = next(consumer)
    consumer.close()
    return record.key, record.value


def write_row(address: str, keyspace: str) -> None:
    with session(address) as cql:
        replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        cql.execute(f"CREATE KEYSPACE {keyspace} WITH replication = {replication}")
        cql.execute(f"CREATE TABLE {keyspace}.users (user_id text PRIMARY KEY, representation vector<float, 4>)")
        cql.execute(f"INSERT INTO {keyspace}.users (user_id, representation) VALUES ('anna', [1, -2, 0.5, 4])")


def read_row(address: str, keyspace: str) -> list[float]:
    with session(address) as cql:
        return list(cql.execute(f"SELECT representation FROM {keyspace}.users WHERE user_id = 'anna'").one()[0])


def listens(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def have_ended(pids: list[int], addresses: list[str], limit_s: float = 10) -> bool:
    """Wait until no process runs and no address accepts connections. Returns False after the limit."""
    deadline = time.monotonic() + limit_s
    while any(is_running(pid) for pid in pids) or any(listens(address) for address in addresses):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_a_record_and_a_vector_can_be_written_and_read(services: LocalServices) -> None:
    write_record(services.bootstrap, "local.record")
    assert read_record(services.bootstrap, "local.record") == (b"anna", b"view")
    write_row(services.cassandra.address, "local_row")
    assert read_row(services.cassandra.address, "local_row") == [1, -2, 0.5, 4]


def levels_of(services: LocalServices) -> dict[str, int]:
    """Return by feature the level that the cluster has agreed on, without the features at level 0."""
    admin = KafkaAdminClient(bootstrap_servers=services.bootstrap)
    features = admin.describe_features()
    admin.close()
    return {name: levels["finalized"][1] for name, levels in features.items() if "finalized" in levels}


def levels_of_the_release() -> dict[str, int]:
    """Return by feature the level that Kafka's own tool says of its newest release."""
    jars = classpaths(["kafka"], cache_dir(os.environ))["kafka"]
    command = java_command(["-Xmx64m"], jars, "kafka.tools.StorageTool", ["version-mapping"])
    told = subprocess.run(command, env=java_environment(), capture_output=True, text=True, timeout=60, check=True)
    lines = (line.split()[0].split("=") for line in told.stdout.splitlines() if "=" in line)
    return {name: int(level) for name, level in lines}


def test_kafka_has_all_features_of_its_release(services: LocalServices) -> None:
    expected = levels_of_the_release()
    assert expected["group.version"] >= 1
    assert expected["transaction.version"] >= 2
    del expected["kraft.version"]  # how controllers vote, which does not concern clients
    assert levels_of(services) == expected


def test_a_kafka_that_is_started_on_older_data_gets_the_features(services: LocalServices) -> None:
    expected = levels_of(services)
    admin = KafkaAdminClient(bootstrap_servers=services.bootstrap)
    admin.update_features({"streams.version": (UpdateFeatureType.SAFE_DOWNGRADE, 0)})
    admin.close()
    services.kafka.wait_until_ready(limit_s=20)
    assert levels_of(services) == expected


def test_a_consumer_of_the_new_group_protocol_joins_and_reads(services: LocalServices) -> None:
    write_record(services.bootstrap, "local.protocol")
    consumer = Consumer(
        {
            "bootstrap.servers": services.bootstrap,
            "group.id": "local.protocol",
            "group.protocol": "consumer",  # KIP-848
            "auto.offset.reset": "earliest",
        }
    )
    try:
        consumer.subscribe(["local.protocol"])
        message = consumer.poll(20)
        assert message is not None
        assert message.error() is None, message.error()
        assert (message.key(), message.value()) == (b"anna", b"view")
        admin = KafkaAdminClient(bootstrap_servers=services.bootstrap)
        groups = {group["group_id"]: group["group_type"] for group in admin.list_groups()}
        admin.close()
        assert groups["local.protocol"] == "consumer"
    finally:
        consumer.close()


def test_a_crash_and_an_orderly_restart_keep_data_and_ports(tmp_path: Path) -> None:
    with local_services(data_dir=tmp_path) as services:
        addresses = [services.bootstrap, services.cassandra.address]
        write_record(services.bootstrap, "kept")
        write_row(services.cassandra.address, "kept")
        time.sleep(1.5)  # Cassandra writes its commit log to the disk every second
        for service in (services.kafka, services.cassandra):
            service.kill()
        assert not any(listens(address) for address in addresses)
        services.start()
        services.wait_until_ready()
        assert [services.bootstrap, services.cassandra.address] == addresses
        assert read_record(services.bootstrap, "kept") == (b"anna", b"view")
        assert read_row(services.cassandra.address, "kept") == [1, -2, 0.5, 4]
        pids = [services.kafka.pid or 0, services.cassandra.pid or 0]
        with (
            pytest.raises(LocalServiceError, match="another Kafka still uses the data"),
            local_services(data_dir=tmp_path, cassandra=False),
        ):
            pass
    assert have_ended(pids, addresses, limit_s=0)
    with local_services(data_dir=tmp_path, cassandra=False) as services:
        assert read_record(services.bootstrap, "kept") == (b"anna", b"view")
        with pytest.raises(LocalServiceError, match="without cassandra"):
            _ = services.cassandra


def test_a_paused_kafka_does_not_answer_until_it_resumes(services: LocalServices) -> None:
    services.kafka.pause()
    try:
        with pytest.raises(LocalServiceError, match="did not answer"):
            services.kafka.wait_until_ready(limit_s=1)
        assert services.kafka.pid is not None, "to wait for a running service must not end it"
    finally:
        services.kafka.resume()
    services.kafka.wait_until_ready()


@contextmanager
def parent_of_services(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[int], list[str]]]:
    """Start a process that runs local services. Yields it, and the process ids and addresses of its services."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    assert parent.stdout is not None
    with parent.stdout:
        words = parent.stdout.readline().split()
        try:
            yield parent, [int(pid) for pid in words[::2]], words[1::2]
        finally:
            parent.kill()
            parent.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can end a process together with its parent")
def test_services_of_a_killed_parent_end(tmp_path: Path) -> None:
    with parent_of_services(str(tmp_path), "cassandra") as (parent, pids, addresses):
        assert len(pids) == 2
        assert all(listens(address) for address in addresses)
        parent.kill()
        assert have_ended(pids, addresses)


def test_an_interrupted_parent_ends_its_services_in_order(tmp_path: Path) -> None:
    with parent_of_services(str(tmp_path)) as (parent, pids, addresses):
        assert listens(addresses[0])
        parent.send_signal(signal.SIGINT)
        parent.wait(30)
        assert have_ended(pids, addresses, limit_s=0)
    assert (tmp_path / "kafka" / "log" / ".kafka_cleanshutdown").exists()


@pytest.mark.parametrize("options", [[], ["--secure"]], ids=["open", "secure"])
def test_services_of_up_stay_until_down_ends_them(tmp_path: Path, options: list[str]) -> None:
    environment = {**os.environ, "THALWEG_HOME": str(tmp_path / "home")}

    def thalweg(*arguments: str, code: int = 0) -> str:
        done = subprocess.run([*THALWEG, *arguments], env=environment, capture_output=True, text=True, timeout=150)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    assert "up in" in thalweg("up", *options)
    settings = load_settings(environment)
    try:
        assert listens(settings.broker)
        assert listens(settings.cassandra)
        check_broker(settings)
        assert bool(settings.broker_ca and settings.broker_password and settings.cassandra_password) == bool(options)
        assert (tmp_path / "home" / "local.json").stat().st_mode & 0o777 == 0o600
        assert "already running" in thalweg("up", *options)
        assert "already started by `thalweg up" in thalweg("up", *([] if options else ["--secure"]), code=1)
        assert load_settings(environment) == settings
    finally:
        ended = thalweg("down", "--wipe")
    assert "ended kafka, cassandra" in ended
    assert have_ended([], [settings.broker, settings.cassandra], limit_s=0)
    assert "nothing was running" in thalweg("down")
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["ports.json"]
