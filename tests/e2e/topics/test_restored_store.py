"""A Cassandra that was restored to an older state: workers recognise this, and apply again what the rows lack."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from export.runtime.bundle import Bundle
from streams.broker.topics import broker_admin
from streams.local import LocalServices
from streams.local.errors import LocalServiceError
from streams.store.protocol.cluster import connect
from tests.support.deployment import Deployment, run_thalweg, shopping, troubled_shopping
from tests.support.topics import make_again

GOES_BACK = "Cassandra was restored to an older state"


class Snapshot:
    """Every row of every table of the keyspace, with its write timestamp. A restore leaves these rows and no others."""

    def __init__(self, deployment: Deployment, only: str = "") -> None:
        self._settings, self._rows = deployment.settings, {}
        cluster, session = connect(self._settings)
        keyspace = self._settings.keyspace
        columns: dict[str, list[tuple[str, str]]] = {}
        query = "SELECT table_name, column_name, kind FROM system_schema.columns WHERE keyspace_name = %s"
        for table, column, kind in session.execute(query, [keyspace]):
            columns.setdefault(table, []).append((column, kind))
        for table in [name for name in columns if name.startswith(only)]:
            written = next((name for name, kind in columns[table] if kind == "regular" and name in WRITTEN), None)
            timestamp = f"WRITETIME({written})" if written else "1"
            names = ", ".join(name for name, _ in columns[table])
            self._rows[table] = [
                (text, at) for text, at in self._read(session, f"{keyspace}.{table}", names, timestamp)
            ]
        cluster.shutdown()

    def _read(self, session: Any, table: str, names: str, timestamp: str) -> list[tuple[str, int]]:
        texts = [text for (text,) in session.execute(f"SELECT JSON {names} FROM {table}")]
        times = [at for (at,) in session.execute(f"SELECT {timestamp} FROM {table}")] if "(" in timestamp else None
        return list(zip(texts, times or [0] * len(texts), strict=True))

    def restore(self) -> None:
        cluster, session = connect(self._settings)
        for table, rows in self._rows.items():
            session.execute(f"TRUNCATE {self._settings.keyspace}.{table}", timeout=60)
            for text, at in rows:
                insert = f"INSERT INTO {self._settings.keyspace}.{table} JSON %s DEFAULT UNSET"
                session.execute(insert + (f" USING TIMESTAMP {at}" if at else ""), [text])
        cluster.shutdown()


WRITTEN = {"state", "offset", "topic_id", "vector", "width", "what", "topic", "first_used_at"}


def execute(deployment: Deployment, statement: str) -> None:
    """Run a statement of which {} is the keyspace."""
    cluster, session = connect(deployment.settings)
    session.execute(statement.format(deployment.settings.keyspace), timeout=60)
    cluster.shutdown()


def work(deployment: Deployment, name: str, records: list[tuple[bytes, bytes | None]]) -> str:
    """Run a worker until it has applied the records. Returns the worker's log."""
    worker = deployment.worker(name)
    worker.start()
    deployment.send(records)
    deployment.wait_until_committed()
    worker.stop()
    return worker.log.read_text()


def test_workers_apply_again_what_a_restored_store_lacks(deployment: Deployment) -> None:
    work(deployment, "first", troubled_shopping(400, 20, seed=1))
    snapshot = Snapshot(deployment)
    records = troubled_shopping(400, 25, seed=2)
    work(deployment, "second", [*records, (b"user-3", None)])
    before, evaluated = deployment.stored_users(), {one.id for one in deployment.evaluations()}
    assert "user-3" not in before

    snapshot.restore()
    assert "user-3" in deployment.stored_users(), "the snapshot is from before the erasure"
    assert deployment.verify().mismatched > 10

    log = work(deployment, "third", [])
    assert GOES_BACK in log
    found = deployment.verify()
    assert (found.mismatches, found.not_committed) == ([], 0)
    after = deployment.stored_users()
    assert {user: (row.offset, row.steps) for user, row in after.items()} == {
        user: (row.offset, row.steps) for user, row in before.items()
    }
    assert {one.id for one in deployment.evaluations()} == evaluated, "a replay gives the same ids"
    assert GOES_BACK not in work(deployment, "fourth", shopping(20, 20, seed=3)), "the group went back once"


