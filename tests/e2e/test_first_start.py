"""The first start with a large catalogue. Workers apply events at once, while item vectors are still registered."""

import re
import time
from pathlib import Path

import pytest

from export.runtime.bundle import Bundle
from streams.demo.worker_process import WorkerProcess
from streams.local import LocalServices
from streams.store.cql_schema import item_vectors_table
from streams.store.items.registration import STRETCH_ITEMS
from streams.store.protocol.cluster import connect
from tests.support.bundles import tiny_bundle
from tests.support.deployment import Deployment, shopping

ITEMS = 120_000
LIMIT_S = 120.0


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("large") / "bundle", items=ITEMS)


def registered(worker: WorkerProcess) -> int:
    """Return the number of item vectors that the worker has registered."""
    reading = worker.scrape()
    return 0 if reading is None else reading.total("thalweg_item_vectors_stored")


def wait_for(workers: list[WorkerProcess], items: int) -> None:
    deadline = time.monotonic() + LIMIT_S
    while max(map(registered, workers)) < items:
        assert time.monotonic() < deadline, f"{items} item vectors were not registered in time{workers[0].last_lines()}"
        time.sleep(0.05)


def rows(deployment: Deployment, query: str) -> list[tuple[object, ...]]:
    cluster, session = connect(deployment.settings)
    try:
        return list(session.execute(query.format(keyspace=deployment.settings.keyspace), timeout=60))
    finally:
        cluster.shutdown()


def test_workers_apply_events_while_item_vectors_are_registered_and_a_kill_leaves_no_vector_out(
    services: LocalServices, large: Bundle, tmp_path: Path
) -> None:
    deployment = Deployment(services, large, tmp_path)
    deployment.send(shopping(500, 50))
    first = deployment.worker("first")
    first.start()
    deployment.wait_until_committed()
    assert registered(first) < ITEMS, "events waited for the item vectors, or the catalogue is too small to tell"
    bundle_row = rows(deployment, "SELECT bundle_id, width, items FROM {keyspace}.bundles")
    assert bundle_row == [(large.bundle_id, large.manifest.representation_width, ITEMS)]
    wait_for([first], 6_000)
    first.kill()
    left = rows(
        deployment, f"SELECT count(*) FROM {{keyspace}}.{item_vectors_table(large.manifest.representation_width)}"
    )[0][0]
    assert isinstance(left, int)
    assert 6_000 <= left < ITEMS, "the worker was killed too late, so the test shows nothing"

    workers = [deployment.worker(name) for name in ("second", "third")]
    for worker in workers:
        worker.start()
    wait_for(workers, ITEMS)
    deployment.send(shopping(500, 50, seed=1))
    deployment.wait_until_committed()
    for worker in workers:
        worker.stop()
    logs = [worker.log.read_text() for worker in workers]
    began = [
        int(found.replace(",", "")) for log in logs for found in re.findall(r"writes item vectors, ([\d,]+) of", log)
    ]
    finished = sum("all 120,000 item vectors are stored" in log for log in logs)
    assert finished >= 1
    if finished > 1:  # The partition moved during the last stretch, which both workers wrote.
        assert max(began) >= ITEMS - STRETCH_ITEMS, "two workers wrote more than one stretch of the same vectors"
    assert rows(
        deployment, f"SELECT count(*) FROM {{keyspace}}.{item_vectors_table(large.manifest.representation_width)}"
    ) == [(ITEMS,)]
    assert rows(deployment, "SELECT items FROM {keyspace}.item_vectors_stored LIMIT 1") == [(ITEMS,)]
    found = deployment.verify()
    assert (found.mismatches, found.events) == ([], 1_000)
