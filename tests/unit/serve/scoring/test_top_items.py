"""The best items, exactly, with and without ties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.serve.scoring.top_items import BLOCK, padded, top_items


def naive(scores: np.ndarray, count: int) -> list[int]:
    order = sorted(range(len(scores)), key=lambda at: (-scores[at], at))
    return [at for at in order[:count] if scores[at] > -np.inf]


@given(
    st.integers(1, 400).flatmap(
        lambda n: st.tuples(
            st.lists(st.sampled_from([-np.inf, -1.5, 0.0, 0.25, 3.0]), min_size=n, max_size=n), st.integers(1, 450)
        )
    )
)
def test_the_best_items_are_those_of_a_sort_also_with_many_ties(case: tuple[list[float], int]) -> None:
    values, count = case
    scores = np.full(padded(len(values)), -np.inf, np.float32)
    scores[: len(values)] = values
    assert top_items(scores, count).tolist() == naive(scores, count)


@pytest.mark.parametrize("count", [1, 20, 63, 64, 65, 1_000])
def test_the_best_of_many_items_are_those_of_a_sort(count: int) -> None:
    scores = np.random.default_rng(count).normal(size=100 * BLOCK).astype(np.float32)
    assert top_items(scores, count).tolist() == naive(scores, count)
