"""Rows that were changed, lost or written twice: `thalweg verify` finds them, and a worker rebuilds them."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from export.runtime.bundle import Bundle
from streams.broker.topics import Topic, broker_admin, describe_topic
from streams.commands.verify import verification
from streams.config.errors import SettingsError
from streams.config.settings import Settings
from streams.engine.arena import StoredUser
from streams.engine.planning.candidates import Erased
from streams.engine.planning.rows import Rows
from streams.local import LocalServices
from streams.store.cql_schema import representations_table
from streams.store.protocol.cluster import connect
from streams.store.store import open_store
from streams.store.user_rows import DamagedRow
from tests.support.deployment import Deployment, event, expected_ids, record, shopping

PARTITION = 1


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
    deployment.damage("user-4", "recent_scores", f"[{', '.join(['7'] * 10)}]")  # a column that only readers need
    found = deployment.verify()
    assert not found.clean
    assert sum("damaged" in text for text in found.mismatches) == found.mismatched == len(damages) + 1
    assert (
        sum("the recent or bought items of the row are not those of its state" in text for text in found.mismatches)
        == 1
    )


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
    asyncio.run(store.users.erase([Erased(users[0], 0, 10**9)], 1))
    store.close()
    found = deployment.verify()
    assert not found.clean
    assert users[0] in found.mismatches[0]
    assert "no stored row" in found.mismatches[0]


def test_lost_rows_are_named_and_repaired(deployment: Deployment) -> None:
    """A replay from the beginning would not help, because users with newer events count as ahead of the replay."""
    worker = deployment.worker()
    worker.start()
    deployment.send(shopping(400, 20, seed=12))
    deployment.wait_until_committed()
    worker.stop()
    truncate(deployment)
    unaware = deployment.worker("unaware")
    unaware.start()
    deployment.send(shopping(10, 20, seed=13))
    deployment.wait_until_committed()
    found = deployment.verify()
    assert found.mismatched == found.users == 20
    with pytest.raises(SettingsError, match=r"1 worker of group .* is running"):
        deployment.verify(repair=True)
    unaware.stop()
    assert "no user has a row" in unaware.log.read_text()
    assert "thalweg verify --repair" in unaware.log.read_text()

    found = deployment.verify(repair=True)
    assert (found.mismatches, found.repaired, found.events) == ([], 20, 410)
    again = deployment.worker("again")
    again.start()
    deployment.send(shopping(100, 20, seed=14))
    deployment.wait_until_committed()
    again.stop()
    found = deployment.verify()
    assert (found.mismatches, found.events) == ([], 510)
    assert "no user has a row" not in again.log.read_text()


@pytest.mark.parametrize(("step", "told"), [("_verify", "nothing was written"), ("_repair", "rows were repaired")])
def test_a_repair_ends_where_a_worker_comes_back_meanwhile(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, step: str, told: str
) -> None:
    """An autoscaler starts workers again. The check at the beginning of the command does not see them."""
    worker = deployment.worker()
    worker.start()
    deployment.send(shopping(50, 5, seed=16))
    deployment.wait_until_committed()
    worker.stop()
    truncate(deployment)
    settings, original = deployment.settings, getattr(verification, step)
    group_id = settings.consumer_group_id(deployment.bundle.bundle_id)
    member = KafkaConsumer(settings.behavior_topic, bootstrap_servers=settings.broker, group_id=group_id)

    def come_back() -> None:
        while not member.assignment():
            member.poll(timeout_ms=100)

    def verify_and_come_back(*arguments: Any) -> Any:
        found = original(*arguments)
        come_back()
        return found

    async def repair_and_come_back(*arguments: Any) -> Any:
        written = await original(*arguments)
        come_back()
        return written

    replaced = verify_and_come_back if step == "_verify" else repair_and_come_back
    monkeypatch.setattr(verification, step, replaced)
    try:
        with pytest.raises(SettingsError, match=rf"1 worker of group .* is running: .*{told}"):
            deployment.verify(repair=True)
    finally:
        member.close()
    assert len(deployment.stored_steps()) == (0 if step == "_verify" else 5)


def test_rows_that_are_lost_under_a_running_worker_are_rebuilt_when_their_users_return(
    services: LocalServices, bundle: Bundle, tmp_path: Path
) -> None:
    deployment = Deployment(services, bundle, tmp_path, arena_max_users=40, batch_max_events=20)
    worker = deployment.worker()
    worker.start()
    for seed in range(3):
        deployment.send(shopping(60, 60, seed=seed))
        deployment.wait_until_committed()
    truncate(deployment)
    deployment.send(shopping(200, 60, seed=5))
    deployment.wait_until_committed()
    reading = worker.scrape()
    worker.stop()
    assert reading is not None
    assert reading.total("thalweg_rebuilt_users_total") >= 10
    assert "thalweg verify --repair" in worker.log.read_text()
    evaluated = {e.id for e in deployment.evaluations()}
    assert evaluated == expected_ids(deployment)
    found = deployment.verify(repair=True)  # Rows of users who did not return are still missing.
    assert (found.mismatches, found.events) == ([], 380)


def test_verify_reads_on_where_retention_deletes_records_meanwhile(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large topic takes minutes to read. Retention deletes first records of the partitions that come last."""

    def describe_and_cut(settings: Settings, name: str, group: str | None = None) -> Topic:
        described = describe_topic(settings, name, group)
        if name == settings.behavior_topic:
            cut(deployment, dict.fromkeys(range(described.partitions), 5))
        return described

    worker = deployment.worker()
    worker.start()
    deployment.send(shopping(400, 40, seed=15))
    deployment.wait_until_committed()
    worker.stop()
    monkeypatch.setattr(verification, "describe_topic", describe_and_cut)
    found = deployment.verify()
    assert (found.mismatches, found.users, found.events) == ([], 40, 380)
    assert 0 < found.unverifiable <= 20


