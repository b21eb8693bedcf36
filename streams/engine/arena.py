"""The arena: hidden states of the users in memory, as columns over slots. Pure: no I/O and no clock.

Each column is allocated for the whole capacity at once. The operating system hands out memory only for slots that were
written, so a column never grows and is never copied.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

RECENT = 8  # hashes of event ids that are kept for each user, to recognise events that a producer sent twice: 64 bytes
NO_OFFSET = -(2**63)  # before every offset, also the negative ones of a log (streams/archive/layout.py)
UNKNOWN_MS = -1  # the time of the last record of a user without history, and of rows that were stored without the time
MERGE_AT = 65_536  # A merge copies the hashes of all evicted users, so many users share a merge.
EVICTED_SHARE = 20  # One eviction frees a twentieth of the arena, so that many batches share one scan over all slots.


class StoredUser(msgspec.Struct, gc=False, kw_only=True):
    """A user's stored state.

    offset: NO_OFFSET where the stored position belongs to another incarnation of the topic.
    is_current: the state was stored under the present epoch, in which a user belongs to one partition.
    last_record_ms: the latest timestamp of the records that were applied, where expiry needs the time.
    recent: up to RECENT 64-bit hashes, oldest first. state: (S,) float32. representation: (D,) float32.
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
    last_record_ms: int = UNKNOWN_MS


class EvictedUsers:
    """The users whose rows are stored and who were taken out of memory, as 64-bit hashes (xxh3): 8 bytes a user.

    A user of this set who has no row was lost. Every other user without a row is a new user. Two of 10 million users
    have the same hash with a probability of 3e-6. A new user then counts as evicted.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._sorted = np.empty(0, np.uint64)
        self._added: set[int] = set()
        self._removed: set[int] = set()  # hashes in `_sorted` that do not count

    def __contains__(self, user_id: str) -> bool:
        digest = _digest(user_id)
        if digest in self._added:
            return True
        at = int(np.searchsorted(self._sorted, np.uint64(digest)))
        is_found = at < len(self._sorted) and int(self._sorted[at]) == digest
        return is_found and digest not in self._removed

    @property
    def has_any(self) -> bool:
        return bool(self._added) or len(self._sorted) > 0

    def add(self, user_ids: Iterable[str]) -> None:
        digests = set(map(_digest, user_ids))
        self._added |= digests
        self._removed -= digests
        if len(self._added) >= MERGE_AT:
            self._sorted = np.union1d(self._sorted, np.fromiter(self._added, np.uint64, len(self._added)))
            self._added = set()

    def discard(self, user_id: str) -> None:
        digest = _digest(user_id)
        self._added.discard(digest)
        if user_id in self:
            self._removed.add(digest)


class UserSlots:
    """A mapping between users and the numbers 0 to capacity - 1. A released number is given out again.

    evicted: users who had a number, and whose rows are stored.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._user: list[str | None] = []  # by slot
        self._slot: dict[str, int] = {}
        self._free: list[int] = []
        self.evicted = EvictedUsers()

    def __len__(self) -> int:
        return len(self._slot)

    def __contains__(self, user_id: object) -> bool:
        return user_id in self._slot

    def get(self, user_id: str) -> int | None:
        return self._slot.get(user_id)

    def get_all(self, user_ids: Iterable[str]) -> NDArray[np.int64]:
        """(n,) int64, the slot of each user, -1 for a user without a slot."""
        return np.array([self._slot.get(user_id, -1) for user_id in user_ids], np.int64)

    def unknown(self, user_ids: Iterable[str]) -> list[str]:
        """The users without a slot."""
        slot = self._slot
        return [user_id for user_id in user_ids if user_id not in slot]

    def items(self) -> Iterator[tuple[str, int]]:
        """Every user with the user's slot."""
        return iter(self._slot.items())

    def users_of(self, slots: Iterable[int]) -> list[str]:
        """The users of slots that are in use."""
        return [user_id for slot in slots if (user_id := self._user[slot]) is not None]

    def allocate(self, user_id: str) -> int:
        """Give a slot to a user that has none. Raises IndexError where every slot is taken."""
        # The copy frees the batch's own string. Kept strings would scatter over the memory of later batches and make
        # an event with a million users 6% dearer (docs/decisions.md#names-in-the-arena).
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

    def release(self, slot: int) -> None:
        """Take the slot from its user."""
        user_id = self._user[slot]
        assert user_id is not None, "a slot in use has a user"
        self._user[slot] = None
        del self._slot[user_id]
        self._free.append(slot)


