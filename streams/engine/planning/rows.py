"""The users of a micro-batch, as columns. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streams.engine.arena import NO_OFFSET, RECENT, UNKNOWN_MS, Arena

NOWHERE = -1  # the partition of a user without history, until the user's first event names the partition
NO_SLOT = -1
ARENA_COLUMNS = ("partition", "offset", "steps", "last_time_ms", "last_record_ms", "last_item", "recent")


class Rows:
    """One row for each user of a batch.

    An erasure or an expiry inside the batch ends a user's row. Later events belong to a further row of the same user.

    slot: (n,) int64, the user's slot in the arena; NO_SLOT for a user without history.
    partition: (n,) int64, the partition that the user belongs to.
    offset: (n,) int64, the offset of the user's last applied event.
    steps: (n,) int64, the number of applied events.
    last_time_ms: (n,) int64, the latest event time.
    last_record_ms: (n,) int64, the latest timestamp of the applied records; UNKNOWN_MS without one.
    last_item: (n,) str or None, the item of the last event.
    recent: (n, RECENT) uint64, zeros and then the hashes of the last event ids, oldest first.
    changed: (n,) bool, an event of the batch was applied.
    replayed: (n,) bool, a record of the user came again, so the user's update may not have been published.
    erased: (n,) bool, an erasure or an expiry in the batch ended the row, so nothing of the row is stored.
    """

    __slots__ = (
        "changed",
        "erased",
        "last_item",
        "last_record_ms",
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
        """Rows of users without history."""
        n = len(user_id)
        self.user_id = user_id
        self.slot = np.full(n, NO_SLOT, np.int64)
        self.partition = np.full(n, NOWHERE, np.int64)
        self.offset = np.full(n, NO_OFFSET, np.int64)
        self.steps = np.zeros(n, np.int64)
        self.last_time_ms = np.zeros(n, np.int64)
        self.last_record_ms = np.full(n, UNKNOWN_MS, np.int64)
        self.last_item = np.full(n, None, object)
        self.recent = np.zeros((n, RECENT), np.uint64)
        self.changed = np.zeros(n, np.bool_)
        self.replayed = np.zeros(n, np.bool_)
        self.erased = np.zeros(n, np.bool_)

    def __len__(self) -> int:
        return len(self.user_id)

    @classmethod
    def from_arena(cls, user_id: list[str], known: int, arena: Arena) -> "Rows":
        """Rows with what the arena holds of the first `known` users. The other rows begin after an erasure, blank."""
        n, rows = len(user_id), object.__new__(cls)
        rows.user_id = user_id
        rows.slot = np.full(n, NO_SLOT, np.int64)
        rows.slot[:known] = arena.slots(user_id[:known])
        blank = np.flatnonzero(rows.slot == NO_SLOT)
        for name in ARENA_COLUMNS:
            # NO_SLOT is -1 and reads the arena's last slot. The next lines overwrite these values.
            column = getattr(arena, name)[rows.slot]
            if len(blank):
                column[blank] = getattr(_BLANK, name)[0]
            setattr(rows, name, column)
        rows.changed, rows.replayed, rows.erased = np.zeros((3, n), np.bool_)
        return rows

    def with_new(self, of: Sequence[int]) -> "Rows":
        """These rows, and behind them one row without history for each user of the rows `of`, in the same partition.

        A new row of a user whom the batch erases later is erased too.
        """
        new = Rows([self.user_id[row] for row in of])
        new.partition[:], new.erased[:] = self.partition[list(of)], self.erased[list(of)]
        joined = object.__new__(Rows)
        joined.user_id = self.user_id + new.user_id
        for name in Rows.__slots__:
            if name != "user_id":
                setattr(joined, name, np.concatenate([getattr(self, name), getattr(new, name)]))
        return joined

    def select(self, which: NDArray[np.int64]) -> "Rows":
        """The rows at these positions, which must ascend."""
        if len(which) == len(self):
            return self
        part = object.__new__(Rows)
        part.user_id = [self.user_id[i] for i in which.tolist()]
        for name in Rows.__slots__:
            if name != "user_id":
                setattr(part, name, getattr(self, name)[which])
        return part


_BLANK = Rows([""])
