"""The distribution of the time to a user's next event, as the time head gives it. Pure, and free of torch.

The gap t >= 0 in seconds is seen as y = log(OFFSET_S + t), and y follows a mixture of K normal distributions cut off at
y(0), so that no probability lies on negative gaps: t + OFFSET_S is a cut-off mixture of log-normals. The density of t
is that of y times the Jacobian dy/dt = 1 / (OFFSET_S + t).

A mixture is a row of 3K numbers: K weights that sum to 1, K means and K scales of y.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr

COMPONENTS = 4  # K
OFFSET_S = 1.0  # logs often know whole seconds only, and a gap of zero has no logarithm
MIN_SCALE = 0.1  # of y: many gaps are equal to the second, and no component may become a spike on one of them

_SHORTEST_LOG = math.log(OFFSET_S)
_LONGEST_LOG = 32.0  # y of 2.5 million years: where the search for a median begins
_HALVINGS = 16

Floats = NDArray[np.float64]
Times = NDArray[np.floating] | float  # (n,), or one for all


class TimeMixture:
    """n distributions, from (n, 3K) numbers in any float type. Times are seconds; every method gives (n,) float64."""

    def __init__(self, mixture: NDArray[np.floating]) -> None:
        # Components first: sums over the few of them are then sums of whole rows.
        self._weight, self._mean, self._scale = np.split(np.ascontiguousarray(mixture.T, np.float64), 3)
        self._log_weight = np.log(np.maximum(self._weight, np.finfo(np.float64).tiny))
        self._log_kept = self._log_above(_SHORTEST_LOG)  # of the mixture before it is cut off

    def log_density(self, gap_s: Times) -> Floats:
        """Log of the density of the gap, per second."""
        y = _log_time(gap_s)
        z = (y - self._mean) / self._scale
        joint = self._log_weight - np.log(self._scale) - 0.5 * z * z - 0.5 * math.log(2 * math.pi)
        return _log_sum(joint) - self._log_kept - y

    def log_survival(self, gap_s: Times) -> Floats:
        """Log of the probability that the gap is longer than `gap_s`; 0 at a gap of 0."""
        return self._log_above(_log_time(gap_s)) - self._log_kept

    def cumulative(self, gap_s: Times) -> Floats:
        """Probability of a gap up to `gap_s`: uniform over events (the probability integral) where this is right."""
        return -np.expm1(self.log_survival(gap_s))

    def silence(self, within_s: Times, waited_s: Times = 0.0) -> Floats:
        """Risk of churn: the probability of no event within the next `within_s`, after `waited_s` without one:
        S(waited + within) / S(waited)."""
        risk: Floats = np.exp(self.log_survival(np.add(waited_s, within_s)) - self.log_survival(waited_s))
        return risk

    def median_s(self) -> Floats:
        """The gap that is exceeded half of the time, to a thousandth of OFFSET_S and itself."""
        half = np.exp(self._log_kept) / 2
        low, width = np.full(half.shape, _SHORTEST_LOG), _LONGEST_LOG
        for _ in range(_HALVINGS):
            width /= 2
            middle = low + width
            above = (self._weight * ndtr((self._mean - middle) / self._scale)).sum(axis=0)
            low = np.where(above > half, middle, low)
        return np.exp(low + width / 2) - OFFSET_S

    def _log_above(self, y: Times) -> Floats:
        """Log of the mixture's mass above y, before it is cut off."""
        return _log_sum(self._log_weight + log_ndtr((self._mean - y) / self._scale))


def _log_time(gap_s: Times) -> Floats:
    y: Floats = np.log(OFFSET_S + np.asarray(gap_s, np.float64))
    return y


def _log_sum(terms: Floats) -> Floats:
    """Log of the sum of exponentials over the components: (K, n) -> (n,)."""
    largest = terms.max(axis=0)
    total: Floats = largest + np.log(np.exp(terms - largest).sum(axis=0))
    return total
