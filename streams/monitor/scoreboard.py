"""One bundle's scores: the model and both baselines over the same events. Pure: no I/O, no clock."""

from typing import Any

import msgspec

from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.metrics_events import MetricsEvent
from streams.monitor.baselines import LastItem, RankedCounts
from streams.monitor.dedup import SeenPositions
from streams.monitor.windows import Tally, Windows


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics of each scorer over the same events, e.g. `metrics["model"]["recall@20"]`."""

    events: int  # scored: of users with history
    unknown_items: int  # of these, outside the model's catalogue
    without_history: int  # not scored: first events of users
    share: float = 1.0  # of all events, those that were evaluated: below 1 the metrics are estimates, see MetricsEvent
    metrics: dict[str, dict[str, float]]  # not a number where there are no events
    heads: dict[str, float] = {}  # of the action and the time; empty without heads

    @classmethod
    def of(cls, tally: Tally) -> "Scores":
        return cls(
            events=tally.events,
            unknown_items=tally.unknown_items,
            without_history=tally.without_history,
            share=tally.share,
            metrics=tally.metrics(),
            heads=tally.heads.metrics(),
        )

    def by_scorer(self) -> dict[str, dict[str, float]]:
        """Scorer -> its metrics and `n`, the number of events behind them, as plain numbers."""
        return {scorer: {**values, "n": self.events} for scorer, values in self.metrics.items()}


class Scoreboard:
    """Deduplicates and scores the evaluation events of one bundle.

    The same behaviour event has the same id under every bundle that scored it, so ids are told apart per bundle, and
    each bundle has baselines of its own that saw exactly its events.

    Scored are the events of users with history (steps >= 1); an unknown item is a miss for the model. The baselines
    observe every event that was evaluated, and are scored on exactly the events that the model is scored on.
    """

    def __init__(self, bundle_id: str, window_ms: int, rolling_events: int) -> None:
        self.bundle_id = bundle_id
        self.windows = Windows(window_ms, rolling_events)
        self.duplicates = 0
        self._seen = SeenPositions()
        self._popularity = RankedCounts()
        self._last_item = LastItem(self._popularity)

    def observe(self, event: EvaluationEvent, time_ms: int) -> MetricsEvent | None:
        """Score one event. Returns the metrics of a stretch of time that is over with `time_ms`, once.

        Raises ValueError where the event's id is of another form.
        """
        if not self._seen.add(event.id):
            self.duplicates += 1
            return None
        over = self.windows.at(time_ms)
        item, previous_item = event.item_id, event.previous_item_id
        tally = self.windows.open
        weight = 1.0 if event.share is None else 1.0 / event.share
        if event.steps:
            tally.add(event.rank, self._popularity.rank(item), self._last_item.rank(previous_item, item), weight)
            tally.heads.add(event, weight)
        else:
            tally.add_first(weight)
        self._last_item.observe(previous_item, item)
        self._popularity.add(item)
        return None if over is None else self._metrics_event(*over)

    def at(self, time_ms: int) -> MetricsEvent | None:
        """Move on to `time_ms` without an event: closes a stretch of time that is over."""
        if self.windows.start_ms is None:
            return None
        over = self.windows.at(time_ms)
        return None if over is None else self._metrics_event(*over)

    def rolling(self) -> Scores:
        return Scores.of(self.windows.rolling())

    def cumulative(self) -> Scores:
        return Scores.of(self.windows.cumulative())

    def _metrics_event(self, start_ms: int, tally: Tally) -> MetricsEvent:
        window_ms = self.windows.window_ms
        content: dict[str, Any] = msgspec.structs.asdict(Scores.of(tally))
        return MetricsEvent(
            id=f"{self.bundle_id}-{window_ms}-{start_ms}",
            bundle_id=self.bundle_id,
            window_start_ms=start_ms,
            window_end_ms=start_ms + window_ms,
            **content,
        )
