"""Two bundles' evaluation events on a real Kafka: the comparisons topic, restarts in between, and a chosen pair."""

import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaProducer

from streams.broker.topics import ensure_monitor_topics, ensure_topics
from streams.config.settings import Settings
from streams.contracts.comparisons import BundleComparison
from streams.local import LocalServices
from streams.monitor.inputs import Extras
from streams.monitor.monitor import Monitor
from streams.monitor.pairs.user_blocks import BLOCK_EVENTS
from streams.monitor.saved_state import SavedState
from streams.monitor.scoring.scores import Snapshot
from tests.support.monitoring.evaluations import evaluation
from tests.support.topics import read_all

ROOT = Path(__file__).parents[3]
PARTITIONS = 2
EVENTS, USERS = 4_000, 100
BEGIN_MS = int(time.time() - 3_000) * 1000
NAMES = ("gru-a", "gru-b")


def values() -> Iterator[tuple[str, int, int, bytes]]:
    """Yield (bundle, partition, time, value) of each event under both bundles. The second one has the better ranks."""
    choose = random.Random(3)
    for number in range(EVENTS):
        user = choose.randrange(USERS)
        rank = choose.choice([2, 4, 10, 60])
        time_ms = BEGIN_MS + number * 500
        for bundle_id, better in zip(NAMES, (1, 2), strict=True):
            event = evaluation(
                number, rank=rank // better, id=f"events-0-{user % PARTITIONS}-{number}", bundle_id=bundle_id,
                user_id=f"user-{user}", event_time_ms=time_ms,
            )  # fmt: skip
            yield bundle_id, user % PARTITIONS, time_ms, msgspec.json.encode(event)


@pytest.fixture
def settings(services: LocalServices) -> Settings:
    prefix = uuid.uuid4().hex[:8]
    names = {f: f"{prefix}.{f}" for f in Settings.__struct_fields__ if f.endswith("_topic")}
    settings = Settings(broker=services.bootstrap, partitions=PARTITIONS, **names)
    ensure_topics(settings)
    ensure_monitor_topics(settings)
    return settings


def send(settings: Settings, bundle_id: str, first: int, count: int) -> None:
    """Send evaluation events of one bundle, every tenth of them twice."""
    of_bundle = [value for value in values() if value[0] == bundle_id]
    producer = KafkaProducer(bootstrap_servers=settings.broker, linger_ms=20)
    for number, (_, partition, time_ms, value) in enumerate(of_bundle[first : first + count]):
        for _ in range(2 if number % 10 == 0 else 1):
            producer.send(settings.evaluation_topic, value, partition=partition, timestamp_ms=time_ms)
    producer.flush()
    producer.close()


def follow(settings: Settings, folder: Path, is_killed: bool = False) -> Snapshot:
    """Run a monitor until it has read everything. is_killed: without what it saves at its end."""
    state = SavedState(folder, settings.broker, settings.evaluation_topic)
    assert state.acquire()
    before = state.path.read_bytes() if state.exists() else None
    monitor = Monitor(settings, settings.evaluation_topic, extras=Extras(comparisons=True, state=state))
    monitor.start()
    deadline = time.monotonic() + 60
    while monitor.snapshot().idle_s < 0.7:
        assert time.monotonic() < deadline, monitor.snapshot()
        time.sleep(0.05)
    found = monitor.stop()
    if is_killed and before is not None:
        state.path.write_bytes(before)
    return found


def published(settings: Settings) -> list[BundleComparison]:
    records = read_all(settings, settings.comparisons_topic)
    assert {record.key for record in records} == {b"gru-a|gru-b"}
    return [msgspec.json.decode(record.value, type=BundleComparison) for record in records]


def test_a_pair_is_compared_on_the_same_events_once_across_restarts_and_its_last_record_is_the_comparison(
    settings: Settings, tmp_path: Path
) -> None:
    half, late = EVENTS // 2, EVENTS // 4
    send(settings, "gru-a", 0, half)
    send(settings, "gru-b", 0, half - late)  # the second bundle lags
    first = follow(settings, tmp_path)
    [early] = first.comparisons
    assert early.events + early.open_events == half - late
    send(settings, "gru-b", half - late, late)
    send(settings, "gru-a", half, half)
    follow(settings, tmp_path, is_killed=True)
    send(settings, "gru-b", half, half)
    last = follow(settings, tmp_path)
    [found] = last.comparisons
    assert found.events + found.open_events == EVENTS
    assert found.users == USERS
    assert found.open_events < USERS * BLOCK_EVENTS
    assert found.unmatched_events == 0
    assert found.mean_difference is not None
    assert found.mean_difference == pytest.approx((1 / 1 + 1 / 2 + 1 / 5 - 1 / 2 - 1 / 4 - 1 / 10) / 4, abs=0.01)
    assert 0.1 < found.low < found.mean_difference < found.high < 0.35

    records = published(settings)
    assert records[0].events == early.events
    assert records[-1].events == found.events
    assert msgspec.structs.replace(records[-1], published_at_ms=0) == msgspec.structs.replace(found, published_at_ms=0)
    count = len(records)
    follow(settings, tmp_path)
    assert [one.events for one in published(settings)] == [one.events for one in [*records, records[-1]]][: count + 1]


def test_the_command_compares_a_chosen_pair_in_its_order(settings: Settings, tmp_path: Path) -> None:
    for bundle_id in (*NAMES, "gru-c"):
        send(settings, bundle_id, 0, 600)
    environment = {
        **os.environ,
        "THALWEG_MONITOR_FOLDER": str(tmp_path),
        "THALWEG_BROKER": settings.broker,
        **{f"THALWEG_{f.upper()}": getattr(settings, f) for f in Settings.__struct_fields__ if f.endswith("_topic")},
    }
    command = [sys.executable, "-m", "streams.cli", "monitor", "--json", "--until-idle", "1", "--compare"]
    ended = subprocess.run(
        [*command, "gru-b", "gru-a"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=90
    )
    assert ended.returncode == 0, ended.stderr
    [found] = msgspec.json.decode(ended.stdout.splitlines()[-1], type=Snapshot).comparisons
    assert (found.champion, found.challenger) == ("gru-b", "gru-a")
    assert found.mean_difference is not None
    assert found.mean_difference < 0
    [record] = read_all(settings, settings.comparisons_topic)
    assert record.key == b"gru-b|gru-a"
    refused = subprocess.run(
        [*command, "gru-b", "gru-b"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=90
    )
    assert refused.returncode != 0
    assert "name two different bundles" in refused.stderr