class Arena:
    """States of up to `capacity` users. Users whose rows are stored and who were used least recently are evicted."""

    def __init__(self, capacity: int, state_width: int, representation_width: int) -> None:
        self._slots = UserSlots(capacity)
        self.state = np.zeros((capacity, state_width), np.float32)
        self.representation = np.zeros((capacity, representation_width), np.float32)
        self.partition = np.full(capacity, -1, np.int32)
        self.offset = np.full(capacity, NO_OFFSET, np.int64)
        self.steps = np.zeros(capacity, np.int64)
        self.last_time_ms = np.zeros(capacity, np.int64)
        self.last_record_ms = np.full(capacity, UNKNOWN_MS, np.int64)
        self.recent = np.zeros((capacity, RECENT), np.uint64)  # zeros, then up to RECENT hashes, oldest first
        self.last_used = np.full(capacity, -1, np.int64)  # number of the last batch that used the slot
        self.stale = np.zeros(capacity, np.bool_)  # slots that a copy on a device has yet to receive
        self.last_item = np.empty(capacity, object)  # str or None

    @property
    def capacity(self) -> int:
        return self._slots.capacity

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, user_id: object) -> bool:
        return user_id in self._slots

    def slot(self, user_id: str) -> int | None:
        return self._slots.get(user_id)

    def slots(self, user_ids: Iterable[str]) -> NDArray[np.int64]:
        """(n,) int64, the slot of each user, -1 for a user without a slot."""
        return self._slots.get_all(user_ids)

    def unknown(self, user_ids: Iterable[str]) -> list[str]:
        """The users without a slot."""
        return self._slots.unknown(user_ids)

    def users(self) -> Iterator[tuple[str, int]]:
        """Every user with the user's slot."""
        return self._slots.items()

    def users_at(self, slots: NDArray[np.int64]) -> list[str]:
        """The users of these slots, which must be in use."""
        return self._slots.users_of(slots.tolist())

    def free_slots(self) -> int:
        return self.capacity - len(self._slots)

    def allocate(self, user_id: str) -> int:
        """Give a slot to a user that has none. Raises IndexError where the arena is full: evict users first."""
        return self._slots.allocate(user_id)

    def insert(self, users: Sequence[StoredUser], partition: int, sequence: int) -> None:
        """Take in restored users, whose events stand in this partition in batch number `sequence`.

        A user that was stored under an older epoch in another partition moves to this partition with the user's
        history. A user of the present epoch stays in the stored partition, and the batch's events of the user are
        strays.
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
        self.last_record_ms[slots] = [user.last_record_ms for user in users]
        self.last_used[slots] = sequence
        for slot, user in zip(slots, users, strict=True):
            self.recent[slot] = 0
            self.recent[slot, RECENT - len(user.recent) :] = user.recent
        self.set_last_items(slots, [user.last_item for user in users])

    def set_last_items(self, slots: Sequence[int] | NDArray[np.int64], items: Iterable[str | None]) -> None:
        """Set the last item of each slot. Users with the same last item share one string."""
        self.last_item[slots] = [None if item is None else sys.intern(item) for item in items]

    @property
    def has_evicted(self) -> bool:
        """True where a user was evicted from this arena since the last drop of a partition."""
        return self._slots.evicted.has_any

    def was_evicted(self, user_id: str) -> bool:
        """True for a user who was evicted from this arena, and neither forgotten nor dropped since."""
        return user_id in self._slots.evicted

    def forget(self, user_id: str) -> None:
        """Drop a user who has no history any more, where the user is in memory."""
        self._slots.evicted.discard(user_id)
        slot = self._slots.get(user_id)
        if slot is not None:
            self._release(slot)

    def drop_absent(self, last_record_before_ms: int, stored_up_to: int) -> int:
        """Drop every user whose last record is older, and whose row is stored (`evict`). Return their number.

        A user whose last record is not known stays.
        """
        known = (self.last_record_ms != UNKNOWN_MS) & (self.partition >= 0)
        absent = np.flatnonzero(
            known & (self.last_record_ms < last_record_before_ms) & (self.last_used <= stored_up_to)
        )
        for slot in absent.tolist():
            self._release(slot)
        return len(absent)

    def drop_partitions(self, partitions: Sequence[int]) -> int:
        """Drop every user of these partitions. Return the number of these users."""
        self._slots.evicted.clear()  # Another worker may erase users meanwhile.
        used = np.flatnonzero(np.isin(self.partition, partitions))
        for slot in used.tolist():
            self._release(slot)
        return len(used)

    def evict(self, wanted: int, stored_up_to: int) -> bool:
        """Drop the users that were used least recently until `wanted` slots are free.

        stored_up_to: the number of the last batch whose rows are stored. A user of a later batch stays, because the
        stored row of the user is older than the slot. Returns False where too few users may be dropped.
        """
        slots = self.coldest(wanted, stored_up_to)
        if slots is None:
            return False
        self.drop(slots)
        return True

    def coldest(self, wanted: int, used_up_to: int) -> NDArray[np.int64] | None:
        """(m,) int64, the slots to drop so that `wanted` slots are free; none where they are free already.

        used_up_to: a user of a later batch stays. Returns None where too few users may be dropped.
        """
        short = wanted - self.free_slots()
        if short <= 0:
            return np.empty(0, np.int64)
        used = np.flatnonzero(self.partition >= 0)
        candidates = used[self.last_used[used] <= used_up_to]
        if len(candidates) < short:
            return None
        count = min(len(candidates), max(short, self.capacity // EVICTED_SHARE))
        coldest: NDArray[np.int64] = candidates[np.argpartition(self.last_used[candidates], count - 1)[:count]]
        return coldest

    def drop(self, slots: NDArray[np.int64]) -> None:
        """Drop the users of these slots, whose rows are stored. The users count as evicted from now on."""
        self._slots.evicted.add(self.users_at(slots))
        for slot in slots.tolist():
            self._release(slot)

    def _release(self, slot: int) -> None:
        self._slots.release(slot)
        self.partition[slot] = -1
        self.last_used[slot] = -1
        self.last_item[slot] = None
        self.state[slot] = 0.0  # An erased user leaves nothing behind in memory.
        self.representation[slot] = 0.0
        self.stale[slot] = True
        self.recent[slot] = 0


def _digest(user_id: str) -> int:
    return xxh3_64_intdigest(user_id.encode())
