"""Churn and the time to the next event, compared with direct numeric integration of the predicted density."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from encoder.metrics.time_mixture import OFFSET_S, TimeMixture
from streams.serve.scoring.forecast import (
    DAY_S,
    SHARES,
    action_probabilities,
    churn_probability,
    named_action,
    time_quantiles,
)


@st.composite
def mixtures(draw: st.DrawFn) -> np.ndarray:
    """Draw one distribution of four components."""
    weight = np.array(draw(st.lists(st.floats(0.05, 1), min_size=4, max_size=4)))
    mean = draw(st.lists(st.floats(0, 14), min_size=4, max_size=4))
    scale = draw(st.lists(st.floats(0.3, 3), min_size=4, max_size=4))
    return np.float32([*(weight / weight.sum()), *mean, *scale])


def mass_above(mixture: np.ndarray, gap_s: float) -> float:
    """Integrate the untruncated density of y = log(OFFSET_S + gap) from a gap to where nothing is left."""
    weight, mean, scale = np.split(mixture.astype(np.float64), 3)

    def density(y: float) -> float:
        return float((weight / scale * np.exp(-0.5 * ((y - mean) / scale) ** 2)).sum() / math.sqrt(2 * math.pi))

    begin = math.log(OFFSET_S + gap_s)
    places = sorted({begin, *(y for m, s in zip(mean, scale, strict=True) for y in (m - 8 * s, m, m + 8 * s))})
    places = [y for y in places if y >= begin]
    return sum(quad(density, low, high, limit=200)[0] for low, high in itertools.pairwise(places))


@settings(max_examples=40, deadline=None)
@given(mixtures(), st.integers(0, 10**9), st.floats(0.01, 60))
def test_churn_is_the_share_of_the_density_behind_the_wait_that_lies_behind_the_days(
    mixture: np.ndarray, waited_ms: int, days: float
) -> None:
    waited_s = waited_ms / 1000
    left = mass_above(mixture, waited_s)
    if left < 1e-9:
        return  # The integration itself has errors of this size.
    expected = mass_above(mixture, waited_s + days * DAY_S) / left
    assert churn_probability(mixture, waited_ms, days) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(mixtures(), st.integers(0, 10**9))
def test_the_quantiles_divide_the_density_behind_the_wait(mixture: np.ndarray, waited_ms: int) -> None:
    waited_s = waited_ms / 1000
    left = mass_above(mixture, waited_s)
    found = time_quantiles(mixture, waited_ms)
    assert [one.share for one in found] == list(SHARES)
    if left < 1e-9:
        return
    for share, within_ms in found:
        if within_ms is not None:  # a whole millisecond, so the exact quantile lies within one of it
            before, after = (max(0.0, waited_s + (within_ms + by) / 1000) for by in (-1, 1))
            assert mass_above(mixture, after) / left <= 1 - share + 1e-5
            assert mass_above(mixture, max(waited_s, before)) / left >= 1 - share - 1e-5


@given(mixtures(), st.integers(0, 10**12))
def test_a_quantile_and_the_churn_at_the_quantile_agree(mixture: np.ndarray, waited_ms: int) -> None:
    one = TimeMixture(mixture[None])
    within_s = one.quantile_s(0.25, waited_ms / 1000)
    if within_s[0] < 1e10:
        assert one.silence(within_s, waited_ms / 1000)[0] == pytest.approx(0.75, abs=1e-6)


def test_without_a_wait_the_middle_quantile_is_the_median_that_evaluation_events_carry() -> None:
    mixture = np.float32([0.4, 0.3, 0.2, 0.1, 2, 5, 8, 11, 0.5, 1, 1.5, 2])
    assert time_quantiles(mixture, 0)[2].within_ms == pytest.approx(
        TimeMixture(mixture[None]).median_s()[0] * 1000, rel=2e-3
    )


def test_a_wait_raises_the_risk_of_a_user_who_mostly_comes_back_soon() -> None:
    """Half of the gaps are about a minute, half about ten days. After a day, only the long ones are left."""
    mixture = np.float32([0.5, 0.5, 0, 0, math.log(60), math.log(10 * DAY_S), 0, 0, 0.5, 0.5, 1, 1])
    at_once = churn_probability(mixture, 0, 1)
    assert at_once == pytest.approx(0.5, abs=0.01)
    assert churn_probability(mixture, int(DAY_S * 1000), 1) > 0.99
    assert time_quantiles(mixture, 0)[0].within_ms < 60_000 < 10**8 < time_quantiles(mixture, 86_400_000)[0].within_ms


def test_a_time_beyond_a_century_is_not_shown() -> None:
    mixture = np.float32([1, 0, 0, 0, 30, 0, 0, 0, 0.1, 1, 1, 1])
    assert [one.within_ms for one in time_quantiles(mixture, 0)] == [None] * 5


def test_actions_come_by_probability_and_offsets_decide_which_action_is_named() -> None:
    probability, names = np.float32([0.05, 0.7, 0.05, 0.2]), ["view", "cart", "purchase"]
    assert [name for name, _ in action_probabilities(probability, names)] == ["view", "purchase", "cart"]
    assert named_action(probability, names, {}) == "view"
    assert named_action(probability, names, {"view": -1.0, "cart": 0.5, "purchase": 0.5}) == "purchase"
