"""Whole numbers as varints, which Avro and Protobuf share: 7 bits in each byte, the lowest first. Pure.

The functions take all numbers of a batch at once, because a loop over bytes in Python takes microseconds a number.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.uint64]
_SHIFTS = np.arange(0, 64, 7, dtype=np.uint64)
_PLACES = np.arange(len(_SHIFTS))
_LOW_BITS, _MORE = np.uint64(0x7F), np.uint8(0x80)


def zigzag(numbers: Sequence[int] | NDArray[np.integer]) -> Numbers:
    """Signed numbers as unsigned ones, small where the number is near 0: 0, -1, 1, -2 become 0, 1, 2, 3."""
    signed = np.asarray(numbers, np.int64)
    return ((signed << 1) ^ (signed >> 63)).view(np.uint64)


def unsigned(numbers: Sequence[int]) -> Numbers:
    """Numbers that are not negative, as they are."""
    return np.asarray(numbers, np.uint64)


def varints(numbers: Numbers) -> list[bytes]:
    """The varint of each number."""
    return varint_runs(numbers, np.ones(len(numbers), np.int64))


def varint_runs(numbers: Numbers, counts: NDArray[np.int64]) -> list[bytes]:
    """The varints of each run of numbers, one after another.

    counts: the length of each run, (n,). The runs stand in `numbers` one after another.
    """
    groups = numbers[:, None] >> _SHIFTS
    last = np.maximum((groups != 0).sum(axis=1) - 1, 0)[:, None]  # the place of a number's last byte
    bytes_of = (groups & _LOW_BITS).astype(np.uint8)
    bytes_of[last > _PLACES] |= _MORE
    flat = bytes_of[last >= _PLACES].tobytes()
    ends = np.concatenate(([0], np.cumsum(last[:, 0] + 1)))
    run_ends = ends[np.concatenate(([0], np.cumsum(counts)))].tolist()
    return [flat[start:end] for start, end in pairwise(run_ends)]
