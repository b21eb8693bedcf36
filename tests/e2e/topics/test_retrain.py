"""`thalweg retrain` on a real Kafka and Cassandra: new bundles from the history of the topic."""

import fcntl
import subprocess
from pathlib import Path

import msgspec
import pytest

from export.runtime.bundle import Bundle
from streams.commands.retrain.report import Report, read_reports
from streams.commands.retrain.retraining import FAILED, FAILED_FOR_NOW, FINISHED, NOTHING_NEW
from tests.support.deployment import Deployment, run_thalweg, shopping

SMALL = ("--", "--max-epochs", "1", "--width", "8", "--threads", "1")


class Loop:
    """The nightly loop of one deployment, whose first bundle comes from the first run."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.settings = deployment.settings_with(bundle=None)
        self.runs = deployment.folder / "runs"

    def run(self, *options: str, training: tuple[str, ...] = SMALL) -> subprocess.CompletedProcess[str]:
        archive = str(self.deployment.folder / "archive")
        return run_thalweg(
            self.settings, "retrain", "--archive", archive, "--runs", str(self.runs), *options, *training
        )

    def latest(self) -> tuple[Path, Report]:
        return read_reports(self.runs)[0]


@pytest.fixture
def loop(deployment: Deployment) -> Loop:
    return Loop(deployment)


def test_two_nights(loop: Loop) -> None:
    deployment = loop.deployment
    deployment.send(shopping(3_000, 100))
    first = loop.run("--no-backfill")
    assert first.returncode == FINISHED, first.stdout + first.stderr
    _, report = loop.latest()
    assert [stage.name for stage in report.stages] == ["archive", "train", "export"]
    assert (report.status, report.new_records, sum(report.ends.values())) == ("finished", 3_000, 3_000)
    challenger = Bundle.load(loop.runs / "challenger")
    assert challenger.bundle_id == report.bundle_id

    nothing = loop.run("--no-backfill")
    assert nothing.returncode == NOTHING_NEW
    assert "0 records came since the last finished run" in nothing.stdout

    deployment.send(shopping(400, 100, seed=1))
    champion = str((loop.runs / "challenger").resolve())
    second = loop.run("--learn-on", "--champion", champion)
    assert second.returncode == FINISHED, second.stdout + second.stderr
    run, report = loop.latest()
    assert (report.new_records, report.stages[-1].name) == (400, "backfill")
    assert "400" in (run / "train.log").read_text(), "the training goes on with the new records alone"
    newer = Bundle.load(loop.runs / "challenger")
    assert newer.bundle_id == report.bundle_id != challenger.bundle_id
    found = deployment.with_bundle(newer).verify()
    assert (found.clean, found.events, found.not_committed) == (True, 3_400, 0)


def test_a_failed_run_is_continued_and_a_second_run_waits(loop: Loop) -> None:
    loop.deployment.send(shopping(500, 50))
    broken = ("--", "--width", "eight")
    failed = loop.run("--no-backfill", training=broken)
    assert failed.returncode == FAILED
    assert "'eight' is not a whole number" in failed.stdout
    assert "train ended with exit code 2" in failed.stdout
    run, report = loop.latest()
    assert report.status == "failed"
    assert [stage.exit_code for stage in report.stages] == [0, 2, None]

    again = loop.run("--no-backfill", training=broken)
    assert f"the run in {run} is continued" in again.stdout
    assert loop.latest()[0] == run
    assert "archive: thalweg" not in again.stdout, "a stage that has ended is not repeated"

    with (loop.runs / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = loop.run("--no-backfill")
    assert waiting.returncode == FAILED_FOR_NOW
    assert "another retraining runs" in waiting.stdout


def test_a_topic_that_is_away_is_a_failure_for_now(loop: Loop) -> None:
    loop.settings = msgspec.structs.replace(loop.settings, broker="127.0.0.1:1")
    failed = loop.run("--no-backfill")
    assert failed.returncode == FAILED_FOR_NOW
    assert loop.latest()[1].status == "failed"
