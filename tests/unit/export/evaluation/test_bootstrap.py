"""Confidence intervals and paired differences by resampling users."""

import numpy as np
import pytest

from export.evaluation.bootstrap import difference, gains, intervals, resampled_means


def test_resampling_draws_users_reproducibly() -> None:
    draw = np.random.default_rng(1)
    user, ranks = draw.integers(0, 40, 500), draw.integers(0, 60, 500)
    means = resampled_means(user, gains(ranks), seed=3, resamples=200)
    assert np.array_equal(means, resampled_means(user, gains(ranks), seed=3, resamples=200))
    by_hand = np.random.default_rng(3)
    drawn = by_hand.integers(len(np.unique(user)), size=(200, len(np.unique(user))))
    names = np.unique(user)
    for row in (0, 7, 199):
        events = np.concatenate([np.flatnonzero(user == names[u]) for u in drawn[row]])
        np.testing.assert_allclose(means[row], gains(ranks)[events].mean(axis=0))


def test_an_interval_covers_the_true_mean_with_about_its_confidence() -> None:
    """Users differ, so an interval that resamples events would be too narrow and cover only about 60% here."""
    draw = np.random.default_rng(0)
    inside = 0
    for _ in range(100):
        rate = draw.beta(1, 1, 60)  # the hit rate of each user; the mean is 0.5
        ranks = np.where(draw.random((60, 20)) < rate[:, None], 1, 0).ravel()
        low, high = intervals(np.repeat(np.arange(60), 20), ranks)["recall@20"] or (0, 0)
        inside += low <= 0.5 <= high
    assert 88 <= inside <= 99


def test_only_a_real_difference_is_significant() -> None:
    draw = np.random.default_rng(2)
    user = np.repeat(np.arange(100), 5)
    ranks = draw.integers(1, 60, 500)
    same = difference(user, ranks, ranks)["recall@20"]
    assert (same["difference"], same["interval"], same["p"]) == (0.0, [0.0, 0.0], 1.0)
    better = difference(user, np.maximum(1, ranks - 20), ranks)["recall@20"]
    assert better["difference"] > 0.2
    assert better["interval"][0] > 0
    assert better["p"] == pytest.approx(2 / 1001)
    assert difference(user, ranks, draw.permutation(ranks))["mrr@20"]["p"] > 0.05
