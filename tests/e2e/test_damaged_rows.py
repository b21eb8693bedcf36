"""Rows that were changed, lost or written twice: `thalweg verify` finds them, and a worker rebuilds them."""

import asyncio

import numpy as np

from streams.engine.arena import StoredUser
from streams.engine.planning.rows import Rows
from streams.store.store import open_store
from streams.store.user_rows import DamagedRow
from tests.support.deployment import Deployment, expected_ids, shopping


def test_verify_finds_a_damaged_row(deployment: Deployment) -> None:
    worker = deployment.worker()
    worker.start()
    deployment.send(shopping(100, 6, seed=6))
    deployment.wait_until_committed()
    worker.stop()
    damages = [("state", "0x00"), ("state", f"0x{'00' * 500}"), ("state", "null"), ("representation", "null")]
    for user, (column, value) in enumerate(damages):
        deployment.damage(f"user-{user}", column, value)
    store = open_store(deployment.settings, deployment.bundle)
    for user in range(len(damages)):
        [row] = asyncio.run(store.users.read([f"user-{user}"]))
        assert isinstance(row, DamagedRow)
        assert f"user-{user}' in" in row.why
        assert "damaged" in row.why
    assert [u.user_id for u in asyncio.run(store.users.read(["user-5", "nobody"]))] == ["user-5"]
    store.close()
    found = deployment.verify()
    assert not found.clean
    assert sum("damaged" in text for text in found.mismatches) == len(damages)


def test_two_workers_that_write_the_same_position_leave_the_row_of_one_of_them(deployment: Deployment) -> None:
    """A worker that was paused and its successor may both write a row. Their rounding differs slightly."""
    store = open_store(deployment.settings, deployment.bundle)
    draw = np.random.default_rng(0)
    users = Rows([f"user-{i}" for i in range(30)])
    users.partition[:] = 0
    manifest = deployment.bundle.manifest
    state = draw.normal(size=(30, manifest.state_width)).astype(np.float32)
    vector = draw.normal(size=(30, manifest.representation_width)).astype(np.float32)

    async def write() -> None:
        for generation_id, factor in ((7, np.float32(1)), (9, np.float32(1 + 1e-6)), (8, np.float32(1 - 1e-6))):
            await store.users.write(store.users.encode(users, state * factor, vector * factor, generation_id, now_ms=0))

    asyncio.run(write())
    for user in asyncio.run(store.users.read(users.user_id)):
        assert isinstance(user, StoredUser), user
        index = int(user.user_id.split("-")[1])
        np.testing.assert_allclose(user.state, state[index], rtol=1e-5)
        np.testing.assert_allclose(user.representation, vector[index], rtol=1e-5)
    store.close()


def test_a_worker_names_a_damaged_row_and_rebuilds_it_from_the_topic(deployment: Deployment) -> None:
    worker = deployment.worker()
    worker.start()
    deployment.send(shopping(600, 6, seed=10))
    deployment.wait_until_committed()
    worker.stop()
    for user, (column, value) in enumerate([("state", "0x00"), ("representation", "null")]):
        deployment.damage(f"user-{user}", column, value)
    worker = deployment.worker("second")
    worker.start()
    deployment.send(shopping(60, 6, seed=11))
    deployment.wait_until_committed()
    reading = worker.scrape()
    worker.stop()
    assert reading is not None
    assert reading.total("thalweg_rebuilt_users_total") == 2
    log = worker.log.read_text()
    for user in ("user-0", "user-1"):
        assert f"user {user!r} is rebuilt" in log
    found = deployment.verify()
    assert (found.mismatches, found.events) == ([], 660)
    assert {e.id for e in deployment.evaluations()} == expected_ids(deployment)


def test_verify_finds_a_lost_row(deployment: Deployment) -> None:
    worker = deployment.worker()
    worker.start()
    deployment.send(shopping(50, 5, seed=7))
    deployment.wait_until_committed()
    worker.stop()
    store = open_store(deployment.settings, deployment.bundle)
    users = [u.user_id for u in store.users.scan()]
    asyncio.run(store.users.erase([(users[0], 10**9)], 1))
    store.close()
    found = deployment.verify()
    assert not found.clean
    assert users[0] in found.mismatches[0]
    assert "no stored row" in found.mismatches[0]
