"""Counts of parts of a window's events: slices, and what other scorers were scored on. Pure: no I/O, no clock."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from operator import add

import numpy as np

from encoder.metrics.ranking import MISS
from streams.contracts.metrics_events import Comparison, SliceMetrics
from streams.monitor.scoring.baselines import MAX_RANK
from streams.monitor.scoring.window_counts import GAINS

SLICE_METRICS = ("recall@20", "mrr@20")


class RankPair:
    """How often each rank occurred for two scorers over the same events."""

    __slots__ = ("distance", "distances", "events", "first", "second")

    def __init__(self) -> None:
        self.events = 0
        self.first = [0.0] * (MAX_RANK + 1)  # weight of the events by rank; entry 0 is for a miss
        self.second = [0.0] * (MAX_RANK + 1)
        self.distance, self.distances = 0.0, 0.0  # weighted sum of the distances, and the sum of their weights

    def add(self, first: int | None, second: int | None, weight: float) -> None:
        """Count an event. A rank of None or 0 is a miss."""
        self.events += 1
        self.first[first if first and first <= MAX_RANK else MISS] += weight
        self.second[second if second and second <= MAX_RANK else MISS] += weight

    def merge(self, other: "RankPair") -> None:
        self.events += other.events
        self.distance += other.distance
        self.distances += other.distances
        self.first = list(map(add, self.first, other.first))
        self.second = list(map(add, self.second, other.second))


class Parts:
    """Counts of the parts of one window's events."""

    __slots__ = ("compared", "slices", "unscored")

    def __init__(self) -> None:
        self.slices: defaultdict[str, RankPair] = defaultdict(RankPair)  # first the model, then popularity
        self.compared: defaultdict[str, RankPair] = defaultdict(RankPair)  # first the model, then the other scorer
        self.unscored: defaultdict[str, Counter[str]] = defaultdict(Counter)  # system -> reason -> predictions

    def add_distance(self, scorer: str, distance: float, weight: float) -> None:
        """Count the cosine distance of a frozen representation from the live one."""
        pair = self.compared[scorer]
        pair.distance += weight * distance
        pair.distances += weight

    def merge(self, other: "Parts") -> None:
        """Add the counts of `other` to these counts."""
        for mine, theirs in ((self.slices, other.slices), (self.compared, other.compared)):
            for name, pair in theirs.items():
                mine[name].merge(pair)
        for system, reasons in other.unscored.items():
            self.unscored[system].update(reasons)

    def slice_metrics(self) -> dict[str, SliceMetrics]:
        """Slice -> its metrics."""
        return {
            name: SliceMetrics(
                events=pair.events,
                metrics={
                    "model": {**_means(pair.first, SLICE_METRICS)},
                    "popularity": {**_means(pair.second, SLICE_METRICS)},
                },
            )
            for name, pair in sorted(self.slices.items())
        }

    def compared_metrics(self) -> dict[str, dict[str, float]]:
        """Other scorer -> metric -> mean over the events on which the scorer was scored."""
        return {name: _means(pair.second, GAINS) for name, pair in sorted(self.compared.items())}

    def comparisons(self) -> dict[str, Comparison]:
        """Other scorer -> the model on the same events."""
        return {
            name: Comparison(
                events=pair.events,
                model={**_means(pair.first, GAINS)},
                distance=pair.distance / pair.distances if pair.distances else None,
            )
            for name, pair in sorted(self.compared.items())
        }


def _means(ranks: list[float], names: Iterable[str]) -> dict[str, float]:
    """Metric -> mean; not a number when there are no events."""
    total = sum(ranks)
    return {name: float(GAINS[name] @ np.array(ranks)) / total if total else math.nan for name in names}
