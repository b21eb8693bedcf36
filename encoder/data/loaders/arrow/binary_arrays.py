"""The parts of binary arrays and dictionary arrays of pyarrow, as numpy sees them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import MISSING


def dictionary_parts(array: Any) -> tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.int32]]:
    """A dictionary array of binary values: (n,) codes, MISSING for null, the bytes of the values, and their offsets."""
    indices = array.indices
    codes = indices.fill_null(MISSING) if indices.null_count else indices
    data, offsets = binary_parts(array.dictionary)
    return codes.to_numpy().astype(np.int32, copy=False), data, offsets


def binary_parts(array: Any) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """A binary array of n values: the bytes of the values, and (n + 1,) offsets. Null has no bytes."""
    _, offsets, data = array.buffers()
    if not len(array):
        return np.empty(0, np.uint8), np.zeros(1, np.int32)
    ends = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
    return (np.empty(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)), ends
