"""Records of aborted transactions never happened, and records of open transactions have not happened yet.

Each test failed on a worker that reads uncommitted records.
"""

import time

from streams.demo.worker_process import WorkerProcess
from streams.store.store import open_store
from tests.support.deployment import Deployment, event, record, run_thalweg
from tests.support.topics import Pair, TransactionalProducer

LAG_WITHIN_S = 10.0


def events(user: str, first: int, count: int) -> list[Pair]:
    return [
        record(event(f"{user}-{n}", user, f"item-{n + 1}", time_ms=10**12 + n)) for n in range(first, first + count)
    ]


def steps(deployment: Deployment) -> dict[str, int]:
    """Return the number of applied events of each stored user."""
    store = open_store(deployment.settings, deployment.bundle)
    try:
        return {user.user_id: user.steps for user in store.users.scan()}
    finally:
        store.close()


def wait_for_lag(worker: WorkerProcess, lag: int) -> None:
    deadline = time.monotonic() + LAG_WITHIN_S
    while (reading := worker.scrape()) is None or reading.lag != lag:
        assert time.monotonic() < deadline, f"the lag is {None if reading is None else reading.lag}"
        time.sleep(0.1)


def test_events_of_an_aborted_transaction_are_not_applied_and_the_lag_reaches_0(deployment: Deployment) -> None:
    worker = deployment.worker()
    worker.start()
    with TransactionalProducer(deployment.settings) as producer:
        producer.begin(events("ann", 0, 3) + events("bob", 0, 3))
        producer.commit()
        producer.begin(events("ann", 3, 3) + events("bob", 3, 3) + events("dan", 0, 3))
        producer.abort()
        producer.begin(events("cid", 0, 3))
        producer.commit()
        producer.begin(events("eve", 0, 3))
        producer.abort()  # The partitions end with records that nobody can read.
    deployment.wait_until_committed()
    wait_for_lag(worker, 0)
    reading = worker.scrape()
    worker.stop()
    assert reading is not None
    assert (reading.records("applied"), reading.total("thalweg_open_transaction_records")) == (9, 0)
    assert steps(deployment) == {"ann": 3, "bob": 3, "cid": 3}
    assert len(deployment.evaluations()) == 9
    found = deployment.verify()
    assert (found.clean, found.events, found.not_committed) == (True, 9, 0)


def test_a_worker_that_starts_behind_markers_has_no_lag(deployment: Deployment) -> None:
    with TransactionalProducer(deployment.settings) as producer:
        producer.begin(events("ann", 0, 3))
        producer.abort()
    worker = deployment.worker()
    worker.start()
    deployment.wait_until_committed()
    wait_for_lag(worker, 0)
    worker.stop()
    again = deployment.worker("again")
    again.start()
    wait_for_lag(again, 0)
    deployment.send(events("bob", 0, 2))
    deployment.wait_until_committed()
    again.stop()
    assert steps(deployment) == {"bob": 2}
    assert "deleted by retention" not in worker.log.read_text() + again.log.read_text()


def test_an_aborted_erasure_deletes_nobody(deployment: Deployment) -> None:
    worker = deployment.worker()
    worker.start()
    deployment.send(events("hal", 0, 4))
    deployment.wait_until_committed()
    with TransactionalProducer(deployment.settings) as producer:
        producer.begin([(b"hal", None)])
        producer.abort()
    deployment.wait_until_committed()
    reading = worker.scrape()
    worker.stop()
    assert reading is not None
    assert reading.records("erased") == 0
    assert steps(deployment) == {"hal": 4}
    assert deployment.verify().clean


def test_an_open_transaction_is_waited_for_and_blocks_no_stop(deployment: Deployment) -> None:
    worker = deployment.worker()
    worker.start()
    deployment.send(events("ann", 0, 2))
    deployment.wait_until_committed()
    with TransactionalProducer(deployment.settings) as producer:
        producer.begin(events("ann", 2, 3))
        deployment.send(events("ann", 5, 1))  # It stands behind the open transaction.
        deadline = time.monotonic() + LAG_WITHIN_S
        while (reading := worker.scrape()) is None or reading.total("thalweg_open_transaction_records") != 4:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert (reading.records("applied"), reading.lag) == (2, 0)
        began_s = time.monotonic()
        worker.stop()
        assert time.monotonic() - began_s < 10
        assert steps(deployment) == {"ann": 2}
        assert deployment.verify().clean  # The command does not wait for the transaction either.
        again = deployment.worker("again")
        again.start()
        producer.commit()
        deployment.wait_until_committed()
    again.stop()
    assert steps(deployment) == {"ann": 6}
    found = deployment.verify()
    assert (found.clean, found.events) == (True, 6)


def test_a_damaged_row_is_rebuilt_without_aborted_records(deployment: Deployment) -> None:
    worker = deployment.worker()
    worker.start()
    with TransactionalProducer(deployment.settings) as producer:
        producer.begin(events("ann", 0, 3))
        producer.commit()
        producer.begin(events("ann", 3, 3))
        producer.abort()
    deployment.wait_until_committed()
    worker.stop()
    deployment.damage("ann", "state", "0x00")
    again = deployment.worker("again")
    again.start()
    deployment.send(events("ann", 6, 1))
    deployment.wait_until_committed()
    evaluations = deployment.evaluations()
    again.stop()
    assert evaluations[-1].steps == 3


def test_an_erasure_behind_an_open_transaction_is_waited_for(deployment: Deployment) -> None:
    """Committed records end before the erasure, so a group that has read these records has not read the erasure."""
    worker = deployment.worker()
    worker.start()
    deployment.send(events("ann", 0, 2))
    deployment.wait_until_committed()
    with TransactionalProducer(deployment.settings) as producer:
        producer.begin(events("ann", 2, 1) + events("new", 0, 1))
        for user in ("ann", "new"):
            ended = run_thalweg(deployment.settings, "erase", user, "--timeout", "2")
            assert ended.returncode == 1, f"an erasure that no worker has read is proven: {ended.stdout}"
            assert "has not read up to the erasure yet" in ended.stdout
        producer.commit()
    ended = run_thalweg(deployment.settings, "erase", "ann", "--timeout", "30")
    assert ended.returncode == 0, ended.stdout
    deployment.wait_until_committed()
    worker.stop()
    assert steps(deployment) == {}
