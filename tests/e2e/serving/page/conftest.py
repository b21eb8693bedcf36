"""What the tests of the page share: a worker, a server, events, metrics, an alarm and a dead letter."""

import time
from collections.abc import Iterator

import msgspec
import pytest
from kafka import KafkaProducer

from export.runtime.bundle import Bundle
from streams.broker.topics import ensure_monitor_topics
from streams.config.security import kafka_python_arguments
from streams.contracts.metrics_events import MetricsEvent
from streams.local import LocalServices
from tests.support.deployment import Deployment, shopping
from tests.tools.serving import Server, started


@pytest.fixture(scope="package")
def served(
    services: LocalServices, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Deployment, Server]]:
    """A worker that has applied events and written a dead letter, metrics of two bundles and an alarm, and a server."""
    deployment = Deployment(services, bundle, tmp_path_factory.mktemp("page"))
    deployment.send([*shopping(300, 20), (b"u", b"not JSON")])
    worker = deployment.worker()
    worker.start()
    deployment.wait_until_committed()
    write_metrics(deployment)
    server = started(deployment.settings, deployment.folder / "server")
    yield deployment, server
    server.stop()
    worker.stop()


def write_metrics(deployment: Deployment) -> None:
    """Six windows of the deployment's bundle and of another one, and an alarm that fires."""
    now_ms, mine = int(time.time() * 1000), deployment.bundle.bundle_id
    producer = KafkaProducer(**kafka_python_arguments(deployment.settings))
    for bundle_id, recall in (("gru-0123456789ab", 0.2), (mine, 0.4)):
        for number in range(6):
            begin_ms = now_ms - 60_000 + number * 10_000
            systems = {"model": recall, "popularity": 0.1, "last_item": 0.3, "frozen_1h": recall - 0.02, "rival": 0.35}
            window = MetricsEvent(
                id=f"{bundle_id}-10000-{begin_ms}",
                bundle_id=bundle_id,
                window_start_ms=begin_ms,
                window_end_ms=begin_ms + 10_000,
                events=100,
                unknown_items=0,
                without_history=0,
                metrics={name: {"recall@20": value, "mrr@20": value / 2} for name, value in systems.items()},
            )
            producer.send(deployment.settings.metrics_topic, msgspec.json.encode(window), key=bundle_id.encode())
    ensure_monitor_topics(deployment.settings)
    alarm = {
        "id": f"{mine}-quality_drop-all-{now_ms - 30_000}-firing",
        "bundle_id": mine,
        "name": "quality_drop",
        "slice": "all",
        "state": "firing",
    }
    alarm |= {"starts_at_ms": now_ms - 30_000, "ends_at_ms": None, "value": 0.1, "expected": 0.4, "detail": "It fell."}
    producer.send(deployment.settings.alarms_topic, msgspec.json.encode(alarm), key=mine.encode())
    producer.flush()
    producer.close()
