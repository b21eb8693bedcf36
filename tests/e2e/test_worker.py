"""A real worker process on a real Kafka and Cassandra: what it applies, stores, publishes and rejects."""

import json
from pathlib import Path

import numpy as np
from cassandra.protocol import ProtocolHandler

from export.runtime.bundle import Bundle
from streams.broker.topics import broker_admin
from streams.contracts.dead_letters import FIELD_HEADER, REASON_HEADER, decode_headers
from streams.contracts.representation_updates import decode_items, decode_vector
from streams.local import LocalServices
from streams.store.cql_schema import representations_table
from streams.store.protocol.cluster import connect
from streams.store.store import open_store
from tests.support.bundles import tiny_bundle
from tests.support.deployment import Deployment, event, expected_ids, record, shopping


def test_every_event_is_applied_evaluated_and_published_once(deployment: Deployment) -> None:
    worker = deployment.worker()
    worker.start()
    log = shopping(5_000, 300)
    assert deployment.send(log) == 5_000
    deployment.wait_until_committed()
    reading = worker.scrape()
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
    for e in evaluations:  # each partition is in order, and a user is in one partition
        by_user.setdefault(e.user_id, []).append(e.steps)
    assert all(steps == list(range(len(steps))) for steps in by_user.values())

    store = open_store(deployment.settings, deployment.bundle)
    stored = {u.user_id: u for u in store.users.scan()}
    store.close()
    updates = deployment.last_updates()
    assert stored.keys() == updates.keys() == by_user.keys()
    for user_id, update in updates.items():
        assert update is not None
        assert update.steps == stored[user_id].steps == len(by_user[user_id])
        np.testing.assert_array_equal(decode_vector(update.representation), stored[user_id].representation)
    of_items = item_columns(deployment)
    assert of_items.keys() == stored.keys()
    expected = bought_items(log, deployment.bundle)
    for user_id, (items, scores, bought) in of_items.items():
        update, user = updates[user_id], stored[user_id]
        assert update is not None
        assert items == decode_items(update.recent_items or b"").tolist()
        assert scores == decode_vector(update.recent_scores or b"").tolist()
        assert bought == decode_items(update.bought_items or b"").tolist() == expected.get(user_id, [-1] * 10)
        # A reader ranks with three lines: the dot products, and one addition for the recent items.
        ranked = deployment.bundle.item_vectors @ user.representation
        filled = np.array(items) > 0
        ranked[np.array(items)[filled]] += np.array(scores, np.float32)[filled]
        query = deployment.bundle.queries(user.representation[None], user.state[None])
        np.testing.assert_allclose(ranked[1:], deployment.bundle.scores(query)[0], rtol=1e-5, atol=1e-5)
        assert 1 <= filled.sum() <= min(10, user.steps)


def bought_items(log: list[tuple[bytes, bytes]], bundle: Bundle) -> dict[str, list[int]]:
    """Return what the column bought_items must hold after these records, by user who bought a known item."""
    bought: dict[str, list[int]] = {}
    for _, value in log:
        told = json.loads(value)
        item = bundle.item_index.get(told["item_id"], 0)
        if told["action"] == "purchase" and item:
            others = [one for one in bought.get(told["user_id"], []) if one != item]
            bought[told["user_id"]] = [item, *others]
    return {user_id: [*items, *[-1] * 10][:10] for user_id, items in bought.items()}


def item_columns(deployment: Deployment) -> dict[str, tuple[list[int], list[float], list[int]]]:
    """Return recent_items, recent_scores and bought_items of every row, by user, as the driver decodes them."""
    cluster, session = connect(deployment.settings)
    session.client_protocol_handler = ProtocolHandler  # Thalweg's own handler leaves vectors as bytes
    table = representations_table(deployment.bundle.manifest.representation_width)
    query = f"SELECT user_id, recent_items, recent_scores, bought_items FROM {deployment.settings.keyspace}.{table}"
    rows = {user_id: (list(a), list(b), list(c)) for user_id, a, b, c in session.execute(query)}
    cluster.shutdown()
    return rows


def test_a_worker_that_is_killed_under_load_loses_and_repeats_nothing(deployment: Deployment) -> None:
    log = shopping(9_000, 400, seed=1)
    for life in range(3):
        deployment.kill_under_load(f"worker-{life}", log[life * 3_000 : life * 3_000 + 3_000], 1_500.0)
    worker = deployment.worker("last")
    worker.start()
    deployment.wait_until_committed()
    worker.stop()

    found = deployment.verify()
    assert (found.mismatches, found.events) == ([], 9_000)
    ids = [e.id for e in deployment.evaluations()]
    assert set(ids) == expected_ids(deployment), "without repetitions of an id, there is one event for each record"


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
    reading = again.scrape()
    again.stop()
    assert reading is not None
    assert (reading.records("applied"), reading.records("already_applied")) == (100, 0)


