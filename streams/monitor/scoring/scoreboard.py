"""One bundle's scores: the model and the other scorers over the same events. Pure: no I/O, no clock."""

from collections.abc import Iterable
from typing import Any

import msgspec

from streams.contracts.alarm_events import AlarmEvent
from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.metrics_events import MetricsEvent
from streams.contracts.predictions import Prediction
from streams.monitor.drift.watch import Watch
from streams.monitor.scoring.baselines import LastItemBaseline
from streams.monitor.scoring.dedup import SeenPositions
from streams.monitor.scoring.parts import Parts
from streams.monitor.scoring.predictions import Predictions
from streams.monitor.scoring.ranked_counts import RankedCounts
from streams.monitor.scoring.scores import BundleScores, Scores
from streams.monitor.scoring.slices import Slicer
from streams.monitor.scoring.window_counts import WindowCounts
from streams.monitor.scoring.windows import Windows

OtherRank = tuple[str, int, float | None]  # scorer, rank of the event's item (0 for a miss), distance of the vectors


class Scoreboard:
    """Deduplicates and scores the evaluation events of one bundle, and watches them for drift.

    A behaviour event has the same id under every bundle that scores the event. Ids are therefore deduplicated for each
    bundle, and each bundle has its own baselines, which observe exactly the bundle's events.

    Events of users with history (steps >= 1) are scored; an unknown item is a miss for the model. The baselines observe
    every evaluated event and are scored on exactly the events that the model is scored on.
    """

    def __init__(self, bundle_id: str, window_ms: int, rolling_events: int) -> None:
        self.bundle_id = bundle_id
        self.duplicates = 0
        self.last_ms = 0  # timestamp of the latest record; the caller sets it
        self.alarms: list[AlarmEvent] = []  # alarms that began or ended; the caller takes them out
        # Slices of the event that `observe` scored last; None after a duplicate and after a user's first event.
        self.slices: tuple[str, ...] | None = None
        self._windows = Windows(window_ms, rolling_events)
        self._seen = SeenPositions()
        self._popularity = RankedCounts()
        self._last_item = LastItemBaseline(self._popularity)
        self._slicer = Slicer()
        self._predictions = Predictions()
        self._watch = Watch(bundle_id)

    def observe(self, event: EvaluationEvent, time_ms: int, others: Iterable[OtherRank] = ()) -> MetricsEvent | None:
        """Score one event. Returns the metrics of an interval that ends by `time_ms`, once.

        others: the ranks of further scorers. Raises ValueError when the event's id has another form than
        `<topic>-<epoch>-<partition>-<offset>`.
        """
        self.slices = None
        if not self._seen.add(event.id):
            self.duplicates += 1
            return None
        ended = self._windows.advance(time_ms)
        item, previous_item = event.item_id, event.previous_item_id
        counts = self._windows.open_bucket
        weight = 1.0 if event.share is None else 1.0 / event.share
        popularity_rank = self._popularity.rank(item)
        predicted = self._predictions.ranks(event)
        self._count_unscored()
        if event.steps:
            last_item_rank = self._last_item.rank(previous_item, item)
            counts.add_ranks(event.rank, popularity_rank, last_item_rank, weight)
            counts.heads.add(event, weight)
            self._add_parts(event, popularity_rank, weight, [*others, *((*pair, None) for pair in predicted.items())])
        else:
            counts.add_first_event(weight)
        self.alarms += self._watch.observe(event, popularity_rank, time_ms)
        self._last_item.observe(previous_item, item)
        self._popularity.add(item)
        return None if ended is None else self._metrics_event(*ended)

    def predict(self, prediction: Prediction) -> None:
        """Keep another system's prediction until the user's next event."""
        self._predictions.add(prediction)
        self._count_unscored()

    def forget(self, user_id: str) -> None:
        """Drop what is kept about a user who was erased."""
        self._predictions.forget(user_id)

    def observe_norm(self, norm: float, time_ms: int) -> None:
        """Watch the length of a representation."""
        self.alarms += self._watch.observe_norm(norm, time_ms)

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

    def hour(self) -> Scores:
        """Scores over the last hour; without metrics when the hour had no events."""
        hour = Scores.from_counts(*self._windows.hour())
        return hour if hour.events else msgspec.structs.replace(hour, metrics={})

    def scores(self) -> BundleScores:
        return BundleScores(
            duplicates=self.duplicates,
            rolling=self.rolling(),
            cumulative=self.cumulative(),
            hour=self.hour(),
            alarms=self.alarm_states(),
        )

    def alarm_states(self) -> dict[str, bool]:
        """ "name/slice" of each figure that has a reference -> whether its alarm fires."""
        return {"/".join(key): is_firing for key, is_firing in self._watch.firing().items()}

    def _count_unscored(self) -> None:
        for system, reason in self._predictions.unscored:
            self._windows.open_parts.unscored[system][reason] += 1
        self._predictions.unscored.clear()

    def _add_parts(
        self, event: EvaluationEvent, popularity_rank: int, weight: float, others: Iterable[OtherRank]
    ) -> None:
        parts = self._windows.open_parts
        self.slices = self._slicer.names(event, popularity_rank, len(self._popularity))
        for name in self.slices:
            parts.slices[name].add(event.rank, popularity_rank, weight)
        for scorer, rank, distance in others:
            parts.compared[scorer].add(event.rank, rank, weight)
            if distance is not None:
                parts.add_distance(scorer, distance, weight)

    def _metrics_event(self, start_ms: int, counts: WindowCounts, parts: Parts) -> MetricsEvent:
        window_ms = self._windows.window_ms
        scores: dict[str, Any] = msgspec.structs.asdict(Scores.from_counts(counts, parts))
        return MetricsEvent(
            id=f"{self.bundle_id}-{window_ms}-{start_ms}",
            bundle_id=self.bundle_id,
            window_start_ms=start_ms,
            window_end_ms=start_ms + window_ms,
            **scores,
        )
