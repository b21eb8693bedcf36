"""Joins events to blocks of up to five events that one user causes within an hour. Pure: no I/O, no clock."""

from collections import OrderedDict

from streams.monitor.pairs.matching import Slices

# The events of a user within a short time depend on each other, and so count together as one value. A longer block
# needs more events for the same interval: docs/decisions.md#blocks-of-a-users-events
BLOCK_EVENTS = 5
BLOCK_MS = 3_600_000
MAX_OPEN = 200_000  # blocks that are not over, at about 1 KB each; above that number, the oldest one is over at once
EVERYTHING = "all"


class Sums:
    """The events of a block, or of a part of it."""

    __slots__ = ("challenger", "champion", "events")

    def __init__(self) -> None:
        self.events = 0
        self.champion = 0.0  # sum of the reciprocal ranks
        self.challenger = 0.0

    def add(self, champion: float, challenger: float) -> None:
        self.events += 1
        self.champion += champion
        self.challenger += challenger


class UserBlock:
    """The sums of all events of the block under EVERYTHING, and those of each slice."""

    __slots__ = ("begin_ms", "sums", "user_id")

    def __init__(self, user_id: str, begin_ms: int) -> None:
        self.user_id = user_id
        self.begin_ms = begin_ms
        self.sums: dict[str, Sums] = {EVERYTHING: Sums()}

    @property
    def events(self) -> int:
        return self.sums[EVERYTHING].events

    def add(self, champion: float, challenger: float, slices: Slices) -> None:
        """Add an event with both reciprocal ranks."""
        self.sums[EVERYTHING].add(champion, challenger)
        for name in slices:
            sums = self.sums.get(name)
            if sums is None:
                sums = self.sums[name] = Sums()
            sums.add(champion, challenger)


class OpenBlocks:
    """The blocks that are not over. When a block is over depends on times and numbers of events, and on no rank."""

    def __init__(self, block_events: int = BLOCK_EVENTS) -> None:
        self.events = 0
        self._block_events = block_events
        self._open: OrderedDict[str, UserBlock] = OrderedDict()  # by user, the oldest first

    def add(self, user_id: str, time_ms: int, champion: float, challenger: float, slices: Slices) -> list[UserBlock]:
        """Add an event with both reciprocal ranks. Returns the blocks that are over by then."""
        ended = self._overdue(user_id, time_ms)
        block = self._open.get(user_id)
        if block is None:
            block = self._open[user_id] = UserBlock(user_id, time_ms)
        block.add(champion, challenger, slices)
        if block.events == self._block_events:
            ended.append(self._open.pop(user_id))
        if len(self._open) > MAX_OPEN:
            ended.append(self._open.popitem(last=False)[1])
        self.events += 1 - sum(block.events for block in ended)
        return ended

    def forget(self, user_id: str) -> None:
        """Drop the block of a user who was erased."""
        block = self._open.pop(user_id, None)
        if block is not None:
            self.events -= block.events

    def _overdue(self, user_id: str, time_ms: int) -> list[UserBlock]:
        ended = []
        while self._open:
            oldest = next(iter(self._open.values()))
            if oldest.begin_ms > time_ms - BLOCK_MS:
                break
            ended.append(self._open.popitem(last=False)[1])
        own = self._open.get(user_id)
        if own is not None and own.begin_ms <= time_ms - BLOCK_MS:  # the oldest block may have begun later by its time
            ended.append(self._open.pop(user_id))
        return ended
