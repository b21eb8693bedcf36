"""What a worker says of itself to Prometheus, counted a batch at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from streams.engine.processor import Result

# Quarter steps of a power of ten between 1 ms and 100 s: a quantile read off the buckets is within 30% of the truth.
FRESHNESS_BOUNDS_MS = np.round(10 ** np.arange(0, 5.01, 0.125), 3)


class Freshness(Collector):
    """Histogram of the time from an event's record timestamp to its user's row being readable, in seconds."""

    def __init__(self) -> None:
        self._counts = np.zeros(len(FRESHNESS_BOUNDS_MS) + 1, np.int64)
        self._sum_ms = 0.0

    def observe(self, ages_ms: Any) -> None:
        """ages_ms: (n,) float64."""
        self._counts += np.bincount(np.searchsorted(FRESHNESS_BOUNDS_MS, ages_ms), minlength=len(self._counts))
        self._sum_ms += float(ages_ms.sum())

    def collect(self) -> Iterator[HistogramMetricFamily]:
        bounds = [*(f"{bound / 1000:.6g}" for bound in FRESHNESS_BOUNDS_MS), "+Inf"]
        family = HistogramMetricFamily(
            "thalweg_freshness_seconds", "From an event's record timestamp to its stored row."
        )
        family.add_metric([], list(zip(bounds, np.cumsum(self._counts).tolist(), strict=True)), self._sum_ms / 1000)
        yield family


class Lag(Collector):
    """Records behind the end of each partition, asked for at every scrape."""

    def __init__(self) -> None:
        self.read: Callable[[], dict[int, int]] = dict

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "thalweg_lag_records", "Records not yet applied, by partition.", labels=["partition"]
        )
        for partition, lag in sorted(self.read().items()):
            family.add_metric([str(partition)], lag)
        yield family


class Measures:
    """The worker's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.lag = Lag()
        self.registry.register(self.lag)
        self.freshness = Freshness()
        self.registry.register(self.freshness)
        self._records = Counter(
            "thalweg_records", "Records processed, by outcome.", labelnames=["outcome"], registry=self.registry
        )
        for outcome in ("applied", "already_applied", "dead_letter", "erased"):
            self._records.labels(outcome)
        self._evaluated = Counter(
            "thalweg_evaluated_events", "Applied events that were ranked and published.", registry=self.registry
        )
        self._rows = Counter("thalweg_rows_written", "Rows of users written to Cassandra.", registry=self.registry)
        self._batches = Counter("thalweg_batches", "Micro-batches processed.", registry=self.registry)
        self._busy = Counter("thalweg_processing_seconds", "Restoring, decoding and stepping.", registry=self.registry)
        self.users = Gauge("thalweg_users_in_memory", "Users in the arena.", registry=self.registry)
        self.store_retries = Gauge("thalweg_store_retries", "Requests to Cassandra sent again.", registry=self.registry)
        self.item_vectors = Gauge(
            "thalweg_item_vectors_stored",
            "Item vectors of the bundle in Cassandra, as far as this worker knows.",
            registry=self.registry,
        )
        self.rebuilt_users = Counter(
            "thalweg_rebuilt_users", "Users whose stored row was damaged.", registry=self.registry
        )
        self.expired_records = Counter(
            "thalweg_expired_records", "Records deleted by retention before they were read.", registry=self.registry
        )
        self.batches_confirmed = 0
        self.rebuild_records = 0  # read again for users whose stored row was damaged
        self.next_offset: dict[int, int] = {}  # by partition, after the last confirmed batch

    def processed(self, seconds: float) -> None:
        """A micro-batch is stepped; nothing of it has left the process yet."""
        self._batches.inc()
        self._busy.inc(seconds)

    def stored(self, result: Result, rows: int, now_ms: float) -> None:
        """A micro-batch's rows, so many, can be read."""
        self._rows.inc(rows)
        if len(result.columns.timestamp_ms):
            self.freshness.observe(now_ms - result.columns.timestamp_ms)

    def confirmed(self, last_offsets: Mapping[int, int], result: Result) -> None:
        """A micro-batch is stored and published: only now do its records count; last_offsets: by partition."""
        self._records.labels("applied").inc(len(result.columns.event))
        self._evaluated.inc(len(result.evaluated))
        self._records.labels("already_applied").inc(result.already_applied)
        self._records.labels("dead_letter").inc(len(result.rejected))
        self._records.labels("erased").inc(len(result.erased))
        self.batches_confirmed += 1
        self.next_offset.update((partition, offset + 1) for partition, offset in last_offsets.items())

    def forget(self, partitions: Sequence[int]) -> None:
        """Another worker may move these partitions on: what is committed says more than what this one confirmed."""
        for partition in partitions:
            self.next_offset.pop(partition, None)
