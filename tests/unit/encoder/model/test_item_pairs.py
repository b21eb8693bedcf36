"""Counts of pairs of items, and item vectors that come from them."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from encoder.data.sequences import Sequences
from encoder.model.item_pairs import ItemPairs, pair_vectors
from tests.support.sequences import sequences_with_repeats

ITEMS = 12


def counted_one_by_one(sequences: Sequences, max_distance: int) -> dict[tuple[int, int], float]:
    """Return the weight of each pair of two known, different items of a user."""
    pairs: Counter[tuple[int, int]] = Counter()
    for begin, end in zip(sequences.starts[:-1], sequences.starts[1:], strict=True):
        items = sequences.item[begin:end].tolist()
        for at, second in enumerate(items):
            for distance in range(1, min(at, max_distance) + 1):
                first = items[at - distance]
                if first and second and first != second:
                    pairs[first, second] += 1 / distance
    return dict(pairs)


def as_dict(pairs: ItemPairs) -> dict[tuple[int, int], float]:
    return dict(zip(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True), pairs.weight.tolist(), strict=True))


@pytest.mark.parametrize("max_distance", [1, 3, 50])
def test_pairs_are_counted_within_the_events_of_one_user(max_distance: int) -> None:
    sequences = sequences_with_repeats(users=30, items=ITEMS)
    found, expected = (
        as_dict(ItemPairs.count(sequences, ITEMS, max_distance)),
        counted_one_by_one(sequences, max_distance),
    )
    assert found == pytest.approx(expected)
    assert list(found) == sorted(found)
    both = as_dict(ItemPairs.count(sequences, ITEMS, max_distance).both_ways(ITEMS))
    assert both == pytest.approx({pair: expected.get(pair, 0) + expected.get(pair[::-1], 0) for pair in both})
    assert both.keys() == expected.keys() | {pair[::-1] for pair in expected}


def test_the_dot_product_of_both_vectors_is_the_positive_pointwise_mutual_information() -> None:
    torch.manual_seed(0)
    sequences = sequences_with_repeats(users=30, items=ITEMS)
    first, second = pair_vectors(sequences, ITEMS, ITEMS + 4)  # wide enough for the whole matrix
    assert first.shape == second.shape == (ITEMS + 1, ITEMS + 4)
    pairs = counted_one_by_one(sequences, 10)
    total = sum(pairs.values())
    of_first, of_second = Counter[int](), Counter[int]()
    for (one, other), weight in pairs.items():
        of_first[one] += weight
        of_second[other] += weight
    expected = np.zeros((ITEMS + 1, ITEMS + 1))
    for (one, other), weight in pairs.items():
        expected[one, other] = max(0.0, math.log(weight * total / (of_first[one] * of_second[other])))
    np.testing.assert_allclose((first @ second.T).numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(first[0], 0, atol=1e-5)
    np.testing.assert_allclose(second[0], 0, atol=1e-5)


def test_a_log_without_pairs_has_vectors_of_zeros() -> None:
    alone = Sequences(np.arange(4), np.array([1, 2, 3]), np.ones(3, np.int64), np.full(3, -1), np.arange(3), {})
    for vectors in pair_vectors(alone, ITEMS, 5):
        assert vectors.shape == (ITEMS + 1, 5)
        assert not vectors.any()
