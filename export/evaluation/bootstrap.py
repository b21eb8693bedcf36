"""Confidence intervals and significance by resampling users, since the events of one user depend on each other.

The intervals are percentile bootstrap intervals (Efron and Tibshirani, An Introduction to the Bootstrap, 1993). This
module is pure.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.ranking import mrr, recall

SEED = 0
RESAMPLES = 1_000
LEVEL = 0.95
CELLS = 8_000_000  # of the table (resamples, users) that are in memory at a time

K = 20
NAMES = (f"recall@{K}", f"mrr@{K}")  # the metrics that have intervals


def gains(ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) ranks -> (n, 2) what each event adds to the means of NAMES."""
    hit = (ranks > 0) & (ranks <= K)
    return np.stack([hit.astype(np.float64), hit / np.maximum(ranks, 1)], axis=1)


def resampled_means(
    user: NDArray[np.int64], values: NDArray[np.float64], seed: int = SEED, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """(n,) user of each event and (n, c) values -> (resamples, c) means over the events of resampled users.

    Each resample draws as many users as there are, with replacement. The same seed draws the same users, so the columns
    are paired.
    """
    _, code = np.unique(user, return_inverse=True)
    users = int(code.max()) + 1
    counts = np.bincount(code).astype(np.float64)
    sums = np.stack([np.bincount(code, column) for column in values.T], axis=1)
    rng = np.random.default_rng(seed)
    means = np.empty((resamples, values.shape[1]))
    size = max(1, CELLS // users)
    for begin in range(0, resamples, size):
        rows = min(size, resamples - begin)
        drawn = rng.integers(users, size=(rows, users)) + users * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * users).reshape(rows, users).astype(np.float64)
        means[begin : begin + rows] = (times @ sums) / (times @ counts)[:, None]
    return means


def intervals(user: NDArray[np.int64], ranks: NDArray[np.int64]) -> dict[str, list[float] | None]:
    """Metric of NAMES -> [low, high] of its 95% interval, None without events."""
    if not len(ranks):
        return dict.fromkeys(NAMES)
    means = resampled_means(user, gains(ranks))
    return {name: _interval(column) for name, column in zip(NAMES, means.T, strict=True)}


def difference(user: NDArray[np.int64], one: NDArray[np.int64], other: NDArray[np.int64]) -> dict[str, Any]:
    """Metric of NAMES -> its difference `one` - `other`, from (n,) ranks of the same events.

    {"difference": float, "interval": [low, high], "p": two-sided, at least 2 / (RESAMPLES + 1)}; None without events.
    """
    if not len(one):
        return dict.fromkeys(NAMES)
    means = resampled_means(user, gains(one) - gains(other))
    actual = (recall(one, K) - recall(other, K), mrr(one, K) - mrr(other, K))
    return {
        name: {"difference": float(value), "interval": _interval(column), "p": _p_value(column)}
        for name, value, column in zip(NAMES, actual, means.T, strict=True)
    }


def _interval(means: NDArray[np.float64]) -> list[float]:
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [float(low), float(high)]


def _p_value(differences: NDArray[np.float64]) -> float:
    """Twice the share of resampled differences with the rarer sign, where 0 counts for both signs.

    One more of each is counted, so that the value is never 0.
    """
    rarer = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (rarer + 1) / (len(differences) + 1))