def test_a_worker_refuses_where_the_topic_lacks_the_records_and_the_archive_repairs(
    deployment: Deployment, tmp_path: Path
) -> None:
    work(deployment, "first", shopping(300, 20, seed=1))
    snapshot = Snapshot(deployment)
    work(deployment, "second", [*shopping(300, 20, seed=2), (b"user-3", None)])
    address = str(tmp_path / "archive")
    assert run_thalweg(deployment.settings, "archive", "--to", address).returncode == 0
    snapshot.restore()
    refused = run_thalweg(deployment.settings, "backfill", "--from", address)
    assert (refused.returncode, "stored_positions" in refused.stderr) == (1, True), refused.stdout + refused.stderr
    deployment.cut_topic()

    for name in ("refused", "refused again"):
        with pytest.raises(LocalServiceError, match="thalweg verify --repair --archive"):
            deployment.worker(name).start()
        run_thalweg(deployment.settings, "verify", "--repair")  # Without the archive, this proves nothing.

    repaired = run_thalweg(deployment.settings, "verify", "--repair", "--archive", address)
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert "1 row of an erased user was deleted" in repaired.stdout
    assert GOES_BACK not in work(deployment, "third", shopping(50, 20, seed=3))
    again = run_thalweg(deployment.settings, "verify", "--archive", address, "--json")
    assert json.loads(again.stdout.splitlines()[-1])["events"] == 650
    assert again.returncode == 0


def test_a_snapshot_from_before_the_first_position_is_recognised(deployment: Deployment) -> None:
    """An earlier version served the bundle, or no version did, or the topic was made again since."""
    work(deployment, "first", troubled_shopping(300, 20, seed=1))
    execute(deployment, "TRUNCATE {}.stored_positions")
    snapshot = Snapshot(deployment)
    work(deployment, "second", troubled_shopping(300, 25, seed=2))
    before = deployment.stored_users()
    snapshot.restore()
    assert GOES_BACK in work(deployment, "third", [])
    execute(deployment, "DROP KEYSPACE {}")
    assert GOES_BACK in work(deployment, "fourth", [])
    found = deployment.verify()
    assert (found.mismatches, found.not_committed) == ([], 0)
    assert {user: (row.offset, row.steps) for user, row in deployment.stored_users().items()} == {
        user: (row.offset, row.steps) for user, row in before.items()
    }

    snapshot = Snapshot(deployment)
    make_again(deployment.settings)
    work(deployment, "fifth", shopping(300, 25, seed=3))
    before = deployment.stored_users()
    snapshot.restore()
    assert GOES_BACK in work(deployment, "sixth", [])
    assert deployment.stored_steps() == {user: row.steps for user, row in before.items()}


def test_workers_go_on_over_a_store_that_lacks_records_where_an_administrator_accepts_this(
    deployment: Deployment,
) -> None:
    work(deployment, "first", shopping(300, 20, seed=1))
    snapshot = Snapshot(deployment)
    work(deployment, "second", shopping(300, 20, seed=2))
    deployment.cut_topic()
    snapshot.restore()
    with pytest.raises(LocalServiceError, match="Cassandra lacks records"):
        deployment.worker("refused").start()
    assert "go on from the commits" in run_thalweg(deployment.settings, "verify", "--accept").stdout
    assert GOES_BACK not in work(deployment, "third", shopping(100, 20, seed=3))
    assert sum(deployment.stored_steps().values()) == 400


