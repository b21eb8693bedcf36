"""Joins events to visits: what one user did within an hour. Pure: no I/O, no clock."""

from collections import OrderedDict

from streams.monitor.pairs.matching import Slices

VISIT_MS = 3_600_000
MAX_OPEN = 200_000  # visits that are not over, at about 1 KB each; above that number, the oldest one is over at once
EVERYTHING = "all"


class Sums:
    """The events of a visit, or of a part of it."""

    __slots__ = ("challenger", "champion", "events")

    def __init__(self) -> None:
        self.events = 0
        self.champion = 0.0  # sum of the reciprocal ranks
        self.challenger = 0.0

    def add(self, champion: float, challenger: float) -> None:
        self.events += 1
        self.champion += champion
        self.challenger += challenger


class Visit:
    """A user's events of one hour: the sums of all events under EVERYTHING, and those of each slice."""

    __slots__ = ("begin_ms", "sums", "user_id")

    def __init__(self, user_id: str, begin_ms: int) -> None:
        self.user_id = user_id
        self.begin_ms = begin_ms
        self.sums: dict[str, Sums] = {EVERYTHING: Sums()}

    def add(self, champion: float, challenger: float, slices: Slices) -> None:
        self.sums[EVERYTHING].add(champion, challenger)
        for name in slices:
            sums = self.sums.get(name)
            if sums is None:
                sums = self.sums[name] = Sums()
            sums.add(champion, challenger)


class OpenVisits:
    """The visits that are not over. When a visit is over depends on its begin and on the time, and on no value."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Visit] = OrderedDict()  # by user, the oldest first
        self.events = 0

    def add(self, user_id: str, time_ms: int, champion: float, challenger: float, slices: Slices) -> list[Visit]:
        """Add an event with both reciprocal ranks. Returns the visits that are over by the time of the event."""
        ended = self._ended(user_id, time_ms)
        visit = self._open.get(user_id)
        if visit is None:
            visit = self._open[user_id] = Visit(user_id, time_ms)
            if len(self._open) > MAX_OPEN:
                ended.append(self._open.popitem(last=False)[1])
        visit.add(champion, challenger, slices)
        self.events += 1 - sum(each.sums[EVERYTHING].events for each in ended)
        return ended

    def forget(self, user_id: str) -> None:
        """Drop the visit of a user who was erased."""
        visit = self._open.pop(user_id, None)
        if visit is not None:
            self.events -= visit.sums[EVERYTHING].events

    def _ended(self, user_id: str, time_ms: int) -> list[Visit]:
        ended = []
        while self._open:
            oldest = next(iter(self._open.values()))
            if oldest.begin_ms > time_ms - VISIT_MS:
                break
            ended.append(self._open.popitem(last=False)[1])
        own = self._open.get(user_id)
        if own is not None and own.begin_ms <= time_ms - VISIT_MS:  # began earlier than an older visit, by its events
            ended.append(self._open.pop(user_id))
        return ended
