"""With `user_ttl_days`, a user who stays away begins anew, and a user who does not come back is forgotten."""

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
from kafka import KafkaProducer

from export.runtime.bundle import Bundle
from streams.archive.opening import open_reader
from streams.broker.partitioners.rules import PARTITIONERS
from streams.commands.verify.verification import verify
from streams.engine.arena import StoredUser
from streams.engine.epochs import EpochView
from streams.engine.planning.rows import Rows
from streams.local import LocalServices
from streams.store.cql_schema import EXPIRY_MARGIN_DAYS, representations_table
from streams.store.session import Session
from streams.store.store import open_store
from streams.store.user_rows import UserRows
from tests.support.bundles import tiny_bundle
from tests.support.deployment import Deployment, event, record, run_thalweg
from tests.support.topics import keep_records_of_any_age

DAY_MS = 24 * 3600 * 1000
GONE_WITHIN_S = 20.0


def send_at(deployment: Deployment, sent: list[tuple[str, str, int]]) -> None:
    """Send an event of each (user, item, timestamp in ms), one after the other."""
    producer = KafkaProducer(bootstrap_servers=deployment.settings.broker)
    for number, (user, item, timestamp_ms) in enumerate(sent):
        key, value = record(event(f"{timestamp_ms}-{number}", user, item, time_ms=timestamp_ms))
        producer.send(deployment.settings.behavior_topic, key=key, value=value, timestamp_ms=timestamp_ms)
    producer.close()


def test_workers_and_verify_follow_the_rule(services: LocalServices, bundle: Bundle, tmp_path: Path) -> None:
    """The events of `both` stand in one batch or in two lives of a worker."""
    deployment = Deployment(services, bundle, tmp_path, user_ttl_days=2)
    keep_records_of_any_age(deployment.settings, deployment.settings.behavior_topic)
    now_ms = int(time.time() * 1000)
    old_ms = now_ms - 40 * DAY_MS
    users = ["both", "stays", "away"]
    send_at(deployment, [(user, "item-1", old_ms) for user in users] + [("both", "item-2", old_ms + 3 * DAY_MS)])
    worker = deployment.worker()
    worker.start()
    deployment.wait_until_committed()
    worker.stop()
    send_at(deployment, [("both", "item-3", now_ms - DAY_MS), ("stays", "item-2", old_ms + DAY_MS)])
    send_at(deployment, [("both", "item-4", now_ms)])
    again = deployment.worker("again")
    again.start()
    deployment.wait_until_committed()
    again.stop()
    of_both = [(e.item_id, e.steps, e.previous_item_id) for e in deployment.evaluations() if e.user_id == "both"]
    assert of_both == [("item-1", 0, None), ("item-2", 0, None), ("item-3", 0, None), ("item-4", 1, "item-3")]
    updates = deployment.last_updates()
    assert {user: update.steps for user in users if (update := updates[user]) is not None} == {
        "both": 2,
        "stays": 2,
        "away": 1,
    }
    found = deployment.verify()
    assert (found.mismatches, found.events, found.expired, found.expired_rows) == ([], 7, 2, 0)
    check_backfill(deployment, tmp_path)

    session = Session(deployment.settings)
    table = f"{deployment.settings.keyspace}.{representations_table(bundle.manifest.representation_width)}"
    left_s = dict(iter(session.execute("read", f"SELECT user_id, TTL(state) FROM {table}")))
    longest_s = (2 + EXPIRY_MARGIN_DAYS) * 24 * 3600
    assert all(longest_s - 600 < left_s[user] <= longest_s for user in users)
    session.execute("expire a row", f"DELETE FROM {table} USING TIMESTAMP {2**62} WHERE user_id = 'away'")
    session.close()
    found = deployment.verify()
    assert (found.mismatches, found.expired_rows) == ([], 1), "the row of a user who stays away may be gone"
    without = Deployment.__new__(Deployment)
    without.__dict__ = deployment.__dict__ | {"settings": deployment.settings_with(user_ttl_days=None)}
    assert without.verify().mismatched == 2, "without the rule, `both` has another history and `away` lacks a row"


