"""The arena: hidden states of the users in memory, as columns over slots. Pure: no I/O, no clock.

A column is allocated for the whole capacity at once; the operating system hands out memory only for slots that were
written, so there is nothing to grow and nothing to copy.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

RECENT = 8  # event ids (hashed) kept a user to recognise what a producer sent twice: 64 bytes a user
NO_OFFSET = -1


class StoredUser(msgspec.Struct, gc=False, kw_only=True):
    """A user's state as it is stored; `offset` is NO_OFFSET where the stored position is of another topic.

    is_current: stored under the present epoch, in which a user belongs to one partition.

    state: (S,) float32, representation: (D,) float32, recent: up to RECENT 64-bit hashes, oldest first.
    """

    user_id: str
    partition: int
    is_current: bool = True
    offset: int
    steps: int
    last_time_ms: int
    last_item: str | None
    recent: list[int]
    state: NDArray[np.float32]
    representation: NDArray[np.float32]


class Arena:
    """States of up to `capacity` users; the coldest confirmed ones make room for new ones."""

    def __init__(self, capacity: int, state_width: int, representation_width: int) -> None:
        self.capacity = capacity
        self.state = np.zeros((capacity, state_width), np.float32)
        self.representation = np.zeros((capacity, representation_width), np.float32)
        self.partition = np.full(capacity, -1, np.int32)
        self.offset = np.full(capacity, NO_OFFSET, np.int64)
        self.steps = np.zeros(capacity, np.int64)
        self.last_time_ms = np.zeros(capacity, np.int64)
        self.recent = np.zeros((capacity, RECENT), np.uint64)  # zeros, then up to RECENT hashes, oldest first
        self.last_used = np.full(capacity, -1, np.int64)  # sequence number of the batch that last touched the slot
        self.stale = np.zeros(capacity, np.bool_)  # slots written here alone, for who keeps a copy on a device
        self.last_item = np.empty(capacity, object)  # str or None
        self._user: list[str | None] = []
        self._slot: dict[str, int] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._slot)

    def __contains__(self, user_id: object) -> bool:
        return user_id in self._slot

    def slot(self, user_id: str) -> int | None:
        return self._slot.get(user_id)

    def slots(self, user_ids: Iterable[str]) -> NDArray[np.int64]:
        """(n,) the slot of each user, -1 where it has none."""
        return np.array([self._slot.get(user_id, -1) for user_id in user_ids], np.int64)

    def unknown(self, user_ids: Iterable[str]) -> list[str]:
        """Those that have no slot."""
        slot = self._slot
        return [user_id for user_id in user_ids if user_id not in slot]

    def users(self) -> Iterator[tuple[str, int]]:
        """Every user with its slot."""
        return iter(self._slot.items())

    def free_slots(self) -> int:
        return self.capacity - len(self._slot)

    def allocate(self, user_id: str) -> int:
        """A slot for a user that has none. Raises IndexError when the arena is full: make room first."""
        # A copy of its own: the name that came lies among what its batch made and soon frees, and kept for good it
        # scatters in memory what later batches make. With a million users an event cost a worker 19.1 us of CPU, with
        # copies 18.0, with 10,000 users 16.8.
        user_id = user_id.encode().decode()
        if self._free:
            slot = self._free.pop()
            self._user[slot] = user_id
        elif len(self._user) < self.capacity:
            slot = len(self._user)
            self._user.append(user_id)
        else:
            raise IndexError(f"the arena is full with {self.capacity} users")
        self._slot[user_id] = slot
        return slot

    def insert(self, users: Sequence[StoredUser], partition: int, sequence: int) -> None:
        """Take in restored users for the part of batch number `sequence` that is of this partition.

        A user that was stored under an older epoch in another partition moves here with its history; one of the
        present epoch stays where it belongs, and the batch's events of it are not its own.
        """
        if not users:
            return
        slots = [self.allocate(user.user_id) for user in users]
        self.state[slots] = [user.state for user in users]
        self.representation[slots] = [user.representation for user in users]
        self.stale[slots] = True
        moved = [user.partition != partition and not user.is_current for user in users]
        self.partition[slots] = [partition if m else user.partition for m, user in zip(moved, users, strict=True)]
        self.offset[slots] = [NO_OFFSET if m else user.offset for m, user in zip(moved, users, strict=True)]
        self.steps[slots] = [user.steps for user in users]
        self.last_time_ms[slots] = [user.last_time_ms for user in users]
        self.last_used[slots] = sequence
        for slot, user in zip(slots, users, strict=True):
            self.recent[slot] = 0
            self.recent[slot, RECENT - len(user.recent) :] = user.recent
        self.keep_last_items(slots, [user.last_item for user in users])

    def keep_last_items(self, slots: Sequence[int] | NDArray[np.int64], items: Iterable[str | None]) -> None:
        """The name of an item is kept once, for however many users it is the last one of."""
        self.last_item[slots] = [None if item is None else sys.intern(item) for item in items]

    def forget(self, user_id: str) -> None:
        """Drop a user, if there."""
        slot = self._slot.pop(user_id, None)
        if slot is not None:
            self._release(slot)

    def drop_partitions(self, partitions: Sequence[int]) -> int:
        """Drop every user of these partitions, and say how many they were."""
        used = np.flatnonzero(np.isin(self.partition, partitions))
        for slot in used.tolist():
            user_id = self._user[slot]
            if user_id is not None:
                del self._slot[user_id]
                self._release(slot)
        return len(used)

    def make_room(self, wanted: int, confirmed: int) -> bool:
        """Drop the coldest users until `wanted` slots are free; False where too few are confirmed.

        confirmed: number of the last batch whose rows are stored. A user touched later must stay: its stored row is
        older than its slot.
        """
        short = wanted - self.free_slots()
        if short <= 0:
            return True
        used = np.flatnonzero(self.partition >= 0)
        candidates = used[self.last_used[used] <= confirmed]
        if len(candidates) < short:
            return False
        # A twentieth at a time: the scan over all slots is then paid once in many batches.
        count = min(len(candidates), max(short, self.capacity // 20))
        coldest = np.argpartition(self.last_used[candidates], count - 1)[:count]
        for slot in candidates[coldest].tolist():
            user_id = self._user[slot]
            assert user_id is not None, "a slot in use has a user"
            del self._slot[user_id]
            self._release(slot)
        return True

    def _release(self, slot: int) -> None:
        self._user[slot] = None
        self.partition[slot] = -1
        self.last_used[slot] = -1
        self.last_item[slot] = None
        self.state[slot] = 0.0  # an erased user leaves nothing behind in memory
        self.representation[slot] = 0.0
        self.stale[slot] = True
        self.recent[slot] = 0
        self._free.append(slot)
