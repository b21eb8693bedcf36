"""Quantiles of freshness as they are read off a worker's histogram."""

import numpy as np
import pytest
from prometheus_client import generate_latest

from streams.demo.worker_process import Reading
from streams.health.metrics import Measures


def _reading(measures: Measures) -> Reading:
    return Reading(generate_latest(measures.registry).decode())


def test_a_quantile_is_near_the_truth_within_its_bucket() -> None:
    measures, ages_ms = Measures(), np.random.default_rng(0).lognormal(3.0, 0.8, 20_000)
    measures.freshness.observe(ages_ms)
    for quantile in (0.5, 0.99):
        assert _reading(measures).freshness_ms(quantile) == pytest.approx(np.quantile(ages_ms, quantile), rel=0.05)


def test_only_what_came_since_counts() -> None:
    measures = Measures()
    measures.freshness.observe(np.full(1000, 5_000.0))
    before = _reading(measures)
    measures.freshness.observe(np.full(10, 15.0))
    since = _reading(measures).freshness_ms(0.99, before)
    assert since is not None
    assert 13.3 < since <= 17.8


def test_an_outlier_behind_empty_buckets_moves_no_quantile_below_it() -> None:
    measures = Measures()
    measures.freshness.observe(np.array([1.0] * 5 + [15_000.0] * 5))
    assert _reading(measures).freshness_ms(0.5) == pytest.approx(1.0)
    measures = Measures()
    measures.freshness.observe(np.array([9_000.0] * 99 + [1e6]))
    assert _reading(measures).freshness_ms(0.99) == pytest.approx(10_000.0)


def test_nothing_stored_has_no_freshness() -> None:
    reading = _reading(Measures())
    assert reading.freshness_ms(0.5) is None


def test_beyond_the_last_bound_it_is_that_bound() -> None:
    measures = Measures()
    measures.freshness.observe(np.full(3, 1e6))
    assert _reading(measures).freshness_ms(0.5) == pytest.approx(100_000.0)
