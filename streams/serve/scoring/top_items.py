"""The items with the highest scores, exactly. Pure."""

import numpy as np
from numpy.typing import NDArray

BLOCK = 64  # items whose highest score is looked at together


def padded(items: int) -> int:
    """The number of items, rounded up to whole blocks."""
    return -(-items // BLOCK) * BLOCK


def top_items(scores: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Positions of the `count` highest scores, highest first; of equal scores, the lower position comes first.

    scores: (n,) float32, where n is a whole number of blocks. Positions whose score is -inf are left out. The
    `count`-th highest score is at least the `count`-th highest maximum of a block, so that only few scores are sorted.
    A partition of all scores takes ten times as long.
    """
    highest = scores.reshape(BLOCK, -1).max(axis=0)  # block b has the positions b, b + n / BLOCK, ...
    if count < len(highest):
        least = np.partition(highest, len(highest) - count)[len(highest) - count]
        found = np.flatnonzero(scores >= least)
    else:
        found = np.arange(len(scores))
    found = found[np.argsort(-scores[found], kind="stable")[:count]]
    return found[scores[found] > -np.inf]
