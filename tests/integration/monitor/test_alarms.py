"""Alarms of the monitor on a real Kafka: the topic and the webhook, kills at any moment, and retention in between."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from streams.broker.topics import broker_admin, ensure_monitor_topics, ensure_topics
from streams.config.settings import Settings
from streams.contracts.alarm_events import AlarmEvent
from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.metrics_events import MetricsEvent
from streams.contracts.predictions import Prediction
from streams.local import LocalServices
from streams.monitor.drift.blocks import BLOCK_EVENTS
from streams.monitor.drift.level import LEARN_BLOCKS
from streams.monitor.drift.watch import WARM_UP_BLOCKS
from streams.monitor.scoring.scores import Snapshot

ROOT = Path(__file__).parents[3]
PARTITIONS = 2
LEARNED = (WARM_UP_BLOCKS + LEARN_BLOCKS + 5) * BLOCK_EVENTS
BAD, GOOD = 10 * BLOCK_EVENTS, 40 * BLOCK_EVENTS
STEP_MS = 25
# The command, which saves its state more often than usual
MONITOR = (
    "import sys, streams.monitor.saved_state as s; s.SAVE_EVERY_S = 0.2; s.LARGEST_SHARE = 1.0; "
    "from streams.cli import main; sys.exit(main(sys.argv[1:]))"
)


def evaluations(first: int, count: int, rank: int, later_ms: int) -> Iterator[tuple[int, int, EvaluationEvent]]:
    """Yield (partition, timestamp_ms, event). Events of users with history, whose better rank is `rank`.

    Events after the learning begin at `later_ms`, and events of the learning two hours before.
    """
    choose = random.Random(first)
    for number in range(first, first + count):
        user = choose.randrange(200)
        found = rank if choose.random() < 0.5 else 5
        from_ms = later_ms - 7_200_000 if number < LEARNED else later_ms - LEARNED * STEP_MS
        event_time_ms = from_ms + number * STEP_MS
        yield (
            user % PARTITIONS,
            event_time_ms,
            EvaluationEvent(
                id=f"events-0-{user % PARTITIONS}-{number}",
                user_id=f"user-{user}",
                bundle_id="gru-1",
                item_id=f"item-{choose.randrange(300)}",
                action=choose.choice(("view", "cart")),
                previous_item_id=None,
                rank=found,
                reciprocal_rank=1 / found,
                catalogue=300,
                steps=3,
                state_age_ms=int(choose.lognormvariate(10, 1)),
                event_time_ms=event_time_ms,
            ),
        )


class AlertServer:
    """Takes the posts of the webhook. Does not answer well before `open` is set."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        self.open = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if owner.open.is_set():
                    owner.alerts += body
                self.send_response(200 if owner.open.is_set() else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Deployment:
    """Topics of their own, a folder for the state, and a server for the alarms."""

    def __init__(self, services: LocalServices, folder: Path) -> None:
        # An idle monitor closes the intervals up to now, so the events after the learning lie in the future.
        self.later_ms = int(time.time() + 600) * 1000 // 10_000 * 10_000
        prefix = uuid.uuid4().hex[:8]
        self.names = {f: f"{prefix}.{f}" for f in Settings.__struct_fields__ if f.endswith("_topic")}
        self.settings = Settings(broker=services.bootstrap, partitions=PARTITIONS, **self.names)
        ensure_topics(self.settings)
        ensure_monitor_topics(self.settings)
        self.server = AlertServer()
        self.environment = {
            **os.environ,
            "THALWEG_BROKER": self.settings.broker,
            "THALWEG_MONITOR_FOLDER": str(folder),
            "THALWEG_ALARMS_WEBHOOK": f"http://127.0.0.1:{self.server.server.server_port}",
            **{f"THALWEG_{field.upper()}": topic for field, topic in self.names.items()},
        }

    def send(self, first: int, count: int, rank: int) -> None:
        """Send evaluation events, and after each hundredth one another system's prediction of the item after it."""
        producer = KafkaProducer(bootstrap_servers=self.settings.broker, linger_ms=50)
        following: dict[str, str] = {}
        events = list(evaluations(first, count, rank, self.later_ms))
        for _, _, event in reversed(events):
            following[event.id], following[event.user_id] = following.get(event.user_id, ""), event.item_id
        for number, (partition, time_ms, event) in enumerate(events):
            topic, value = self.settings.evaluation_topic, msgspec.json.encode(event)
            producer.send(topic, value, partition=partition, timestamp_ms=time_ms)
            if number % 100 == 0:
                prediction = Prediction("theirs", event.user_id, event.id, ["none", following[event.id]])
                value = msgspec.json.encode(prediction)
                producer.send(self.settings.predictions_topic, value, partition=partition, timestamp_ms=time_ms)
        producer.flush()
        producer.close()

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", MONITOR, "monitor", "--json", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=pipe, stderr=pipe, text=True)

    def finish(self) -> Snapshot:
        """Run a monitor until it has read everything. Returns its last numbers."""
        output, errors = (process := self.start("--until-idle", "1.5")).communicate(timeout=90)
        assert process.returncode == 0, errors
        return msgspec.json.decode(output.splitlines()[-1], type=Snapshot)

    def kill_after(self, seconds: float) -> None:
        process = self.start()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=20)

    def published(self, topic: str, kind: type[Any]) -> list[Any]:
        consumer = KafkaConsumer(bootstrap_servers=self.settings.broker, auto_offset_reset="earliest")
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        end = consumer.end_offsets([partition])[partition]
        found: list[Any] = []
        while consumer.position(partition) < end:
            for records in consumer.poll(timeout_ms=1000).values():
                found += [msgspec.json.decode(record.value, type=kind) for record in records]
        consumer.close()
        return found

    def alarms(self) -> list[AlarmEvent]:
        return self.published(self.settings.alarms_topic, AlarmEvent)

    def expire(self) -> None:
        """Delete every evaluation event that the topic holds, as retention does."""
        consumer = KafkaConsumer(bootstrap_servers=self.settings.broker)
        partitions = [TopicPartition(self.settings.evaluation_topic, number) for number in range(PARTITIONS)]
        ends = consumer.end_offsets(partitions)
        consumer.close()
        with broker_admin(self.settings) as admin:
            admin.delete_records(ends)


