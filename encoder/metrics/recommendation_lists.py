"""Figures of recommended lists beyond the rank of one item: novelty, diversity, and hits of several items.

This module is pure.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def self_information(events: Ints) -> Floats:
    """(N,) number of events of each item -> (N,) -log2 of the item's share of all events, in bits.

    The mean over the items of a list is the novelty of the list (Zhou et al. 2010; Vargas and Castells 2011). An item
    without events counts as an item with one event, because its information would be infinite.
    """
    counts = np.maximum(events, 1)
    information: Floats = np.log2(max(1, int(events.sum()))) - np.log2(counts)
    return information


def diversity(vectors: NDArray[np.floating]) -> Floats:
    """(m, k, D) vectors of the items of m lists, k > 1 -> (m,) mean of 1 - cosine over the pairs of a list.

    This is 1 minus the intra-list similarity of Ziegler et al. (2005), as a mean over pairs. A vector of zeros has the
    cosine 0 with all others.
    """
    lengths = np.linalg.norm(vectors, axis=2, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1)
    k = vectors.shape[1]
    # The squared length of the sum of all vectors holds each pair twice, and each vector with itself.
    pairs = np.square(unit.sum(axis=1)).sum(axis=1) - np.square(unit).sum(axis=(1, 2))
    found: Floats = 1 - pairs.astype(np.float64) / (k * (k - 1))
    return found


def hits_of_next_events(lists: Ints, following: Ints) -> tuple[Ints, Ints]:
    """Count the distinct items of the next events, and those of them that a list holds.

    lists: (m, k) items. following: (m, n) items of the next events, 0 for an item outside the catalogue, -1 where no
    event follows. Returns (m,) numbers of hits and (m,) numbers of relevant items. Each event with an item outside the
    catalogue counts as one relevant item, which no list holds.
    """
    is_first = np.ones(following.shape, bool)
    for place in range(1, following.shape[1]):
        is_first[:, place] = (following[:, :place] != following[:, place : place + 1]).all(axis=1)
    is_known = is_first & (following > 0)
    is_hit = (following[:, :, None] == lists[:, None, :]).any(axis=2) & is_known
    return is_hit.sum(axis=1), (is_known | (following == 0)).sum(axis=1)
