"""The two baselines beside the model: popularity so far, and what followed the user's last item so far.

Both are scored on an event before they observe it, like the model, and ties count against them. Pure: no I/O, no clock.
"""

from collections.abc import Sequence

DEPTH = 20  # ranks are told apart up to here: the largest k of the metrics
MAX_PAIRS = 4_000_000  # item pairs kept, at 140 to 190 bytes each


class RankedCounts:
    """Counts of items, kept in order of count, with the rank of any item in O(1).

    Items stand in `_order` by falling count. `_at_least[c]` is the number of items with a count of at least c, so the
    items of count c stand at `_order[_at_least[c + 1] : _at_least[c]]`, and adding one swaps an item with the first
    of its equals.
    """

    __slots__ = ("_at_least", "_counts", "_order", "_place")

    def __init__(self) -> None:
        self._order: list[str] = []
        self._counts: list[int] = []  # parallel to _order
        self._place: dict[str, int] = {}  # item -> place in _order
        self._at_least: list[int] = [0, 0]  # the last entry is always 0; entry 0 is not used

    def __len__(self) -> int:
        return len(self._order)

    def count(self, item: str) -> int:
        place = self._place.get(item)
        return 0 if place is None else self._counts[place]

    def rank(self, item: str) -> int:
        """Number of items with at least this item's count, itself included; 0 for an item never seen."""
        place = self._place.get(item)
        return 0 if place is None else self._at_least[self._counts[place]]

    def above(self, count: int) -> int:
        """Number of items with more than `count` (at most the largest count there is)."""
        return self._at_least[count + 1]

    def tied(self, count: int) -> Sequence[str]:
        """The items with exactly `count` >= 1."""
        return self._order[self._at_least[count + 1] : self._at_least[count]]

    def items(self) -> Sequence[str]:
        return self._order

    def add(self, item: str) -> bool:
        """Count one more; True where the item is new."""
        order, counts, at_least = self._order, self._counts, self._at_least
        place = self._place.get(item)
        new = place is None
        if place is None:
            place = self._place[item] = len(order)
            order.append(item)
            counts.append(0)
        count = counts[place]
        first = at_least[count + 1]
        if first != place:
            other = order[first]
            order[place], order[first] = other, item
            self._place[other], self._place[item] = place, first
        counts[first] = count + 1
        at_least[count + 1] += 1
        if count + 2 == len(at_least):
            at_least.append(0)
        return new

    def halve(self) -> None:
        """Halve every count, rounded down, and forget the items left with none. The order stays."""
        kept = self._at_least[2] if len(self._at_least) > 2 else 0
        self._order = self._order[:kept]
        self._counts = [count // 2 for count in self._counts[:kept]]
        self._place = {item: place for place, item in enumerate(self._order)}
        self._at_least = [0, *self._at_least[2::2]]
        if self._at_least[-1] or len(self._at_least) < 2:
            self._at_least.append(0)


class Popularity:
    """Ranks items by how often any user has had them so far.

    It ranks every item seen so far, also those that are not in the model's catalogue.
    """

    def __init__(self) -> None:
        self.counts = RankedCounts()

    def rank(self, item: str) -> int:
        """Exact rank, ties against; 0 (a miss) for an item never seen."""
        return self.counts.rank(item)

    def observe(self, item: str) -> None:
        self.counts.add(item)


class LastItem:
    """Ranks items by how often they came right after the user's last item so far, over all users.

    The strong form of this baseline: equal counts are ordered by popularity, and the items that never followed come
    behind all that did, by popularity. So a last item seen for the first time (or none) gives the popularity ranking
    instead of a sure miss, and a thin row is not lost to its ties. Items equal in both count and popularity count
    against it. A repeat of the last item is a successor like any other.

    Cost per event: O(1), plus at most DEPTH comparisons amortised. A tie is compared only while fewer than DEPTH
    items of the row stand above it, and the observation that follows moves one more item above: at most DEPTH times
    for each row and count, each time at most the number of items that reached that count.

    Memory is bounded: past `max_pairs` pairs every count is halved and those left with none are forgotten.
    """

    def __init__(self, popularity: Popularity, max_pairs: int = MAX_PAIRS) -> None:
        self._popularity = popularity.counts
        self._rows: dict[str, RankedCounts] = {}
        self._max_pairs = max_pairs
        self.pairs = 0

    def rank(self, previous_item: str | None, item: str) -> int:
        """Rank of `item` after `previous_item` where it is at most DEPTH; 0 otherwise."""
        row = None if previous_item is None else self._rows.get(previous_item)
        if row is None:
            rank = self._popularity.rank(item)
        else:
            count = row.count(item)
            rank = self._among_followers(row, item, count) if count else self._among_the_rest(row, item)
        return rank if rank <= DEPTH else 0

    def _among_followers(self, row: RankedCounts, item: str, count: int) -> int:
        rank = row.above(count)
        if rank >= DEPTH:
            return 0
        popularity = self._popularity.count
        mine = popularity(item)
        for other in row.tied(count):
            if popularity(other) >= mine:
                rank += 1
                if rank > DEPTH:
                    return 0
        return rank

    def _among_the_rest(self, row: RankedCounts, item: str) -> int:
        popularity = self._popularity.count
        mine = popularity(item)
        if not mine or len(row) >= DEPTH:
            return 0
        followers = sum(popularity(other) >= mine for other in row.items())
        return len(row) + self._popularity.rank(item) - followers

    def observe(self, previous_item: str | None, item: str) -> None:
        if previous_item is None:
            return
        row = self._rows.get(previous_item)
        if row is None:
            row = self._rows[previous_item] = RankedCounts()
        self.pairs += row.add(item)
        if self.pairs > self._max_pairs:
            self._forget()

    def _forget(self) -> None:
        for previous_item, row in list(self._rows.items()):
            row.halve()
            if not row:
                del self._rows[previous_item]
        self.pairs = sum(len(row) for row in self._rows.values())
