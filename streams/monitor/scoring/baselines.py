"""The last-item baseline: what followed the user's last item so far. Pure: no I/O, no clock.

The other baseline, popularity so far, is a RankedCounts of all items. Both baselines are scored on an event before they
observe the event, like the model, and ties count against them. Both rank every item seen so far, also the items that
the model's catalogue lacks.
"""

from encoder.metrics.ranking import MISS
from streams.monitor.scoring.ranked_counts import RankedCounts

MAX_RANK = 20  # ranks are exact up to the largest k of the metrics; a worse rank is a miss
# (previous item, item) pairs in memory, at about 150 bytes each: docs/decisions.md#bounded-memory-of-the-monitor
MAX_PAIRS = 4_000_000

_EMPTY_ROW = RankedCounts()


class LastItemBaseline:
    """Ranks items by how often they came right after the user's last item so far, over all users.

    This is the strong form of the baseline. Items with equal counts are ordered by popularity. Items that never
    followed the last item come after all items that did, by popularity. After an unknown last item, and without a last
    item, the baseline therefore gives the popularity ranking and not a sure miss. Items that are equal in both count
    and popularity count against the baseline. A repeat of the last item is a successor like any other.

    Cost of an event: O(1), plus amortised at most MAX_RANK comparisons. Tied items are compared only while fewer than
    MAX_RANK items of the row have a higher count. The observation after the comparison gives one more item a higher
    count. Ties at one count of one row are therefore compared at most MAX_RANK times, and one comparison costs at most
    the number of items that reached the count.

    Memory is bounded: when there are more than `max_pairs` pairs, every count is halved and pairs without a count are
    dropped.
    """

    def __init__(self, popularity: RankedCounts, max_pairs: int = MAX_PAIRS) -> None:
        self._popularity = popularity
        self._rows: dict[str | None, RankedCounts] = {}  # previous item -> counts of the items that followed
        self._max_pairs = max_pairs
        self.pairs = 0

    def rank(self, previous_item: str | None, item: str) -> int:
        """Rank of `item` after `previous_item`; MISS when the rank is above MAX_RANK or the item was never seen."""
        row = self._rows.get(previous_item, _EMPTY_ROW)
        higher, at_least = row.tie_range(item)
        if higher >= MAX_RANK:
            return MISS
        popularity = self._popularity
        if at_least == higher + 1:
            rank = at_least
        elif at_least > higher:
            rank = higher + popularity.number_within(popularity.rank(item), row.items(higher, at_least))
        elif popularity_rank := popularity.rank(item):  # never followed: after all that did, by popularity
            rank = higher + popularity_rank - popularity.number_within(popularity_rank, row.items(0, higher))
        else:
            rank = MISS
        return rank if rank <= MAX_RANK else MISS

    def observe(self, previous_item: str | None, item: str) -> None:
        """Count `item` as a successor of `previous_item`."""
        if previous_item is None:
            return
        row = self._rows.get(previous_item)
        if row is None:
            row = self._rows[previous_item] = RankedCounts()
        self.pairs += row.add(item)
        if self.pairs > self._max_pairs:
            self._drop_rare_pairs()

    def _drop_rare_pairs(self) -> None:
        while self.pairs > self._max_pairs:
            for row in self._rows.values():
                row.halve()
            self._rows = {previous_item: row for previous_item, row in self._rows.items() if len(row)}
            self.pairs = sum(len(row) for row in self._rows.values())
