"""A real worker process on a real Kafka and Cassandra: what it stores, publishes and sets aside."""

import asyncio
import threading
import time
from pathlib import Path

import numpy as np
from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from export.runtime.bundle import Bundle
from streams.broker.topics import broker_admin, describe_topic
from streams.commands.dead_letters.contents import read_contents
from streams.contracts.dead_letters import ERASED_HEADER, FIELD_HEADER, REASON_HEADER, decode_headers
from streams.contracts.representation_updates import decode_vector
from streams.engine.arena import StoredUser
from streams.engine.planning.rows import Rows
from streams.local import LocalServices
from streams.store.cql_schema import representations_table
from streams.store.user_rows import DamagedRow, Store, connect
from tests.support.deployment import Deployment, event, expected_ids, record
from tests.support.shopping import shopping

COMPACTED_WITHIN_S = 40.0


def test_every_event_is_applied_evaluated_and_published_once(deployment: Deployment) -> None:
    worker = deployment.worker()
    worker.start()
    assert deployment.send(shopping(5_000, 300)) == 5_000
    deployment.wait_until_committed()
    reading = worker.read()
    worker.stop()

    assert reading is not None
    assert reading.records("applied") == 5_000
    found = deployment.verify()
    assert (found.clean, found.events, found.mismatches) == (True, 5_000, [])
    assert found.max_abs_diff <= 1e-5
    evaluations = deployment.evaluations()
    assert sorted(e.id for e in evaluations) == sorted(expected_ids(deployment))
    assert all((e.rank is None) == e.item_id.startswith("new-") for e in evaluations)
    assert all(1 <= e.rank <= e.catalogue == 500 for e in evaluations if e.rank is not None)
    assert {e.predicted_action for e in evaluations} <= {"view", "cart", "purchase"}
    assert all(0 <= e.action_probability <= 1 for e in evaluations if e.action_probability is not None)
    assert all((e.time_quantile is None) == (e.expected_gap_ms is None) == (e.steps == 0) for e in evaluations)
    by_user: dict[str, list[int]] = {}
    for e in evaluations:  # in the order of a partition, which is a user's order
        by_user.setdefault(e.user_id, []).append(e.steps)
    assert all(steps == list(range(len(steps))) for steps in by_user.values())

    store = Store(deployment.settings, deployment.bundle)
    store.connect()
    stored = {u.user_id: u for u in store.scan()}
    store.close()
    updates = deployment.last_updates()
    assert stored.keys() == updates.keys() == by_user.keys()
    for user_id, update in updates.items():
        assert update is not None
        assert update.steps == stored[user_id].steps == len(by_user[user_id])
        np.testing.assert_array_equal(decode_vector(update.representation), stored[user_id].representation)


def test_a_worker_killed_in_mid_replay_loses_and_repeats_nothing(deployment: Deployment) -> None:
    log = shopping(9_000, 400, seed=1)
    for life in range(3):
        worker = deployment.worker(f"worker-{life}")
        worker.start()
        sending = threading.Thread(target=deployment.send, args=(log[life * 3_000 : life * 3_000 + 3_000], 1_500.0))
        sending.start()
        applied = 0
        while applied < 500:
            time.sleep(0.02)
            reading = worker.read()
            applied = 0 if reading is None else reading.records("applied")
        worker.kill()
        assert sending.is_alive(), "killed after the replay: the test shows nothing"
        sending.join()
    worker = deployment.worker("last")
    worker.start()
    deployment.wait_until_committed()
    worker.stop()

    found = deployment.verify()
    assert (found.mismatches, found.events) == ([], 9_000)
    ids = [e.id for e in deployment.evaluations()]
    assert set(ids) == expected_ids(deployment), "after deduplication by id: none missing, none too many"


def test_sigterm_commits_what_was_applied(deployment: Deployment) -> None:
    worker = deployment.worker()
    worker.start()
    deployment.send(shopping(3_000, 100, seed=2))
    deployment.wait_until_committed()
    worker.stop()
    ids = [e.id for e in deployment.evaluations()]
    assert len(ids) == len(set(ids)) == 3_000
    again = deployment.worker("again")
    again.start()
    deployment.send(shopping(100, 10, seed=3))
    deployment.wait_until_committed()
    reading = again.read()
    again.stop()
    assert reading is not None
    assert (reading.records("applied"), reading.records("already_applied")) == (100, 0)


