"""The monitor's numbers in Prometheus's exposition format, made from a snapshot at each scrape."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.health.registry import new_registry
from streams.monitor.scoring.parts import SLICE_METRICS
from streams.monitor.scoring.scores import BundleScores, Scores, Snapshot

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
        records = CounterMetricFamily(
            "thalweg_monitor_records", "Records read from all topics that the monitor follows"
        )
        records.add_metric([], snapshot.read)
        undecodable = CounterMetricFamily("thalweg_monitor_undecodable", "Records that are not what their topic holds")
        undecodable.add_metric([], snapshot.undecodable)
        lag = GaugeMetricFamily(
            "thalweg_monitor_lag_records", "Records of all followed topics that are not counted yet"
        )
        lag.add_metric([], snapshot.lag)
        yield from (records, undecodable, lag)
        expired = CounterMetricFamily(
            "thalweg_monitor_expired_records", "Records that retention deleted while no monitor ran"
        )
        expired.add_metric([], snapshot.expired)
        yield expired
        yield from _counters(snapshot)
        yield from _sample_gauges(snapshot)
        yield from _ranking_gauges(snapshot)
        yield from _head_gauges(snapshot)
        yield from _slice_gauges(snapshot)
        yield from _comparison_gauges(snapshot)
        yield from _pair_gauges(snapshot)
        yield _alarm_gauge(snapshot)


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
        for window, scores in _windows(bundle):
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


def _windows(bundle: BundleScores) -> tuple[tuple[str, Scores], ...]:
    return ("rolling", bundle.rolling), ("cumulative", bundle.cumulative), ("1h", bundle.hour)


def _slice_gauges(snapshot: Snapshot) -> Iterator[Metric]:
    """Recall@20 and MRR@20 of the slices of the last hour: at most 28 slices of a bundle."""
    labels = ["bundle", "slice"]
    events = GaugeMetricFamily(
        "thalweg_online_slice_events", "Scored events of the last hour in this slice", labels=labels
    )
    families = {
        metric: GaugeMetricFamily(
            f"thalweg_online_slice_{metric.partition('@')[0]}",
            f"{RANKING_METRICS[metric.partition('@')[0]]}, k = 20, in this slice of the last hour",
            labels=[*labels, "scorer"],
        )
        for metric in SLICE_METRICS
    }
    for bundle_id, bundle in snapshot.bundles.items():
        for name, found in bundle.hour.slices.items():
            events.add_metric([bundle_id, name], found.events)
            for scorer, metrics in found.metrics.items():
                for metric, value in metrics.items():
                    if value is not None:
                        families[metric].add_metric([bundle_id, name, scorer], value)
    yield from (events, *families.values())


def _comparison_gauges(snapshot: Snapshot) -> Iterator[Metric]:
    """The model on the events of the last hour on which another scorer was scored."""
    labels = ["bundle", "scorer"]
    events = GaugeMetricFamily(
        "thalweg_online_compared_events", "Events of the last hour on which this scorer was scored", labels=labels
    )
    gain = GaugeMetricFamily(
        "thalweg_online_mrr_gain",
        "MRR@20 of the model minus that of this scorer over the same events of the last hour",
        labels=labels,
    )
    distance = GaugeMetricFamily(
        "thalweg_online_frozen_distance",
        "Mean cosine distance of the frozen and the live representations over the last hour",
        labels=labels,
    )
    unscored = GaugeMetricFamily(
        "thalweg_online_unscored_predictions",
        "Predictions of another system in the last hour that were not scored",
        labels=["bundle", "system", "reason"],
    )
    for bundle_id, bundle in snapshot.bundles.items():
        for scorer, compared in bundle.hour.compared.items():
            model, other = compared.model["mrr@20"], bundle.hour.metrics[scorer]["mrr@20"]
            events.add_metric([bundle_id, scorer], compared.events)
            if model is not None:
                gain.add_metric([bundle_id, scorer], model - other)
            if compared.distance is not None:
                distance.add_metric([bundle_id, scorer], compared.distance)
        for system, reasons in bundle.hour.predictions.items():
            for reason, count in reasons.items():
                unscored.add_metric([bundle_id, system, reason], count)
    yield from (events, gain, distance, unscored)


def _pair_gauges(snapshot: Snapshot) -> Iterator[Metric]:
    """Pairs of bundles on the events that both have scored: at most six pairs, and 29 slices of a pair."""
    labels = ["champion", "challenger"]
    texts = {
        "mrr_difference": "The challenger's MRR@20 minus the champion's over the same events",
        "mrr_difference_low": "Lower bound of the mean difference, which holds at every scrape with 95%",
        "mrr_difference_high": "Upper bound of the mean difference, which holds at every scrape with 95%",
        "events": "Events that both bundles have scored, in blocks of a user that are over",
    }
    families = {
        name: GaugeMetricFamily(f"thalweg_online_pair_{name}", text, labels=[*labels, "slice"])
        for name, text in texts.items()
    }
    delay = GaugeMetricFamily(
        "thalweg_online_pair_delay_seconds",
        "Mean time from the champion's to the challenger's evaluation of an event, over the last events",
        labels=labels,
    )
    unmatched = CounterMetricFamily(
        "thalweg_monitor_pair_unmatched_events",
        "Scores of one bundle without a score of the other one within five minutes",
        labels=labels,
    )
    for pair in snapshot.comparisons:
        names = [pair.champion, pair.challenger]
        for name, part in {"all": pair, **pair.slices}.items():
            values = (part.mean_difference, part.low, part.high, part.events)
            for family, value in zip(families.values(), values, strict=True):
                if value is not None:
                    family.add_metric([*names, name], value)
        if pair.challenger_delay_ms is not None:
            delay.add_metric(names, pair.challenger_delay_ms / 1000)
        unmatched.add_metric(names, pair.unmatched_events)
    yield from (*families.values(), delay, unmatched)


def _alarm_gauge(snapshot: Snapshot) -> Metric:
    firing = GaugeMetricFamily(
        "thalweg_alarm_firing",
        "1 while the alarm fires, 0 while the figure is near its reference; absent while the reference is learned",
        labels=["bundle", "name", "slice"],
    )
    for bundle_id, bundle in snapshot.bundles.items():
        for key, is_firing in bundle.alarms.items():
            name, _, slice_name = key.partition("/")
            firing.add_metric([bundle_id, name, slice_name], float(is_firing))
    return firing
