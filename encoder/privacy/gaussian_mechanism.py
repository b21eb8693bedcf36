"""The Gaussian mechanism: the noise that an (epsilon, delta) needs, and the (epsilon, delta) of many releases. Pure.

A mechanism is (epsilon, delta)-differentially private where no event has a probability above
exp(epsilon) * p + delta with one input, and p with a neighbouring input. The Gaussian mechanism adds independent noise
of the standard deviation sigma to each component of a vector. Everything about it depends on one number, mu =
sensitivity / sigma, where the sensitivity is the largest Euclidean distance between the vectors of two neighbours.

The curve delta(epsilon) is that of Balle and Wang, "Improving the Gaussian Mechanism for Differential Privacy:
Analytical Calibration and Optimal Denoising" (ICML 2018), theorem 8. The curve is exact, so no smaller noise suffices.
Releases of mu_1, ..., mu_k together have sqrt(mu_1^2 + ... + mu_k^2), also where a release depends on the releases
before: Dong, Roth and Su, "Gaussian Differential Privacy" (JRSS B 84, 2022), corollary 3.3.
"""

import math
from collections.abc import Callable

from encoder.errors import InputError

_LEAST_MU, _MOST_MU = 1e-9, 1e6  # such a vector has next to no noise


def delta_of(epsilon: float, mu: float) -> float:
    """The smallest delta for this epsilon. mu: sensitivity / sigma, above 0."""
    from scipy.special import log_ndtr  # takes half a second to load, and most workers add no noise

    first = log_ndtr(mu / 2 - epsilon / mu)
    second = epsilon + log_ndtr(-mu / 2 - epsilon / mu)
    return max(0.0, math.exp(first) - math.exp(second))


def epsilon_of(delta: float, mu: float) -> float:
    """The smallest epsilon for this delta. mu: sensitivity / sigma. Raises InputError as `noise_scale` does."""
    _check(1.0, delta)
    if mu <= 0 or delta_of(0.0, mu) <= delta:
        return 0.0
    most = 1.0
    while delta_of(most, mu) > delta:
        most *= 2
    return _root(lambda epsilon: delta_of(epsilon, mu) - delta, 0.0, most, 1e-12)


def mu_of(epsilon: float, delta: float) -> float:
    """The largest sensitivity / sigma that is (epsilon, delta)-private. Raises InputError as `noise_scale` does."""
    _check(epsilon, delta)
    return _root(lambda mu: delta_of(epsilon, mu) - delta, _LEAST_MU, _MOST_MU, 1e-15)


def noise_scale(epsilon: float, delta: float, sensitivity: float) -> float:
    """The standard deviation of the noise of one release.

    sensitivity: the largest Euclidean distance between the vectors of two neighbours. Raises InputError where epsilon
    or the sensitivity is not above 0, and where delta is not between 0 and 1.
    """
    if not 0 < sensitivity < math.inf:
        raise InputError(f"a sensitivity of {sensitivity}: give a finite number above 0")
    return sensitivity / mu_of(epsilon, delta)


def mu_of_releases(mu: float, releases: int) -> float:
    """The mu of so many releases about the same user together. mu: of each release."""
    return mu * math.sqrt(releases)


def _check(epsilon: float, delta: float) -> None:
    if not 0 < epsilon < math.inf:
        raise InputError(f"epsilon {epsilon}: give a finite number above 0")
    if not 0 < delta < 1:
        raise InputError(f"delta {delta}: give a number between 0 and 1, well below one divided by the number of users")


def _root(function: Callable[[float], float], low: float, high: float, tolerance: float) -> float:
    from scipy.optimize import brentq  # takes a moment to load, and most workers add no noise

    return float(brentq(function, low, high, xtol=tolerance, rtol=1e-12))
