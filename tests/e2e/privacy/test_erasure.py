"""An erasure removes a user from the store and from all topics, and `thalweg erase` waits for the proof."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaProducer

from streams import cli
from streams.broker.partitioners.rules import PARTITIONERS
from streams.commands.dead_letters.contents import read_contents
from streams.contracts.dead_letters import ERASED_HEADER, decode_headers
from streams.store.store import open_store
from tests.support.bundles import tiny_bundle
from tests.support.deployment import Deployment, event, record
from tests.support.topics import compact_topic

COMPACTED_WITHIN_S = 40.0
DIES_WITHIN_S = 30.0


def test_an_erasure_removes_the_user_everywhere_and_later_events_start_a_new_history(deployment: Deployment) -> None:
    worker = deployment.worker()
    worker.start()
    deployment.send([record(event("a", "gone", "item-1")), record(event("b", "back", "item-1"))])
    deployment.send([(b"gone", b"no JSON"), (b"x", record(event("d", "gone", "item-1"))[1]), (b"stays", b"no JSON")])
    deployment.wait_until_committed()  # the update is published before the erasure comes, and not in one batch with it
    assert deployment.last_updates()["gone"] is not None
    deployment.send([(b"gone", None), (b"back", None), record(event("c", "back", "item-2")), (b"gone", b"later")])
    deployment.wait_until_committed()
    worker.stop()
    store = open_store(deployment.settings, deployment.bundle)
    stored = {u.user_id: u for u in store.users.scan()}
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

    compact_topic(deployment.settings, deployment.settings.updates_topic)
    deadline = time.monotonic() + COMPACTED_WITHIN_S
    while left := [r.value for r in deployment.records(deployment.settings.updates_topic) if r.key.endswith(b"gone")]:
        if all(value is None for value in left):
            break
        assert time.monotonic() < deadline, "an update of the erased user is still in the topic"
        time.sleep(0.5)


def test_a_bundle_behind_an_erasure_keeps_its_rows(deployment: Deployment, tmp_path: Path) -> None:
    """The worker of the second bundle restarts before it reaches the erasure that the first bundle has passed."""
    second = deployment.with_bundle(tiny_bundle(tmp_path / "second", seed=1))
    workers = [one.worker(f"worker-{number}") for number, one in enumerate((deployment, second))]
    for worker in workers:
        worker.start()
    deployment.send([record(event(f"e{n}", "ann", f"item-{n + 1}", time_ms=10**12 + n)) for n in range(3)])
    for one in (deployment, second):
        one.wait_until_committed()
    workers[1].stop()
    again = [record(event("e1", "ann", "item-2", time_ms=10**12 + 1)), record(event("e3", "ann", "item-4"))]
    deployment.send([*again, (b"ann", None), record(event("e4", "ann", "item-5"))])
    deployment.wait_until_committed()
    workers[0].stop()
    late = second.worker("late")
    late.start()
    second.wait_until_committed()
    late.stop()
    for one in (deployment, second):
        own = [e for e in one.evaluations() if e.bundle_id == one.bundle.bundle_id]
        assert [(e.item_id, e.steps) for e in own] == [
            ("item-1", 0),
            ("item-2", 1),
            ("item-3", 2),
            ("item-4", 3),
            ("item-5", 0),
        ]
        found = one.verify()
        assert (found.mismatches, found.events, found.already_applied) == ([], 5, 1)


def test_a_replay_over_an_erasure_evaluates_what_was_evaluated_before(deployment: Deployment) -> None:
    """The worker dies after it has deleted the row and before it commits."""
    worker = deployment.worker()
    worker.start()
    deployment.send([record(event(f"e{n}", "ann", f"item-{n + 1}", time_ms=10**12 + n)) for n in range(3)])
    deployment.wait_until_committed()
    worker.stop()
    repeated = record(event("e1", "ann", "item-2", time_ms=10**12 + 1))
    deployment.send([repeated, record(event("e3", "ann", "item-4")), (b"ann", None)])
    dying = deployment.worker("dying", fault="erase:after")
    dying.start(wait=False)
    deadline = time.monotonic() + DIES_WITHIN_S
    while dying.exit_code is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    again = deployment.worker("again")
    again.start()
    deployment.wait_until_committed()
    again.stop()
    evaluations = deployment.evaluations()
    assert len(evaluations) == 5, "the last event was evaluated in both lives"
    assert len({e.id for e in evaluations}) == 4
    assert [(e.item_id, e.steps) for e in evaluations[3:]] == [("item-4", 3)] * 2
    assert evaluations[3] == evaluations[4]
    found = deployment.verify()
    assert (found.mismatches, found.events, found.already_applied, found.erasures) == ([], 4, 1, 1)


@pytest.fixture
def erase(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Return a function that runs `thalweg erase` in this process on the deployment."""
    for name, value in msgspec.structs.asdict(deployment.settings).items():
        if value is not None:
            monkeypatch.setenv(f"THALWEG_{name.upper()}", str(value))
    return lambda *arguments: cli.main(["erase", *arguments])