def test_a_restored_store_of_a_topic_that_has_grown(services: LocalServices, bundle: Bundle, tmp_path: Path) -> None:
    """What the error recommends for a snapshot from before the growth works, and so does another keyspace."""
    deployment = Deployment(services, bundle, tmp_path, partitions=2, partition_handover_s=1)
    work(deployment, "first", shopping(400, 60, seed=1))
    before_growth = Snapshot(deployment)
    with broker_admin(deployment.settings) as admin:
        admin.create_partitions({deployment.settings.behavior_topic: 4})
    work(deployment, "second", shopping(400, 60, seed=2))
    everything_held(deployment)
    snapshot = Snapshot(deployment)
    work(deployment, "third", shopping(400, 60, seed=3))
    before = {user: (row.partition, row.steps) for user, row in deployment.stored_users().items()}

    def check(one: Deployment) -> None:
        assert before == {user: (row.partition, row.steps) for user, row in one.stored_users().items()}
        found = one.verify()
        assert (found.mismatches, found.events, found.dead_letters) == ([], 1200, 0)
        assert len({evaluation.id for evaluation in one.evaluations()}) == 1200

    snapshot.restore()
    assert GOES_BACK in work(deployment, "fourth", [])
    check(deployment)

    apart = with_settings(deployment, keyspace=f"{deployment.settings.keyspace}apart", group="apart")
    run_thalweg(apart.settings, "doctor", "--migrate")
    copy_sources(deployment, apart)
    work(apart, "apart", [])
    check(apart)
    execute(apart, "DROP KEYSPACE {}")

    before_growth.restore()
    with pytest.raises(LocalServiceError, match="set another group"):
        deployment.worker("refused").start()
    anew = with_settings(deployment, group=f"{deployment.settings.group}-anew")
    work(anew, "anew", [])
    check(anew)


def with_settings(deployment: Deployment, **settings: Any) -> Deployment:
    other = copy.copy(deployment)
    other.settings = deployment.settings_with(**settings)
    return other


def everything_held(deployment: Deployment) -> None:
    """Make the present positions those of fifteen minutes ago."""
    table = f"{deployment.settings.keyspace}.stored_positions"
    cluster, session = connect(deployment.settings)
    found = session.execute(f"SELECT bundle_id, partition, topic_id, offset FROM {table}")
    for key in sorted(map(tuple, found), key=lambda row: row[3]):
        columns = "bundle_id, partition, topic_id, offset, slot, stored_at"
        session.execute(f"INSERT INTO {table} ({columns}) VALUES (%s, %s, %s, %s, -1, 0)", key)
    cluster.shutdown()


def copy_sources(source: Deployment, target: Deployment) -> None:
    cluster, session = connect(source.settings)
    for (text,) in session.execute(f"SELECT JSON * FROM {source.settings.keyspace}.sources"):
        session.execute(f"INSERT INTO {target.settings.keyspace}.sources JSON %s", [text])
    cluster.shutdown()


def test_commits_of_a_version_without_positions_are_taken_over(deployment: Deployment) -> None:
    """The rows hold the records, and only the position is behind, as while workers of two versions run."""
    work(deployment, "first", shopping(200, 20, seed=1))
    positions = Snapshot(deployment, only="stored_positions")
    work(deployment, "second", shopping(1500, 20, seed=2))
    positions.restore()
    log = work(deployment, "third", [])
    assert GOES_BACK not in log
    assert "already applied" not in log
    found = deployment.verify()
    assert (found.mismatches, found.events) == ([], 1700)
    assert len(deployment.evaluations()) == 1700, "nothing was applied again"


def test_records_that_leave_no_row_do_not_look_like_a_restored_store(deployment: Deployment) -> None:
    """A worker of an earlier version has committed thousands of dead letters and erasures, and retention went on."""
    work(deployment, "first", shopping(200, 20, seed=1))
    positions = Snapshot(deployment, only="stored_positions")
    applied: list[tuple[bytes, bytes | None]] = [*shopping(400, 20, seed=2)]
    erased: list[tuple[bytes, bytes | None]] = [(f"user-{number}".encode(), None) for number in range(5)]
    nothing: list[tuple[bytes, bytes | None]] = [(f"key-{number % 40}".encode(), b"{") for number in range(8_000)]
    work(deployment, "second", [*applied, *erased, *nothing])
    positions.restore()
    assert GOES_BACK not in work(deployment, "third", [])
    assert (deployment.verify().mismatches, len(deployment.evaluations())) == ([], 600)

    deployment.cut_topic()
    execute(deployment, "TRUNCATE {}.stored_positions")
    assert "no record that shows" in work(deployment, "fourth", [])
    # A worker was killed while it wrote the first positions.
    execute(
        deployment,
        f"DELETE FROM {{}}.stored_positions WHERE bundle_id = '{deployment.bundle.bundle_id}' AND partition = 1",
    )
    assert GOES_BACK not in work(deployment, "fifth", shopping(100, 20, seed=3))
    assert len(deployment.evaluations()) == 700
