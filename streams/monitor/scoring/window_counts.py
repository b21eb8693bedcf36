"""The counts of one window of scored events, and the metrics that follow from the counts. Pure: no I/O, no clock.

A metric at k depends on how often each rank up to k occurred, and on nothing else. A window therefore holds counts of
ranks: an event costs one increment for each scorer for any number of metrics, and the counts of two windows add up
exactly.
"""

from collections.abc import Iterable
from operator import add

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.ranking import MISS, mrr, ndcg, recall
from streams.monitor.scoring.baselines import MAX_RANK
from streams.monitor.scoring.head_counts import HeadCounts

SCORERS = ("model", "popularity", "last_item")
CUTOFFS = (10, 20)

# metric -> what each rank adds to the mean, (MAX_RANK + 1,) float64; entry 0 is for a miss or a rank above MAX_RANK
GAINS: dict[str, NDArray[np.float64]] = {
    f"{metric.__name__}@{k}": np.array([metric(np.array([rank]), k) for rank in range(MAX_RANK + 1)])
    for metric in (recall, mrr, ndcg)
    for k in CUTOFFS
}


class WindowCounts:
    """How often each rank occurred for each scorer, over the same events."""

    __slots__ = ("events", "heads", "ranks", "represented_events", "unknown_items", "without_history")

    def __init__(self) -> None:
        self.events = 0  # scored events: events of users with history
        self.unknown_items = 0  # scored events whose item is outside the model's catalogue: a miss for the model
        self.without_history = 0  # first events of users: observed by the baselines, not scored
        self.represented_events = 0.0  # estimated number of all events, of which the evaluated ones are a sample
        # [scorer][rank] -> weight, entry 0 for a miss. An event of a sample counts for 1 / share (Horvitz and Thompson,
        # 1952), so that means stay unbiased when the share changes within a window.
        self.ranks: list[list[float]] = [[0.0] * (MAX_RANK + 1) for _ in SCORERS]
        self.heads = HeadCounts()

    @property
    def share(self) -> float:
        """The share of all events that was evaluated; 1 when there are no events."""
        if not self.represented_events:
            return 1.0
        # The denominator is a sum of rounded weights: without a sample the share must still be exactly 1.
        return min(1.0, round((self.events + self.without_history) / self.represented_events, 12))

    def add_first_event(self, weight: float = 1.0) -> None:
        """Count a user's first event, which is not scored."""
        self.without_history += 1
        self.represented_events += weight

    def add_ranks(self, model: int | None, popularity: int, last_item: int, weight: float = 1.0) -> None:
        """Count the three ranks of one scored event; the model's rank is None for an item outside the catalogue."""
        self.events += 1
        self.represented_events += weight
        if model is None:
            self.unknown_items += 1
            model = MISS
        model_counts, popularity_counts, last_item_counts = self.ranks
        model_counts[model if model <= MAX_RANK else MISS] += weight
        popularity_counts[popularity if popularity <= MAX_RANK else MISS] += weight
        last_item_counts[last_item if last_item <= MAX_RANK else MISS] += weight

    def merge(self, other: "WindowCounts") -> None:
        """Add the counts of `other` to these counts."""
        self.events += other.events
        self.unknown_items += other.unknown_items
        self.without_history += other.without_history
        self.represented_events += other.represented_events
        self.heads.merge(other.heads)
        self.ranks = [list(map(add, mine, theirs)) for mine, theirs in zip(self.ranks, other.ranks, strict=True)]

    def metrics(self) -> dict[str, dict[str, float]]:
        """Scorer -> metric -> mean over the events; not a number when there are no events."""
        if not self.events:
            return {scorer: dict.fromkeys(GAINS, float("nan")) for scorer in SCORERS}
        return {
            scorer: {name: float(gains @ np.array(ranks)) / sum(ranks) for name, gains in GAINS.items()}
            for scorer, ranks in zip(SCORERS, self.ranks, strict=True)
        }


def merged(counts: Iterable[WindowCounts]) -> WindowCounts:
    """The sum of the counts of several windows."""
    total = WindowCounts()
    for each in counts:
        total.merge(each)
    return total
