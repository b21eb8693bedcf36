"""How well predicted probabilities agree with what happened. This module is pure."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.averages import mean

GROUPS = 10  # rows of a reliability table


def reliability(probability: NDArray[np.floating], came: NDArray[np.bool_]) -> dict[str, Any]:
    """Compare (n,) probabilities with (n,) whether each predicted thing came.

    `reliability` holds GROUPS groups of equal size by ascending probability: [{"probability": its mean, "came": the
    share that came, "n"}]. The expected calibration error `ece` is the mean over the groups, weighted by their sizes,
    of the absolute difference between both (Naeini, Cooper and Hauskrecht 2015, and Guo, Pleiss, Sun and Weinberger
    2017, here with groups of equal size). Other keys are "probability" and "came" of all, and "n". Without values, each
    mean is not a number.
    """
    order = np.argsort(probability, kind="stable")
    groups = [group for group in np.array_split(order, GROUPS) if len(group)]
    rows = [{"probability": mean(probability[group]), "came": mean(came[group]), "n": len(group)} for group in groups]
    errors = [abs(row["probability"] - row["came"]) * row["n"] for row in rows]
    return {
        "ece": sum(errors) / len(order) if len(order) else float("nan"),
        "probability": mean(probability),
        "came": mean(came),
        "n": len(order),
        "reliability": rows,
    }
