"""Quantiles of freshness from a worker's histogram."""

import numpy as np
import pytest
from prometheus_client import generate_latest

from streams.demo.scraped_metrics import ScrapedMetrics
from streams.health.metrics import WorkerMetrics


def scrape(metrics: WorkerMetrics) -> ScrapedMetrics:
    return ScrapedMetrics(generate_latest(metrics.registry).decode())


def test_a_quantile_is_close_to_the_exact_quantile() -> None:
    metrics, ages_ms = WorkerMetrics(), np.random.default_rng(0).lognormal(3.0, 0.8, 20_000)
    metrics.freshness.observe(ages_ms)
    for quantile in (0.5, 0.99):
        assert scrape(metrics).freshness_ms(quantile) == pytest.approx(np.quantile(ages_ms, quantile), rel=0.05)


def test_only_rows_after_an_earlier_scrape_count() -> None:
    metrics = WorkerMetrics()
    metrics.freshness.observe(np.full(1000, 5_000.0))
    earlier = scrape(metrics)
    metrics.freshness.observe(np.full(10, 15.0))
    p99_ms = scrape(metrics).freshness_ms(0.99, earlier)
    assert p99_ms is not None
    assert 13.3 < p99_ms <= 17.8


def test_an_outlier_after_empty_buckets_changes_no_quantile_below_the_outlier() -> None:
    metrics = WorkerMetrics()
    metrics.freshness.observe(np.array([1.0] * 5 + [15_000.0] * 5))
    assert scrape(metrics).freshness_ms(0.5) == pytest.approx(1.0)
    metrics = WorkerMetrics()
    metrics.freshness.observe(np.array([9_000.0] * 99 + [1e6]))
    assert scrape(metrics).freshness_ms(0.99) == pytest.approx(10_000.0)


def test_without_stored_rows_there_is_no_freshness() -> None:
    assert scrape(WorkerMetrics()).freshness_ms(0.5) is None


def test_a_quantile_above_the_last_bound_is_the_last_bound() -> None:
    metrics = WorkerMetrics()
    metrics.freshness.observe(np.full(3, 1e6))
    assert scrape(metrics).freshness_ms(0.5) == pytest.approx(100_000.0)
