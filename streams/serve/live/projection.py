"""A map of a bundle: the plane on which directions of items and users are drawn. Pure.

The plane is that of the two first principal components of the items' directions. The plane depends on the bundle alone,
so a user's way on the map is never redrawn.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from streams.serve.scoring.directions import directions

SHOWN_ITEMS = 400  # items that the page draws as the ground of the map


class Projection(NamedTuple):
    """W is the number of components that score."""

    mean: NDArray[np.float64]  # (W,) of the items' directions
    axes: NDArray[np.float64]  # (W, 2) orthonormal
    explained: tuple[float, float]  # share of the variance of the items' directions along each axis
    shown: NDArray[np.int64]  # (n,) indices of the items of the ground, evenly from the catalogue
    ground: NDArray[np.float64]  # (n, 2)

    def place(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, R) vectors of items or users, R at least W -> (n, 2) places on the map."""
        result: NDArray[np.float64] = (directions(vectors[:, : len(self.mean)]) - self.mean) @ self.axes
        return result


def turn_degrees(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """The angle between two (W,) vectors in degrees, from 0 to 180."""
    first, second = directions(np.stack([before, after]))
    return float(np.degrees(np.arccos(np.clip(first @ second, -1, 1))))


def project(bundle: Bundle) -> Projection:
    """The map of a bundle. Takes one pass over the item vectors, and the same bundle gives the same map."""
    vectors = np.asarray(bundle.item_vectors)
    width = bundle.scoring_width
    found = directions(np.array(vectors[1:, :width], np.float32)).astype(np.float64)
    mean = found.mean(axis=0)
    values, vectors_of = np.linalg.eigh(np.cov(found, rowvar=False, bias=True).reshape(width, width))
    axes = np.zeros((width, 2))
    taken = vectors_of[:, ::-1][:, :2]
    axes[:, : taken.shape[1]] = taken * np.where(taken[np.abs(taken).argmax(axis=0), range(taken.shape[1])] < 0, -1, 1)
    total = max(float(values.sum()), np.finfo(np.float64).tiny)
    explained = [float(value) / total for value in values[::-1][:2]] + [0.0, 0.0]
    shown = np.unique(np.linspace(1, len(found), min(SHOWN_ITEMS, len(found))).astype(np.int64))
    ground = (found[shown - 1] - mean) @ axes
    return Projection(mean, axes, (explained[0], explained[1]), shown, ground)
