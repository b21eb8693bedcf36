"""A worker's metrics for Prometheus, counted batch by batch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from streams.engine.stages import Scored
from streams.health.dropped_fields import DroppedFields
from streams.health.registry import new_registry
from streams.health.skipped_records import SkippedRecords

# Eighth steps of a power of ten between 1 ms and 100 s. A quantile that is read off the buckets is within 30% of the
# true quantile.
FRESHNESS_BOUNDS_MS = np.round(10 ** np.arange(0, 5.01, 0.125), 3)


# The stored row was damaged. The row was deleted by an erasure that is read again. The row was deleted by nobody known.
REBUILD_REASONS = ("damaged", "erased_later", "lost")


class Freshness(Collector):
    """A histogram of the time from an event's record timestamp to the readable row of its user, in seconds."""

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


class PartitionRecords(Collector):
    """A number of records for each partition, read at every scrape."""

    def __init__(self, name: str, documentation: str, read: Callable[[], dict[int, int]]) -> None:
        """read: returns the records by partition."""
        self._name = name
        self._documentation = documentation
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._documentation, labels=["partition"])
        for partition, records in sorted(self._read().items()):
            family.add_metric([str(partition)], records)
        yield family


class BatchCounters(NamedTuple):
    """What the micro-batches of a worker are counted by."""

    records: Counter
    evaluated: Counter
    rows: Counter
    batches: Counter
    busy: Counter

    @classmethod
    def register(cls, registry: CollectorRegistry) -> "BatchCounters":
        """New counters in a registry."""
        records = Counter(
            "thalweg_records", "Records processed, by outcome.", labelnames=["outcome"], registry=registry
        )
        for outcome in ("applied", "already_applied", "dead_letter", "erased", "skipped"):
            records.labels(outcome)
        return cls(
            records=records,
            evaluated=Counter(
                "thalweg_evaluated_events", "Applied events that were ranked and published.", registry=registry
            ),
            rows=Counter("thalweg_rows_written", "Rows of users written to Cassandra.", registry=registry),
            batches=Counter("thalweg_batches", "Micro-batches processed.", registry=registry),
            busy=Counter("thalweg_processing_seconds", "Restoring, decoding and stepping.", registry=registry),
        )


class WorkerMetrics:
    """The worker's metrics, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = new_registry()
        self.freshness = Freshness()
        registry.register(self.freshness)
        self._counters = BatchCounters.register(registry)
        self.dropped_fields = DroppedFields(registry)
        self.skipped_records = SkippedRecords(registry)
        documentation = "Users whose state was computed again from the topic, by the reason."
        self.rebuilt_users = Counter("thalweg_rebuilt_users", documentation, labelnames=["reason"], registry=registry)
        for reason in REBUILD_REASONS:
            self.rebuilt_users.labels(reason)
        self.expired_records = Counter(
            "thalweg_expired_records", "Records deleted by retention before they were read.", registry=registry
        )
        self.batches_confirmed = 0
        self.rebuild_records = 0  # read again for damaged rows, and to look for a restored Cassandra
        self.next_offset: dict[int, int] = {}  # by partition, the offset behind the last confirmed batch

    def add_readings(
        self,
        lag: Callable[[], dict[int, int]],
        open_transaction_records: Callable[[], dict[int, int]],
        users: Callable[[], int],
        store_retries: Callable[[], int],
        item_vectors: Callable[[], int],
        bundle_id: str,
        bundle_items: int,
    ) -> None:
        """Add the metrics that are read at every scrape.

        lag, open_transaction_records: in records by partition. bundle_items: the number of item vectors of the bundle.
        """
        documentation = "Records that can be read and are not applied yet, by partition."
        self.registry.register(PartitionRecords("thalweg_lag_records", documentation, lag))
        name = "thalweg_open_transaction_records"
        documentation = "Records that wait for the end of an open transaction of a producer, by partition."
        self.registry.register(PartitionRecords(name, documentation, open_transaction_records))
        self._gauge("thalweg_users_in_memory", "Users in the arena.", users)
        self._gauge("thalweg_store_retries", "Requests to Cassandra sent again.", store_retries)
        documentation = "Item vectors of the bundle in Cassandra, as far as this worker knows."
        self._gauge("thalweg_item_vectors_stored", documentation, item_vectors)
        documentation = "Item vectors of the bundle, which are all to be stored in Cassandra."
        items = Gauge("thalweg_bundle_items", documentation, labelnames=["bundle"], registry=self.registry)
        items.labels(bundle_id).set(bundle_items)

    def _gauge(self, name: str, documentation: str, read: Callable[[], int]) -> None:
        Gauge(name, documentation, registry=self.registry).set_function(read)

    def on_processed(self, seconds: float) -> None:
        """A micro-batch is stepped. Nothing of the batch has left the process yet."""
        self._counters.batches.inc()
        self._counters.busy.inc(seconds)

    def on_stored(self, scored: Scored, now_ms: float) -> None:
        """The rows of a micro-batch can be read."""
        self._counters.rows.inc(len(scored.changed_rows()))
        if len(scored.applied.timestamp_ms):
            self.freshness.observe(now_ms - scored.applied.timestamp_ms)

    def on_confirmed(self, last_offsets: Mapping[int, int], scored: Scored) -> None:
        """A micro-batch is stored and published. Only now its records count. last_offsets: by partition."""
        records = self._counters.records
        records.labels("applied").inc(scored.applied.records())
        self._counters.evaluated.inc(len(scored.evaluated))
        records.labels("already_applied").inc(scored.already_applied)
        records.labels("dead_letter").inc(len(scored.rejected))
        records.labels("erased").inc(len(scored.erased))
        records.labels("skipped").inc(len(scored.skipped))
        self.dropped_fields.add(scored.dropped)
        self.skipped_records.add(scored.skipped)
        self.batches_confirmed += 1
        self.next_offset.update((partition, offset + 1) for partition, offset in last_offsets.items())

    def forget(self, partitions: Sequence[int]) -> None:
        """Another worker may own these partitions. The committed offset then tells more than the last confirmed one."""
        for partition in partitions:
            self.next_offset.pop(partition, None)