def test_a_row_is_unverifiable_where_the_topic_holds_the_second_copy_of_an_event_alone(deployment: Deployment) -> None:
    worker = deployment.worker()
    worker.start()
    first, *later = views("ann", 0, 5)
    send(deployment, [first, *later, first])
    deployment.wait_until_committed()
    worker.stop()
    cut(deployment, {PARTITION: 1})
    for repair in (False, True):
        found = deployment.verify(repair)
        assert (found.mismatches, found.unverifiable, found.repaired) == ([], 1, 0)


def test_a_repair_leaves_a_row_whose_first_events_are_gone_and_says_so(deployment: Deployment) -> None:
    """The row has 5 steps and lacks 2 events. The topic holds the last 2 events of the row, and these 2 events."""
    worker = deployment.worker()
    worker.start()
    send(deployment, views("ann", 0, 5))
    deployment.wait_until_committed()
    worker.stop()
    send(deployment, views("ann", 5, 2))
    group = deployment.settings.consumer_group_id(deployment.bundle.bundle_id)
    tp = TopicPartition(deployment.settings.behavior_topic, PARTITION)
    with broker_admin(deployment.settings) as admin:
        admin.alter_group_offsets(group, {tp: OffsetAndMetadata(7, "", -1)})
    cut(deployment, {PARTITION: 3})
    found = deployment.verify(repair=True)
    assert (found.mismatched, found.repaired) == (1, 0)
    assert "stored 5 steps" in found.mismatches[0]
    assert "the user's first events are gone, so a repair leaves the row as it is" in found.mismatches[0]


def views(user: str, first: int, count: int) -> list[dict[str, Any]]:
    return [event(f"{user}-{n}", user, f"item-{n + 1}", time_ms=10**12 + n) for n in range(first, first + count)]


def send(deployment: Deployment, values: Sequence[dict[str, Any]]) -> None:
    """Send events to one partition."""
    producer = KafkaProducer(bootstrap_servers=deployment.settings.broker)
    for key, value in map(record, values):
        producer.send(deployment.settings.behavior_topic, key=key, value=value, partition=PARTITION)
    producer.close()


def cut(deployment: Deployment, first_offsets: Mapping[int, int]) -> None:
    """Delete the records before these offsets, by partition, as retention does."""
    topic = deployment.settings.behavior_topic
    with broker_admin(deployment.settings) as admin:
        admin.delete_records({TopicPartition(topic, partition): at for partition, at in first_offsets.items()})


def truncate(deployment: Deployment) -> None:
    cluster, session = connect(deployment.settings)
    width = deployment.bundle.manifest.representation_width
    session.execute(f"TRUNCATE {deployment.settings.keyspace}.{representations_table(width)}")
    cluster.shutdown()
