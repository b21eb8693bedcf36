"""`thalweg doctor` before and after the first start of a worker, and with wrong settings."""

import argparse
import asyncio
from pathlib import Path

import msgspec
import pytest

from export.runtime.bundle import Bundle
from streams.broker import topics
from streams.broker.topics import broker_admin, ensure_topics
from streams.commands.doctor import cassandra_checks
from streams.commands.doctor import command as doctor
from streams.config.settings import Settings
from streams.local import LocalServices
from streams.local.process.ports import free_ports
from streams.store.items.registration import Registration
from streams.store.protocol.cluster import connect
from streams.store.store import open_store
from tests.support.bundles import tiny_bundle

WIDTH = 32


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"), items=20, width=WIDTH)


@pytest.fixture
def settings(services: LocalServices) -> Settings:
    return Settings(
        broker=services.bootstrap,
        cassandra=services.cassandra.address,
        keyspace="doctor",
        behavior_topic="doctor.events",
        dead_letter_topic="doctor.dlq",
        updates_topic="doctor.updates",
        evaluation_topic="doctor.evaluation",
        metrics_topic="doctor.metrics",
        partitions=2,
    )


def by_state(settings: Settings, bundle: str | None, state: str) -> dict[str, str]:
    return {found.subject: found.detail for found in doctor.examine(settings, bundle) if found.state == state}


def test_empty_services_pass_and_after_a_workers_start_all_checks_pass(settings: Settings, bundle: Bundle) -> None:
    path = str(bundle.path)
    assert by_state(settings, path, "failed") == {}
    assert set(by_state(settings, path, "note")) == {"topics", "schema", "durability"}

    ensure_topics(settings)
    store = open_store(settings, bundle)
    assert by_state(settings, path, "failed") == {}
    notes = by_state(settings, path, "note")
    assert set(notes) == {"durability", "item vectors"}  # a single local node with default settings
    assert "0 of 20 of" in notes["item vectors"]
    asyncio.run(
        Registration(store.items, store.registry, bundle.bundle_id, bundle.manifest.items, lambda partition: True).run()
    )
    store.close()
    assert set(by_state(settings, path, "note")) == {"durability"}
    assert "20 of 20 of" in by_state(settings, path, "ok")["item vectors"]
    assert bundle.bundle_id in by_state(settings, path, "ok")["bundle"]


def test_topics_and_tables_that_do_not_fit_are_named(settings: Settings, bundle: Bundle) -> None:
    other = msgspec.structs.replace(
        settings,
        behavior_topic="doctor.wrong.events",
        evaluation_topic="doctor.wrong.evaluation",
        updates_topic="doctor.wrong.updates",
        dead_letter_topic="doctor.wrong.dlq",
        keyspace="doctor_wrong",
        replication=3,
    )
    with broker_admin(settings) as admin:
        admin.create_topics({"doctor.wrong.events": {"num_partitions": 3, "replication_factor": 1}})
        admin.create_topics({"doctor.wrong.evaluation": {"num_partitions": 5, "replication_factor": 1}})
    cluster, session = connect(settings)
    session.execute(
        "CREATE KEYSPACE IF NOT EXISTS doctor_wrong "
        "WITH replication = {'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"
    )
    session.execute("CREATE TABLE IF NOT EXISTS doctor_wrong.bundles (bundle_id text PRIMARY KEY, width text)")
    cluster.shutdown()
    failed = by_state(other, str(bundle.path), "failed")
    assert failed["broker"].startswith("1 broker at ")
    assert "replication = 3" in failed["broker"]
    assert "doctor.wrong.evaluation has 5 partitions, doctor.wrong.events has 3" in failed["topics"]
    assert "doctor_wrong.bundles: column width is text, expected int" in failed["schema"]
    assert "doctor.wrong.events has 1" in failed["replicas"]
    assert "doctor_wrong has replication 1 in data centre" in failed["durability"]
    assert failed["durability"].endswith("and the setting is 3")


def test_without_services_and_bundle_each_failure_says_what_to_do(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ports = free_ports(["broker", "cassandra"])
    monkeypatch.setattr(topics, "CONNECT_TIMEOUT_MS", 500)
    monkeypatch.setenv("THALWEG_BROKER", f"127.0.0.1:{ports['broker']}")
    monkeypatch.setenv("THALWEG_CASSANDRA", f"127.0.0.1:{ports['cassandra']}")
    monkeypatch.setenv("THALWEG_BUNDLE", str(tmp_path / "no"))

    assert doctor.run(argparse.Namespace(bundle=None, migrate=False)) == 1
    printed = capsys.readouterr().out
    assert "3 failed" in printed
    assert printed.count("thalweg up") == 2
    assert "thalweg export" in printed
    assert f"THALWEG_BROKER = '127.0.0.1:{ports['broker']}'" in printed


@pytest.mark.parametrize(("rows", "state"), [(30, "ok"), (200, "note"), (2_000, "failed")])
def test_batches_that_are_too_large_for_cassandra_are_found(
    settings: Settings, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, rows: int, state: str
) -> None:
    monkeypatch.setattr(cassandra_checks, "rows_per_request", lambda row_size_bytes: rows)
    assert f"{rows} rows take about" in by_state(settings, str(bundle.path), state)["batches"]
