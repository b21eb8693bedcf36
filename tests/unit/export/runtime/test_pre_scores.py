"""Rounded scores are within their bound, and none of the best items is missed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.runtime.pre_scores import BLOCK, PreScores, may_be_best


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(1, 70), st.sampled_from([1e-4, 1.0, 1e4]), st.booleans()
)
def test_a_rounded_score_is_within_its_bound(
    seed: int, items: int, width: int, scale: float, has_outliers: bool
) -> None:
    draw = np.random.default_rng(seed)
    vectors = (draw.normal(size=(items + 1, width)) * scale).astype(np.float32)
    if has_outliers:
        vectors[draw.integers(items + 1, size=3)] *= 100
    query = draw.normal(size=(4, width)).astype(np.float32) * np.array([[1], [50], [0], [1e-3]], np.float32)
    scores, bound = PreScores(vectors).of(query)
    assert scores.shape == (4, -(-items // BLOCK) * BLOCK)
    assert (scores[:, items:] == -np.inf).all()
    exact = query.astype(np.float64) @ vectors[1:].T.astype(np.float64)
    assert (np.abs(exact - scores[:, :items]) <= bound[:, None]).all()


def test_integers_of_the_largest_size_are_summed_exactly() -> None:
    """A processor without VNNI would add pairs of products in 16 bits, and cut what is above 32,767."""
    vectors = np.full((65, 65), 1.0, np.float32)
    vectors[1:33] *= -1
    vectors[:, 0] = 0
    scores, bound = PreScores(vectors).of(np.ones((1, 65), np.float32))
    np.testing.assert_allclose(scores[0], [-64.0] * 32 + [64.0] * 32, rtol=1e-5)
    assert bound[0] < 0.01


def test_popularity_leaves_the_digits_of_the_other_components() -> None:
    draw = np.random.default_rng(3)
    vectors, query = draw.normal(size=(5_001, 64)).astype(np.float32), draw.normal(size=(1, 64)).astype(np.float32)
    vectors[:, 0] *= 50
    scores, bound = PreScores(vectors).of(query * np.array([4.0] + [0.2] * 63, np.float32))
    assert len(may_be_best(scores[0], 20, bound[0])) < 100


def test_vectors_and_queries_of_zeros_score_zero() -> None:
    scores, bound = PreScores(np.zeros((3, 5), np.float32)).of(np.zeros((2, 5), np.float32))
    assert (scores[:, :2] == 0).all()
    assert (bound == 0).all()


@settings(deadline=None)
@given(
    st.integers(1, 400).flatmap(
        lambda n: st.tuples(
            st.lists(st.sampled_from([-np.inf, -1.5, 0.0, 0.25, 3.0]), min_size=n, max_size=n),
            st.integers(1, 450),
            st.sampled_from([0.0, 0.2, 2.0]),
            st.integers(0, 2**32 - 1),
        )
    )
)
def test_the_best_are_found_whatever_the_errors_within_the_bound(case: tuple[list[float], int, float, int]) -> None:
    values, count, bound, seed = case
    exact = np.array(values, np.float32)
    scores = np.full(-(-len(values) // BLOCK) * BLOCK, -np.inf, np.float32)
    scores[: len(values)] = exact + np.random.default_rng(seed).uniform(-bound, bound, len(values)).astype(np.float32)
    found = may_be_best(scores, count, np.float32(bound))
    best = sorted((-value, at) for at, value in enumerate(values) if value > -np.inf)[:count]
    assert {at for _, at in best} <= set(found.tolist())
    assert (np.diff(found) > 0).all()
    assert (scores[found] > -np.inf).all()


@pytest.mark.parametrize("count", [1, 20, 63])
def test_few_items_may_be_the_best_of_many(count: int) -> None:
    scores = np.random.default_rng(count).normal(size=100 * BLOCK).astype(np.float32)
    assert len(may_be_best(scores, count, np.float32(0.1))) < 4 * count + 20
