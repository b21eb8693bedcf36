"""Pairs of items that users meet one soon after the other, and vectors of items that come from counting such pairs."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from encoder.data.sequences import Sequences

MAX_DISTANCE = 10  # events between the items of a pair that `pair_vectors` counts
POWER_ITERATIONS = 4  # of the decomposition; more change the vectors little


@dataclass(frozen=True)
class ItemPairs:
    """Each pair of two known, different items once, in ascending order."""

    first: NDArray[np.int64]  # (p,) the item that came first
    second: NDArray[np.int64]  # (p,)
    weight: NDArray[np.float64]  # (p,) the sum of 1 / d over all times that the items were d events apart

    @classmethod
    def count(cls, sequences: Sequences, items: int, max_distance: int) -> "ItemPairs":
        """The pairs that are at most `max_distance` events of one user apart. items: N."""
        item, history_length = sequences.item, sequences.history_lengths()
        codes, weights = [np.empty(0, np.int64)], [np.empty(0)]
        for distance in range(1, max_distance + 1):
            # Positions of events whose user has an event `distance` events before.
            later = np.flatnonzero(history_length >= distance)
            first, second = item[later - distance], item[later]
            is_pair = (first > 0) & (second > 0) & (first != second)
            pairs, times = np.unique(first[is_pair] * (items + 1) + second[is_pair], return_counts=True)
            codes.append(pairs)
            weights.append(times / distance)
        return cls._summed(np.concatenate(codes), np.concatenate(weights), items)

    def both_ways(self, items: int) -> "ItemPairs":
        """The pairs without regard to which item came first: each pair stands in both orders with the same weight."""
        one, other = self.first * (items + 1) + self.second, self.second * (items + 1) + self.first
        return self._summed(np.concatenate([one, other]), np.tile(self.weight, 2), items)

    @classmethod
    def _summed(cls, codes: NDArray[np.int64], weights: NDArray[np.float64], items: int) -> "ItemPairs":
        pairs, pair_of = np.unique(codes, return_inverse=True)
        first, second = np.divmod(pairs, items + 1)
        weight: NDArray[np.float64] = np.bincount(pair_of, weights=weights, minlength=len(pairs)).astype(np.float64)
        return cls(first, second, weight)


def pair_vectors(sequences: Sequences, items: int, width: int) -> tuple[Tensor, Tensor]:
    """(N + 1, width) float32 vectors of the items as the first, and as the second, of a pair. Row 0 is about zero.

    The dot product of both is about the positive pointwise mutual information of the pair, which tells how much more
    often the second item follows the first than its popularity explains. The vectors are the two sides of a truncated
    singular value decomposition, as Levy & Goldberg (2014) describe for words:
    https://papers.nips.cc/paper/5477-neural-word-embedding-as-implicit-matrix-factorization
    """
    pairs = ItemPairs.count(sequences, items, MAX_DISTANCE)
    first, second, weight = pairs.first, pairs.second, pairs.weight
    if not len(weight):
        return torch.zeros(items + 1, width), torch.zeros(items + 1, width)
    of_first, of_second = (np.bincount(side, weights=weight, minlength=items + 1) for side in (first, second))
    information = np.log(weight * weight.sum() / (of_first[first] * of_second[second]))
    kept = information > 0
    matrix = torch.sparse_coo_tensor(
        torch.from_numpy(np.stack([first[kept], second[kept]])),
        torch.from_numpy(information[kept].astype(np.float32)),
        (items + 1, items + 1),
        check_invariants=True,
    ).coalesce()
    size = min(width, items + 1)
    left, values, right = torch.svd_lowrank(matrix, q=size, niter=POWER_ITERATIONS)
    root, missing = values.sqrt(), (0, width - size)
    return functional.pad(left * root, missing), functional.pad(right * root, missing)
