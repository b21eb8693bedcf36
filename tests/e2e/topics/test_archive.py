"""The archive of the behaviour topic: every record once, through kills and retention, and the history of `verify`."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from kafka import TopicPartition

from streams.archive.files import open_files
from streams.archive.opening import open_reader
from streams.broker.topics import broker_admin, describe_topic
from streams.commands.verify.verification import verify
from tests.support.archives import differences
from tests.support.deployment import Deployment, environment_of, run_thalweg, shopping
from tests.support.topics import TransactionalProducer

BROKEN = [(b"ann", b"no event"), (None, b"{}"), (b"bob", None)]  # two rejected records and an erasure

KILLS = [("read:before", 2), ("claims:after", 1), ("events:during", 2), ("segments:during", 2), ("segments:after", 1)]


def archive(deployment: Deployment, folder: Path, *options: str, code: int = 0, **variables: str) -> str:
    """Run `thalweg archive`, and return what the command printed."""
    command = [sys.executable, "-m", "tests.faults.archive_main", "--to", str(folder), *options]
    environment = environment_of(deployment.settings) | variables
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout or ended.stderr


def cut(deployment: Deployment, offsets: dict[int, int]) -> None:
    """Delete the records before these offsets, as retention does."""
    topic = deployment.settings.behavior_topic
    with broker_admin(deployment.settings) as admin:
        admin.delete_records({TopicPartition(topic, partition): at for partition, at in offsets.items()})


def test_each_record_is_archived_once_also_where_the_command_is_killed(deployment: Deployment, tmp_path: Path) -> None:
    """Also over markers, aborted transactions and a transaction that is open while the command runs."""
    folder = tmp_path / "archive"
    deployment.send([*shopping(400, 40), *BROKEN])
    with TransactionalProducer(deployment.settings) as producer:
        for number, end in enumerate([producer.commit, producer.abort] * 2):
            producer.begin(shopping(30, 40, seed=number + 1))
            end()
        for point, call in KILLS:
            fault = {"FAULT_POINT": point, "FAULT_CALL": str(call), "SEGMENT_ROWS": "60"}
            archive(deployment, folder, code=-signal.SIGKILL, **fault)
        producer.begin(shopping(30, 40, seed=9))
        archive(deployment, folder, SEGMENT_ROWS="60")
        assert differences(deployment.settings, str(folder)) == []
        producer.commit()
    summary = archive(deployment, folder)
    assert "archive: 30 records of" in summary
    assert differences(deployment.settings, str(folder)) == []
    stable = describe_topic(deployment.settings, deployment.settings.behavior_topic).stable_offsets
    nothing_new = json.loads(archive(deployment, folder, "--json").splitlines()[-1])
    assert (nothing_new["records"], nothing_new["files"]) == (0, 0)
    assert nothing_new["positions"] == {str(partition): at for partition, at in stable.items()}
    assert len(list(open_reader(str(folder)).segments(0))) > 2
    assert list(folder.rglob("*.part")) == []


def test_a_second_command_is_refused_while_the_first_one_runs(deployment: Deployment, tmp_path: Path) -> None:
    with open_files(str(tmp_path)).lock():
        assert "another command changes archive" in archive(deployment, tmp_path, code=1)


def test_verify_reads_what_retention_has_deleted_from_the_archive(deployment: Deployment, tmp_path: Path) -> None:
    settings, folder = deployment.settings, str(tmp_path / "archive")
    worker = deployment.worker()
    worker.start()
    deployment.send([*shopping(500, 30), *BROKEN])
    deployment.wait_until_committed()
    archive(deployment, Path(folder))
    ends = describe_topic(settings, settings.behavior_topic).end_offsets
    deployment.send([*shopping(200, 30, seed=1), (b"user-3", None)])
    deployment.wait_until_committed()
    worker.stop()
    cut(deployment, {partition: end - 1 for partition, end in ends.items()})
    assert deployment.verify().unverifiable > 0
    whole = verify(settings, deployment.bundle, archive=open_reader(folder))
    assert (whole.mismatches, whole.unverifiable, whole.is_topic_complete, whole.gaps) == ([], 0, True, [])
    assert (whole.events, whole.dead_letters, whole.erasures) == (700, 2, 2)
    deployment.damage("user-5", "state", "0x00")
    command = ["verify", "--archive", folder]
    assert "1 users differ" in run_thalweg(settings, *command).stdout
    assert "1 rows were written" in run_thalweg(settings, *command, "--repair").stdout
    assert "verify: clean" in run_thalweg(settings, *command).stdout
    # The archive now ends before the topic begins, so the archive says nothing about today's users.
    cut(deployment, {partition: end + 5 for partition, end in ends.items()})
    short = verify(settings, deployment.bundle, archive=open_reader(folder))
    assert (short.mismatches, len(short.gaps)) == ([], len(ends))
    assert short.unverifiable > 0


def test_records_that_were_deleted_before_they_were_archived_are_a_gap(deployment: Deployment, tmp_path: Path) -> None:
    deployment.send(shopping(300, 30))
    archive(deployment, tmp_path)
    ends = describe_topic(deployment.settings, deployment.settings.behavior_topic).end_offsets
    deployment.send(shopping(300, 30, seed=1))
    cut(deployment, {partition: end + 7 for partition, end in ends.items()})
    assert f"partition 0 from offset {ends[0]} to {ends[0] + 6} before they were archived" in archive(
        deployment, tmp_path, code=1
    )
    assert open_reader(str(tmp_path)).end(0) == ends[0]
    summary = json.loads(archive(deployment, tmp_path, "--accept-gaps", "--json").splitlines()[-1])
    assert summary["deleted"] == 7 * len(ends)
    reader = open_reader(str(tmp_path))
    assert {partition: reader.complete_from(partition) for partition in ends} == {p: end + 7 for p, end in ends.items()}
    assert differences(deployment.settings, str(tmp_path)) == []
