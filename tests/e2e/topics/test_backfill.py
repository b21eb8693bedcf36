"""`thalweg backfill` on a real Kafka and Cassandra: an archive becomes rows, and workers go on behind it."""

import copy
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from kafka import KafkaProducer

from export.runtime.bundle import Bundle
from streams.archive.opening import open_reader
from streams.broker.topics import broker_admin, describe_topic
from streams.commands.verify.verification import verify
from streams.contracts.representation_updates import RepresentationUpdate
from streams.engine.epochs import Epoch
from streams.local import LocalServices
from streams.store.store import open_store
from tests.support.deployment import (
    ENDED_WITHIN_S,
    Deployment,
    environment_of,
    run_thalweg,
    shopping,
    troubled_shopping,
)

KILLS = [("write:during", 1), ("update:before", 2), ("erase:after", 1), ("drop_passed:before", 3)]


def archive(deployment: Deployment, folder: Path) -> Path:
    ended = run_thalweg(deployment.settings, "archive", "--to", str(folder))
    assert ended.returncode == 0, ended.stderr
    return folder


def backfill(deployment: Deployment, folder: Path, code: int = 0, **variables: str) -> str:
    """Run a backfill with small blocks, and return what the command printed."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.faults.programs.backfill_main", "--from", str(folder), "--json"],
        env=environment_of(deployment.settings) | variables,
        capture_output=True,
        text=True,
        timeout=ENDED_WITHIN_S,
        check=False,
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout


def test_workers_go_on_behind_a_killed_backfill_of_a_topic_that_was_cut(deployment: Deployment, tmp_path: Path) -> None:
    deployment.send(troubled_shopping(1_500, 60))
    folder = archive(deployment, tmp_path / "archive")
    deployment.cut_topic()
    for point, call in KILLS:
        fault = {"FAULT_POINT": point, "FAULT_CALL": str(call), "FAULT_DELAY_MS": "2"}
        backfill(deployment, folder, code=-signal.SIGKILL, **fault)
    counts = json.loads(backfill(deployment, folder).splitlines()[-1])
    assert counts["events"] > 0
    group = deployment.settings.consumer_group_id(deployment.bundle.bundle_id)
    topic = describe_topic(deployment.settings, deployment.settings.behavior_topic, group)
    assert topic.committed == topic.start_offsets == topic.end_offsets
    updates = {user: update.steps for user, update in deployment.last_updates().items() if update is not None}
    assert updates == deployment.stored_steps()
    deployment.send(troubled_shopping(1_500, 60, seed=1))
    worker = deployment.worker()
    worker.start()
    deployment.wait_until_committed()
    worker.stop()
    found = verify(deployment.settings, deployment.bundle, archive=open_reader(str(folder)))
    assert (found.mismatches, found.unverifiable, found.not_committed) == ([], 0, 0)
    assert found.is_topic_complete
    assert found.events > 2 * 1_400


def test_a_backfill_is_refused_where_it_would_lose_records(deployment: Deployment, tmp_path: Path) -> None:
    """Workers run, or workers are beyond the archive. What retention deletes behind the archive is theirs already."""
    deployment.send(shopping(100, 20))
    folder, command = archive(deployment, tmp_path / "archive"), ["backfill", "--from", str(tmp_path / "archive")]
    worker = deployment.worker()
    worker.start()
    assert "1 worker of group" in run_thalweg(deployment.settings, *command).stderr
    deployment.send(shopping(100, 20, seed=1))
    deployment.wait_until_committed()
    worker.stop()
    assert "a backfill has nothing to do" in run_thalweg(deployment.settings, *command).stderr
    deployment.cut_topic()
    assert "a backfill has nothing to do" in run_thalweg(deployment.settings, *command).stderr
    assert open_reader(str(folder)).partitions


def send_strays(deployment: Deployment, partitions: int, seed: int) -> None:
    """Send events of few users to every partition, so that most of the events are in a wrong one."""
    producer = KafkaProducer(bootstrap_servers=deployment.settings.broker)
    for number, (key, value) in enumerate(shopping(60, 30, seed=seed)):
        producer.send(deployment.settings.behavior_topic, key=key, value=value, partition=number % partitions)
    producer.close()


def add_partitions(deployments: Sequence[Deployment], partitions: int) -> None:
    """Add partitions to the topic, and enter the epoch for each keyspace, as a worker does that sees the growth."""
    settings = deployments[0].settings
    before = describe_topic(settings, settings.behavior_topic)
    with broker_admin(settings) as admin:
        admin.create_partitions({before.name: partitions})
    for deployment in deployments:
        store = open_store(deployment.settings, deployment.bundle)
        store.registry.view(before.name, before.topic_id, before.partitions, {})
        barrier = tuple(before.stable_offsets[p] for p in range(before.partitions))
        store.registry.begin_epoch(before.name, Epoch(1, before.topic_id, partitions, barrier))
        store.close()


def test_spark_gives_the_rows_of_a_backfill_on_one_machine(
    services: LocalServices, bundle: Bundle, tmp_path: Path
) -> None:
    """Also where partitions were added, and over the rows of a backfill that was killed before its first commit."""
    deployment = Deployment(services, bundle, tmp_path, partitions=2)
    name = f"{deployment.settings.keyspace}local"
    alone = copy.copy(deployment)
    alone.settings = deployment.settings_with(keyspace=name, group=name, updates_topic=f"{name}.updates")
    deployment.send(troubled_shopping(1_000, 60))
    send_strays(deployment, 2, seed=2)
    add_partitions([deployment, alone], 4)
    deployment.send(troubled_shopping(1_000, 60, seed=1))
    send_strays(deployment, 4, seed=3)
    folder = archive(deployment, tmp_path / "archive")
    command = ["backfill", "--from", str(folder), "--json"]
    backfill(deployment, folder, code=-signal.SIGKILL, FAULT_POINT="update:before", FAULT_CALL="1", FAULT_DELAY_MS="2")
    quick = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1"}  # halves the CPU time of so short a job
    ended = run_thalweg(deployment.settings, *command, "--spark", "local[2]", **quick)
    assert ended.returncode == 0, ended.stderr
    on_spark = json.loads(ended.stdout.splitlines()[-1])
    here = json.loads(run_thalweg(alone.settings, *command).stdout.splitlines()[-1])
    counts = ("events", "already_applied", "rejected", "skipped", "erasures", "dead_letters")
    assert {name: on_spark[name] for name in counts} == {name: here[name] for name in counts}
    assert min(here[name] for name in ("events", "already_applied", "rejected", "erasures", "dead_letters")) > 0
    rows, expected = deployment.stored_users(), alone.stored_users()
    assert rows.keys() == expected.keys()
    updates = {(r.partition, r.key): r.value for r in deployment.records(deployment.updates_topic())}
    for user_id, row in rows.items():
        other = expected[user_id]
        np.testing.assert_allclose(row.state, other.state, atol=1e-5)
        np.testing.assert_allclose(row.representation, other.representation, atol=1e-5)
        for column in ("partition", "offset", "steps", "last_time_ms", "last_item", "recent"):
            assert getattr(row, column) == getattr(other, column), column
        update = updates[row.partition, f"{bundle.bundle_id}/{user_id}".encode()]
        assert msgspec.json.decode(update, type=RepresentationUpdate).steps == row.steps
    found = verify(deployment.settings, deployment.bundle, archive=open_reader(str(folder)))
    assert (found.mismatches, found.unverifiable, found.not_committed) == ([], 0, 0)

    again = run_thalweg(deployment.settings, *command, "--spark", "local[2]")
    assert json.loads(again.stdout.splitlines()[-1])["events"] == 0, "nothing is left to step"
    deployment.send(shopping(50, 20, seed=4))
    archive(deployment, folder)
    assert "without --spark" in run_thalweg(deployment.settings, *command, "--spark", "local[2]").stderr
