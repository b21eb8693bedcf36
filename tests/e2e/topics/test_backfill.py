"""`thalweg backfill` on a real Kafka and Cassandra: an archive becomes rows, and workers go on behind it."""

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

from kafka import TopicPartition

from streams.archive.opening import open_reader
from streams.broker.topics import broker_admin, describe_topic
from streams.commands.verify.verification import verify
from streams.store.store import open_store
from tests.support.deployment import ENDED_WITHIN_S, Deployment, environment_of, run_thalweg, shopping

Records = list[tuple[bytes | None, bytes | None]]
KILLS = [("write:during", 1), ("update:before", 2), ("erase:after", 1), ("drop_passed:before", 3)]


def history(seed: int, count: int = 1_500, users: int = 60) -> Records:
    """Return records with events that came twice, at once and later, with erasures and with broken records."""
    draw = random.Random(seed)
    records: Records = []
    for key, value in shopping(count, users, seed):
        records.append((key, value))
        if draw.random() < 0.03:
            records.append((key, value))
        if draw.random() < 0.03:
            records.append(draw.choice(records[-20:]))
        if draw.random() < 0.01:
            records.append((key, None))
        if draw.random() < 0.01:
            records.append((key, b"{"))
    return records


def archive(deployment: Deployment, folder: Path) -> Path:
    ended = run_thalweg(deployment.settings, "archive", "--to", str(folder))
    assert ended.returncode == 0, ended.stderr
    return folder


def cut_topic(deployment: Deployment) -> None:
    """Delete every record that the behaviour topic holds now, as retention does."""
    topic = describe_topic(deployment.settings, deployment.settings.behavior_topic)
    with broker_admin(deployment.settings) as admin:
        admin.delete_records({TopicPartition(topic.name, p): end for p, end in topic.end_offsets.items()})


def backfill(deployment: Deployment, folder: Path, code: int = 0, **variables: str) -> str:
    """Run a backfill with small blocks, and return what the command printed."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.faults.backfill_main", "--from", str(folder), "--json"],
        env=environment_of(deployment.settings) | variables,
        capture_output=True,
        text=True,
        timeout=ENDED_WITHIN_S,
        check=False,
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout


def stored_steps(deployment: Deployment) -> dict[str, int]:
    """Return the number of steps of each stored row."""
    store = open_store(deployment.settings, deployment.bundle)
    try:
        return {row.user_id: row.steps for row in store.users.scan()}
    finally:
        store.close()


def test_workers_go_on_behind_a_killed_backfill_of_a_topic_that_was_cut(deployment: Deployment, tmp_path: Path) -> None:
    deployment.send(history(1))
    folder = archive(deployment, tmp_path / "archive")
    cut_topic(deployment)
    for point, call in KILLS:
        fault = {"FAULT_POINT": point, "FAULT_CALL": str(call), "FAULT_DELAY_MS": "2"}
        backfill(deployment, folder, code=-signal.SIGKILL, **fault)
    counts = json.loads(backfill(deployment, folder).splitlines()[-1])
    assert counts["events"] > 0
    group = deployment.settings.consumer_group_id(deployment.bundle.bundle_id)
    topic = describe_topic(deployment.settings, deployment.settings.behavior_topic, group)
    assert topic.committed == topic.start_offsets == topic.end_offsets
    updates = {user: update.steps for user, update in deployment.last_updates().items() if update is not None}
    assert updates == stored_steps(deployment)
    deployment.send(history(2))
    worker = deployment.worker()
    worker.start()
    deployment.wait_until_committed()
    worker.stop()
    found = verify(deployment.settings, deployment.bundle, archive=open_reader(str(folder)))
    assert (found.mismatches, found.unverifiable, found.not_committed) == ([], 0, 0)
    assert found.is_topic_complete
    assert found.events > 2 * 1_400


def test_a_backfill_is_refused_where_it_would_lose_records(deployment: Deployment, tmp_path: Path) -> None:
    """Workers run, workers are beyond the archive, or neither archive nor topic has some records."""
    deployment.send(shopping(100, 20))
    folder, command = archive(deployment, tmp_path / "archive"), ["backfill", "--from", str(tmp_path / "archive")]
    worker = deployment.worker()
    worker.start()
    assert "1 workers of group" in run_thalweg(deployment.settings, *command).stderr
    deployment.send(shopping(100, 20, seed=1))
    deployment.wait_until_committed()
    worker.stop()
    assert "a backfill has nothing to do there" in run_thalweg(deployment.settings, *command).stderr
    cut_topic(deployment)
    assert "the records between are in neither" in run_thalweg(deployment.settings, *command).stderr
    assert open_reader(str(folder)).partitions
