"""One bundle's scores: the model and both baselines over the same events. Pure: no I/O, no clock."""

from typing import Any

import msgspec

from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.metrics_events import MetricsEvent
from streams.monitor.scoring.baselines import LastItemBaseline
from streams.monitor.scoring.dedup import SeenPositions
from streams.monitor.scoring.ranked_counts import RankedCounts
from streams.monitor.scoring.scores import BundleScores, Scores
from streams.monitor.scoring.window_counts import WindowCounts
from streams.monitor.scoring.windows import Windows


class Scoreboard:
    """Deduplicates and scores the evaluation events of one bundle.

    A behaviour event has the same id under every bundle that scores the event. Ids are therefore deduplicated for each
    bundle, and each bundle has its own baselines, which observe exactly the bundle's events.

    Events of users with history (steps >= 1) are scored; an unknown item is a miss for the model. The baselines observe
    every evaluated event and are scored on exactly the events that the model is scored on.
    """

    def __init__(self, bundle_id: str, window_ms: int, rolling_events: int) -> None:
        self.bundle_id = bundle_id
        self.duplicates = 0
        self._windows = Windows(window_ms, rolling_events)
        self._seen = SeenPositions()
        self._popularity = RankedCounts()
        self._last_item = LastItemBaseline(self._popularity)

    def observe(self, event: EvaluationEvent, time_ms: int) -> MetricsEvent | None:
        """Score one event. Returns the metrics of an interval that ends by `time_ms`, once.

        Raises ValueError when the event's id has another form than `<topic>-<epoch>-<partition>-<offset>`.
        """
        if not self._seen.add(event.id):
            self.duplicates += 1
            return None
        ended = self._windows.advance(time_ms)
        item, previous_item = event.item_id, event.previous_item_id
        counts = self._windows.open_bucket
        weight = 1.0 if event.share is None else 1.0 / event.share
        if event.steps:
            last_item_rank = self._last_item.rank(previous_item, item)
            counts.add_ranks(event.rank, self._popularity.rank(item), last_item_rank, weight)
            counts.heads.add(event, weight)
        else:
            counts.add_first_event(weight)
        self._last_item.observe(previous_item, item)
        self._popularity.add(item)
        return None if ended is None else self._metrics_event(*ended)

    def advance(self, time_ms: int) -> MetricsEvent | None:
        """Move the time forward without an event. Returns the metrics of an interval that ends by `time_ms`, once."""
        if self._windows.interval_start_ms is None:
            return None
        ended = self._windows.advance(time_ms)
        return None if ended is None else self._metrics_event(*ended)

    def rolling(self) -> Scores:
        """Scores over the last events."""
        return Scores.from_counts(self._windows.rolling())

    def cumulative(self) -> Scores:
        """Scores over all events so far."""
        return Scores.from_counts(self._windows.cumulative())

    def scores(self) -> BundleScores:
        return BundleScores(duplicates=self.duplicates, rolling=self.rolling(), cumulative=self.cumulative())

    def _metrics_event(self, start_ms: int, counts: WindowCounts) -> MetricsEvent:
        window_ms = self._windows.window_ms
        scores: dict[str, Any] = msgspec.structs.asdict(Scores.from_counts(counts))
        return MetricsEvent(
            id=f"{self.bundle_id}-{window_ms}-{start_ms}",
            bundle_id=self.bundle_id,
            window_start_ms=start_ms,
            window_end_ms=start_ms + window_ms,
            **scores,
        )
