"""Figures of recommended lists and of probabilities."""

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from encoder.metrics.recommendation_lists import diversity, hits_of_next_events, self_information
from encoder.metrics.reliability import reliability


def test_rare_items_have_much_information() -> None:
    assert self_information(np.array([4, 2, 1, 1, 0])).tolist() == [1, 2, 3, 3, 3]
    assert self_information(np.zeros(3, np.int64)).tolist() == [0, 0, 0]


def test_diversity_is_the_mean_distance_of_pairs() -> None:
    vectors = np.random.default_rng(0).normal(size=(3, 5, 4))
    vectors[1, 2] = 0

    def cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
        lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
        return float(one @ other) / lengths if lengths else 0.0

    expected = [np.mean([1 - cosine(*pair) for pair in itertools.combinations(of, 2)]) for of in vectors]
    np.testing.assert_allclose(diversity(vectors), expected)
    np.testing.assert_allclose(diversity(np.ones((1, 3, 2))), [0], atol=1e-12)


def test_hits_count_each_item_once_and_unknown_items_as_misses() -> None:
    lists = np.array([[1, 2, 3], [4, 5, 6]])
    following = np.array([[2, 2, 0, 3, 0], [7, 4, -1, -1, -1]])
    hits, relevant = hits_of_next_events(lists, following)
    assert (hits.tolist(), relevant.tolist()) == ([2, 1], [4, 2])


def test_probabilities_that_hold_have_a_small_calibration_error() -> None:
    rng = np.random.default_rng(0)
    probability = rng.beta(0.5, 5, 50_000)
    came = rng.random(len(probability)) < probability
    good, bad = reliability(probability, came), reliability(np.sqrt(probability), came)
    assert good["ece"] < 0.01
    assert bad["ece"] == pytest.approx(np.sqrt(probability).mean() - came.mean(), abs=1e-6), "too sure in every group"
    assert [row["n"] for row in good["reliability"]] == [5_000] * 10
    assert all(row["came"] == pytest.approx(row["probability"], abs=0.02) for row in good["reliability"])


def test_the_calibration_error_weighs_groups_by_size() -> None:
    found = reliability(np.array([0.2] * 9 + [0.4, 0.6]), np.array([False] * 9 + [True, True]))
    assert [row["n"] for row in found["reliability"]] == [2, *[1] * 9]
    assert found["ece"] == pytest.approx((9 * 0.2 + 0.6 + 0.4) / 11)


def test_nothing_to_compare_has_no_error() -> None:
    found = reliability(np.empty(0), np.empty(0, bool))
    assert (found["n"], found["reliability"]) == (0, [])
    assert math.isnan(found["ece"])
