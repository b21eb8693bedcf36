"""Ranks by counts of what followed the items of a history. This module is pure.

A row of a history says how much each of the user's earlier items weighs before an event. A row of the followers says
how often each item followed. The score of an item is the product of both.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from encoder.metrics.ranking import MISS

MAX_TERMS = 4_000_000  # products of a weight and a count that are in memory at a time


def ranks_of_popularity(popularity: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N + 1,) events of each item -> (N + 1,) number of items with at least as many events. Row 0 is not used."""
    ascending = np.sort(popularity[1:])
    return len(ascending) - np.searchsorted(ascending, popularity, side="left")


def ranks_by_followers(
    history: csr_array, followers: csr_array, popularity: NDArray[np.int64], item: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(n, N + 1) history, (N + 1, N + 1) followers, (N + 1,) popularity, (n,) items -> (n,) ranks over the N items.

    Popularity orders the items with equal scores, and the items without a score behind the others. Remaining ties count
    against the item. Index 0 has MISS. No weight and no count may be 0 or less.
    """
    as_popular = ranks_of_popularity(popularity)
    terms = np.add.reduceat(np.append(np.diff(followers.indptr)[history.indices], 0), history.indptr[:-1])
    terms[np.diff(history.indptr) == 0] = 0
    part = np.cumsum(terms) // MAX_TERMS
    ranks = np.full(len(item), MISS, np.int64)
    bounds = np.flatnonzero(np.diff(part, prepend=-1, append=-1))
    for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        scores, actual = history[begin:end] @ followers, item[begin:end]
        row = np.repeat(np.arange(end - begin), np.diff(scores.indptr))
        named, score, target = scores.indices, scores.data, actual[row]
        is_target = named == target
        actual_score = np.zeros(end - begin, score.dtype)
        actual_score[row[is_target]] = score[is_target]
        is_as_popular = popularity[named] >= popularity[target]
        is_above = (score > actual_score[row]) | ((score == actual_score[row]) & is_as_popular)
        above = np.bincount(row[is_above], minlength=end - begin)
        unnamed = as_popular[actual] - np.bincount(row[is_as_popular], minlength=end - begin)
        ranks[begin:end] = above + np.where(actual_score > 0, 0, unnamed)
    return np.where(item > 0, ranks, MISS)
