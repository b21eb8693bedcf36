"""The users of a micro-batch, as columns. Pure."""

import numpy as np
from numpy.typing import NDArray

from streams.engine.arena import NO_OFFSET, RECENT, Arena

NOWHERE = -1  # the partition of a user without history: whichever its first event comes in
NO_SLOT = -1
# What the arena knows of a user.
KNOWN = ("partition", "offset", "steps", "last_time_ms", "last_item", "recent")


class Rows:
    """A row for each user, from its first event in the batch (or its first one after an erasure) to its last.

    Columns of (n,): slot in the arena (NO_SLOT: a user without history), partition that the user belongs to, offset of
    the last event, steps, last_time_ms, last_item (str or None); recent (n, RECENT) uint64, zeros and then the hashes,
    oldest first; changed; replayed: a record of it came again, so that its update may not have been published; erased:
    an erasure followed in this batch, and nothing of the row is kept.
    """

    __slots__ = (
        "changed",
        "erased",
        "last_item",
        "last_time_ms",
        "offset",
        "partition",
        "recent",
        "replayed",
        "slot",
        "steps",
        "user_id",
    )

    def __init__(self, user_id: list[str]) -> None:
        """Users without history."""
        n = len(user_id)
        self.user_id = user_id
        self.slot = np.full(n, NO_SLOT, np.int64)
        self.partition = np.full(n, NOWHERE, np.int64)
        self.offset = np.full(n, NO_OFFSET, np.int64)
        self.steps = np.zeros(n, np.int64)
        self.last_time_ms = np.zeros(n, np.int64)
        self.last_item = np.full(n, None, object)
        self.recent = np.zeros((n, RECENT), np.uint64)
        self.changed = np.zeros(n, np.bool_)
        self.replayed = np.zeros(n, np.bool_)
        self.erased = np.zeros(n, np.bool_)

    def __len__(self) -> int:
        return len(self.user_id)

    @classmethod
    def of(cls, user_id: list[str], known: int, arena: Arena) -> "Rows":
        """With what the arena knows of the first `known` users; the others come after an erasure."""
        n, rows = len(user_id), object.__new__(cls)
        rows.user_id = user_id
        rows.slot = np.full(n, NO_SLOT, np.int64)
        rows.slot[:known] = arena.slots(user_id[:known])
        new = np.flatnonzero(rows.slot == NO_SLOT)
        for name in KNOWN:
            column = getattr(arena, name)[rows.slot]  # where there is no slot, what stands in the last one
            if len(new):
                column[new] = getattr(_BLANK, name)[0]
            setattr(rows, name, column)
        rows.changed, rows.replayed, rows.erased = np.zeros((3, n), np.bool_)
        return rows

    def select(self, which: NDArray[np.int64]) -> "Rows":
        """Some of the rows, ascending."""
        if len(which) == len(self):
            return self
        part = object.__new__(Rows)
        part.user_id = [self.user_id[i] for i in which.tolist()]
        for name in Rows.__slots__:
            if name != "user_id":
                setattr(part, name, getattr(self, name)[which])
        return part


_BLANK = Rows([""])
