"""What follows from a planned micro-batch, step by step. No stage changes after it was made. Pure."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.runtime.predictions import Predictions
from streams.engine.foresight import Foresight
from streams.engine.planning.plan import Planned


class Stepped(Planned, frozen=True, kw_only=True):
    """A stepped micro-batch.

    evaluated holds the positions among the applied events of the events to score, ascending. Exactly one of `before`
    and `predictions` is set: the plain graphs predict later from the queries before the events, and a device
    predicts while it steps.
    """

    state: NDArray[np.float32]  # (rows, S) after the batch
    representation: NDArray[np.float32]  # (rows, D) after the batch
    evaluated: NDArray[np.int64]  # (n,)
    before: NDArray[np.float32] | None  # (n, Q) queries before each evaluated event
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
