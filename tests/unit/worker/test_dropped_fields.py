"""A worker applies an event without its broken optional fields, counts the fields, and logs an example."""

import logging

import pytest

from encoder.data.contract.judge import DroppedField, DropReason
from streams.health.metrics import WorkerMetrics
from tests.support.processing import Record, record
from tests.support.stream.running_pipeline import Running, SlowStore, run_pipeline

METRIC = "thalweg_dropped_fields_total"


def with_fields(one: Record, fields: bytes) -> Record:
    assert one.value is not None
    return one._replace(value=one.value[:-1] + b"," + fields + b"}")


def count(metrics: WorkerMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_events_with_broken_fields_are_applied_and_the_fields_are_counted() -> None:
    store, found = SlowStore(), {}

    async def play(running: Running) -> None:
        await running.offer(
            0,
            record(0, "u", "i1", "e0", 0),
            with_fields(record(1, "u", "i1", "e1", 1), b'"price":-17.94'),
            with_fields(record(2, "u", "i1", "e2", 2), b'"price":-1,"attributes":{"order":9223372036854775808}'),
            with_fields(record(3, "u", "i1", "e3", 3), b'"price":NaN'),
            with_fields(record(4, "u", "i1", "e4", 4), b'"item_id":null,"price":-1'),
        )
        await running.confirmed()
        metrics = running.metrics
        found["negative"] = count(metrics, METRIC, field="price", reason="negative")
        found["beyond"] = count(metrics, METRIC, field="attributes", reason="beyond_64_bits")
        found["others"] = count(metrics, METRIC, field="category", reason="too_long")
        found["dead letters"] = count(metrics, "thalweg_records_total", outcome="dead_letter")

    run_pipeline(play, store)
    assert found == {"negative": 2, "beyond": 1, "others": 0, "dead letters": 1}
    assert store.users["u"].steps == 4


def test_the_log_shows_the_first_dropped_field_of_each_field_and_reason(caplog: pytest.LogCaptureFixture) -> None:
    dropped = [DroppedField("price", DropReason.NEGATIVE, f"-{n}", f"e{n}") for n in range(1, 4)]
    dropped.append(DroppedField("attributes", DropReason.WRONG_TYPE, "true", "e9", "new"))
    metrics = WorkerMetrics()
    with caplog.at_level(logging.WARNING):
        metrics.dropped_fields.add(dropped[:2])
        metrics.dropped_fields.add(dropped[2:])
    first, second = caplog.messages
    assert first.startswith("a value of price is left out, reason negative: event 'e1' has price -1;")
    assert "event 'e9' has attributes.new true;" in second
    assert count(metrics, METRIC, field="price", reason="negative") == 3
