"""Counts of items that know the rank of every item. Pure: no I/O, no clock."""

from collections.abc import Sequence

from encoder.metrics.ranking import MISS


class RankedCounts:
    """Counts of items in falling order, with the rank of any item in O(1).

    `_order` holds the items by falling count. `_at_least[c]` is the number of items with a count of c or more, so the
    items with exactly the count c stand at `_order[_at_least[c + 1] : _at_least[c]]`. When an item is counted once
    more, the item changes places with the first item of the same count.
    """

    __slots__ = ("_at_least", "_counts", "_order", "_place")

    def __init__(self) -> None:
        self._order: list[str] = []
        self._counts: list[int] = []  # parallel to _order
        self._place: dict[str, int] = {}  # item -> index in _order
        self._at_least: list[int] = [0, 0]  # the last entry is always 0; entry 0 is not used

    def __len__(self) -> int:
        return len(self._order)

    def count(self, item: str) -> int:
        """How often the item was counted."""
        place = self._place.get(item)
        return 0 if place is None else self._counts[place]

    def rank(self, item: str) -> int:
        """Number of items with at least this item's count, the item included; MISS for an item never counted."""
        place = self._place.get(item)
        return MISS if place is None else self._at_least[self._counts[place]]

    def tie_range(self, item: str) -> tuple[int, int]:
        """(number of items with a higher count, number of items with at least this item's count).

        For an item never counted, both numbers are the number of all items.
        """
        place = self._place.get(item)
        if place is None:
            return len(self._order), len(self._order)
        count = self._counts[place]
        return self._at_least[count + 1], self._at_least[count]

    def items(self, start: int, stop: int) -> Sequence[str]:
        """The items in order of count, from index `start` up to `stop`."""
        return self._order[start:stop]

    def number_within(self, rank: int, items: Sequence[str]) -> int:
        """How many of `items` have at most this rank. All of them are counted here, and `rank` is one item's rank."""
        place = self._place
        return sum([place[item] < rank for item in items])

    def add(self, item: str) -> bool:
        """Count the item once more. Returns True when the item is new."""
        order, counts, at_least = self._order, self._counts, self._at_least
        place = self._place.get(item)
        is_new = place is None
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
        return is_new

    def halve(self) -> None:
        """Halve every count, rounded down, and drop the items whose count becomes 0. The order stays."""
        remaining = self._at_least[2] if len(self._at_least) > 2 else 0
        self._order = self._order[:remaining]
        self._counts = [count // 2 for count in self._counts[:remaining]]
        self._place = {item: place for place, item in enumerate(self._order)}
        self._at_least = [0, *self._at_least[2::2]]
        if self._at_least[-1] or len(self._at_least) < 2:
            self._at_least.append(0)
