"""Confidence sequences: intervals of a mean that hold at every look, so that a comparison may be watched and stopped.

An ordinary 95% interval holds for one look at a number of values that was fixed before. Who looks after every value and
stops at the first interval without 0 is wrong far more often than in 5% of the cases. A confidence sequence contains
the mean after every value with a probability of 95% for all looks together.

The sequence is the empirical Bernstein sequence of Howard, Ramdas, McAuliffe and Sekhon (Time-uniform, nonparametric,
nonasymptotic confidence sequences, Annals of Statistics 49, 2021), theorem 4, with the gamma-exponential mixture as its
boundary. The values have to be independent, or at least to have the same mean whatever the values before are, and to
lie in a known range. Nothing else about their distribution is assumed, and the guarantee holds from the first value on.
Events of one user depend on each other, so a value is the mean of one user (`user_means`), and a user's value must not
change after it was added. This module is pure.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, gammaln

from encoder.errors import InputError

LEVEL = 0.95
# The variation at which the boundary is narrowest. The boundary holds at any other variation as well. 100 is that of
# 2,000 users whose differences have a variance of 0.05.
TUNED_VARIATION = 100.0
TUNED_ERROR = 0.05  # probability of an error for which the boundary is narrowest

Floats = NDArray[np.float64]


class RunningSums(NamedTuple):
    """What a confidence sequence needs to know of the values so far.

    Sums over different values add up with `merged`, for example those of several partitions.
    """

    n: int = 0
    total: float = 0.0  # sum of the values
    variation: float = 0.0  # sum of the squared differences between each value and the mean of the values before it

    def followed_by(self, values: Floats) -> "RunningSums":
        """The sums after (n,) further values. The first value of all is compared with 0."""
        counts = self.n + np.arange(len(values))
        totals = self.total + np.cumsum(values) - values
        means = totals / np.maximum(counts, 1)
        return RunningSums(
            self.n + len(values),
            self.total + float(values.sum()),
            self.variation + float(np.square(values - means).sum()),
        )

    def merged(self, other: "RunningSums") -> "RunningSums":
        """The sums of both. The guarantee stays: each value was compared with a mean from before the value."""
        return RunningSums(self.n + other.n, self.total + other.total, self.variation + other.variation)

    @property
    def mean(self) -> float:
        """The mean of the values, or nan without values."""
        return self.total / self.n if self.n else math.nan


def confidence_interval(
    sums: RunningSums, low: float = -1.0, high: float = 1.0, level: float = LEVEL
) -> tuple[float, float]:
    """The interval of the mean after the values so far. low, high: the range of the values.

    The intervals after all numbers of values contain the mean with the probability `level`. Raises InputError when the
    mean of the values lies outside the range.
    """
    from scipy.optimize import brentq  # takes a moment to load, and most evaluations compare nothing

    if not sums.n:
        return low, high
    if not low <= sums.mean <= high:
        raise InputError(
            f"the mean {sums.mean:g} of the values is outside of {low:g} to {high:g}: give their true range"
        )
    scale, limit = high - low, math.log(2 / (1 - level))  # each of the two sides may be wrong with half the probability

    def above(deviation: float) -> float:
        return float(log_mixture(deviation, sums.variation, scale)) - limit

    widest = scale * sums.n
    radius = scale if above(widest) <= 0 else brentq(above, 0.0, widest) / sums.n
    return max(low, sums.mean - radius), min(high, sums.mean + radius)


def log_mixture(deviation: Floats | float, variation: Floats | float, scale: float) -> Floats:
    """The logarithm of the gamma-exponential mixture (Howard et al. 2021, proposition 9), elementwise.

    deviation: the sum of the values minus their means, at least 0. variation: as in `RunningSums`. scale: the width of
    the range. The exponential of the result is a supermartingale that begins at 1 or less, so it ever reaches 1 / error
    with at most the probability `error` (Ville's inequality).
    """
    doubled = 2 * math.log(1 / (2 * TUNED_ERROR))
    prior = TUNED_VARIATION / (doubled + math.log1p(doubled)) / scale**2
    shape = np.asarray(variation, np.float64) / scale**2 + prior
    rate = np.asarray(deviation, np.float64) / scale + shape
    at_start = prior * math.log(prior) - gammaln(prior) - math.log(gammainc(prior, prior))
    mixture: Floats = at_start + gammaln(shape) + np.log(gammainc(shape, rate)) - shape * np.log(rate) + rate - prior
    return mixture


def user_means(user: NDArray[np.int64], values: Floats) -> Floats:
    """(n,) user of each event and (n, c) values -> (users, c) mean of each user, in the order of the users' numbers."""
    _, code, count = np.unique(user, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(code, column, minlength=len(count)) for column in values.T], axis=1)
    means: Floats = sums / count[:, None]
    return means


def mean_of_users(user: NDArray[np.int64], values: Floats) -> dict[str, Any] | None:
    """The mean over users of each user's mean, for (n,) values from -1 to 1 of (n,) users' events; None without events.

    {"mean", "users", "interval": [low, high] of the confidence sequence, as if the users had come one after another}.
    """
    if not len(user):
        return None
    means = user_means(user, values[:, None])[:, 0]
    sums = RunningSums().followed_by(means)
    return {"mean": sums.mean, "users": sums.n, "interval": list(confidence_interval(sums))}
