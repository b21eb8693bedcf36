"""An array that grows at its end, without a second copy of its values in memory."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_GROWTH = 1.125  # the unused end of an array takes memory as well
_SMALLEST = 8192


class GrowingArray:
    """The values that were appended so far."""

    def __init__(self, dtype: DTypeLike) -> None:
        self._values: NDArray[Any] = np.empty(0, dtype)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """A view of the values, until the array grows."""
        return self._values[: self._size][rows]

    def append(self, values: NDArray[Any]) -> None:
        """Append the values."""
        end = self._size + len(values)
        if end > len(self._values):
            # The memory of a large array is moved to other addresses without a copy. No view of it is kept.
            self._values.resize(max(_SMALLEST, end, int(len(self._values) * _GROWTH)), refcheck=False)
        self._values[self._size : end] = values
        self._size = end

    def fill(self, value: int, size: int) -> None:
        """Append the value until the array has `size` values."""
        if size > self._size:
            self.append(np.full(size - self._size, value, self._values.dtype))

    def taken(self) -> NDArray[Any]:
        """The values. The growing array loses them."""
        values = self._values
        values.resize(self._size, refcheck=False)
        self._values, self._size = np.empty(0, values.dtype), 0
        return values
