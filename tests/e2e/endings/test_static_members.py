"""Two workers that name themselves in their group, as the pods of a StatefulSet do, on a real Kafka and Cassandra."""

import time

from streams.demo.worker_process import WorkerProcess
from tests.support.deployment import Deployment, shopping

SESSION_TIMEOUT_S = 45  # as in docker/kubernetes, and far above the time that a restart takes
USERS = 300


def member(deployment: Deployment, name: str, run: int) -> WorkerProcess:
    """Return a worker with this name in the group, not started."""
    folder = deployment.folder / f"{name}-{run}"
    folder.mkdir()
    settings = deployment.settings_with(group_instance_id=name, session_timeout_s=SESSION_TIMEOUT_S)
    return WorkerProcess(settings, folder / "worker.log")


def users_in_memory(worker: WorkerProcess) -> int:
    reading = worker.scrape()
    assert reading is not None, worker.last_lines()
    return reading.total("thalweg_users_in_memory")


def test_a_worker_comes_back_under_its_name_and_the_other_one_goes_on_meanwhile(deployment: Deployment) -> None:
    """A rebalance would drop the users of the other worker from memory."""
    first, other = member(deployment, "worker-0", 0), member(deployment, "worker-1", 0)
    first.start()
    other.start()  # returns when the other worker has partitions
    deployment.send(shopping(3_000, USERS))
    deployment.wait_until_committed()
    kept = users_in_memory(other)
    assert 0 < kept < USERS
    assert users_in_memory(first) + kept == USERS

    first.stop()
    assert first.exit_code == 0
    deployment.send(shopping(1_000, USERS, seed=1))  # The partitions of the first worker wait.
    began_s = time.monotonic()
    again = member(deployment, "worker-0", 1)
    again.start()
    deployment.wait_until_committed()
    assert time.monotonic() - began_s < SESSION_TIMEOUT_S / 2, "the partitions waited for the end of the session"
    assert users_in_memory(other) == kept
    assert 0 < users_in_memory(again) <= USERS - kept
    again.stop()
    other.stop()
    found = deployment.verify()
    assert (found.mismatches, found.events) == ([], 4_000)
    assert len({evaluation.id for evaluation in deployment.evaluations()}) == 4_000
