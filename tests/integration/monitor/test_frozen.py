"""Frozen representations from the updates topic of a real Kafka, written in transactions as a worker writes them."""

import time
import uuid

from kafka import KafkaProducer

from export.runtime.bundle import Bundle
from streams.broker.topics import ensure_topics
from streams.config.settings import Settings
from streams.demo import shop
from streams.local import LocalServices
from streams.monitor.frozen.comparison import FrozenComparison
from streams.monitor.inputs import Extras
from streams.monitor.monitor import Monitor
from streams.monitor.scoring.bundle_scoreboards import BundleScoreboards
from tests.support.monitoring.simulated_stream import Record, scored, simulated_stream

EVENTS = 20_000  # of the shop's three days


def test_the_monitor_scores_frozen_representations_as_it_would_without_kafka(services: LocalServices) -> None:
    bundle = Bundle.load(shop.BUNDLE)
    start_ms = int(time.time() - 600) * 1000  # within the last hour
    prefix = uuid.uuid4().hex[:8]
    names = {f: f"{prefix}.{f}" for f in Settings.__struct_fields__ if f.endswith("_topic")}
    settings = Settings(broker=services.bootstrap, partitions=2, **names)
    ensure_topics(settings)
    boards, frozen = BundleScoreboards(600_000, 5_000), FrozenComparison(bundle)
    evaluations = KafkaProducer(bootstrap_servers=settings.broker)
    updates = KafkaProducer(bootstrap_servers=settings.broker, transactional_id=prefix)
    updates.init_transactions()
    count = 0
    for number, (scored_records, update_records) in enumerate(
        scored(simulated_stream(4, "none", events=EVENTS).records)
    ):
        at_ms = start_ms + number * 1_000
        for record in scored_records:
            topic, partition = settings.evaluation_topic, number % 2
            evaluations.send(topic, record.value, record.key, partition=partition, timestamp_ms=at_ms)
        updates.begin_transaction()
        for record in update_records:
            updates.send(settings.updates_topic, record.value, record.key, partition=1, timestamp_ms=at_ms + 1)
        updates.commit_transaction()
        boards.observe([moved(record, at_ms) for record in scored_records], frozen)
        for record in update_records:
            boards.update(moved(record, at_ms + 1), frozen)
        count += len(scored_records)
    evaluations.close()
    updates.close()

    monitor = Monitor(settings, settings.evaluation_topic, window_s=600.0, extras=Extras(bundle=bundle))
    monitor.start()
    deadline = time.monotonic() + 60
    while monitor.snapshot().records < count or monitor.snapshot().lag:
        assert time.monotonic() < deadline, monitor.snapshot()
        time.sleep(0.1)
    found = monitor.stop()
    boards.advance(start_ms + 10 * 3_600_000)
    expected = boards.snapshot()
    assert found.latest is not None
    assert expected.latest is not None
    assert found.latest.cumulative.events == expected.latest.cumulative.events
    assert found.latest.cumulative.metrics == expected.latest.cumulative.metrics
    assert set(found.latest.hour.compared) == {"frozen_1h", "frozen_1d"}
    for name, compared in found.latest.hour.compared.items():
        wanted = expected.latest.hour.compared[name]
        assert 0.95 * wanted.events < compared.events <= wanted.events, "without the open bucket"


def moved(record: Record, timestamp: int) -> Record:
    return record._replace(timestamp=timestamp)
