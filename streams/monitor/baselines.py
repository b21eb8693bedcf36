"""The two baselines beside the model: popularity so far, and what followed the user's last item so far.

Both are scored on an event before they observe it, like the model, and ties count against them. They rank every item
seen so far, also those outside the model's catalogue. Popularity so far is a RankedCounts of all items; LastItem keeps
one for each item that came before. Pure: no I/O, no clock.
"""

from collections.abc import Sequence

from encoder.metrics.ranking import MISS

DEPTH = 20  # ranks are told apart up to here: the largest k of the metrics
MAX_PAIRS = 4_000_000  # item pairs kept, at 110 to 150 bytes each


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
        """Number of items with at least this item's count, itself included; MISS for an item never seen."""
        place = self._place.get(item)
        return MISS if place is None else self._at_least[self._counts[place]]

    def block(self, item: str) -> tuple[int, int]:
        """(number of items with a higher count, number with at least its count); twice all for an item never seen."""
        place = self._place.get(item)
        if place is None:
            return len(self._order), len(self._order)
        count = self._counts[place]
        return self._at_least[count + 1], self._at_least[count]

    def items(self, start: int, stop: int) -> Sequence[str]:
        """The items in order of count, from place `start` up to `stop`."""
        return self._order[start:stop]

    def within(self, rank: int, items: Sequence[str]) -> int:
        """How many of `items`, all counted here, have at most this rank, where `rank` is some item's rank."""
        place = self._place
        return sum([place[item] < rank for item in items])

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


_NOTHING = RankedCounts()


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

    def __init__(self, popularity: RankedCounts, max_pairs: int = MAX_PAIRS) -> None:
        self._popularity = popularity
        self._rows: dict[str | None, RankedCounts] = {}
        self._max_pairs = max_pairs
        self.pairs = 0

    def rank(self, previous_item: str | None, item: str) -> int:
        """Rank of `item` after `previous_item` where it is at most DEPTH; MISS otherwise."""
        row = self._rows.get(previous_item, _NOTHING)
        above, upto = row.block(item)
        if above >= DEPTH:
            return MISS
        popularity = self._popularity
        if upto == above + 1:
            rank = upto
        elif upto > above:
            rank = above + popularity.within(popularity.rank(item), row.items(above, upto))
        elif popular := popularity.rank(item):  # never followed: behind all that did, among the rest by popularity
            rank = above + popular - popularity.within(popular, row.items(0, above))
        else:
            rank = MISS
        return rank if rank <= DEPTH else MISS

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
        while self.pairs > self._max_pairs:
            for row in self._rows.values():
                row.halve()
            self._rows = {previous_item: row for previous_item, row in self._rows.items() if len(row)}
            self.pairs = sum(len(row) for row in self._rows.values())
