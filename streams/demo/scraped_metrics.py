"""One scrape of a worker's /metrics, as numbers."""

from typing import Any

import numpy as np
from prometheus_client.parser import text_string_to_metric_families


class ScrapedMetrics:
    """The metrics of one scrape."""

    def __init__(self, text: str) -> None:
        """`text` is in Prometheus's exposition format."""
        self._samples = [s for family in text_string_to_metric_families(text) for s in family.samples]

    def records(self, outcome: str) -> int:
        """Number of records with this outcome, e.g. "applied"."""
        return int(self._sum("thalweg_records_total", outcome=outcome))

    def total(self, name: str) -> int:
        """The sum of a metric over all its labels."""
        return int(self._sum(name))

    @property
    def lag(self) -> int:
        """Records that are not committed, over all partitions of the worker."""
        return sum(self.lag_by_partition().values())

    def lag_by_partition(self) -> dict[int, int]:
        """Partition -> records that are not committed, for the partitions of the worker."""
        return {int(s.labels["partition"]): int(s.value) for s in self._samples if s.name == "thalweg_lag_records"}

    def freshness_ms(self, quantile: float, since: "ScrapedMetrics | None" = None) -> float | None:
        """The quantile over the rows stored after the scrape `since`; None when no row was stored.

        A quantile is interpolated within its bucket as Prometheus's `histogram_quantile` does. A quantile above the
        last bound is that bound.
        """
        buckets = self._freshness_buckets()
        counts = np.array([s.value for s in buckets])
        if since is not None:
            counts -= np.array([s.value for s in since._freshness_buckets()])
        if not len(counts) or counts[-1] == 0:
            return None
        bounds_ms = [0.0, *(float(bucket.labels["le"]) * 1000 for bucket in buckets[:-1])]
        cumulative, rank = np.array([0.0, *counts[:-1]]), quantile * counts[-1]
        if rank > cumulative[-1]:
            return bounds_ms[-1]
        # Of several bounds with the same count, the first bound is the one that a rank reaches.
        is_first = np.diff(cumulative, prepend=-1.0) > 0
        return float(np.interp(rank, cumulative[is_first], np.array(bounds_ms)[is_first]))

    def _freshness_buckets(self) -> list[Any]:
        return [s for s in self._samples if s.name == "thalweg_freshness_seconds_bucket"]

    def _sum(self, name: str, **labels: str) -> float:
        return sum(s.value for s in self._samples if s.name == name and labels.items() <= s.labels.items())
