"""Intervals that hold at every look."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad

from encoder.errors import InputError
from encoder.metrics.confidence_sequence import (
    TUNED_VARIATION,
    RunningSums,
    confidence_interval,
    log_mixture,
    mean_of_users,
    user_means,
)

PATHS, VALUES = 400, 1_500


def test_the_mixture_has_its_published_value() -> None:
    """The value is that of the tests of confseq, the library of the authors of the paper."""
    assert TUNED_VARIATION == 100
    assert float(log_mixture(10, 100, 2)) == pytest.approx(-0.2490165, abs=1e-6)
    assert float(log_mixture(33.02017, 100, 2)) == pytest.approx(math.log(20), abs=1e-5)
    assert float(log_mixture(0, 0, 2)) == pytest.approx(0), "the mixture begins at 1"


@pytest.mark.parametrize(("deviation", "variation"), [(3.0, 0.5), (4.0, 20.0), (30.0, 90.0)])
def test_the_mixture_is_the_integral_of_exponential_supermartingales(deviation: float, variation: float) -> None:
    """A mixture of exp(rate * deviation - psi(rate) * variation) with psi of a sub-exponential variable of scale 2."""
    prior = 15.80063490685053 / 4

    def weight(kept: float) -> float:  # kept is 1 - 2 * rate
        return float(kept ** (prior - 1) * math.exp(-prior * kept))

    def mixed(kept: float) -> float:
        rate = (1 - kept) / 2
        return weight(kept) * math.exp(rate * deviation - (-math.log(kept) - 2 * rate) / 4 * variation)

    expected = math.log(quad(mixed, 0, 1)[0] / quad(weight, 0, 1)[0])
    assert float(log_mixture(deviation, variation, 2)) == pytest.approx(expected, abs=1e-6)


def rare_differences(rng: np.random.Generator) -> NDArray[np.float64]:
    """(PATHS, VALUES) differences of Recall: mostly 0, rarely -1 or 1, with the mean 0."""
    return rng.choice([-1.0, 0.0, 1.0], p=[0.02, 0.96, 0.02], size=(PATHS, VALUES))


def skewed_differences(rng: np.random.Generator) -> NDArray[np.float64]:
    """(PATHS, VALUES) differences with the mean 0, of which one in twenty is large."""
    return np.where(rng.random((PATHS, VALUES)) < 0.05, 0.95, -0.05)


@pytest.mark.parametrize("draw", [rare_differences, skewed_differences])
def test_few_paths_ever_leave_the_interval_though_every_value_is_looked_at(
    draw: Callable[[np.random.Generator], NDArray[np.float64]],
) -> None:
    values = draw(np.random.default_rng(1))
    counts = np.arange(1, VALUES + 1)
    totals = np.cumsum(values, axis=1)
    before = np.concatenate([np.zeros((PATHS, 1)), totals[:, :-1] / counts[:-1]], axis=1)
    variation = np.cumsum(np.square(values - before), axis=1)
    is_outside = log_mixture(np.abs(totals), variation, 2) >= math.log(40)
    assert is_outside.any(axis=1).mean() <= 0.05
    sums = RunningSums().followed_by(values[0, :700])
    assert sums == pytest.approx((700, totals[0, 699], variation[0, 699]))
    low, high = confidence_interval(sums)
    assert (low <= 0 <= high) == (not is_outside[0, 699])
    fixed = 1.96 * values.std(axis=1)[:, None] / np.sqrt(counts)
    is_outside_fixed = np.abs(totals / counts) > fixed
    assert is_outside_fixed[:, 100:].any(axis=1).mean() > 0.2, "intervals for one look do not bear many looks"


def test_an_interval_narrows_until_it_shows_a_difference() -> None:
    values = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], p=[0.05, 0.85, 0.1], size=8_000)
    lows = [confidence_interval(RunningSums().followed_by(values[:count]))[0] for count in (20, 200, 8_000)]
    assert lows == sorted(lows)
    assert lows[0] < 0 < lows[-1] < 0.05


def test_without_values_anything_is_possible_and_the_range_bounds_the_interval() -> None:
    assert confidence_interval(RunningSums()) == (-1, 1)
    low, high = confidence_interval(RunningSums().followed_by(np.ones(3)))
    assert -1 <= low < high == 1
    with pytest.raises(InputError, match="outside of -1 to 1"):
        confidence_interval(RunningSums(2, 3.0, 1.0))


def test_sums_can_be_continued_and_merged() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, 50)
    whole = RunningSums().followed_by(values)
    assert RunningSums().followed_by(values[:20]).followed_by(values[20:]) == pytest.approx(whole)
    one, other = RunningSums().followed_by(values[:20]), RunningSums().followed_by(values[20:])
    merged = one.merged(other)
    assert merged[:2] == pytest.approx(whole[:2])
    assert merged.variation == pytest.approx(one.variation + other.variation)


def test_each_user_counts_once() -> None:
    user = np.array([7, 7, 7, 9])
    values = np.array([0.0, 0.0, 1.0, 1.0])
    np.testing.assert_allclose(user_means(user, values[:, None]), [[1 / 3], [1]])
    found = mean_of_users(user, values)
    assert found is not None
    assert (found["mean"], found["users"]) == (pytest.approx(2 / 3), 2)
    assert mean_of_users(user[:0], values[:0]) is None
