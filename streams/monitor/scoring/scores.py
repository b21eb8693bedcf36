"""What the monitor reports, as types: scores of one window, of one bundle, and of all bundles at one moment. Pure."""

import msgspec

from streams.contracts.comparisons import BundleComparison
from streams.contracts.metrics_events import Comparison, SliceMetrics
from streams.monitor.scoring.parts import Parts
from streams.monitor.scoring.window_counts import WindowCounts


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics of each scorer over the same events, e.g. `metrics["model"]["recall@20"]`."""

    events: int  # scored events: events of users with history
    unknown_items: int  # scored events whose item is outside the model's catalogue
    without_history: int  # first events of users, which are not scored
    share: float = 1.0  # share of all events that was evaluated; below 1 the metrics are estimates, see MetricsEvent
    metrics: dict[str, dict[str, float]]  # not a number when there are no events
    heads: dict[str, float] = {}  # metrics of the action and the time; empty without heads
    compared: dict[str, Comparison] = {}  # scorer on a part of the events -> the model on the same events
    slices: dict[str, SliceMetrics] = {}
    predictions: dict[str, dict[str, int]] = {}  # other system -> reason -> predictions that were not scored

    @classmethod
    def from_counts(cls, counts: WindowCounts, parts: Parts | None = None) -> "Scores":
        """The scores of a window. The three last fields are empty without the counts of parts."""
        parts = parts or Parts()
        return cls(
            events=counts.events,
            unknown_items=counts.unknown_items,
            without_history=counts.without_history,
            share=counts.share,
            metrics=counts.metrics() | parts.compared_metrics(),
            heads=counts.heads.metrics(),
            compared=parts.comparisons(),
            slices=parts.slice_metrics(),
            predictions={system: dict(reasons) for system, reasons in sorted(parts.unscored.items())},
        )


class BundleScores(msgspec.Struct, frozen=True, kw_only=True):
    """The scores of one bundle: over the last events, over all events so far, and over the last hour with its parts."""

    duplicates: int  # evaluation events whose id was already counted
    rolling: Scores
    cumulative: Scores
    hour: Scores
    alarms: dict[str, bool] = {}  # "name/slice" of each figure with a reference -> whether its alarm fires


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The monitor at one moment. `msgspec.to_builtins` turns a snapshot into plain dictionaries."""

    records: int = 0  # records read from the evaluation topic
    read: int = 0  # records read from all topics that the monitor follows
    undecodable: int = 0  # records that are not what their topic holds, such as evaluation events
    problem: str | None = None  # why the first undecodable record is not what its topic holds
    lag: int = 0  # records in all topics that the monitor follows, as far as they are not counted yet
    expired: int = 0  # records that retention deleted while no monitor ran
    idle_s: float = 0.0  # time since the last record, while no record is left to read
    bundles: dict[str, BundleScores] = {}  # by bundle id; the bundle of the latest event is last
    comparisons: tuple[BundleComparison, ...] = ()

    @property
    def latest(self) -> BundleScores | None:
        """Scores of the bundle of the latest event."""
        return next(reversed(self.bundles.values()), None)
