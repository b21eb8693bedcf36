"""Which slot of the arena belongs to which user. Pure."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray


class UserSlots:
    """A mapping between users and the numbers 0 to capacity - 1. A released number is given out again."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._user: list[str | None] = []  # by slot
        self._slot: dict[str, int] = {}
        self._free: list[int] = []

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
