"""`thalweg backfill` on a real Kafka and Cassandra: an archive becomes rows, and workers go on behind it."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from streams.broker.topics import describe_topic
from streams.store.store import open_store
from tests.support.deployment import ENDED_WITHIN_S, Deployment, environment_of, run_thalweg, shopping
from tests.support.topics import archive_topic, cut_topic

Records = list[tuple[bytes | None, bytes | None]]
KILLS = ["write:before", "write:during", "update:before", "update:after", "erase:after", "drop_passed:before"]


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


def run_backfill(deployment: Deployment, archive: Path, fault: str | None = None, call: int = 1) -> int:
    """Run a backfill with small blocks, and return its exit code. fault: the moment of a SIGKILL (tests.faults)."""
    arguments = ["--bundle", str(deployment.bundle.path), "--from", str(archive), "--json"]
    variables = {} if fault is None else {"FAULT_POINT": fault, "FAULT_CALL": str(call), "FAULT_DELAY_MS": "2"}
    ended = subprocess.run(
        [sys.executable, "-m", "tests.faults.backfill_main", *arguments],
        env=environment_of(deployment.settings) | variables,
        capture_output=True,
        text=True,
        timeout=ENDED_WITHIN_S,
        check=False,
    )
    assert ended.returncode in (0, -9), ended.stderr
    return ended.returncode


def stored_steps(deployment: Deployment) -> dict[str, int]:
    """Return the number of steps of each stored row."""
    store = open_store(deployment.settings, deployment.bundle)
    try:
        return {row.user_id: row.steps for row in store.users.scan()}  # type: ignore[union-attr]
    finally:
        store.close()


def test_workers_go_on_where_the_archive_ends(deployment: Deployment, tmp_path: Path) -> None:
    deployment.send(history(1))
    archive = archive_topic(deployment.settings, tmp_path / "archive")
    ended = run_thalweg(deployment.settings, "backfill", "--from", str(archive), "--json")
    assert ended.returncode == 0, ended.stderr
    counts = json.loads(ended.stdout.splitlines()[-1])
    found = deployment.verify()
    assert found.clean, found.mismatches
    assert found.not_committed == 0
    assert (counts["events"], counts["already_applied"], counts["erasures"], counts["rejected"]) == (
        found.events,
        found.already_applied,
        found.erasures,
        found.dead_letters,
    )
    assert counts["already_applied"] > 0 < counts["erasures"]
    updates = {user: update.steps for user, update in deployment.last_updates().items() if update is not None}
    assert updates == stored_steps(deployment)
    deployment.send(history(2))
    worker = deployment.worker()
    worker.start()
    deployment.wait_until_committed()
    worker.stop()
    found = deployment.verify()
    assert found.clean, found.mismatches
    assert not deployment.evaluations() or len(deployment.evaluations()) < found.events


def test_a_killed_backfill_goes_on(deployment: Deployment, tmp_path: Path) -> None:
    deployment.send(history(3))
    archive = archive_topic(deployment.settings, tmp_path / "archive")
    for number, fault in enumerate(KILLS):
        assert run_backfill(deployment, archive, fault, call=1 + number % 3) == -9
    assert run_backfill(deployment, archive) == 0
    found = deployment.verify()
    assert found.clean, found.mismatches
    assert found.not_committed == 0
    updates = {user: update.steps for user, update in deployment.last_updates().items() if update is not None}
    assert updates == stored_steps(deployment)


def test_the_records_of_the_archive_are_gone_from_the_topic(deployment: Deployment, tmp_path: Path) -> None:
    deployment.send(history(4))
    archive = archive_topic(deployment.settings, tmp_path / "archive")
    cut_topic(deployment.settings)
    assert run_backfill(deployment, archive) == 0
    group = deployment.settings.consumer_group_id(deployment.bundle.bundle_id)
    topic = describe_topic(deployment.settings, deployment.settings.behavior_topic, group)
    assert topic.committed == topic.start_offsets


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_backfill_refuses(deployment: Deployment, tmp_path: Path, is_cut: bool) -> None:
    """Records between archive and topic are gone, or workers run."""
    deployment.send(history(5, count=300))
    archive = archive_topic(deployment.settings, tmp_path / "archive")
    if is_cut:
        deployment.send(history(6, count=300))
        cut_topic(deployment.settings)
        ended = run_thalweg(deployment.settings, "backfill", "--from", str(archive))
        assert "the records between are in neither" in ended.stderr
    else:
        worker = deployment.worker()
        worker.start()
        ended = run_thalweg(deployment.settings, "backfill", "--from", str(archive))
        worker.stop()
        assert "workers of group" in ended.stderr
    assert ended.returncode == 1
