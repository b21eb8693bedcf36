"""A topic that is deleted and made again: nothing of the new topic is lost, and nothing is applied twice."""

import time

from kafka import KafkaProducer

from streams.broker.topics import broker_admin, describe_topic
from streams.demo.worker_process import WorkerProcess
from streams.engine.arena import StoredUser
from streams.store.store import open_store
from tests.support.deployment import Deployment, event, expected_ids, record
from tests.support.topics import make_again

ENDS_WITHIN_S = 20.0


def events(prefix: str, count: int, users: int) -> list[tuple[bytes, bytes]]:
    return [
        record(event(f"{prefix}-{n}", f"{prefix}-user-{n % users}", f"item-{n % 500 + 1}", time_ms=10**12 + n))
        for n in range(count)
    ]


def wait_for_the_end(worker: WorkerProcess) -> None:
    deadline = time.monotonic() + ENDS_WITHIN_S
    while worker.exit_code is None:
        assert time.monotonic() < deadline, "the worker reads on in the new topic"
        time.sleep(0.1)


def test_a_paused_worker_does_not_read_on_in_a_topic_that_was_made_again(deployment: Deployment) -> None:
    worker = deployment.worker()
    worker.start()
    deployment.send(events("old", 1_000, 50))
    deployment.wait_until_committed()
    worker.pause()  # for less time than the session of the group lasts
    make_again(deployment.settings)
    deployment.send(events("new", 3_000, 70))  # The new topic is longer than the old one was.
    worker.resume()
    wait_for_the_end(worker)
    assert worker.exit_code == 1
    assert "made again" in worker.log.read_text()
    worker.kill()

    again = deployment.worker("again")
    again.start()
    deployment.wait_until_committed()
    again.stop()
    store = open_store(deployment.settings, deployment.bundle)
    rows = {user.user_id: user for user in store.users.scan()}
    epochs = [epoch.number for epoch in store.registry.epochs(deployment.settings.behavior_topic)]
    store.close()
    assert sum(row.steps for user, row in rows.items() if user.startswith("new")) == 3_000
    assert sum(row.steps for user, row in rows.items() if user.startswith("old")) == 1_000
    assert epochs == [0, 1]
    ids = [(e.bundle_id, e.id) for e in deployment.evaluations()]
    assert len(ids) == len(set(ids)) == 4_000, "an event of the new topic has the id of an event of the deleted topic"
    new = {e.id for e in deployment.evaluations() if e.user_id.startswith("new")}
    assert new == expected_ids(deployment, epoch=1)
    found = deployment.verify()
    assert (found.mismatches, found.events, found.unverifiable) == ([], 3_000, 50)


def test_a_commit_of_the_deleted_topic_does_not_count_in_the_new_topic(deployment: Deployment) -> None:
    """A worker whose commit arrives after the topic was made again names the topic that the worker has read."""
    worker = deployment.worker()
    worker.start()
    deployment.send(events("old", 500, 50))
    deployment.wait_until_committed()
    group = deployment.settings.consumer_group_id(deployment.bundle.bundle_id)
    topic = deployment.settings.behavior_topic
    with broker_admin(deployment.settings) as admin:
        commits = admin.list_group_offsets([group])[group]
    worker.stop()
    make_again(deployment.settings)
    deployment.send(events("new", 2_000, 70))
    with broker_admin(deployment.settings) as admin:
        admin.alter_group_offsets(group, {tp: at for tp, at in commits.items() if tp.topic == topic})
    assert describe_topic(deployment.settings, topic, group).committed == {}
    again = deployment.worker("again")
    again.start()
    deployment.wait_until_committed()
    again.stop()
    found = deployment.verify()
    assert (found.mismatches, found.events, found.unverifiable) == ([], 2_000, 50)


def test_a_dead_letter_of_the_deleted_topic_hides_no_record_of_the_new_topic(deployment: Deployment) -> None:
    """The second event of ann stands in a wrong partition. In the new topic, an event of bob stands at its offset."""

    def send(user: str, number: int, partition: int) -> None:
        producer = KafkaProducer(bootstrap_servers=deployment.settings.broker)
        key, value = record(event(f"{user}-{number}", user, "item-1", time_ms=10**12 + number))
        producer.send(deployment.settings.behavior_topic, key=key, value=value, partition=partition)
        producer.close()

    worker = deployment.worker()
    worker.start()
    send("ann", 0, partition=0)
    deployment.wait_until_committed()
    send("ann", 1, partition=1)
    deployment.wait_until_committed()
    worker.stop()
    assert len(deployment.dead_letters()) == 1
    make_again(deployment.settings)
    send("bob", 0, partition=1)
    again = deployment.worker("again")
    again.start()
    deployment.wait_until_committed()
    again.stop()
    found = deployment.verify()
    assert (found.mismatches, found.events, found.dead_letters) == ([], 1, 0)


def test_events_that_the_new_topic_holds_again_are_verified(deployment: Deployment) -> None:
    """A worker recognises the events as sent twice, so the rows keep their positions in the deleted topic."""
    worker = deployment.worker()
    worker.start()
    sent = events("shop", 40, 8)
    deployment.send(sent)
    deployment.wait_until_committed()
    worker.stop()
    make_again(deployment.settings)
    deployment.send(sent[16:])
    again = deployment.worker("again")
    again.start()
    deployment.wait_until_committed()
    again.stop()
    for repair in (False, True):
        found = deployment.verify(repair)
        assert (found.mismatches, found.users, found.unverifiable, found.repaired) == ([], 8, 8, 0)
    store = open_store(deployment.settings, deployment.bundle)
    assert {row.steps for row in store.users.scan() if isinstance(row, StoredUser)} == {5}
    store.close()


def test_a_topic_that_is_made_again_with_more_partitions_ends_the_worker(deployment: Deployment) -> None:
    """The number of partitions makes the group rebalance, which may come before the look at the topic's id."""
    worker = deployment.worker()
    worker.start()
    deployment.send(events("old", 400, 40))
    deployment.wait_until_committed()
    make_again(deployment.settings_with(partitions=8))
    deployment.send(events("new", 600, 50))
    wait_for_the_end(worker)
    assert worker.exit_code == 1
    assert "was deleted and made again" in worker.last_lines(1)
    again = deployment.worker("again")
    again.start()
    deployment.wait_until_committed()
    again.stop()
    assert {e.id for e in deployment.evaluations() if e.user_id.startswith("new")} == expected_ids(deployment, epoch=1)
    found = deployment.verify()
    assert (found.mismatches, found.events, found.unverifiable) == ([], 600, 40)
