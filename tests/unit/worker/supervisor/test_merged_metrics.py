"""The metrics of several processes as those of one."""

from collections.abc import Iterator

import numpy as np
import pytest
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    disable_created_metrics,
    enable_created_metrics,
    generate_latest,
)
from prometheus_client.parser import text_string_to_metric_families

from streams.health.metrics import WorkerMetrics
from streams.supervisor.merged_metrics import MergedMetrics


def answer(applied: int, lag: dict[int, int], ages_ms: list[float], users: int = 0, vectors: int = 0) -> str:
    """Return what a process with these numbers answers."""
    metrics = WorkerMetrics()
    metrics._counters.records.labels("applied").inc(applied)
    metrics.freshness.observe(np.array(ages_ms))
    metrics.add_readings(lambda: lag, lambda: {}, lambda: users, lambda: 0, lambda: vectors, "gru-1", 100)
    return generate_latest(metrics.registry).decode()


def values(metrics: MergedMetrics) -> dict[tuple[str, str], float]:
    """Return the merged samples as a scraper reads them, by name and labels."""
    registry = CollectorRegistry()
    registry.register(metrics)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    samples = [s for family in families for s in family.samples]
    found = {(s.name, ",".join(s.labels.values())): s.value for s in samples}
    assert len(found) == len(samples), "a sample stands twice in the answer"
    return found


def test_counters_histograms_and_gauges_of_two_processes() -> None:
    metrics = MergedMetrics()
    metrics.take(1, answer(5, {0: 10, 2: 1}, [1.5, 20.0], users=3, vectors=100))
    metrics.take(2, answer(7, {1: 4, 2: 8}, [20.0], users=4, vectors=90))
    found = values(metrics)
    assert found["thalweg_records_total", "applied"] == 12
    assert found["thalweg_freshness_seconds_count", ""] == 3
    assert found["thalweg_freshness_seconds_sum", ""] == pytest.approx(0.0415)
    assert found["thalweg_freshness_seconds_bucket", "0.001778"] == 1
    assert found["thalweg_freshness_seconds_bucket", "+Inf"] == 3
    assert [found["thalweg_lag_records", partition] for partition in "012"] == [10, 4, 8]
    assert found["thalweg_users_in_memory", ""] == 7
    assert found["thalweg_item_vectors_stored", ""] == 100
    assert found["thalweg_bundle_items", "gru-1"] == 100


def test_a_later_answer_of_a_process_replaces_the_earlier_one() -> None:
    metrics = MergedMetrics()
    metrics.take(1, answer(5, {0: 10}, [1.0]))
    metrics.take(1, answer(9, {0: 2}, [1.0, 1.0]))
    found = values(metrics)
    assert found["thalweg_records_total", "applied"] == 9
    assert found["thalweg_lag_records", "0"] == 2
    assert found["thalweg_freshness_seconds_count", ""] == 2


def test_no_counter_falls_when_a_process_ends_and_its_gauges_go_with_it() -> None:
    metrics = MergedMetrics()
    for life in range(3):
        metrics.take(1, answer(5, {0: 10}, [1.0], users=3))
        metrics.take(2, answer(100 + life, {1: 1}, []))
        metrics.retire(1)
        found = values(metrics)
        assert found["thalweg_records_total", "applied"] == 5 * (life + 1) + 100 + life
        assert found["thalweg_freshness_seconds_bucket", "+Inf"] == life + 1
        assert ("thalweg_lag_records", "0") not in found
        assert found["thalweg_users_in_memory", ""] == 0


def test_a_process_that_never_answered_changes_nothing() -> None:
    metrics = MergedMetrics()
    metrics.retire(1)
    metrics.running, metrics.restarts = 1, 2
    assert values(metrics)["thalweg_processes", ""] == 1
    assert values(metrics)["thalweg_process_restarts_total", ""] == 2


@pytest.fixture
def _with_times_of_creation() -> Iterator[None]:
    enable_created_metrics()
    yield
    disable_created_metrics()


@pytest.mark.usefixtures("_with_times_of_creation")
def test_the_time_of_creation_is_the_earliest() -> None:
    metrics, times = MergedMetrics(), []
    for number in (1, 2):
        registry = CollectorRegistry()
        Counter("thalweg_batches", "Batches.", registry=registry)
        Gauge("thalweg_unknown", "A gauge without a rule of its own.", registry=registry).set(2)
        text = generate_latest(registry).decode()
        times += [float(line.split()[1]) for line in text.splitlines() if line.startswith("thalweg_batches_created")]
        metrics.take(number, text)
    metrics.retire(1)
    found = values(metrics)
    assert found["thalweg_batches_created", ""] == min(times) < max(times)
    assert found["thalweg_unknown", ""] == 2