@pytest.fixture
def deployment(services: LocalServices, tmp_path: Path) -> Iterator[Deployment]:
    deployment = Deployment(services, tmp_path / "monitor")
    yield deployment
    deployment.server.server.shutdown()
    deployment.server.server.server_close()


def test_kills_and_retention_repeat_no_alarm_and_no_interval_and_forget_nothing(deployment: Deployment) -> None:
    choose = random.Random(5)
    deployment.send(0, LEARNED, rank=2)
    first = deployment.finish()
    assert first.records == LEARNED
    assert deployment.alarms() == []
    deployment.expire()

    deployment.send(LEARNED, BAD, rank=50)
    for _ in range(3):
        deployment.kill_after(choose.uniform(1.0, 4.0))
    during = deployment.finish()
    assert during.records == LEARNED + BAD, "the records that retention deleted are counted"
    assert during.latest is not None
    assert during.latest.alarms["quality_drop/all"]
    fired = deployment.alarms()
    assert [(alarm.name, alarm.state) for alarm in fired] == [("quality_drop", "firing")]
    delay_ms = fired[0].starts_at_ms - deployment.later_ms
    assert 0 < delay_ms <= 6 * BLOCK_EVENTS * STEP_MS

    deployment.server.open.set()
    deployment.send(LEARNED + BAD, GOOD, rank=2)
    for _ in range(2):
        deployment.kill_after(choose.uniform(1.0, 4.0))
    last = deployment.finish()
    again = deployment.finish()

    assert last.records == again.records == LEARNED + BAD + GOOD
    alarms = deployment.alarms()
    assert [(alarm.name, alarm.state) for alarm in alarms] == [("quality_drop", "firing"), ("quality_drop", "resolved")]
    assert alarms[0] == fired[0]
    assert alarms[1].starts_at_ms == fired[0].starts_at_ms
    assert len({alarm.id for alarm in alarms}) == 2

    told = [(alert["labels"]["alertname"], alert["startsAt"], "endsAt" in alert) for alert in deployment.server.alerts]
    assert {name for name, _, _ in told} == {"thalweg_quality_drop"}
    assert len({start for _, start, _ in told}) == 1, "the same alarm each time"
    assert told[-1][2], "the end was told"

    windows: list[MetricsEvent] = deployment.published(deployment.settings.metrics_topic, MetricsEvent)
    assert len({window.id for window in windows}) == len(windows), "each interval once"
    assert last.latest is not None
    assert last.latest.cumulative.events == last.records
    still_open = last.records - sum(window.events for window in windows)
    assert 0 < still_open <= 10_000 / STEP_MS, "each event is in one interval, and the last interval is not over"
    theirs = [
        (window.compared["theirs"].events, window.metrics["theirs"]["mrr@20"])
        for window in windows
        if "theirs" in window.compared
    ]
    events = sum(count for count, _ in theirs)
    assert 0.95 * last.records / 100 < events <= last.records / 100
    mean = sum(count * (value or 0.0) for count, value in theirs) / events
    assert 0.45 < mean <= 0.5, "the second item of each list is right, but for the last events of a sending"


def test_a_second_monitor_shows_the_numbers_and_publishes_nothing(deployment: Deployment) -> None:
    deployment.send(0, 2_000, rank=2)
    first = deployment.start()
    try:
        assert first.stderr is not None
        lines = iter(first.stderr.readline, "")
        assert any("Prometheus" in line for line in lines), "the first monitor holds the state"
        second = deployment.start("--until-idle", "1")
        output, errors = second.communicate(timeout=60)
        assert second.returncode == 0, errors
        assert "publishes nothing" in errors
        assert msgspec.json.decode(output.splitlines()[-1], type=Snapshot).records == 2_000
    finally:
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=30)
    assert first.returncode == 0
    windows = deployment.published(deployment.settings.metrics_topic, MetricsEvent)
    assert len({window.id for window in windows}) == len(windows)
