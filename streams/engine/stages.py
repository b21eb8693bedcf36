"""What follows from a planned micro-batch, step by step. No stage changes after it was made. Pure."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.engine.foresight import Foresight
from streams.engine.planning.plan import Planned


class Predictions(NamedTuple):
    """What the graphs predicted for n events from the representations before the events."""

    rank: NDArray[np.int32]  # (n,) of the actual item over the whole catalogue; 0 for an item outside the catalogue
    action_probability: NDArray[np.float32]  # (n, A + 1), (n, 0) without heads
    time_mixture: NDArray[np.float32]  # (n, 3K), (n, 0) without heads

    def at(self, which: NDArray[np.int64]) -> "Predictions":
        """The predictions at these positions, (m,) int64."""
        return Predictions(self.rank[which], self.action_probability[which], self.time_mixture[which])


class Stepped(Planned, frozen=True, kw_only=True):
    """A stepped micro-batch.

    evaluated holds the positions among the applied events of the events to score, ascending. Exactly one of `before`
    and `predictions` is set: the plain graphs predict later from the representations before the events, and a device
    predicts while it steps.
    """

    state: NDArray[np.float32]  # (rows, S) after the batch
    representation: NDArray[np.float32]  # (rows, D) after the batch
    evaluated: NDArray[np.int64]  # (n,)
    before: NDArray[np.float32] | None  # (n, D) before each evaluated event
    predictions: Predictions | None  # of each evaluated event


class Scored(Planned, frozen=True, kw_only=True):
    """A scored micro-batch, ready to leave the process.

    evaluated, state and representation are those of `Stepped`.
    """

    state: NDArray[np.float32]
    representation: NDArray[np.float32]
    evaluated: NDArray[np.int64]
    rank: NDArray[np.int32]  # (n,) of each evaluated event; 0 for an item outside the catalogue
    foresight: Foresight | None  # None without evaluated events, and without heads


def planned_fields(batch: Planned) -> dict[str, Any]:
    """The fields of `Planned`, as keyword arguments of a later stage."""
    return {name: getattr(batch, name) for name in Planned.__struct_fields__}
