"""Tallies of ranks and the windows over them: the last events, the current stretch of time, everything so far.

A metric at k depends on how often each rank up to k occurred, and on nothing else. So a window holds counts of ranks,
adding an event costs three increments whatever the metrics are, and windows add up exactly. Pure: time is handed in.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.ranking import MISS, mrr, ndcg, recall
from streams.monitor.baselines import DEPTH
from streams.monitor.head_tally import HeadTally

SCORERS = ("model", "popularity", "last_item")
CUTOFFS = (10, 20)
_BUCKETS = 20  # a rolling window moves on in steps of a twentieth

# name -> what each rank contributes to the mean, (DEPTH + 1,) float64, entry 0 for a miss or a rank beyond DEPTH
GAINS: dict[str, NDArray[np.float64]] = {
    f"{metric.__name__}@{k}": np.array([metric(np.array([rank]), k) for rank in range(DEPTH + 1)])
    for metric in (recall, mrr, ndcg)
    for k in CUTOFFS
}


class Tally:
    """How often each rank occurred for each scorer, over the same events."""

    __slots__ = ("events", "heads", "ranks", "stands_for", "unknown_items", "without_history")

    def __init__(self) -> None:
        self.events = 0  # scored: of users with history
        self.unknown_items = 0  # of these, with an item outside the model's catalogue: a miss for the model
        self.without_history = 0  # first events of users: observed, not scored
        self.stands_for = 0.0  # estimate of all events, evaluated or not, that those of both counts are a sample of
        # [scorer][rank], entry 0 for a miss. An event of a sample counts for 1 / share (Horvitz and Thompson, 1952), so
        # that means stay unbiased where the share was changed within a window.
        self.ranks: list[list[float]] = [[0.0] * (DEPTH + 1) for _ in SCORERS]
        self.heads = HeadTally()

    @property
    def share(self) -> float:
        """Of all events, those that were evaluated; 1 where there are none."""
        if not self.stands_for:
            return 1.0
        return min(1.0, round((self.events + self.without_history) / self.stands_for, 12))  # a sum of rounded weights

    def add_first(self, weight: float = 1.0) -> None:
        """Count a user's first event: observed, not scored."""
        self.without_history += 1
        self.stands_for += weight

    def add(self, model: int | None, popularity: int, last_item: int, weight: float = 1.0) -> None:
        """Count one event's ranks; the model's is None where the item is outside its catalogue."""
        self.events += 1
        self.stands_for += weight
        if model is None:
            self.unknown_items += 1
            model = MISS
        of_model, of_popularity, of_last_item = self.ranks
        of_model[model if model <= DEPTH else MISS] += weight
        of_popularity[popularity if popularity <= DEPTH else MISS] += weight
        of_last_item[last_item if last_item <= DEPTH else MISS] += weight

    def merge(self, other: "Tally") -> None:
        self.events += other.events
        self.unknown_items += other.unknown_items
        self.without_history += other.without_history
        self.stands_for += other.stands_for
        self.heads.merge(other.heads)
        for mine, theirs in zip(self.ranks, other.ranks, strict=True):
            for rank, times in enumerate(theirs):
                mine[rank] += times

    def metrics(self) -> dict[str, dict[str, float]]:
        """Scorer -> metric -> mean over the events; not a number where there are none."""
        if not self.events:
            return {scorer: dict.fromkeys(GAINS, float("nan")) for scorer in SCORERS}
        return {
            scorer: {name: float(gains @ np.array(ranks)) / sum(ranks) for name, gains in GAINS.items()}
            for scorer, ranks in zip(SCORERS, self.ranks, strict=True)
        }


class Windows:
    """The three windows over one stream of scored events.

    Events are counted in one open bucket, which joins the windows when it is full or when its time is over.
    The rolling window holds the last `rolling_events`, give or take a twentieth.
    """

    def __init__(self, window_ms: int, rolling_events: int) -> None:
        self.window_ms = window_ms
        self.open = Tally()
        self.start_ms: int | None = None  # of the current stretch of time; None before the first event
        self._bucket_events = max(1, rolling_events // _BUCKETS)
        self._rolling: deque[Tally] = deque(maxlen=_BUCKETS)
        self._current = Tally()
        self._cumulative = Tally()

    def at(self, time_ms: int) -> tuple[int, Tally] | None:
        """Move on to `time_ms`. Returns (start_ms, tally) of the stretch that is over with it, if it had events.

        Stretches begin at multiples of `window_ms`. A time before the current stretch counts in the current one.
        """
        start_ms = time_ms - time_ms % self.window_ms
        if self.start_ms is None:
            self.start_ms = start_ms
        if start_ms <= self.start_ms:
            if self.open.events >= self._bucket_events:
                self._close_bucket()
            return None
        self._close_bucket()
        over = self.start_ms, self._current
        self.start_ms, self._current = start_ms, Tally()
        return over if over[1].events or over[1].without_history else None

    def _close_bucket(self) -> None:
        self._current.merge(self.open)
        self._cumulative.merge(self.open)
        if self.open.events:
            self._rolling.append(self.open)
        self.open = Tally()

    def rolling(self) -> Tally:
        return _sum([*self._rolling, self.open])

    def cumulative(self) -> Tally:
        return _sum([self._cumulative, self.open])


def _sum(tallies: list[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.merge(tally)
    return total
