"""An arena for as many users as a history turns out to have. Does no I/O."""

import numpy as np

from streams.engine.arena import Arena


class GrowingArena(Arena):
    """An arena whose memory is that of its users. A worker's arena has one size, because its copies would take time."""

    def __init__(self, state_width: int, representation_width: int) -> None:
        super().__init__(1, state_width, representation_width)
        self._widths = state_width, representation_width

    def make_room(self, users: int) -> None:
        """Have slots for so many more users. The slots are doubled, so a user is copied once on average."""
        if users <= self.free_slots():
            return
        larger = Arena(max(2 * self.capacity, len(self) + users), *self._widths)
        for name, column in vars(larger).items():
            if isinstance(column, np.ndarray):
                column[: self.capacity] = getattr(self, name)
                setattr(self, name, column)
        self._slots.capacity = larger.capacity
