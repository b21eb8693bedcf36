"""Directions of vectors, whose dot products are cosines."""

import numpy as np
from numpy.typing import NDArray


def directions(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, W) vectors -> (n, W) vectors of length 1. A vector of zeros stays one."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: NDArray[np.float32] = (vectors / np.maximum(length, np.finfo(np.float32).tiny)).astype(np.float32)
    return found
