"""The monitor's numbers for Prometheus, made from its snapshot whenever one is scraped."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.monitor.monitor import Snapshot

QUALITY = {
    "recall": "Share of events whose item was ranked among the first k",
    "mrr": "Mean reciprocal rank of the actual item, 0 beyond k",
    "ndcg": "Mean of 1 / log2(1 + rank) of the actual item, 0 beyond k",
}

HEADS = {
    "action_accuracy": ("action_accuracy", "Share of events whose action was the most probable one"),
    "action_macro_f1": ("action_macro_f1", "Mean over actions of the F1 of naming the most probable one"),
    "time_log_likelihood": ("time_log_likelihood", "Mean log density, per second, of the time to the next event"),
    "time_median_absolute_error_s": ("time_median_absolute_error_seconds", "Median error of the expected time"),
    "time_calibration_error": (
        "time_calibration_error",
        "Share of events in a wrong decile of the time foreseen; raw: times still running are missing",
    ),
}


class MonitorCollector(Collector):
    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        now = self._snapshot()
        records = CounterMetricFamily("thalweg_monitor_records", "Records read from the evaluation topic")
        records.add_metric([], now.records)
        undecodable = CounterMetricFamily("thalweg_monitor_undecodable", "Records that were no evaluation events")
        undecodable.add_metric([], now.undecodable)
        lag = GaugeMetricFamily("thalweg_monitor_lag_records", "Evaluation records that are not counted yet")
        lag.add_metric([], now.lag)
        yield from (records, undecodable, lag)
        yield from _counts(now)
        yield from _quality(now)
        yield from _heads(now)


def _counts(now: Snapshot) -> Iterator[Metric]:
    scored = CounterMetricFamily("thalweg_monitor_scored_events", "Events of users with history", labels=["bundle"])
    unknown = CounterMetricFamily("thalweg_monitor_unknown_items", "Scored, outside the catalogue", labels=["bundle"])
    first = CounterMetricFamily("thalweg_monitor_without_history", "First events of users", labels=["bundle"])
    duplicates = CounterMetricFamily("thalweg_monitor_duplicates", "Ids that had been counted", labels=["bundle"])
    share = GaugeMetricFamily(
        "thalweg_monitor_evaluation_share",
        "Of all events, those evaluated: below 1 quality is estimated",
        labels=["bundle"],
    )
    total = GaugeMetricFamily(
        "thalweg_monitor_estimated_events",
        "Events of users with history, evaluated or not: an estimate below share 1",
        labels=["bundle"],
    )
    for bundle_id, scores in now.bundles.items():
        share.add_metric([bundle_id], scores.cumulative.share)
        total.add_metric([bundle_id], scores.cumulative.events / scores.cumulative.share)
        scored.add_metric([bundle_id], scores.cumulative.events)
        unknown.add_metric([bundle_id], scores.cumulative.unknown_items)
        first.add_metric([bundle_id], scores.cumulative.without_history)
        duplicates.add_metric([bundle_id], scores.duplicates)
    yield from (scored, unknown, first, duplicates, share, total)


def _quality(now: Snapshot) -> Iterator[Metric]:
    labels = ["bundle", "scorer", "k", "window"]
    families = {
        name: GaugeMetricFamily(f"thalweg_online_{name}", text, labels=labels) for name, text in QUALITY.items()
    }
    for bundle_id, bundle in now.bundles.items():
        for window, scores in (("rolling", bundle.rolling), ("cumulative", bundle.cumulative)):
            for scorer, metrics in scores.metrics.items():
                for metric, value in metrics.items():
                    name, k = metric.split("@")
                    families[name].add_metric([bundle_id, scorer, k, window], value)
    yield from families.values()


def _heads(now: Snapshot) -> Iterator[Metric]:
    families = {
        metric: GaugeMetricFamily(f"thalweg_online_{name}", text, labels=["bundle", "window"])
        for metric, (name, text) in HEADS.items()
    }
    for bundle_id, bundle in now.bundles.items():
        for window, scores in (("rolling", bundle.rolling), ("cumulative", bundle.cumulative)):
            for metric, value in scores.heads.items():
                families[metric].add_metric([bundle_id, window], value)
    yield from families.values()


def registry(snapshot: Callable[[], Snapshot]) -> CollectorRegistry:
    """A registry of its own with the monitor's metrics."""
    made = CollectorRegistry()
    made.register(MonitorCollector(snapshot))
    return made
