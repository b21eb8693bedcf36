"""The outputs of the predict graph."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Predictions(NamedTuple):
    """What the predict graph gives for n representations and items."""

    rank: NDArray[np.int32]  # (n,) of each item over the whole catalogue, 0 for an item outside the catalogue
    action_probability: NDArray[np.float32]  # (n, A + 1) of the next action, (n, 0) without heads
    time_mixture: NDArray[np.float32]  # (n, 3K) `encoder.metrics.time_mixture` of the time to it, (n, 0) without heads

    def at(self, which: NDArray[np.int64]) -> "Predictions":
        """The predictions at these positions, (m,) int64."""
        return Predictions(self.rank[which], self.action_probability[which], self.time_mixture[which])


def unfilled_predictions(n: int, head_widths: dict[str, int]) -> Predictions:
    """Arrays for n predictions, with arbitrary content.

    head_widths: the columns of each head, from `Manifest.heads`; empty without heads.
    """
    return Predictions(
        rank=np.empty(n, np.int32),
        action_probability=np.empty((n, head_widths.get("action_probability", 0)), np.float32),
        time_mixture=np.empty((n, head_widths.get("time_mixture", 0)), np.float32),
    )
