"""Intervals by bets: they hold at every look, also for values that depend on each other, and they find a difference."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from encoder.metrics.confidence_sequence import RunningSums, confidence_interval
from streams.monitor.pairs.betting_sequence import BETS, BettingSequence, intervals

PATHS, VALUES = 200, 1_000
Floats = NDArray[np.float64]


def sequence_of(values: Floats) -> BettingSequence:
    sequence = BettingSequence()
    for value in values.tolist():
        sequence.add(value)
    return sequence


def is_left(values: Floats, mean: Floats | float) -> NDArray[np.bool_]:
    """(paths, n) values and their running mean -> (paths, n) whether the interval after n values leaves the mean out.

    The bets are written as in the papers, and not as in the code.
    """
    counts = np.arange(1, values.shape[1] + 1)
    left = np.zeros(values.shape, bool)
    for sign in (1, -1):
        wealth = np.zeros((len(BETS), *values.shape))
        for bet, each in zip(BETS, wealth, strict=True):
            each[:] = np.cumsum(np.log1p(sign * bet * values), axis=1) - counts * np.log1p(sign * bet * mean)
        left |= np.log(np.exp(wealth).mean(axis=0)) >= math.log(40)
    return left


def dependent_values(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(PATHS, VALUES) values whose expectation follows the values before, and the running mean of the expectations."""
    values, expected = np.zeros((PATHS, VALUES)), np.zeros((PATHS, VALUES))
    for place in range(1, VALUES):
        expected[:, place] = 0.3 * np.sign(values[:, place - 1]) * rng.random(PATHS)
        high = rng.random(PATHS) < (1 + expected[:, place]) / 2
        values[:, place] = np.where(high, 1.0, -1.0)
    return values, np.cumsum(expected, axis=1) / np.arange(1, VALUES + 1)


def rare_values(rng: np.random.Generator) -> tuple[Floats, float]:
    return rng.choice([-1.0, 0.0, 1.0], p=[0.02, 0.96, 0.02], size=(PATHS, VALUES)), 0.0


def skewed_values(rng: np.random.Generator) -> tuple[Floats, float]:
    return np.where(rng.random((PATHS, VALUES)) < 0.05, 0.95, -0.05), 0.0


@pytest.mark.parametrize("draw", [dependent_values, rare_values, skewed_values])
def test_few_paths_ever_leave_the_interval_though_every_value_is_looked_at(draw: object) -> None:
    assert callable(draw)
    values, mean = draw(np.random.default_rng(1))
    assert is_left(values, mean).any(axis=1).mean() <= 0.05
    counts = np.arange(1, VALUES + 1)
    one_look = 1.96 * values.std(axis=1)[:, None] / np.sqrt(counts)
    is_outside = np.abs(np.cumsum(values, axis=1) / counts - mean) > one_look
    assert is_outside[:, 100:].any(axis=1).mean() > 0.2, "intervals for one look do not bear many looks"


@pytest.mark.parametrize("count", [1, 7, 300, VALUES])
def test_the_interval_has_the_means_against_which_no_bet_has_won(count: int) -> None:
    values = np.random.default_rng(2).normal(0.1, 0.2, VALUES).clip(-1, 1)[:count]
    [(low, high)] = intervals([sequence_of(values)])
    assert -1 <= low < values.mean() < high <= 1
    for bound, inside, outside in ((low, 1e-5, -1e-5), (high, -1e-5, 1e-5)):
        if abs(bound) < 1:
            assert not is_left(values[None], bound + inside)[0, -1]
            assert is_left(values[None], bound + outside)[0, -1]


def test_a_small_difference_is_found_with_fewer_values_than_by_an_empirical_bernstein_sequence() -> None:
    values = np.random.default_rng(0).normal(0.005, 0.05, 4_000).clip(-1, 1)
    [(low, high)] = intervals([sequence_of(values)])
    other_low, other_high = confidence_interval(RunningSums().followed_by(values))
    assert 0 < low < 0.005 < high
    assert other_low < 0
    assert high - low < 0.7 * (other_high - other_low)


def test_several_sequences_have_the_intervals_that_each_has_alone_and_none_knows_anything_without_values() -> None:
    rng = np.random.default_rng(3)
    sequences = [BettingSequence(), *(sequence_of(rng.uniform(-1, 1, count)) for count in (3, 1_000))]
    together = intervals(sequences)
    assert together[0] == (-1, 1)
    assert together == [intervals([sequence])[0] for sequence in sequences]
    assert intervals([]) == []
    assert math.isnan(BettingSequence().mean)


def test_the_other_side_sees_the_mirrored_interval() -> None:
    values = np.random.default_rng(4).uniform(-0.5, 0.7, 500)
    [(low, high), (other_low, other_high)] = intervals([sequence_of(values), sequence_of(-values)])
    assert (other_low, other_high) == pytest.approx((-high, -low), abs=1e-6)


@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_the_largest_values_break_no_bet(value: float) -> None:
    [(low, high)] = intervals([sequence_of(np.full(2_000, value))])
    assert (low > 0.99) if value > 0 else (high < -0.99)
    assert low <= value <= high


def test_events_that_depend_on_each_other_within_a_user_need_blocks() -> None:
    """Each user's five events in a row have one and the same difference, and the mean over users is 0."""
    differences = np.random.default_rng(5).choice([-0.5, 0.5], size=(PATHS, VALUES // 5))
    assert is_left(np.repeat(differences, 5, axis=1), 0.0).any(axis=1).mean() > 0.2
    assert is_left(differences, 0.0).any(axis=1).mean() <= 0.05
