"""A confidence sequence of the mean of a stream, by bets: it assumes nothing about how the values depend on each other.

A value x lies in [-1, 1]. Somebody who bets the share g of a wealth against the claim "the mean is at most m" holds
(1 + g x) / (1 + g m) times the wealth after the value. If the claim is true, the wealth grows on average with no bet,
so the wealth ever reaches 1 / error with at most the probability `error` (Ville's inequality). A bound of the sequence
is the m at which the mean wealth of a set of bets is 1 / error. Betting is from Waudby-Smith and Ramdas (Estimating
means of bounded random variables by betting, Journal of the Royal Statistical Society B 86, 2024), and a mixture of
bets that stay the same from Orabona and Jun (Tight concentrations and confidence sequences from the regret of universal
portfolio, IEEE Transactions on Information Theory 70, 2024).

The bets are written as above because of two properties. The product over n values is exp(sum log(1 + g x)) divided by
(1 + g m)^n, so one number for each bet is everything that has to be kept. And the logarithm is concave: with
expectations m_1, m_2, ... of the values, each given everything before it, sum log(1 + g m_i) is at most
n log(1 + g mean(m_i)). The wealth against the running mean of these expectations is therefore at most a martingale that
begins at 1. So the interval contains, at all looks together, the running mean of the values' expectations given the
past, for values that depend on each other in any way: docs/decisions.md#a-comparison-that-may-be-watched. This module
is pure.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL = 0.95
# The best bet is about the mean divided by the variance: 0.005 / 0.02 for a small gain of a model. The bets stand at
# equal distances of the logarithm, and each has the same wealth at the beginning.
BETS: Floats = np.geomspace(0.004, 0.98, 40)
_SIGNED = np.concatenate([BETS, -BETS])
_KEPT_VALUES = 256  # values that wait until their logarithms are added together, which is faster
_PRECISION = 1e-7  # of a bound


class BettingSequence:
    """The values so far. A mean of differences between -1 and 1 is watched from both sides."""

    __slots__ = ("_log_wealth", "_waiting", "n", "total")

    def __init__(self) -> None:
        self.n = 0
        self.total = 0.0
        self._log_wealth = [0.0] * len(_SIGNED)  # sum of log(1 + g x) for each bet g against a mean of 0
        self._waiting: list[float] = []

    @property
    def mean(self) -> float:
        """The mean of the values, or nan without values."""
        return self.total / self.n if self.n else math.nan

    def add(self, value: float) -> None:
        """Add a value between -1 and 1."""
        self.n += 1
        self.total += value
        self._waiting.append(value)
        if len(self._waiting) >= _KEPT_VALUES:
            self._settle()

    def log_wealth(self) -> list[float]:
        """The sum of log(1 + g x) over the values x for each bet g: first those on a mean above, then below."""
        self._settle()
        return self._log_wealth

    def _settle(self) -> None:
        if self._waiting:
            gained = np.log1p(np.outer(self._waiting, _SIGNED)).sum(axis=0)
            self._log_wealth = (self._log_wealth + gained).tolist()
            self._waiting = []


def intervals(sequences: Sequence[BettingSequence], level: float = LEVEL) -> list[tuple[float, float]]:
    """(low, high) of the mean of each sequence.

    The intervals of one sequence after all numbers of its values hold together with the probability `level`. Without
    values, an interval is (-1, 1).
    """
    wealth = np.array([sequence.log_wealth() for sequence in sequences]).reshape(-1, len(BETS))
    n = np.repeat([sequence.n for sequence in sequences], 2)
    mean = np.array([side for sequence in sequences for side in (sequence.mean, -sequence.mean)])
    limit = math.log(2 / (1 - level))  # each of the two sides may be wrong with half the probability
    bounds = _lower_bounds(wealth, n, np.where(n > 0, mean, -1.0), limit).reshape(-1, 2)
    return [(low, -high) for low, high in bounds.tolist()]


def _lower_bounds(wealth: Floats, n: NDArray[np.int64], mean: Floats, limit: float) -> Floats:
    """The smallest m of each row against which the bets have not won, found by bisection. The wealth falls with m.

    wealth: (rows, bets). n, mean: (rows,) of the values. limit: the logarithm of the wealth that wins.
    """
    low, high = np.full(len(n), -1.0), mean.copy()
    while (high - low).max(initial=0.0) > _PRECISION:
        middle = (low + high) / 2
        against = wealth - n[:, None] * np.log1p(BETS * middle[:, None])
        largest = against.max(axis=1)
        has_won = largest + np.log(np.exp(against - largest[:, None]).mean(axis=1)) >= limit
        low, high = np.where(has_won, middle, low), np.where(has_won, high, middle)
    return low
