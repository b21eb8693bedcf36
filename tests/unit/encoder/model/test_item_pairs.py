"""Item vectors that come from counts of pairs of items."""

import math
from collections import Counter

import numpy as np
import torch

from encoder.data.sequences import Sequences
from encoder.model.item_pairs import pair_vectors
from tests.support.sequences import pairs_one_by_one, sequences_with_repeats

ITEMS = 12


def test_the_dot_product_of_both_vectors_is_the_positive_pointwise_mutual_information() -> None:
    torch.manual_seed(0)
    sequences = sequences_with_repeats(users=30, items=ITEMS)
    first, second = pair_vectors(sequences, ITEMS, ITEMS + 4)  # wide enough for the whole matrix
    assert first.shape == second.shape == (ITEMS + 1, ITEMS + 4)
    pairs = pairs_one_by_one(sequences, 10)
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
