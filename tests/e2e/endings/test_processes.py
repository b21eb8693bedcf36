"""`thalweg worker --processes 2` on a real Kafka and Cassandra: one command, two processes, one group."""

import os
import signal
import subprocess
import sys
import time

import pytest

from streams.demo.worker_process import WorkerProcess
from streams.health.watchdog import STOP_LIMIT_S
from streams.local.process.process_ids import is_running
from streams.worker.app import HEARTBEAT_INTERVAL_S
from tests.support.deployment import Deployment, expected_ids, shopping

# Far above the times that the tests allow: no partition may wait for the end of a session.
SESSION_TIMEOUT_S = 60
SOON_S = 30.0


def supervisor(deployment: Deployment, name: str = "supervisor") -> WorkerProcess:
    """Return a supervisor of two processes, not started."""
    folder = deployment.folder / name
    folder.mkdir()
    command = [sys.executable, "-m", "streams.cli", "worker", "--processes", "2"]
    return WorkerProcess(deployment.settings, folder / "worker.log", command)


def processes_of(worker: WorkerProcess) -> list[int]:
    """Return the ids of the child processes."""
    lines = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid="], text=True).splitlines()
    return [int(pid) for pid, parent in map(str.split, lines) if int(parent) == worker.pid]


def total(worker: WorkerProcess, name: str) -> int:
    reading = worker.scrape()
    assert reading is not None, worker.last_lines()
    return reading.total(name)


@pytest.fixture
def patient(deployment: Deployment) -> Deployment:
    deployment.settings = deployment.settings_with(session_timeout_s=SESSION_TIMEOUT_S)
    return deployment


def test_two_processes_share_the_partitions_and_stop_together(patient: Deployment) -> None:
    first = supervisor(patient)
    first.start()
    patient.send(shopping(5_000, 300))
    patient.wait_until_committed()
    assert len(processes_of(first)) == 2
    assert total(first, "thalweg_records_total") == 5_000
    assert total(first, "thalweg_freshness_seconds_count") == 5_000
    assert total(first, "thalweg_users_in_memory") == 300
    assert total(first, "thalweg_processes") == 2
    first.stop()
    assert first.exit_code == 0
    assert first.log.read_text().count("everything it took is confirmed") == 2

    began_s = time.monotonic()
    second = supervisor(patient, "second")
    second.start()  # returns when both processes have partitions, so the members before have left the group
    assert time.monotonic() - began_s < SOON_S
    patient.send(shopping(100, 10, seed=1))
    patient.wait_until_committed()
    assert total(second, "thalweg_records_total") == 100, "the first two processes have committed everything"
    second.stop()
    found = patient.verify()
    assert (found.clean, found.events) == (True, 5_100)
    ids = [e.id for e in patient.evaluations()]
    assert len(ids) == len(set(ids)) == 5_100


def test_an_added_worker_waits_for_a_heartbeat_of_the_others_and_not_for_a_share_of_the_session(
    patient: Deployment,
) -> None:
    """With a heartbeat after every third of a session, this wait was up to 20 s."""
    workers = []
    for name in ("first", "second"):
        (patient.folder / name).mkdir()
        workers.append(WorkerProcess(patient.settings, patient.folder / name / "worker.log"))
    workers[0].start()
    time.sleep(2 * HEARTBEAT_INTERVAL_S)  # The first worker has settled, and heartbeats come at their interval.
    began_s = time.monotonic()
    workers[1].start()
    took_s = time.monotonic() - began_s
    for worker in workers:
        worker.stop()
    assert took_s < SESSION_TIMEOUT_S / 6


def test_a_killed_process_comes_back_and_nothing_is_lost_or_repeated(patient: Deployment) -> None:
    worker = supervisor(patient)
    worker.start()
    with patient.load(shopping(12_000, 400, seed=2), 1_500.0):
        while total(worker, "thalweg_records_total") < 1_000:
            time.sleep(0.05)
        victim, survivor = processes_of(worker)
        counted = total(worker, "thalweg_rows_written_total")
        os.kill(victim, signal.SIGKILL)
        while is_running(victim) or len(processes_of(worker)) < 2:
            assert total(worker, "thalweg_rows_written_total") >= counted, "no counter falls at the end of a process"
            time.sleep(0.05)
    began_s = time.monotonic()
    patient.wait_until_committed()
    assert time.monotonic() - began_s < SOON_S
    assert survivor in processes_of(worker)
    assert total(worker, "thalweg_process_restarts_total") == 1
    worker.stop()
    assert "ended by SIGKILL; it starts again" in worker.log.read_text()
    found = patient.verify()
    assert (found.mismatches, found.events) == ([], 12_000)
    ids = [e.id for e in patient.evaluations()]
    assert set(ids) == expected_ids(patient), "without repetitions of an id, there is one event for each record"


def test_a_killed_supervisor_leaves_no_process(deployment: Deployment) -> None:
    worker = supervisor(deployment)
    worker.start()
    deployment.send(shopping(3_000, 100, seed=3))
    while total(worker, "thalweg_records_total") < 3_000:
        time.sleep(0.05)
    processes = processes_of(worker)
    assert len(processes) == 2
    worker.kill()
    began_s = time.monotonic()
    while any(map(is_running, processes)):
        assert time.monotonic() - began_s < STOP_LIMIT_S, "a process outlives its supervisor"
        time.sleep(0.1)
    assert worker.log.read_text().count("everything it took is confirmed") == 2
    deployment.wait_until_committed()
    assert deployment.verify().clean


def test_a_second_ctrl_c_ends_all_at_once(deployment: Deployment) -> None:
    worker = supervisor(deployment)
    worker.start()
    processes = processes_of(worker)
    deployment.send(shopping(2_000, 100, seed=4))
    for _ in range(2):
        worker.send_signal(signal.SIGINT)
        time.sleep(0.01)  # two equal signals may arrive as one
    began_s = time.monotonic()
    while worker.pid is not None:
        assert time.monotonic() - began_s < STOP_LIMIT_S
        time.sleep(0.05)
    assert not any(map(is_running, processes))
