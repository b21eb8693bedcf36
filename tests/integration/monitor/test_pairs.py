"""Two bundles' evaluation events on a real Kafka: the comparisons topic, restarts in between, and a chosen pair."""

import os
import random
import subprocess
import sys
import time
import uuid
from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from kafka import KafkaProducer

from streams.broker.topics import ensure_monitor_topics, ensure_topics
from streams.config.settings import Settings
from streams.contracts.comparisons import BundleComparison
from streams.local import LocalServices
from streams.monitor.inputs import Extras
from streams.monitor.monitor import Monitor
from streams.monitor.pairs.matching import WITHIN_MS
from streams.monitor.pairs.user_blocks import BLOCK_EVENTS
from streams.monitor.saved_state import SavedState
from streams.monitor.scoring.scores import Snapshot
from tests.support.monitoring.evaluations import evaluation
from tests.support.topics import read_all

ROOT = Path(__file__).parents[3]
PARTITIONS = 2
EVENTS, USERS = 4_000, 100
STEP_MS = 100  # between two events
BEGIN_MS = int(time.time() - 3_000) * 1000
NAMES = ("gru-a", "gru-b")


class Scored(NamedTuple):
    """An evaluation record: its timestamp, and what stands in it."""

    time_ms: int
    partition: int
    value: bytes


def records_of(*bundle_ids: str, events: int = EVENTS, lag: int = 0) -> list[Scored]:
    """The records of the events in order of time, every tenth event of a bundle twice.

    Each bundle has better ranks than the one before, and all but the first are so many events late, except with their
    first event.
    """
    choose = random.Random(3)
    found = []
    for number in range(events):
        user = choose.randrange(USERS)
        rank = choose.choice([2, 4, 10, 60])
        time_ms = BEGIN_MS + number * STEP_MS
        for better, bundle_id in enumerate(bundle_ids, 1):
            event = evaluation(
                number, rank=max(1, rank // better), id=f"events-0-{user % PARTITIONS}-{number}", bundle_id=bundle_id,
                user_id=f"user-{user}", event_time_ms=time_ms,
            )  # fmt: skip
            late_ms = lag * STEP_MS if number and better > 1 else 0
            record = Scored(time_ms + late_ms, user % PARTITIONS, msgspec.json.encode(event))
            found += [record] * (2 if number % 10 == 0 else 1)
    return sorted(found, key=attrgetter("time_ms"))


@pytest.fixture
def settings(services: LocalServices) -> Settings:
    prefix = uuid.uuid4().hex[:8]
    names = {f: f"{prefix}.{f}" for f in Settings.__struct_fields__ if f.endswith("_topic")}
    settings = Settings(broker=services.bootstrap, partitions=PARTITIONS, **names)
    ensure_topics(settings)
    ensure_monitor_topics(settings)
    return settings


def send(settings: Settings, records: Sequence[Scored]) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.broker, linger_ms=20)
    for time_ms, partition, value in records:
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
    records = records_of(*NAMES, lag=late)
    first, second = (bisect_left(records, BEGIN_MS + at * STEP_MS, key=attrgetter("time_ms")) for at in (half, EVENTS))
    send(settings, records[:first])
    [early] = follow(settings, tmp_path).comparisons
    assert early.events + early.open_events == half - late - 1, "the very first event came while one bundle was alone"
    assert early.last_scored_at_ms == BEGIN_MS + (half - late - 1) * STEP_MS
    send(settings, records[first:second])
    follow(settings, tmp_path, is_killed=True)
    send(settings, records[second:])
    last = follow(settings, tmp_path)
    [found] = last.comparisons
    assert found.events + found.open_events == EVENTS - 1
    assert found.challenger_delay_ms == pytest.approx(late * STEP_MS)
    assert found.users == USERS
    assert found.open_events < USERS * BLOCK_EVENTS
    assert found.unmatched_events == 1
    assert found.mean_difference is not None
    assert found.mean_difference == pytest.approx((1 / 1 + 1 / 2 + 1 / 5 - 1 / 2 - 1 / 4 - 1 / 10) / 4, abs=0.01)
    assert 0.1 < found.low < found.mean_difference < found.high < 0.35

    shown = published(settings)
    assert shown[0].events == early.events
    assert shown[-1].events == found.events
    assert msgspec.structs.replace(shown[-1], published_at_ms=0) == msgspec.structs.replace(found, published_at_ms=0)
    follow(settings, tmp_path)
    again = published(settings)
    assert [one.events for one in again] == [one.events for one in [*shown, shown[-1]]]
    assert again[-1].published_at_ms > again[-2].published_at_ms
    assert again[-1].last_scored_at_ms == again[-2].last_scored_at_ms, "an old comparison that is sent again stays old"


def test_a_new_bundle_that_scores_old_events_gets_no_evidence_from_them(settings: Settings, tmp_path: Path) -> None:
    serving, replayed = records_of("gru-a", events=600), records_of("gru-b", events=600)
    late_ms = 600 * STEP_MS + WITHIN_MS
    known = [serving[0], replayed[0], *serving[1:]]  # both bundles are known from the first event on
    send(settings, [*known, *(one._replace(time_ms=one.time_ms + late_ms) for one in replayed)])
    [found] = follow(settings, tmp_path).comparisons
    assert (found.events, found.open_events, found.last_scored_at_ms) == (0, 0, None)


def test_the_command_compares_a_chosen_pair_in_its_order(settings: Settings, tmp_path: Path) -> None:
    send(settings, records_of(*NAMES, "gru-c", events=600))
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
