"""The monitor's numbers in Prometheus's exposition format, made from a snapshot at each scrape."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.health.registry import new_registry
from streams.monitor.scoring.scores import Snapshot

# ranking metric -> help text of thalweg_online_<metric>
RANKING_METRICS = {
    "recall": "Share of events whose item was ranked among the first k",
    "mrr": "Mean reciprocal rank of the event's item; 0 for a rank above k",
    "ndcg": "Mean of 1 / log2(1 + rank) of the event's item; 0 for a rank above k",
}

# metric of the heads -> (name after thalweg_online_, help text)
HEAD_METRICS = {
    "action_accuracy": ("action_accuracy", "Share of events whose action was the most probable action"),
    "action_macro_f1": ("action_macro_f1", "Mean over actions of the F1 score of the most probable action"),
    "time_log_likelihood": ("time_log_likelihood", "Mean log density, per second, of the time to the next event"),
    "time_median_absolute_error_s": (
        "time_median_absolute_error_seconds",
        "Median absolute error of the expected time to the next event",
    ),
    "time_calibration_error": (
        "time_calibration_error",
        "Share of events in the wrong decile of the predicted time; not corrected for gaps that have not ended yet",
    ),
}


class MonitorCollector(Collector):
    """Makes the metrics from the snapshot that the given function returns."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """Prometheus calls this method at each scrape."""
        snapshot = self._snapshot()
        records = CounterMetricFamily("thalweg_monitor_records", "Records read from the evaluation topic")
        records.add_metric([], snapshot.records)
        undecodable = CounterMetricFamily("thalweg_monitor_undecodable", "Records that are not evaluation events")
        undecodable.add_metric([], snapshot.undecodable)
        lag = GaugeMetricFamily("thalweg_monitor_lag_records", "Evaluation records that are not counted yet")
        lag.add_metric([], snapshot.lag)
        yield from (records, undecodable, lag)
        yield from _counters(snapshot)
        yield from _sample_gauges(snapshot)
        yield from _ranking_gauges(snapshot)
        yield from _head_gauges(snapshot)


def monitor_registry(snapshot: Callable[[], Snapshot]) -> CollectorRegistry:
    """A new registry with the metrics of the monitor and of its process."""
    registry = new_registry()
    registry.register(MonitorCollector(snapshot))
    return registry


def _counters(snapshot: Snapshot) -> Iterator[Metric]:
    labels = ["bundle"]
    scored = CounterMetricFamily("thalweg_monitor_scored_events", "Scored events of users with history", labels=labels)
    unknown = CounterMetricFamily(
        "thalweg_monitor_unknown_items", "Scored events whose item the catalogue lacks", labels=labels
    )
    first = CounterMetricFamily("thalweg_monitor_without_history", "First events of users, not scored", labels=labels)
    duplicates = CounterMetricFamily(
        "thalweg_monitor_duplicates", "Evaluation events whose id was already counted", labels=labels
    )
    for bundle_id, scores in snapshot.bundles.items():
        scored.add_metric([bundle_id], scores.cumulative.events)
        unknown.add_metric([bundle_id], scores.cumulative.unknown_items)
        first.add_metric([bundle_id], scores.cumulative.without_history)
        duplicates.add_metric([bundle_id], scores.duplicates)
    yield from (scored, unknown, first, duplicates)


def _sample_gauges(snapshot: Snapshot) -> Iterator[Metric]:
    share = GaugeMetricFamily(
        "thalweg_monitor_evaluation_share",
        "Share of all events that was evaluated; below 1 the quality metrics are estimates",
        labels=["bundle"],
    )
    total = GaugeMetricFamily(
        "thalweg_monitor_estimated_events",
        "Events of users with history, evaluated or not; an estimate when the evaluation share is below 1",
        labels=["bundle"],
    )
    for bundle_id, scores in snapshot.bundles.items():
        share.add_metric([bundle_id], scores.cumulative.share)
        total.add_metric([bundle_id], scores.cumulative.events / scores.cumulative.share)
    yield from (share, total)


def _ranking_gauges(snapshot: Snapshot) -> Iterator[Metric]:
    labels = ["bundle", "scorer", "k", "window"]
    families = {
        name: GaugeMetricFamily(f"thalweg_online_{name}", text, labels=labels) for name, text in RANKING_METRICS.items()
    }
    for bundle_id, bundle in snapshot.bundles.items():
        for window, scores in (("rolling", bundle.rolling), ("cumulative", bundle.cumulative)):
            for scorer, metrics in scores.metrics.items():
                for metric, value in metrics.items():
                    name, k = metric.split("@")
                    families[name].add_metric([bundle_id, scorer, k, window], value)
    yield from families.values()


def _head_gauges(snapshot: Snapshot) -> Iterator[Metric]:
    families = {
        metric: GaugeMetricFamily(f"thalweg_online_{name}", text, labels=["bundle", "window"])
        for metric, (name, text) in HEAD_METRICS.items()
    }
    for bundle_id, bundle in snapshot.bundles.items():
        for window, scores in (("rolling", bundle.rolling), ("cumulative", bundle.cumulative)):
            for metric, value in scores.heads.items():
                families[metric].add_metric([bundle_id, window], value)
    yield from families.values()
