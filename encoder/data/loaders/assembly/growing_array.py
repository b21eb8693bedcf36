"""An array that grows at its end, without a second copy of all its values in memory."""

import mmap
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_PIECE_BYTES = 1 << 22


class GrowingArray:
    """The values that were appended so far, in pieces of equal size."""

    def __init__(self, dtype: DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._piece_size = _PIECE_BYTES // self._dtype.itemsize
        self._pieces: list[NDArray[Any]] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, values: NDArray[Any]) -> None:
        """Append the values."""
        while len(values):
            begin = self._size % self._piece_size
            if not begin:
                # A mapping of its own goes back to the system when the piece is dropped.
                self._pieces.append(np.frombuffer(mmap.mmap(-1, _PIECE_BYTES), self._dtype))
            part = values[: self._piece_size - begin]
            self._pieces[-1][begin : begin + len(part)] = part
            self._size += len(part)
            values = values[len(part) :]

    def fill(self, value: int, size: int) -> None:
        """Append the value until the array has `size` values."""
        while size > self._size:
            self.append(np.full(min(size - self._size, self._piece_size), value, self._dtype))

    def replace(self, begin: int, end: int, by: NDArray[Any]) -> None:
        """Replace each value v from position `begin` to `end` by by[v]. The values are indices."""
        while begin < end:
            number, at = divmod(begin, self._piece_size)
            part = self._pieces[number][at : at + end - begin]
            part[:] = by[part]
            begin += len(part)

    def taken(self) -> NDArray[Any]:
        """The values as one array. The growing array loses them, piece by piece."""
        whole = np.empty(self._size, self._dtype)
        pieces, self._pieces = self._pieces[::-1], []
        for begin in range(0, self._size, self._piece_size):
            part = whole[begin : begin + self._piece_size]
            part[:] = pieces.pop()[: len(part)]
        self._size = 0
        return whole