def check_backfill(deployment: Deployment, folder: Path) -> None:
    """A backfill of another bundle follows the rule as well."""
    other = deployment.with_bundle(tiny_bundle(folder / "other", seed=1))
    for command in (["archive", "--to"], ["backfill", "--from"]):
        ended = run_thalweg(other.settings, *command, str(folder / "archive"))
        assert ended.returncode == 0, ended.stderr
    found = verify(other.settings, other.bundle, archive=open_reader(str(folder / "archive")))
    assert (found.mismatches, found.expired, found.not_committed) == ([], 2, 0)
    assert other.stored_steps() == {"both": 2, "stays": 2, "away": 1}


def test_a_worker_deletes_the_updates_of_users_who_stay_away(
    services: LocalServices, bundle: Bundle, tmp_path: Path
) -> None:
    deployment = Deployment(services, bundle, tmp_path, user_ttl_days=1)
    settings, now_ms = deployment.settings, int(time.time() * 1000)
    producer = KafkaProducer(bootstrap_servers=settings.broker)
    for user, days in (("away", 40), ("back", 40), ("here", 5)):
        key = f"{bundle.bundle_id}/{user}".encode()
        producer.send(  # as a worker wrote it so long ago
            settings.updates_topic,
            key=key,
            value=b"{}",
            partition=PARTITIONERS["murmur2"](user.encode(), 4),
            timestamp_ms=now_ms - days * DAY_MS,
        )
    producer.close()
    send_at(deployment, [("back", "item-1", now_ms)])
    worker = deployment.worker()
    worker.start()

    def last_values() -> dict[str, bytes | None]:
        return {r.key.decode().partition("/")[2]: r.value for r in deployment.records(settings.updates_topic)}

    deadline = time.monotonic() + GONE_WITHIN_S
    while last_values()["away"] is not None:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    deployment.wait_until_committed()
    worker.stop()
    last = last_values()
    assert last["here"] == b"{}"
    assert last["back"] not in (None, b"{}"), "the update of the new event is the last one"
    sent = [r for r in deployment.records(settings.updates_topic) if r.value is None]
    again = deployment.worker("again")
    again.start()
    time.sleep(4)
    again.stop()
    assert len([r for r in deployment.records(settings.updates_topic) if r.value is None]) == len(sent)
    assert "forgotten later" not in again.log.read_text()


def test_cassandra_forgets_rows_with_timestamps_beyond_the_clock(deployment: Deployment) -> None:
    """A time to live counts from Cassandra's clock at the write, whatever the timestamp of the write is."""
    settings, bundle = deployment.settings, deployment.bundle
    store = open_store(settings, bundle)

    def write(users: UserRows, user: str, offset: int) -> None:
        users.use_epoch(EpochView(3, frozenset([3])))
        rows = Rows([user])
        rows.partition[:], rows.offset[:], rows.steps[:], rows.last_record_ms[:] = 1, offset, 4, 10**12
        state = np.tile(bundle.initial_state, (1, 1)).astype(np.float32)
        representation = np.tile(bundle.initial_representation, (1, 1)).astype(np.float32)
        asyncio.run(_written(users, users.encode(rows, state, representation, 1, 0)))

    short = UserRows(store.session, settings.keyspace, bundle, store.erasures, ttl_s=3)
    write(short, "expires", 7)
    write(store.users, "stays", 7)
    write(store.users, "was-without-an-end", 7)
    write(short, "was-without-an-end", 8)
    write(short, "written-again", 7)
    write(store.users, "written-again", 8)
    stored = {row.user_id: row for row in store.users.scan() if isinstance(row, StoredUser)}
    assert len(stored) == 4
    assert stored["expires"].last_record_ms == 10**12
    assert stored["stays"].last_record_ms == -1
    deadline = time.monotonic() + GONE_WITHIN_S
    while (left := {row.user_id for row in store.users.scan()}) != {"stays", "written-again"}:
        assert time.monotonic() < deadline, left
        time.sleep(0.5)
    write(short, "expires", 9)
    assert len(list(store.users.scan())) == 3, "a user who comes back has a row again"
    store.close()


async def _written(users: UserRows, requests: Any) -> None:
    await users.write(requests)
