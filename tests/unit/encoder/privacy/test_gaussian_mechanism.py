"""The noise for an (epsilon, delta), and the guarantee of many releases."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from encoder.errors import InputError
from encoder.privacy.gaussian_mechanism import delta_of, epsilon_of, mu_of, mu_of_releases, noise_scale


@pytest.mark.parametrize(("epsilon", "mu"), [(0.1, 0.3), (1.0, 0.5), (1.0, 2.0), (5.0, 1.0), (20.0, 4.0)])
def test_delta_is_the_integral_of_what_one_density_exceeds_the_other(epsilon: float, mu: float) -> None:
    """delta(epsilon) is the integral of max(0, p - exp(epsilon) q) for normal densities p and q that are mu apart."""
    x = np.linspace(-40, 60, 2_000_001)
    exceeds = np.maximum(0.0, norm.pdf(x, mu) - np.exp(epsilon + norm.logpdf(x)))
    assert delta_of(epsilon, mu) == pytest.approx(np.trapezoid(exceeds, x), rel=1e-6, abs=1e-14)


@settings(deadline=None)
@given(epsilon=st.floats(0.01, 1_000), exponent=st.floats(-12, -2), sensitivity=st.floats(0.01, 100))
def test_the_noise_is_the_smallest_that_is_private(epsilon: float, exponent: float, sensitivity: float) -> None:
    delta = 10**exponent
    sigma = noise_scale(epsilon, delta, sensitivity)
    assert delta_of(epsilon, sensitivity / sigma) == pytest.approx(delta, rel=1e-3)
    assert delta_of(epsilon, sensitivity / (0.99 * sigma)) > delta
    assert epsilon_of(delta, sensitivity / sigma) == pytest.approx(epsilon, rel=1e-6)


@pytest.mark.parametrize(("epsilon", "delta"), [(0.1, 1e-5), (0.5, 1e-6), (1.0, 1e-5)])
def test_the_noise_is_below_that_of_the_classical_bound(epsilon: float, delta: float) -> None:
    """The bound sqrt(2 ln(1.25 / delta)) / epsilon holds up to epsilon 1 (Dwork and Roth 2014, theorem A.1)."""
    assert noise_scale(epsilon, delta, 1.0) < math.sqrt(2 * math.log(1.25 / delta)) / epsilon


def test_releases_together_have_the_guarantee_of_their_summed_log_ratio() -> None:
    """The log ratio of k releases is normal, and its mean and variance are k times those of one release."""
    mu, releases, epsilon = 0.4, 25, 6.0
    draw = np.random.default_rng(2)
    ratio = (mu * draw.normal(mu, 1, (400_000, releases)) - mu**2 / 2).sum(axis=1)
    sampled = np.maximum(0, 1 - np.exp(epsilon - ratio)).mean()
    assert delta_of(epsilon, mu_of_releases(mu, releases)) == pytest.approx(sampled, rel=0.05)


def test_a_small_mu_needs_no_epsilon() -> None:
    assert epsilon_of(1e-5, 1e-6) == 0.0
    assert mu_of_releases(mu_of(1.0, 1e-6), 100) == pytest.approx(10 * mu_of(1.0, 1e-6))


@pytest.mark.parametrize(
    ("epsilon", "delta", "sensitivity"), [(0, 1e-6, 1), (math.inf, 1e-6, 1), (1, 0, 1), (1, 1, 1), (1, 1e-6, 0)]
)
def test_numbers_without_a_meaning_are_refused(epsilon: float, delta: float, sensitivity: float) -> None:
    with pytest.raises(InputError, match="give a"):
        noise_scale(epsilon, delta, sensitivity)
