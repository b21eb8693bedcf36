"""What a worker does and logs while Kafka or Cassandra does not answer."""

import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from streams.demo.worker_process import WorkerProcess
from streams.health.watchdog import SLOW_S, STOP_LIMIT_S
from streams.local import LocalServices
from tests.e2e.endings.worker_stopped_joining import TOLD_TO_STOP
from tests.support.deployment import Deployment, expected_ids, shopping

LINES_A_MINUTE = 60  # that a worker may log while a service is down
START_LIMIT_S = 60.0


def status(worker: WorkerProcess, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://{worker.address}{path}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def wait_until_ended(worker: WorkerProcess, limit_s: float) -> float:
    """Wait until the worker's process has ended, and return the seconds that it took."""
    began = time.monotonic()
    while worker.pid is not None:
        assert time.monotonic() - began < limit_s, f"the worker still runs after {limit_s:.0f} s{worker.last_lines()}"
        time.sleep(0.1)
    return time.monotonic() - began


def test_a_worker_without_cassandra_waits_and_is_not_ready_and_still_stops(
    services: LocalServices, deployment: Deployment
) -> None:
    worker = deployment.worker()
    worker.start()
    deployment.send(shopping(500, 50, seed=1))
    deployment.wait_until_committed()
    assert (status(worker, "/readyz"), status(worker, "/healthz")) == (200, 200)
    services.cassandra.pause()
    try:
        deployment.send(shopping(500, 50, seed=2))
        time.sleep(SLOW_S + 5)
        assert (status(worker, "/readyz"), status(worker, "/healthz")) == (503, 200)
        threading.Thread(target=worker.stop).start()
        assert wait_until_ended(worker, STOP_LIMIT_S + 10) >= 1
        log = worker.log.read_text()
        assert "could not stop in order" in log
        assert len(log.splitlines()) < LINES_A_MINUTE
    finally:
        services.cassandra.resume()
    again = deployment.worker("again")
    again.start()
    deployment.wait_until_committed()
    again.stop()
    assert "everything it took is confirmed" in again.log.read_text()
    found = deployment.verify()
    assert (found.mismatches, found.events) == ([], 1_000)
    assert {e.id for e in deployment.evaluations()} == expected_ids(deployment)


def test_a_worker_without_kafka_ends_within_its_limit_and_logs_the_reason(
    services: LocalServices, deployment: Deployment
) -> None:
    deployment.settings = deployment.settings_with(stall_limit_s=10)
    worker = deployment.worker()
    worker.start()
    deployment.send(shopping(500, 50, seed=3))
    deployment.wait_until_committed()
    time.sleep(13)
    assert worker.pid is not None, f"the worker ended although it had no work{worker.last_lines()}"
    assert (status(worker, "/readyz"), status(worker, "/healthz")) == (200, 200)
    services.kafka.pause()
    try:
        wait_until_ended(worker, 60)
    finally:
        services.kafka.resume()
    log = worker.log.read_text()
    assert "has work and confirmed none for 10 s" in log
    assert len(log.splitlines()) < LINES_A_MINUTE


def test_a_worker_stops_at_once_while_its_group_waits_for_a_killed_member(deployment: Deployment) -> None:
    deployment.settings = deployment.settings_with(session_timeout_s=20)
    stays, dies, joins = (deployment.worker(name) for name in ("stays", "dies", "joins"))
    stays.start()
    dies.start()
    deployment.send(shopping(500, 50, seed=4))
    deployment.wait_until_committed()
    dies.kill()
    joins.start(wait=False)
    time.sleep(10)  # `stays` learns of the join by its heartbeat, every 7 s; the session of `dies` lasts 9 s more
    for worker in (stays, joins):
        began = time.monotonic()
        worker.stop()
        assert time.monotonic() - began < 5, worker.last_lines()
    assert "everything it took is confirmed" in stays.log.read_text()


@pytest.mark.parametrize("waits_for", ["metadata", "own", "refresh"])
def test_a_worker_that_is_told_to_stop_while_it_joins_its_group_stops_in_order(
    deployment: Deployment, waits_for: str
) -> None:
    command = [sys.executable, "-m", "tests.e2e.endings.worker_stopped_joining", waits_for]
    worker = WorkerProcess(deployment.settings, deployment.folder / "worker.log", command)
    worker.start(wait=False)
    began = time.monotonic()
    while TOLD_TO_STOP not in worker.last_lines():
        assert time.monotonic() - began < START_LIMIT_S, worker.last_lines()
        time.sleep(0.1)
    wait_until_ended(worker, STOP_LIMIT_S)
    assert "everything it took is confirmed" in worker.log.read_text(), worker.last_lines()