def test_erase_reaches_a_user_whose_producers_choose_partitions_by_crc32(
    deployment: Deployment, erase: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """murmur2 and crc32 put `ann` into different partitions."""
    crc32, murmur2 = (PARTITIONERS[name](b"ann", 4) for name in ("crc32", "murmur2"))
    assert crc32 != murmur2
    worker = deployment.worker()
    worker.start()
    producer = KafkaProducer(bootstrap_servers=deployment.settings.broker)
    for number, user in enumerate(["ann", *(f"user-{n}" for n in range(60))]):
        key, value = record(event(f"e{number}", user, "item-1"))
        partition = PARTITIONERS["crc32"](key, 4)
        producer.send(deployment.settings.behavior_topic, key=key, value=value, partition=partition)
    producer.close()
    deployment.wait_until_committed()
    assert deployment.last_updates()["ann"] is not None
    assert erase("ann", "--timeout", "30") == 0
    worker.stop()
    printed = capsys.readouterr().out
    assert f"partition {crc32} offset" in printed
    assert f"rows are stored by {deployment.bundle.bundle_id}" in printed
    assert "user 'ann' is forgotten" in printed
    store = open_store(deployment.settings, deployment.bundle)
    assert {user.user_id for user in store.users.scan()} == {f"user-{n}" for n in range(60)}
    store.close()
    assert deployment.last_updates()["ann"] is None
    assert read_contents(deployment.settings).dead_letters == 0

    assert erase("nobody", "--timeout", "0") == 1
    printed = capsys.readouterr().out
    assert "no row is stored; events may wait, and crc32 puts them into this partition" in printed
    assert "has no worker" in printed


def test_erase_says_which_bundle_still_holds_the_user_and_what_to_do(
    deployment: Deployment, erase: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    second = deployment.with_bundle(tiny_bundle(tmp_path / "second", seed=1))
    both = (deployment, second)
    deployment.send([record(event("e1", "gone", "item-1")), record(event("e2", "stays", "item-1"))])
    for number, one in enumerate(both):
        worker = one.worker(f"first-{number}")
        worker.start()
        one.wait_until_committed()
        worker.stop()
    assert erase("gone", "--timeout", "0") == 1
    printed = capsys.readouterr().out
    for one in both:
        group = one.settings.consumer_group_id(one.bundle.bundle_id)
        assert f"{one.bundle.bundle_id}: a row is still stored, and group {group} has no worker; start" in printed
    assert "NOT PROVEN that user 'gone' is forgotten" in printed

    workers = [deployment.worker("served")]
    workers[0].start()
    assert erase("gone", "--timeout", "10") == 1
    printed = capsys.readouterr().out
    assert f"{deployment.bundle.bundle_id}: forgotten" in printed
    assert f"{second.bundle.bundle_id}: a row is still stored" in printed

    workers.append(second.worker("served again"))
    workers[1].start()
    assert erase("gone", "--timeout", "60") == 0
    for worker in workers:
        worker.stop()
    for one in both:
        store = open_store(one.settings, one.bundle)
        assert {user.user_id for user in store.users.scan()} == {"stays"}
        store.close()
        updates = one.last_updates()
        assert updates["gone"] is None
        assert updates["stays"] is not None