def test_bad_records_become_dead_letters_and_the_records_around_them_are_applied(deployment: Deployment) -> None:
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
    reading = worker.scrape()
    worker.stop()
    assert reading is not None
    assert (reading.records("applied"), reading.records("dead_letter")) == (500, 6)
    letters = deployment.dead_letters()
    assert sorted(letter.value[:9] for letter in letters) == sorted(value[:9] for _, value in bad)
    headers = [decode_headers(letter.headers) for letter in letters]
    assert all(h[REASON_HEADER] and h[FIELD_HEADER] for h in headers)
    assert deployment.verify().clean


def test_events_with_broken_optional_fields_are_applied_without_the_fields(deployment: Deployment) -> None:
    good = shopping(200, 20, seed=4)
    odd_fields = [
        b'"price":-17.94',
        b'"price":NaN',
        b'"price":"EUR 2,06"',
        b'"category":"\xe9"',
        b'"attributes":{"n":true}',
    ]
    odd = [(key, value[:-1] + b"," + fields + b"}") for (key, value), fields in zip(good, odd_fields, strict=False)]
    worker = deployment.worker()
    worker.start()
    deployment.send([*odd, *good[len(odd) :]])
    deployment.wait_until_committed()
    reading = worker.scrape()
    worker.stop()
    assert reading is not None
    assert (reading.records("applied"), reading.records("dead_letter")) == (200, 0)
    assert reading.total("thalweg_dropped_fields_total") == 3
    assert deployment.verify().clean


def test_an_event_that_a_producer_repeats_is_applied_once_also_across_a_restart(deployment: Deployment) -> None:
    once = record(event("same", "user-1", "item-7"))
    for life in ("first", "second"):
        worker = deployment.worker(life)
        worker.start()
        deployment.send([once, once])
        deployment.wait_until_committed()
        worker.stop()
    found = deployment.verify()
    assert (found.clean, found.events, found.already_applied) == (True, 1, 3)


def test_workers_that_join_under_load_lose_and_repeat_nothing(deployment: Deployment) -> None:
    first, second = deployment.worker("first"), deployment.worker("second")
    first.start()
    with deployment.load(shopping(20_000, 500, seed=8), 2_500.0):
        second.start()
    deployment.send(shopping(2_000, 500, seed=10))  # Both workers have partitions now.
    deployment.wait_until_committed()
    readings = [first.scrape(), second.scrape()]
    first.stop()
    deployment.send(shopping(1_000, 500, seed=9))
    deployment.wait_until_committed()
    second.stop()

    assert all(reading is not None and reading.records("applied") > 0 for reading in readings), (
        "one worker did all the work"
    )
    found = deployment.verify()
    assert (found.mismatches, found.events) == ([], 23_000)
    assert {e.id for e in deployment.evaluations()} == expected_ids(deployment)


def test_partitions_can_be_added_under_load(services: LocalServices, bundle: Bundle, tmp_path: Path) -> None:
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


def test_a_topic_of_updates_keeps_the_last_vectors_of_each_bundle_when_workers_switch_back(
    deployment: Deployment, tmp_path: Path
) -> None:
    """The second bundle updates every user after the first one did. Then the first one updates few users only."""
    second = deployment.with_bundle(tiny_bundle(tmp_path / "second", seed=1))
    lives = [(deployment, shopping(1_000, 60)), (second, []), (deployment, shopping(20, 5, seed=1))]
    for number, (one, records) in enumerate(lives):
        one.send(records)
        worker = one.worker(f"life-{number}")
        worker.start()
        one.wait_until_committed()
        worker.stop()
    for one in (deployment, second):
        store = open_store(one.settings, one.bundle)
        stored = {user.user_id: user for user in store.users.scan()}
        store.close()
        updates = one.last_updates()
        assert updates.keys() == stored.keys()
        assert len(updates) == 60
        for user_id, update in updates.items():
            assert update is not None
            assert (update.bundle_id, update.steps) == (one.bundle.bundle_id, stored[user_id].steps)
            np.testing.assert_array_equal(decode_vector(update.representation), stored[user_id].representation)
