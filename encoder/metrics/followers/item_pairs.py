"""Counts of pairs of items that users meet one soon after the other. This module is pure."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.data.sequences import Sequences

_CHUNK_EVENTS = 1 << 22  # whose pairs are found at once, which bounds the memory
MAX_DISTANCE = 10  # events between the items of a pair, for item vectors and for sequential rules


def pair_codes(first: NDArray[Any], second: NDArray[Any], items: int) -> NDArray[np.int64]:
    """(p,) int32 or int64 items -> (p,) a number for each pair. 46,341 items already have more pairs than int32 has."""
    codes: NDArray[np.int64] = first.astype(np.int64) * (items + 1) + second
    return codes


@dataclass(frozen=True)
class ItemPairs:
    """Each pair of two known items once, in ascending order."""

    first: NDArray[np.int64]  # (p,) the item that came first
    second: NDArray[np.int64]  # (p,)
    weight: NDArray[np.float64]  # (p,) the sum of 1 / d over all times that the items were d events apart

    @classmethod
    def count(cls, sequences: Sequences, items: int, max_distance: int, *, repeats: bool = False) -> "ItemPairs":
        """The pairs that are at most `max_distance` events of one user apart. items: N.

        repeats: whether an item that comes again is a pair of the item with itself.
        """
        item, history_length = sequences.item, sequences.history_lengths()
        codes, weights = np.empty(0, np.int64), np.empty(0)
        for distance in range(1, max_distance + 1):
            found = [np.empty(0, np.int64)]
            for begin in range(0, len(item), _CHUNK_EVENTS):
                # Positions of events whose user has an event `distance` events before.
                later = np.flatnonzero(history_length[begin : begin + _CHUNK_EVENTS] >= distance) + begin
                first, second = item[later - distance], item[later]
                is_pair = (first > 0) & (second > 0) & (repeats | (first != second))
                found.append(pair_codes(first[is_pair], second[is_pair], items))
            pairs, times = np.unique(np.concatenate(found), return_counts=True)
            del found
            codes, weights = _added(codes, weights, pairs, times / distance)
        return cls(*np.divmod(codes, items + 1), weights)

    def both_ways(self, items: int) -> "ItemPairs":
        """The pairs without regard to which item came first: each pair stands in both orders with the same weight."""
        one, other = pair_codes(self.first, self.second, items), pair_codes(self.second, self.first, items)
        return self._summed(np.concatenate([one, other]), np.tile(self.weight, 2), items)

    @classmethod
    def _summed(cls, codes: NDArray[np.int64], weights: NDArray[np.float64], items: int) -> "ItemPairs":
        pairs, pair_of = np.unique(codes, return_inverse=True)
        first, second = np.divmod(pairs, items + 1)
        weight: NDArray[np.float64] = np.bincount(pair_of, weights=weights, minlength=len(pairs)).astype(np.float64)
        return cls(first, second, weight)


def _added(
    codes: NDArray[np.int64],
    weights: NDArray[np.float64],
    others: NDArray[np.int64],
    other_weights: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Add the weights of other pairs. codes, others: ascending, each code once. Returns the same for all pairs."""
    place = np.searchsorted(codes, others)
    is_known = place < len(codes)
    is_known[is_known] = codes[place[is_known]] == others[is_known]
    weights[place[is_known]] += other_weights[is_known]
    new = ~is_known
    return np.insert(codes, place[new], others[new]), np.insert(weights, place[new], other_weights[new])
