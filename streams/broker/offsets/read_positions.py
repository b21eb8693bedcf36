"""How far each partition is read, also over offsets that hold no record for the reader. Pure.

Transaction markers, records of aborted transactions and compacted records take offsets, and no reader gets a record for
these offsets. So the last delivered record does not tell how far a partition is read. The client's position does, and
its position may be committed once every record before the position is acknowledged.
"""

from collections.abc import Mapping
from typing import NamedTuple

TP = tuple[str, int]  # topic and partition


class Fetched(NamedTuple):
    """A partition after a poll."""

    position: int  # the next offset that the client fetches
    last_offset: int | None  # of the poll's last record; None where the poll returned no record of the partition


class Gap(NamedTuple):
    """Offsets from `start` up to `end` without a record."""

    start: int
    end: int


class ReadPositions:
    """The positions up to which every record is delivered.

    A poll may be cut short by a rebalance: the client's position is then ahead of what was delivered. Positions count
    again after the next seek.
    """

    def __init__(self) -> None:
        self._passed: dict[TP, int] = {}
        self._delivered: dict[TP, int] = {}  # the offset of the last record that was delivered in this poll
        self._seeks = 0
        self._is_whole = False  # every poll since the last seek was delivered to its end

    def passed(self, tp: TP) -> int | None:
        """The offset before which every record is delivered, or None where it is not known."""
        return self._passed.get(tp)

    def begin_poll(self) -> tuple[int, bool]:
        """Returns what `end_poll` needs. A poll that is not ended counts as cut short."""
        begun = self._seeks, self._is_whole
        self._is_whole = False
        self._delivered.clear()
        return begun

    def deliver(self, tp: TP, last_offset: int) -> None:
        """The records of a partition up to this offset were delivered."""
        self._delivered[tp] = last_offset

    def end_poll(self, begun: tuple[int, bool], fetched: Mapping[TP, Fetched]) -> dict[TP, Gap]:
        """Move behind what the poll returned. Returns the offsets without a record that the positions moved over."""
        seeks, was_whole = begun
        is_delivered = all(
            at.last_offset is None or self._delivered.get(tp) == at.last_offset for tp, at in fetched.items()
        )
        self._is_whole = is_delivered and (was_whole if seeks == self._seeks else True)
        if not self._is_whole or seeks != self._seeks:
            return {}
        gaps = {}
        for tp, at in fetched.items():
            known = self._passed.get(tp) if at.last_offset is None else at.last_offset + 1
            if known is not None and at.position > known:
                gaps[tp] = Gap(known, at.position)
            self._passed[tp] = at.position
        return gaps

    def seek(self, committed: Mapping[TP, int]) -> None:
        """The client reads on from the committed offsets."""
        self._seeks += 1
        self._is_whole = True
        self._passed = dict(committed)

    def forget(self, tp: TP) -> None:
        self._passed.pop(tp, None)
