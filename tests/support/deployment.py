"""A deployment on the shared services, with topics, a keyspace and a group that no other test uses."""

import asyncio
import copy
import json
import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from kafka import TopicPartition

from export.runtime.bundle import Bundle
from streams.broker.decoding.update_reader import UpdateReader
from streams.broker.topic_reader import read_topic
from streams.broker.topics import broker_admin, describe_topic, ensure_topics
from streams.commands.replay.producer import Replay
from streams.commands.verify.result import Verification
from streams.commands.verify.verification import verify
from streams.config.settings import PREFIX, Settings
from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.fields import record_id
from streams.contracts.representation_updates import RepresentationUpdate
from streams.demo.worker_process import WorkerProcess
from streams.engine.arena import StoredUser
from streams.local import LocalServices
from streams.store.cql_schema import representations_table
from streams.store.protocol.cluster import connect
from streams.store.registry import Registry
from streams.store.session import Session
from streams.store.store import open_store
from streams.store.user_rows import DamagedRow

APPLIED_WITHIN_S = 90.0
ENDED_WITHIN_S = 120.0
LATE_RECORDS = 100
SHOP_ITEMS = [f"item-{i}" for i in range(1, 501)]


def event(event_id: str, user_id: str, item_id: str, action: str = "view", time_ms: int = 10**12) -> dict[str, Any]:
    """Return the fields of a behaviour event."""
    names = ("event_id", "user_id", "item_id", "action", "event_time_ms")
    return dict(zip(names, (event_id, user_id, item_id, action, time_ms), strict=True))


def record(value: dict[str, Any]) -> tuple[bytes, bytes]:
    """Return the key and the value of the record that carries a behaviour event."""
    return value["user_id"].encode(), json.dumps(value).encode()


def shopping(count: int, users: int, seed: int = 0) -> list[tuple[bytes, bytes]]:
    """Return records of `count` events. Some of them have an item or an action that the tiny bundle does not know."""
    draw = random.Random(seed)
    return [
        record(
            event(
                f"{seed}-{i}",
                f"user-{draw.randrange(users)}",
                draw.choice(SHOP_ITEMS) if draw.random() < 0.95 else f"new-{draw.randrange(9)}",
                draw.choice(["view", "cart", "purchase", "wave"]),
                10**12 + i * 1000 - draw.choice([0, 0, 50_000]),
            )
        )
        for i in range(count)
    ]


def troubled_shopping(count: int, users: int, seed: int = 0) -> list[tuple[bytes, bytes | None]]:
    """Return records as `shopping` does, with events that come again, erasures and broken records."""
    draw = random.Random(seed)
    records: list[tuple[bytes, bytes | None]] = []
    for key, value in shopping(count, users, seed):
        records.append((key, value))
        if draw.random() < 0.03:
            records.append((key, value))
        if draw.random() < 0.03:
            records.append(draw.choice(records[-20:]))
        if draw.random() < 0.01:
            records.append((key, None))
        if draw.random() < 0.01:
            records.append((key, b"{"))
    return records


