"""Means and shares that are nan when there is nothing to average. This module is pure."""

import numpy as np
from numpy.typing import NDArray


def share(count: float, total: int) -> float:
    """count / total, or nan when the total is 0."""
    return float(count / total) if total else float("nan")


def mean(values: NDArray[np.floating] | NDArray[np.bool_] | list[float]) -> float:
    """The mean of (n,) values, or nan when there are no values."""
    return float(np.mean(values)) if len(values) else float("nan")
