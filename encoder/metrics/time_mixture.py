"""The predicted distribution of the time to a user's next event, as the time head returns it. This module is pure.

The gap t >= 0 in seconds is transformed to y = log(OFFSET_S + t). The distribution of y is a mixture of K normal
distributions, truncated at y(0) so that negative gaps have no probability. OFFSET_S + t is therefore a truncated
mixture of log-normal distributions. The density of t is the density of y times the Jacobian dy/dt = 1 / (OFFSET_S + t).

A mixture is a row of 3K numbers: K weights that sum to 1, K means of y and K scales of y.
"""

import math

import numpy as np
from numpy.typing import NDArray

COMPONENTS = 4  # K
OFFSET_S = 1.0  # many logs have whole seconds only, and a gap of zero has no logarithm
# Smallest scale of y. Many gaps are equal to the second, and a component must not become a spike at one gap.
MIN_SCALE = 0.1

_MIN_LOG = math.log(OFFSET_S)  # y of the gap 0
_MAX_LOG = 32.0  # y of 2.5 million years, the upper end of the search for a median
_HALVINGS = 16
_FINE_HALVINGS = 44  # for a quantile of the rest of a wait, which is small beside a long wait

Floats = NDArray[np.float64]
Times = NDArray[np.floating] | float  # (n,), or one time for all distributions


class TimeMixture:
    """n distributions. Times are in seconds, and every method returns (n,) float64."""

    def __init__(self, mixture: NDArray[np.floating]) -> None:
        """mixture: (n, 3K), of any floating type."""
        # With the components first, a sum over the components adds whole rows.
        self._weight, self._mean, self._scale = np.split(np.ascontiguousarray(mixture.T, np.float64), 3)
        self._log_weight = np.log(np.maximum(self._weight, np.finfo(np.float64).tiny))
        self._log_kept = self._log_above(_MIN_LOG)  # log of the mass that the truncation keeps

    def log_density(self, gap_s: Times) -> Floats:
        """The log density of the gap, per second."""
        y = _log_time(gap_s)
        z = (y - self._mean) / self._scale
        joint = self._log_weight - np.log(self._scale) - 0.5 * z * z - 0.5 * math.log(2 * math.pi)
        return _log_sum(joint) - self._log_kept - y

    def log_survival(self, gap_s: Times) -> Floats:
        """The log of the probability that the gap is longer than `gap_s`. The result is 0 for a gap of 0."""
        return self._log_above(_log_time(gap_s)) - self._log_kept

    def cumulative(self, gap_s: Times) -> Floats:
        """The probability of a gap up to `gap_s`. Over many events, a correct prediction gives uniform values."""
        return -np.expm1(self.log_survival(gap_s))

    def silence(self, within_s: Times, waited_s: Times = 0.0) -> Floats:
        """The risk of churn: the probability of no event within the next `within_s`, after `waited_s` without an event.

        The risk is S(waited + within) / S(waited), where S is the survival function of the gap.
        """
        risk: Floats = np.exp(self.log_survival(np.add(waited_s, within_s)) - self.log_survival(waited_s))
        return risk

    def median_s(self) -> Floats:
        """The median gap, accurate to a thousandth of OFFSET_S + median."""
        from scipy.special import ndtr  # takes half a second to load, and most commands predict no time

        half = np.exp(self._log_kept) / 2
        low, width = np.full(half.shape, _MIN_LOG), _MAX_LOG
        for _ in range(_HALVINGS):
            width /= 2
            middle = low + width
            above = (self._weight * ndtr((self._mean - middle) / self._scale)).sum(axis=0)
            low = np.where(above > half, middle, low)
        return np.exp(low + width / 2) - OFFSET_S

    def quantile_s(self, share: Times, waited_s: Times = 0.0) -> Floats:
        """The time within which the event comes with probability `share`, after `waited_s` without an event.

        The time counts from the end of the wait. It solves S(waited + t) = (1 - share) S(waited), where S is the
        survival function of the gap, to 1e-11 of OFFSET_S + waited + t. share: above 0 and below 1.
        """
        low = np.broadcast_to(_log_time(waited_s), self._log_kept.shape)
        target, width = self._log_above(low) + np.log1p(-np.asarray(share, np.float64)), _MAX_LOG - low
        for _ in range(_FINE_HALVINGS):
            width = width / 2
            middle = low + width
            low = np.where(self._log_above(middle) > target, middle, low)
        rest: Floats = np.maximum(np.exp(low + width / 2) - OFFSET_S - waited_s, 0.0)
        return rest

    def _log_above(self, y: Times) -> Floats:
        """The log of the untruncated mixture's mass above y."""
        from scipy.special import log_ndtr  # takes half a second to load, and most commands predict no time

        return _log_sum(self._log_weight + log_ndtr((self._mean - y) / self._scale))


def _log_time(gap_s: Times) -> Floats:
    y: Floats = np.log(OFFSET_S + np.asarray(gap_s, np.float64))
    return y


def _log_sum(terms: Floats) -> Floats:
    """(K, n) logs -> (n,) log of the sum of their exponentials over the components."""
    largest = terms.max(axis=0)
    total: Floats = largest + np.log(np.exp(terms - largest).sum(axis=0))
    return total