class Deployment:
    """Creates its topics at once. The test starts the workers."""

    def __init__(self, services: LocalServices, bundle: Bundle, folder: Path, **settings: Any) -> None:
        name = f"t{uuid.uuid4().hex[:10]}"
        self.folder = folder
        self.bundle = bundle
        self.settings = Settings(
            **services.client_settings,
            keyspace=name,
            group=name,
            bundle=str(bundle.path.absolute()),
            behavior_topic=f"{name}.events",
            dead_letter_topic=f"{name}.dlq",
            updates_topic=f"{name}.updates",
            evaluation_topic=f"{name}.evaluations",
            metrics_topic=f"{name}.metrics",
            alarms_topic=f"{name}.alarms",
            predictions_topic=f"{name}.predictions",
            comparisons_topic=f"{name}.comparisons",
            catalogue_topic=f"{name}.catalogue",
            **settings,
        )
        ensure_topics(self.settings)

    def settings_with(self, **settings: Any) -> Settings:
        return msgspec.structs.replace(self.settings, **settings)

    def with_bundle(self, bundle: Bundle) -> "Deployment":
        """Return a deployment of another bundle on the same topics, keyspace and group name."""
        other = copy.copy(self)
        other.bundle, other.settings = bundle, self.settings_with(bundle=str(bundle.path.absolute()))
        return other

    def worker(self, name: str = "worker", fault: str | None = None) -> WorkerProcess:
        """Return a worker, not started. fault: the worker kills itself at the first such call (tests.faults)."""
        folder = self.folder / name  # one for each worker, since the lock of a folder allows one process
        folder.mkdir()
        if fault is None:
            return WorkerProcess(self.settings, folder / "worker.log")
        command = (sys.executable, "-m", "tests.faults.programs.worker_main")
        environment = {"FAULT_POINT": fault, "FAULT_CALL": "1"}
        return WorkerProcess(self.settings, folder / "worker.log", command, environment)

    def send(self, records: Iterable[tuple[bytes | None, bytes | None]], rate: float | None = None) -> int:
        replay = Replay(self.settings, self.settings.behavior_topic, rate)
        replay.run(records)
        return replay.sent

    @contextmanager
    def load(self, records: Iterable[tuple[bytes | None, bytes | None]], rate: float) -> Iterator[None]:
        """Send records at a rate while the block runs.

        The last LATE_RECORDS are sent after the block, so the load outlasts the block on a slow machine as well.
        """
        early = list(records)
        late = early[-LATE_RECORDS:]
        del early[-LATE_RECORDS:]
        assert early, f"a load needs more than {LATE_RECORDS} records"
        block_ended = threading.Event()

        def send() -> None:
            self.send(early, rate)
            block_ended.wait()
            self.send(late, rate)

        with ThreadPoolExecutor(1) as threads:
            sending = threads.submit(send)
            try:
                yield
            finally:
                block_ended.set()
            sending.result()

    def kill_under_load(
        self, name: str, records: Iterable[tuple[bytes | None, bytes | None]], rate: float, applied: int = 500
    ) -> None:
        """Run a worker while records are sent, and kill the worker once so many records are applied."""
        worker = self.worker(name)
        worker.start()
        give_up_at_s = time.monotonic() + APPLIED_WITHIN_S
        with self.load(records, rate):
            seen = 0.0
            while seen < applied:
                assert time.monotonic() < give_up_at_s, f"{seen} records are applied after {APPLIED_WITHIN_S} s"
                time.sleep(0.02)
                reading = worker.scrape()
                seen = 0 if reading is None else reading.records("applied")
            worker.kill()

    def wait_until_committed(self) -> None:
        """Wait until the group has committed every record. Raises TimeoutError after APPLIED_WITHIN_S."""
        deadline = time.monotonic() + APPLIED_WITHIN_S
        group = f"{self.settings.group}-{self.bundle.bundle_id}"
        while (lag := describe_topic(self.settings, self.settings.behavior_topic, group).lag) > 0:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{lag} records are not committed after {APPLIED_WITHIN_S} s")
            time.sleep(0.2)

    def verify(self, repair: bool = False) -> Verification:
        return verify(self.settings, self.bundle, repair)

    def cut_topic(self) -> None:
        """Delete every record that the behaviour topic holds now, as retention does."""
        topic = describe_topic(self.settings, self.settings.behavior_topic)
        with broker_admin(self.settings) as admin:
            admin.delete_records({TopicPartition(topic.name, p): end for p, end in topic.end_offsets.items()})

    def stored_steps(self) -> dict[str, int]:
        """Return the number of steps of each stored row. Fails where a row is damaged."""
        return {user_id: row.steps for user_id, row in self.stored_users().items()}

    def stored_users(self) -> dict[str, StoredUser]:
        """Return each stored row. Fails where a row is damaged."""
        store = open_store(self.settings, self.bundle)
        try:
            rows = list(store.users.scan())
        finally:
            store.close()
        assert not (damaged := [row.why for row in rows if isinstance(row, DamagedRow)]), damaged
        return {row.user_id: row for row in rows if isinstance(row, StoredUser)}

    def damage(self, user_id: str, column: str, value: str) -> None:
        """Damage a column as a faulty disk would. A later write of the worker still replaces it."""
        cluster, session = connect(self.settings)
        table = f"{self.settings.keyspace}.{representations_table(self.bundle.manifest.representation_width)}"
        row = (user_id, self.bundle.bundle_id)
        written_at = session.execute(
            f"SELECT WRITETIME(state) FROM {table} WHERE user_id = %s AND bundle_id = %s", row
        ).one()[0]
        key = "WHERE user_id = %s AND bundle_id = %s"
        session.execute(f"UPDATE {table} USING TIMESTAMP {written_at + 1} SET {column} = {value} {key}", row)
        cluster.shutdown()

    def evaluations(self) -> list[EvaluationEvent]:
        """Return every evaluation event in the topic, with repetitions."""
        return [
            msgspec.json.decode(r.value, type=EvaluationEvent) for r in self.records(self.settings.evaluation_topic)
        ]

    def last_updates(self) -> dict[str, RepresentationUpdate | None]:
        """Return the last update of each user of the bundle, as a reader of the compacted updates topic sees it.

        A key without a bundle belongs to an update of an earlier version, which counts where there is no later one.
        """
        decode = UpdateReader(self.settings).decode
        records = self.records(self.updates_topic())
        last = {r.key.decode(): None if r.value is None else decode(r.value) for r in records}
        own = f"{self.bundle.bundle_id}/"
        older = {key: update for key, update in last.items() if "/" not in key}
        return older | {key.removeprefix(own): update for key, update in last.items() if key.startswith(own)}

    def updates_topic(self) -> str:
        """Return the topic to which the workers of the bundle publish updates."""
        session = Session(self.settings)
        try:
            registry = Registry(session, self.settings.keyspace)
            return registry.settings_of(self.settings, self.bundle.bundle_id).updates_topic
        finally:
            session.close()

    def dead_letters(self) -> list[Any]:
        return self.records(self.settings.dead_letter_topic)

    def records(self, topic: str) -> list[Any]:
        async def read() -> list[Any]:
            return [r async for batch in read_topic(self.settings, topic) for r in batch]

        return asyncio.run(read())


def expected_ids(deployment: Deployment, skipped: Sequence[tuple[int, int]] = (), epoch: int = 0) -> set[str]:
    """Return the ids of all records of the behaviour topic except those at the skipped (partition, offset).

    epoch: the first epoch of the topic's incarnation.
    """
    topic = deployment.settings.behavior_topic
    at = describe_topic(deployment.settings, topic)
    return {
        record_id(topic, epoch, partition, offset)
        for partition, end in at.end_offsets.items()
        for offset in range(end)
        if (partition, offset) not in skipped
    }


def run_thalweg(settings: Settings, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command with these settings and further environment variables, and wait until the command ends."""
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments],
        env=environment_of(settings) | variables,
        capture_output=True,
        text=True,
        timeout=ENDED_WITHIN_S,
        check=False,
    )


def environment_of(settings: Settings) -> dict[str, str]:
    """Return this process's environment with the settings and no other settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    values = {name: getattr(settings, name) for name in settings.__struct_fields__}
    return inherited | {f"{PREFIX}{name.upper()}": str(value) for name, value in values.items() if value is not None}
