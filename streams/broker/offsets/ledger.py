"""Which record batches of a partition were delivered, and which of them may be committed. Pure."""

from collections import deque


class LedgerEntry:
    """One delivered batch: its last offset, the group generation of its read, and whether it is acknowledged."""

    __slots__ = ("acked", "generation_id", "last_offset")

    def __init__(self, last_offset: int, generation_id: int) -> None:
        self.last_offset = last_offset
        self.generation_id = generation_id
        self.acked = False


class Ledger:
    """The batches of one partition in the order in which they were read."""

    def __init__(self) -> None:
        self._entries: deque[LedgerEntry] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def enter(self, last_offset: int, generation_id: int) -> LedgerEntry:
        entry = LedgerEntry(last_offset, generation_id)
        self._entries.append(entry)
        return entry

    def pop_committable(self) -> int | None:
        """Take the acknowledged batches off the head. Return the offset to commit, or None where there is none.

        The offset to commit is that of the next record to read.
        """
        offset = None
        while self._entries and self._entries[0].acked:
            offset = self._entries.popleft().last_offset + 1
        return offset

    def drop_before(self, generation_id: int) -> None:
        """Forget the batches of older generations. The group reads them again from the committed offset."""
        self._entries = deque(e for e in self._entries if e.generation_id >= generation_id)
