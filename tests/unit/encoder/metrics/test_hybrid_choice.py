"""Weights of hybrid scores are the best of their grid, and never worse than the model alone."""

import numpy as np
import pytest

from encoder.metrics.hybrid.choice import GRID, choose, grid_ranks
from encoder.metrics.hybrid.parts import Parts
from encoder.metrics.hybrid.scores import HybridWeights
from encoder.metrics.ranking import ranks_of

QUESTIONS, ITEMS = 60, 80


def random_parts() -> Parts:
    """Scores where few items have co-occurrence, some have equal content, and some are left out."""
    rng = np.random.default_rng(0)
    shape = (QUESTIONS, ITEMS)
    model = rng.normal(0, 3, shape).astype(np.float32)
    model[rng.random(shape) < 0.1] = -np.inf
    co = (rng.random(shape) * (rng.random(shape) < 0.1)).astype(np.float32)
    return Parts(model, co, rng.integers(0, 3, shape).astype(np.float32))


def test_ranks_are_those_of_a_sort_for_each_pair_of_weights() -> None:
    parts = random_parts()
    item = np.array([np.flatnonzero(np.isfinite(row))[0] + 1 for row in parts.model])
    found = grid_ranks(parts, item)
    assert found.shape == (len(GRID), QUESTIONS)
    for weights, ranks in zip(GRID, found, strict=True):
        scores = parts.scores(weights, np.ones(ITEMS, np.int64))["hybrid"]
        np.testing.assert_array_equal(ranks, ranks_of(scores, item))
    assert (found != found[0]).any(axis=1).sum() > len(GRID) / 2


def with_ranks(**ranks: list[int]) -> np.ndarray:
    """Return ranks of 40 for all weights of the grid except for those named co_content, in hundredths."""
    table = np.full((len(GRID), 4), 40)
    for name, row in ranks.items():
        co, content = (int(part) / 100 for part in name.removeprefix("w").split("_"))
        table[GRID.index(HybridWeights(co, content))] = row
    return table


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [
        ({"w0_0": [1, 9, 9, 9], "w100_0": [1, 5, 9, 9], "w0_200": [1, 2, 9, 9]}, (0, 2)),
        ({"w0_0": [1, 9, 9, 9]}, (0, 0)),  # all other weights are worse
        ({"w0_0": [1, 9, 9, 9], "w50_0": [1, 9, 9, 9], "w0_400": [1, 9, 9, 9]}, (0, 0)),  # the smallest of equal ones
        ({"w0_0": [1, 9, 30, 30], "w100_0": [3, 3, 3, 3], "w0_50": [1, 8, 30, 30]}, (1, 0)),
        ({"w0_0": [1, 1, 30, 30], "w100_0": [3, 3, 3, 3], "w0_50": [1, 1, 30, 20]}, (0, 0.5)),  # MRR@20 would fall
        ({"w0_0": [9, 9, 9, 9], "w100_0": [1, 1, 1, 30], "w0_50": [8, 9, 9, 9]}, (0, 0.5)),  # Recall@20 would fall
    ],
)
def test_the_best_weights_are_chosen_that_are_not_below_the_model_alone(
    ranks: dict[str, list[int]], expected: tuple[float, float]
) -> None:
    assert choose(with_ranks(**ranks)) == HybridWeights(*expected)
