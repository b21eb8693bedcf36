"""After an erasure and a compaction, no file of Cassandra holds the user's id, and the receipt names the rest.

The test has a Kafka and a Cassandra of its own, because the test stops them and reads every byte of their files.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from export.runtime.bundle import Bundle
from streams.commands.subject.archived import archived_rows
from streams.local import LocalServices, local_services
from streams.store.cql_schema import representations_table
from streams.store.session import Session
from tests.support.deployment import Deployment, event, record, run_thalweg
from tests.support.stream.data_files import files_where
from tests.support.topics import compact_topic

USER = "trace-5c0e1b77"
COMPACTED_WITHIN_S = 30.0


@pytest.fixture
def own_services(tmp_path: Path) -> Iterator[LocalServices]:
    with local_services(tmp_path / "services") as running:
        yield running


def test_an_erasure_leaves_no_trace_but_what_the_receipt_names(
    own_services: LocalServices, bundle: Bundle, tmp_path: Path
) -> None:
    deployment = Deployment(
        own_services, bundle, tmp_path, compression="none"
    )  # The bytes of the topics are looked at.
    settings, data = deployment.settings, own_services.data_dir
    worker = deployment.worker()
    worker.start()
    deployment.send(
        [record(event("e1", USER, "item-1")), record(event("e2", "stays", "item-1")), (b"stays", USER.encode())]
    )
    deployment.wait_until_committed()
    assert files_with(data / "cassandra", USER), "the test would find a trace"
    receipt_file, archive = tmp_path / "receipt.json", tmp_path / "archive"
    ended = run_thalweg(settings, "archive", "--to", str(archive))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads(run_thalweg(settings, "subject", USER, "--archive", str(archive), "--json").stdout)
    assert sorted(row["kind"] for row in found["archive"]) == ["event", "rejected"], "the reason quotes the id"
    options = ("--receipt", str(receipt_file), "--archive", str(archive), "--timeout", "30")
    ended = run_thalweg(settings, "erase", USER, *options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    worker.stop()
    receipt = json.loads(receipt_file.read_text())
    assert receipt["is_proven"]
    assert [one["bundle_id"] for one in receipt["deleted"]][:2] == [bundle.bundle_id] * 2
    assert sum(one["rows"] for one in receipt["deleted"] if one["place"] == f"archive {archive}") == 2
    assert archived_rows(settings, str(archive), USER) == []
    assert [row["user_id"] for row in archived_rows(settings, str(archive), "stays")] == ["stays"]
    assert files_with(archive, USER) == []
    remaining = {one["place"]: one for one in receipt["remaining"]}
    assert remaining[f"topic {settings.behavior_topic}"]["records"] == 2, "the event and the erasure"
    assert remaining[f"topic {settings.evaluation_topic}"]["records"] == 1
    assert remaining[f"topic {settings.dead_letter_topic}"]["records"] == 2, "a letter that may name the user, a marker"
    assert remaining[f"topic {settings.evaluation_topic}"]["until"] > receipt["at"]

    compact_tables(deployment)
    compact_topic(settings, settings.updates_topic)
    deadline = time.monotonic() + COMPACTED_WITHIN_S
    while any(r.value is not None for r in deployment.records(settings.updates_topic) if r.key.endswith(USER.encode())):
        assert time.monotonic() < deadline, "the updates topic still holds an update of the user"
        time.sleep(0.5)
    own_services.stop()
    assert files_with(data / "cassandra", USER) == []
    held = {path.parent.name.rpartition("-")[0] for path in files_with(data / "kafka", USER)}
    held.discard(settings.updates_topic)  # tombstones
    assert held == {settings.behavior_topic, settings.evaluation_topic, settings.dead_letter_topic}
    assert files_with(tmp_path / "worker", USER) == []


def compact_tables(deployment: Deployment) -> None:
    """Make Cassandra write its memory to files and compact them, by the statement of docs/privacy.md."""
    settings = deployment.settings
    tables = [representations_table(deployment.bundle.manifest.representation_width), "pending_erasures"]
    session = Session(settings)
    for table in tables:
        compaction = (
            "{'class': 'SizeTieredCompactionStrategy', 'min_threshold': 2, 'tombstone_compaction_interval': 1, "
            "'tombstone_threshold': 0.0001, 'unchecked_tombstone_compaction': true}"
        )
        session.execute(
            "change a table",
            f"ALTER TABLE {settings.keyspace}.{table} WITH gc_grace_seconds = 0 AND memtable_flush_period_in_ms = 500 "
            f"AND compaction = {compaction}",
        )
    files = deployment_files(deployment)
    deadline = time.monotonic() + COMPACTED_WITHIN_S
    while files_with(files, USER):
        assert time.monotonic() < deadline, files_with(files, USER)
        for table, columns in zip(tables, ("user_id, bundle_id", "user_id, bundle_id, partition"), strict=True):
            values = "'other', 'none'" + (", 0" if "partition" in columns else "")
            statement = f"INSERT INTO {settings.keyspace}.{table} ({columns}) VALUES ({values})"
            session.execute("write a row", statement)  # a file of its own, with which the others are compacted
        time.sleep(0.7)
    session.close()


def deployment_files(deployment: Deployment) -> Path:
    """Return the folder of the keyspace's data files."""
    (folder,) = (deployment.folder / "services" / "cassandra" / "data").glob(deployment.settings.keyspace.lower())
    return folder


def files_with(folder: Path, text: str) -> list[Path]:
    """Return the files below the folder that hold the text."""
    return files_where(folder, lambda content: text.encode() in content)
