"""The archive of the behaviour topic: every record once, through kills and retention, and the history of `verify`."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from kafka import TopicPartition

from streams.archive.files import open_files
from streams.archive.opening import open_reader
from streams.archive.removal import last_erasure, remove_user
from streams.archive.writer import SegmentWriter
from streams.broker.topics import broker_admin, describe_topic
from streams.commands.archive import archiving
from streams.commands.archive.archiving import Archived, Archiving
from streams.commands.verify.verification import verify
from streams.config.errors import InputError
from streams.engine.codec import ContractDecoder, Outcome
from tests.support.archives import differences, object_store
from tests.support.deployment import Deployment, environment_of, run_thalweg, shopping
from tests.support.topics import TransactionalProducer

BROKEN = [(b"ann", b"no event"), (None, b"{}"), (b"bob", None)]  # two rejected records and an erasure


def archive(deployment: Deployment, place: str | Path, accept_gaps: bool = False) -> Archived:
    run = Archiving(deployment.settings, open_files(str(place)), ContractDecoder(), accept_gaps)
    run.run()
    return run.archived


def kill(deployment: Deployment, place: str | Path, *faults: str) -> None:
    """Run `thalweg archive` for each fault, which kills the run (tests.faults)."""
    command = [sys.executable, "-m", "tests.faults.programs.archive_main", "--to", str(place)]
    environment = environment_of(deployment.settings) | {"FAULTS": " ".join(faults), "SEGMENT_ROWS": "60"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout.splitlines() == [f"{fault} {-signal.SIGKILL}" for fault in faults], ended.stderr


def cut(deployment: Deployment, offsets: dict[int, int]) -> None:
    """Delete the records before these offsets, as retention does."""
    topic = deployment.settings.behavior_topic
    with broker_admin(deployment.settings) as admin:
        admin.delete_records({TopicPartition(topic, partition): at for partition, at in offsets.items()})


def test_each_record_is_archived_once(deployment: Deployment, tmp_path: Path) -> None:
    """Also over markers, aborted transactions, a kill, and a transaction that is open while the command runs."""
    deployment.send([*shopping(400, 40), *BROKEN])
    with TransactionalProducer(deployment.settings) as producer:
        for number, end in enumerate([producer.commit, producer.abort] * 2):
            producer.begin(shopping(30, 40, seed=number + 1))
            end()
        kill(deployment, tmp_path, "claims:after=1", "events:during=3", "segments:after=1")
        producer.begin(shopping(30, 40, seed=9))
        archive(deployment, tmp_path)
        assert differences(deployment.settings, str(tmp_path)) == []
        producer.commit()
    summary = json.loads(run_thalweg(deployment.settings, "archive", "--to", str(tmp_path), "--json").stdout)
    stable = describe_topic(deployment.settings, deployment.settings.behavior_topic).stable_offsets
    assert (summary["records"], summary["rows"], summary["deleted"]) == (30, 30, 0)
    assert summary["positions"] == {str(partition): at for partition, at in stable.items()}
    assert differences(deployment.settings, str(tmp_path)) == []
    again = run_thalweg(deployment.settings, "archive", "--to", str(tmp_path))
    assert f"archive: 0 records of {deployment.settings.behavior_topic} were added to {tmp_path}" in again.stdout
    assert f"partition 0: up to offset {stable[0]}" in again.stdout


def test_an_archive_in_a_bucket_goes_on_where_it_was_killed(deployment: Deployment) -> None:
    deployment.send([*shopping(300, 40), *BROKEN])
    with object_store() as bucket:
        kill(deployment, f"{bucket}/shop", "segments:before=2", "claims:after=1")
        archive(deployment, f"{bucket}/shop")
        assert differences(deployment.settings, f"{bucket}/shop") == []
        assert archive(deployment, f"{bucket}/shop").segments == 0


def test_verify_reads_what_retention_has_deleted_from_the_archive(deployment: Deployment, tmp_path: Path) -> None:
    settings = deployment.settings
    worker = deployment.worker()
    worker.start()
    deployment.send([*shopping(500, 30), *BROKEN])
    deployment.wait_until_committed()
    archive(deployment, tmp_path)
    ends = describe_topic(settings, settings.behavior_topic).end_offsets
    deployment.send([*shopping(200, 30, seed=1), (b"user-3", None)])
    deployment.wait_until_committed()
    worker.stop()
    cut(deployment, {partition: end - 1 for partition, end in ends.items()})
    assert deployment.verify().unverifiable > 0
    whole = verify(settings, deployment.bundle, archive=open_reader(str(tmp_path)))
    assert (whole.mismatches, whole.unverifiable, whole.is_topic_complete, whole.gaps) == ([], 0, True, [])
    assert (whole.events, whole.dead_letters, whole.erasures) == (700, 2, 2)

    deployment.damage("user-5", "state", "0x00")
    repaired = run_thalweg(settings, "verify", "--archive", str(tmp_path), "--repair")
    assert "1 row was written" in repaired.stdout
    assert "verify: clean" in repaired.stdout

    archive(deployment, tmp_path)
    reader = open_reader(str(tmp_path))
    erasure = last_erasure(reader, "user-3")
    assert erasure is not None
    assert remove_user(reader, "user-3", erasure) != []
    without = verify(settings, deployment.bundle, archive=open_reader(str(tmp_path)))
    assert (without.mismatches, without.unverifiable, without.users) == ([], 0, whole.users)


def test_records_that_were_deleted_before_they_were_archived_are_a_gap(deployment: Deployment, tmp_path: Path) -> None:
    deployment.send(shopping(300, 30))
    archive(deployment, tmp_path)
    ends = describe_topic(deployment.settings, deployment.settings.behavior_topic).end_offsets
    deployment.send(shopping(300, 30, seed=1))
    cut(deployment, {partition: end + 7 for partition, end in ends.items()})
    missing = f"partition 0 from offset {ends[0]} to {ends[0] + 6} before they were archived"
    with pytest.raises(InputError, match=missing):
        archive(deployment, tmp_path)
    assert open_reader(str(tmp_path)).end(0) == ends[0]
    assert archive(deployment, tmp_path, accept_gaps=True).deleted == 7 * len(ends)
    reader = open_reader(str(tmp_path))
    assert {partition: reader.complete_from(partition) for partition in ends} == {p: end + 7 for p, end in ends.items()}
    assert differences(deployment.settings, str(tmp_path)) == []


def test_records_that_are_deleted_while_they_are_read_are_a_gap(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch takes one batch of the producer. The client has fetched a few batches ahead when the others go."""
    for seed in range(12):
        deployment.send(shopping(40, 10, seed))
    ends = describe_topic(deployment.settings, deployment.settings.behavior_topic).end_offsets
    monkeypatch.setattr(archiving, "FETCH_BYTES", 1)
    add, is_cut = SegmentWriter.add, False

    def add_and_cut(self: SegmentWriter, records: Sequence[Any], outcomes: Sequence[Outcome]) -> None:
        nonlocal is_cut
        if records and not is_cut:
            is_cut = True
            cut(deployment, {self.partition: ends[self.partition] - 1})
        add(self, records, outcomes)

    monkeypatch.setattr(SegmentWriter, "add", add_and_cut)
    found = archive(deployment, tmp_path, accept_gaps=True)
    reader = open_reader(str(tmp_path))
    assert found.deleted > 0
    assert found.records + found.deleted == sum(ends.values())
    assert reader.complete_from(0) == ends[0] - 1
    assert next(reader.read(0)).column("offset")[0].as_py() == 0
    assert differences(deployment.settings, str(tmp_path)) == []
