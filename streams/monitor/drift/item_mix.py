"""Whether the last events are on other items than the events before. Pure: no I/O, no clock."""

import math
from collections import Counter, deque

RECENT_EVENTS = 5_000
LONG_EVENTS = 1_000_000  # when the long counts hold more events than this, every count is halved
SHARE = 0.5  # weight of the recent events in the distribution that is compared with the long one
PRIOR = 0.5  # counted for an item that the events before do not have


class ItemMix:
    """Compares two distributions of items: of the last RECENT_EVENTS events, and of all events before.

    The figure of an event is log((p + q) / (2 q)), where p is the item's share of the last events and q its share of
    the events before, both without the event itself. An event on the item of the user's event before has no figure and
    is not counted: a user who stays with an item says nothing about the mix of items. The mean of the figure is near 0
    while the mix of items stays, and rises when other items become popular. Memory: two counts for each item.
    """

    def __init__(self) -> None:
        self._recent: deque[str] = deque()
        self._recent_counts: Counter[str] = Counter()
        self._long_counts: Counter[str] = Counter()
        self._long = 0

    @property
    def is_ready(self) -> bool:
        """Whether there are enough events for figures."""
        return self._long >= RECENT_EVENTS

    def observe(self, previous_item: str | None, item: str) -> float | None:
        """The figure of the event, if the event has one. The event counts from the next one on."""
        if item == previous_item:
            return None
        figure = None
        if self.is_ready:
            recent = self._recent_counts[item] / RECENT_EVENTS
            before = (self._long_counts[item] + PRIOR) / (self._long + PRIOR * (len(self._long_counts) + 1))
            figure = math.log(1 - SHARE + SHARE * recent / before)
        self._recent.append(item)
        self._recent_counts[item] += 1
        if len(self._recent) > RECENT_EVENTS:
            self._move(self._recent.popleft())
        return figure

    def _move(self, item: str) -> None:
        """Count the oldest of the last events among the events before."""
        if self._recent_counts[item] == 1:
            del self._recent_counts[item]
        else:
            self._recent_counts[item] -= 1
        self._long_counts[item] += 1
        self._long += 1
        if self._long > LONG_EVENTS:
            halved = {each: count // 2 for each, count in self._long_counts.items() if count > 1}
            self._long_counts = Counter(halved)
            self._long = sum(halved.values())