def test_bad_records_become_dead_letters_and_those_around_them_are_applied(deployment: Deployment) -> None:
    good = shopping(500, 20, seed=4)
    bad = [
        (b"user-1", b"not json"),
        (b"user-1", b'{"event_id": "x"}'),
        (b"user-1", record(event("y", "user-2", "item-1"))[1]),
        (None, record(event("z", "user-3", "item-1"))[1]),
        (b"user-1", b"[" * 100_000),
        (b"user-1", b"x" * 600_000),
    ]
    worker = deployment.worker()
    worker.start()
    deployment.send(
        [pair for i, one in enumerate(good) for pair in ([one, bad[i // 80]] if i % 80 == 0 and i // 80 < 6 else [one])]
    )
    deployment.wait_until_committed()
    reading = worker.read()
    worker.stop()
    assert reading is not None
    assert (reading.records("applied"), reading.records("dead_letter")) == (500, 6)
    letters = deployment.dead_letters()
    assert sorted(letter.value[:9] for letter in letters) == sorted(value[:9] for _, value in bad)
    headers = [decode_headers(letter.headers) for letter in letters]
    assert all(h[REASON_HEADER] and h[FIELD_HEADER] for h in headers)
    assert deployment.verify().clean


def test_a_producer_s_repetition_is_recognised_across_a_restart(deployment: Deployment) -> None:
    once = record(event("same", "user-1", "item-7"))
    for life in ("first", "second"):
        worker = deployment.worker(life)
        worker.start()
        deployment.send([once, once])
        deployment.wait_until_committed()
        worker.stop()
    found = deployment.verify()
    assert (found.clean, found.events, found.already_applied) == (True, 1, 3)


def test_an_erasure_removes_the_user_everywhere_and_later_events_start_afresh(deployment: Deployment) -> None:
    worker = deployment.worker()
    worker.start()
    deployment.send([record(event("a", "gone", "item-1")), record(event("b", "back", "item-1"))])
    deployment.send([(b"gone", b"no JSON"), (b"x", record(event("d", "gone", "item-1"))[1]), (b"stays", b"no JSON")])
    deployment.wait_until_committed()  # its update is in the topic, not overtaken in one batch by the erasure
    assert deployment.last_updates()["gone"] is not None
    deployment.send([(b"gone", None), (b"back", None), record(event("c", "back", "item-2")), (b"gone", b"later")])
    deployment.wait_until_committed()
    worker.stop()
    store = Store(deployment.settings, deployment.bundle)
    store.connect()
    stored = {u.user_id: u for u in store.scan()}
    store.close()
    assert {user: row.steps for user, row in stored.items()} == {"back": 1}
    updates = deployment.last_updates()
    assert updates["gone"] is None
    assert updates["back"] is not None
    assert updates["back"].steps == 1
    assert deployment.verify().clean

    contents = read_contents(deployment.settings)
    assert sorted((letter.key, letter.value) for letter in contents.newest) == [
        (b"gone", b"later"),
        (b"stays", b"no JSON"),
    ]
    assert (contents.dead_letters, contents.erased) == (2, 2)
    markers = [r for r in deployment.dead_letters() if ERASED_HEADER in decode_headers(r.headers)]
    assert len(markers) == 2
    assert all(b"gone" not in part for r in markers for part in (r.key, r.value, *(v for _, v in r.headers)))

    compact(deployment)
    deadline = time.monotonic() + COMPACTED_WITHIN_S
    while left := [r.value for r in deployment.records(deployment.settings.updates_topic) if r.key == b"gone"]:
        if all(value is None for value in left):
            break
        assert time.monotonic() < deadline, "an update of the erased user is still in the topic"
        time.sleep(0.5)


def compact(deployment: Deployment) -> None:
    """Have the broker compact the updates topic now: only closed segments are, and a later record closes one."""
    topic = deployment.settings.updates_topic
    options = {
        "segment.ms": "1000",
        "min.cleanable.dirty.ratio": "0.001",
        "delete.retention.ms": "100",
        "max.compaction.lag.ms": "1000",
    }
    with broker_admin(deployment.settings) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, options)])
    time.sleep(1.5)
    partitions = describe_topic(deployment.settings, topic).partitions
    producer = KafkaProducer(bootstrap_servers=deployment.settings.broker)
    for number in range(2):
        for partition in range(partitions):
            producer.send(topic, key=b"other-%d" % number, value=b"{}", partition=partition)
        producer.flush()
        time.sleep(1.5)
    producer.close()


def test_a_changed_row_is_found(deployment: Deployment) -> None:
    worker = deployment.worker()
    worker.start()
    deployment.send(shopping(100, 6, seed=6))
    deployment.wait_until_committed()
    worker.stop()
    damages = [("state", "0x00"), ("state", f"0x{'00' * 500}"), ("state", "null"), ("representation", "null")]
    for user, (column, value) in enumerate(damages):
        damage(deployment, f"user-{user}", column, value)
    store = Store(deployment.settings, deployment.bundle)
    store.connect()
    for user in range(len(damages)):
        [row] = asyncio.run(store.read([f"user-{user}"]))
        assert isinstance(row, DamagedRow)
        assert f"user-{user}' in" in row.why
        assert "damaged" in row.why
    assert [u.user_id for u in asyncio.run(store.read(["user-5", "nobody"]))] == ["user-5"]
    store.close()
    found = deployment.verify()
    assert not found.clean
    assert sum("damaged" in text for text in found.mismatches) == len(damages)


def test_two_writers_of_the_same_position_leave_one_state_whole(deployment: Deployment) -> None:
    """As of a worker that was paused and its successor: both write what they computed, each with its own rounding."""
    store = Store(deployment.settings, deployment.bundle)
    store.connect()
    draw = np.random.default_rng(0)
    users = Rows([f"user-{i}" for i in range(30)])
    users.partition[:] = 0
    manifest = deployment.bundle.manifest
    state = draw.normal(size=(30, manifest.state_width)).astype(np.float32)
    vector = draw.normal(size=(30, manifest.representation_width)).astype(np.float32)

    async def write() -> None:
        for generation_id, factor in ((7, np.float32(1)), (9, np.float32(1 + 1e-6)), (8, np.float32(1 - 1e-6))):
            await store.write(store.encode(users, state * factor, vector * factor, generation_id, now_ms=0))

    asyncio.run(write())
    for user in asyncio.run(store.read(users.user_id)):
        assert isinstance(user, StoredUser), user
        index = int(user.user_id.split("-")[1])
        np.testing.assert_allclose(user.state, state[index], rtol=1e-5)
        np.testing.assert_allclose(user.representation, vector[index], rtol=1e-5)
    store.close()


def test_workers_that_join_under_load_lose_and_repeat_nothing(deployment: Deployment) -> None:
    first, second = deployment.worker("first"), deployment.worker("second")
    first.start()
    sending = threading.Thread(target=deployment.send, args=(shopping(20_000, 500, seed=8), 2_500.0))
    sending.start()
    second.start()
    sending.join()
    deployment.send(shopping(2_000, 500, seed=10))  # both have partitions now, however long the second took to join
    deployment.wait_until_committed()
    readings = [first.read(), second.read()]
    first.stop()
    deployment.send(shopping(1_000, 500, seed=9))
    deployment.wait_until_committed()
    second.stop()

    assert all(reading is not None and reading.records("applied") > 0 for reading in readings), "one did all the work"
    found = deployment.verify()
    assert (found.mismatches, found.events) == ([], 23_000)
    assert {e.id for e in deployment.evaluations()} == expected_ids(deployment)


def test_a_damaged_row_is_named_and_rebuilt_from_the_topic(deployment: Deployment) -> None:
    worker = deployment.worker()
    worker.start()
    deployment.send(shopping(600, 6, seed=10))
    deployment.wait_until_committed()
    worker.stop()
    for user, (column, value) in enumerate([("state", "0x00"), ("representation", "null")]):
        damage(deployment, f"user-{user}", column, value)
    worker = deployment.worker("second")
    worker.start()
    deployment.send(shopping(60, 6, seed=11))
    deployment.wait_until_committed()
    reading = worker.read()
    worker.stop()
    assert reading is not None
    assert reading.count("thalweg_rebuilt_users_total") == 2
    said = worker.log.read_text()
    for user in ("user-0", "user-1"):
        assert f"user {user!r} is rebuilt" in said
    found = deployment.verify()
    assert (found.mismatches, found.events) == ([], 660)
    assert {e.id for e in deployment.evaluations()} == expected_ids(deployment)


def test_partitions_are_added_under_load(services: LocalServices, bundle: Bundle, tmp_path: Path) -> None:
    deployment = Deployment(services, bundle, tmp_path, partitions=2, partition_handover_s=2)
    workers = [deployment.worker(name) for name in ("first", "second")]
    for worker in workers:
        worker.start()
    deployment.send(shopping(4_000, 300, seed=12), 2_000.0)
    with broker_admin(deployment.settings) as admin:
        admin.create_partitions({deployment.settings.behavior_topic: 4})
    deployment.send(shopping(6_000, 300, seed=13), 2_000.0)
    deployment.wait_until_committed()
    for worker in workers:
        worker.stop()
    found = deployment.verify()
    assert (found.mismatches, found.events, found.dead_letters) == ([], 10_000, 0)
    assert {e.id for e in deployment.evaluations()} == expected_ids(deployment)


def damage(deployment: Deployment, user_id: str, column: str, value: str) -> None:
    """As if the disk had: a later write of the worker still wins."""
    cluster, session = connect(deployment.settings)
    table = f"{deployment.settings.keyspace}.{representations_table(deployment.bundle.manifest.representation_width)}"
    row = (user_id, deployment.bundle.bundle_id)
    written_at = session.execute(
        f"SELECT WRITETIME(state) FROM {table} WHERE user_id = %s AND bundle_id = %s", row
    ).one()[0]
    session.execute(
        f"UPDATE {table} USING TIMESTAMP {written_at + 1} SET {column} = {value} WHERE user_id = %s AND bundle_id = %s",
        row,
    )
    cluster.shutdown()


def test_a_lost_row_and_a_stale_row_are_found(deployment: Deployment) -> None:
    worker = deployment.worker()
    worker.start()
    deployment.send(shopping(50, 5, seed=7))
    deployment.wait_until_committed()
    worker.stop()
    store = Store(deployment.settings, deployment.bundle)
    store.connect()
    users = [u.user_id for u in store.scan()]
    asyncio.run(store.erase([(users[0], 10**9)], 1))
    store.close()
    found = deployment.verify()
    assert not found.clean
    assert users[0] in found.mismatches[0]
    assert "no stored row" in found.mismatches[0]
