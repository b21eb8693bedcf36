"""The monitor on a real Kafka: backlog, duplicates, restarts, the metrics topic, Prometheus and the command."""

import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from streams.broker.topics import ensure_topics
from streams.cli import main
from streams.config.settings import Settings
from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.metrics_events import MetricsEvent
from streams.local import LocalServices
from streams.monitor.monitor import Monitor
from streams.monitor.scoring.scoreboard import Scoreboard
from streams.monitor.scoring.scores import Snapshot

ROOT = Path(__file__).parents[3]
PARTITIONS = 3
EVENTS = 3_000
WINDOW_MS = 10_000
START_MS = int(time.time() - 3600) * 1000 // WINDOW_MS * WINDOW_MS  # the broker's retention would delete older records


def evaluations() -> Iterator[tuple[int, int, EvaluationEvent]]:
    """Yield (partition, timestamp_ms, event) for 50 s of events. Some of their items are unknown to the model."""
    choose = random.Random(1)
    last: dict[int, str] = {}
    steps: dict[int, int] = {}
    for number in range(EVENTS):
        user = choose.randrange(200)
        rank = choose.choice([None, 1, 2, 15, 40])
        item = f"item-{int(choose.paretovariate(0.7))}"
        yield (
            user % PARTITIONS,
            START_MS + number * 50_000 // EVENTS,
            EvaluationEvent(
                id=f"events-{user % PARTITIONS}-{number}",
                user_id=f"user-{user}",
                bundle_id="gru-1",
                item_id=item,
                action="view",
                previous_item_id=last.get(user),
                rank=rank,
                reciprocal_rank=1 / rank if rank else 0.0,
                catalogue=100,
                steps=steps.get(user, 0),
                state_age_ms=1,
                event_time_ms=START_MS,
            ),
        )
        last[user] = item
        steps[user] = steps.get(user, 0) + 1


@pytest.fixture
def settings(services: LocalServices) -> Settings:
    """Create topics for this test. A tenth of the evaluation events is sent twice, and two records are no events."""
    prefix = uuid.uuid4().hex[:8]
    names = {f: f"{prefix}.{f}" for f in Settings.__struct_fields__ if f.endswith("_topic")}
    settings = Settings(broker=services.bootstrap, partitions=PARTITIONS, **names)
    ensure_topics(settings)
    producer = KafkaProducer(bootstrap_servers=settings.broker)
    topic = settings.evaluation_topic
    for number, (partition, time_ms, event) in enumerate(evaluations()):
        for _ in range(2 if number % 10 == 0 else 1):
            producer.send(topic, msgspec.json.encode(event), partition=partition, timestamp_ms=time_ms)
    for value in (b"not JSON", None):
        producer.send(topic, value, key=b"key", partition=0, timestamp_ms=START_MS + 50_000)
    producer.flush()
    producer.close()
    return settings


def follow(settings: Settings, metrics_topic: str | None = None) -> Snapshot:
    """Run a monitor until it has read everything and the last window is over. Returns its last snapshot."""
    monitor = Monitor(settings, settings.evaluation_topic, metrics_topic, window_s=WINDOW_MS / 1000)
    monitor.start()
    deadline = time.monotonic() + 60
    while monitor.snapshot().idle_s < 1.0:
        assert time.monotonic() < deadline, monitor.snapshot()
        time.sleep(0.1)
    return monitor.stop()


def published(settings: Settings) -> list[MetricsEvent]:
    consumer = KafkaConsumer(bootstrap_servers=settings.broker, auto_offset_reset="earliest")
    partition = TopicPartition(settings.metrics_topic, 0)
    consumer.assign([partition])
    end = consumer.end_offsets([partition])[partition]
    found: list[MetricsEvent] = []
    while consumer.position(partition) < end:
        for records in consumer.poll(timeout_ms=1000).values():
            found += [msgspec.json.decode(record.value, type=MetricsEvent) for record in records]
    consumer.close()
    return found


def test_each_id_counts_once_in_order_of_time_and_a_restart_gives_the_same_counts(settings: Settings) -> None:
    expected = Scoreboard("gru-1", WINDOW_MS, 5_000)
    for partition, time_ms, event in sorted(evaluations(), key=lambda e: (e[1], e[0])):
        assert partition == int(event.id.split("-")[1])
        expected.observe(event, time_ms)
    first = follow(settings, settings.metrics_topic)
    assert first.records == EVENTS + EVENTS // 10 + 2
    assert first.undecodable == 2
    assert first.problem is not None
    assert first.problem.startswith(f"{settings.evaluation_topic}-0-")
    assert first.latest is not None
    assert first.latest.duplicates == EVENTS // 10
    assert first.latest.cumulative == expected.cumulative()

    windows = published(settings)
    assert [w.window_start_ms for w in windows] == list(range(START_MS, START_MS + 50_000, WINDOW_MS))
    assert sum(w.events for w in windows) == first.latest.cumulative.events
    assert sum(w.unknown_items for w in windows) == first.latest.cumulative.unknown_items

    second = follow(settings, settings.metrics_topic)
    assert second.latest is not None
    assert second.latest.cumulative == first.latest.cumulative
    assert published(settings) == windows, "a window must be published once"


def environment_of(settings: Settings, folder: Path) -> dict[str, str]:
    """The variables with which the command uses the test's topics, and keeps its state in the folder."""
    topics = {f"THALWEG_{f.upper()}": getattr(settings, f) for f in Settings.__struct_fields__ if f.endswith("_topic")}
    return {"THALWEG_BROKER": settings.broker, "THALWEG_MONITOR_FOLDER": str(folder), **topics}


def test_the_command_serves_prometheus_and_prints_json_when_it_is_interrupted(
    settings: Settings, tmp_path: Path
) -> None:
    environment = {**os.environ, **environment_of(settings, tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "monitor", "--json"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        address = process.stderr.readline().removeprefix("Prometheus: ").strip()
        deadline = time.monotonic() + 30
        text = ""
        while f"thalweg_monitor_records_total {EVENTS + EVENTS // 10 + 2}" not in text.replace(".0\n", "\n"):
            assert time.monotonic() < deadline, text
            time.sleep(0.2)
            with urllib.request.urlopen(address, timeout=5) as answer:
                text = answer.read().decode()
        assert 'thalweg_online_recall{bundle="gru-1",k="20",scorer="last_item",window="cumulative"} 0.' in text
        assert f'thalweg_monitor_duplicates_total{{bundle="gru-1"}} {EVENTS // 10}' in text
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    result = msgspec.json.decode(output.splitlines()[-1], type=Snapshot)
    assert result.latest is not None
    assert set(result.latest.cumulative.metrics) == {"model", "popularity", "last_item"}
    assert 0 < result.latest.cumulative.metrics["popularity"]["recall@20"] < 1


def test_until_idle_ends_without_an_interrupt_and_prints_a_table(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment_of(settings, tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["monitor", "--until-idle", "0.5"]) == 0
    shown = capsys.readouterr().out
    assert f"{EVENTS + EVENTS // 10 + 2:,} records read, 0 left to read, 2 undecodable" in shown
    assert f"{EVENTS // 10:,} duplicates" in shown
    assert "after the last item" in shown
